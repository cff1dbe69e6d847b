"""A pickle, disassembled: which names it would import, at which byte. Nothing is built, nothing is called.

A pickle is a program for a small stack machine. Here its operations are read one by one by Python's own disassembler
(`pickletools`), and a stack of strings is kept beside them, so that names which are put together on the stack
(STACK_GLOBAL) or fetched from the memo are known, too.
Source: https://docs.python.org/3/library/pickletools.html.
"""

from __future__ import annotations

import io
import pickletools
from dataclasses import dataclass, field
from typing import Any

from core_model.supply_chain.content import PROTOCOLS

MARK = pickletools.markobject
CALLS = {"REDUCE", "OBJ", "INST", "NEWOBJ", "NEWOBJ_EX", "BUILD"}
EXTENSIONS = {"EXT1", "EXT2", "EXT4"}
PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
GETS = {"GET", "BINGET", "LONG_BINGET"}
MOST_EMBEDDED = 100


@dataclass(frozen=True)
class Import:
    """A name that a pickle would import, and the byte of the operation that does."""

    module: str
    name: str
    offset: int


@dataclass
class Disassembly:
    """What stands in some bytes, as far as they are pickles one after the other.

    Attributes:
        imports: names in the order in which they would be imported; calls: whether anything would be called.
        complete: how many pickles reach their end; end: the byte after the last operation that was understood.
        broken: why the last one does not reach its end; what comes before has run by then, when it is opened.
        embedded: byte strings in it that look like pickles themselves: (byte, content).
    """

    imports: list[Import] = field(default_factory=list)
    calls: bool = False
    complete: int = 0
    end: int = 0
    broken: str | None = None
    embedded: list[tuple[int, bytes]] = field(default_factory=list)


def disassemble(data: bytes, *, named: bool = False) -> Disassembly:
    """Read pickles from the first byte on, until what follows is none.

    Args:
        named: the file says that it is a pickle; otherwise a first import counts only where something is called or the
            end is reached, for a text may begin like an import.
    """
    found = Disassembly()
    while found.end < len(data) and found.broken is None:
        start = found.end
        one = _one(data, start)
        runs = bool(one.imports) and (one.calls or named)
        if not (runs or one.broken is None or data[start : start + 2] in PROTOCOLS):
            break
        found.imports += one.imports
        found.calls |= one.calls
        found.embedded += one.embedded[: MOST_EMBEDDED - len(found.embedded)]
        found.complete += one.complete
        found.end, found.broken = one.end, one.broken
    return found


def _one(data: bytes, start: int) -> Disassembly:
    """One pickle from byte `start`."""
    found, machine = Disassembly(end=start), _Machine()
    stream = io.BytesIO(data)
    stream.seek(start)
    try:
        for operation, argument, at in pickletools.genops(stream):
            machine.step(operation, argument, at or 0, found)
            found.end = stream.tell()
            if operation.name == "STOP":
                found.complete = 1
                return found
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        found.broken = f"byte {found.end:,} is no operation that fits ({type(error).__name__})"
        return found
    found.broken = "it ends in the middle"
    return found


class _Machine:
    """The pickle machine with values reduced to strings; everything else is None."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, operation: Any, argument: Any, at: int, found: Disassembly) -> None:
        name, stack = operation.name, self.stack
        if name in ("GLOBAL", "INST"):
            module, _, attribute = str(argument).partition(" ")
            found.imports.append(Import(module, attribute, at))
        elif name in EXTENSIONS:
            found.imports.append(Import("copyreg", f"extension {argument}", at))
        if name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in PUTS:
            self.memo[int(argument)] = stack[-1]
        elif name in GETS:
            stack.append(self.memo[int(argument)])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            found.imports.append(Import(module or "(computed)", attribute or "(computed)", at))
            stack.append(None)
        else:
            self._generic(operation, argument)
        found.calls |= name in CALLS
        if isinstance(argument, bytes | bytearray) and bytes(argument[:2]) in PROTOCOLS and len(argument) > 3:
            found.embedded.append((at, bytes(argument)))

    def _generic(self, operation: Any, argument: Any) -> None:
        """Any other operation, by what pickletools says that it takes and leaves."""
        stack, before = self.stack, operation.stack_before
        below = len(before)
        if MARK in before or (operation.name == "POP" and stack and stack[-1] is MARK):
            while stack.pop() is not MARK:
                pass
            below = before.index(MARK) if MARK in before else 0
        if below > len(stack):
            raise IndexError("the stack is empty")
        if below:
            del stack[-below:]
        for after in operation.stack_after:
            is_text = "UNICODE" in operation.name or "STRING" in operation.name
            stack.append(MARK if after is MARK else argument if is_text else None)
