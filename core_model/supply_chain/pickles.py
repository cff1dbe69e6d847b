"""Pickles: whoever opens one runs it. Told by their content, wherever they stand and whatever they are called."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import PurePosixPath

from core_model.checkpoint_files import PICKLES
from core_model.supply_chain.content import LARGEST, PROTOCOLS, Item
from core_model.supply_chain.disassembly import Disassembly, disassemble
from core_model.supply_chain.issues import Issue, Kind, Level, quoted, remove
from core_model.supply_chain.verdicts import judge

CONVERT = "convert it to safetensors where nothing can be lost (model.save_pretrained(OUT)), then {remove}"
WHY = {
    Level.HIGH: "opening it runs what stands in it",
    Level.MEDIUM: "opening it imports or calls names that no list knows to be harmless",
    Level.LOW: "a pickle can run any code when it is opened; that the scanners find none is no proof",
}
MOST_NESTED = 3


def scan_pickle(item: Item, *, at: int = 0, nested: int = 0) -> Iterator[Issue]:
    """The issue of an item that holds a pickle from byte `at` on, and those of pickles that stand inside it."""
    data = item.read(LARGEST, at=at)
    found = disassemble(data, named=_is_named(item.name))
    if not _is_pickle(item.name, data, found):
        if at == 0 and _is_named(item.name):
            yield Issue(
                Kind.NOT_LOOKED_INTO, Level.MEDIUM, item.name, 0, "a pickle by its name that cannot be read as one",
                "a reader that is less strict may open it", remove(item.name),
            )  # fmt: skip
        return
    verdict = judge(data if found.broken else data[: found.end])
    level = verdict.level or (Level.MEDIUM if found.imports else Level.LOW)
    if level is Level.LOW and (found.broken or item.size - at > LARGEST):
        level = Level.MEDIUM
    where = found.imports[0].offset if found.imports else 0
    yield Issue(
        Kind.PICKLE, level, item.name, at + where, _describe(item, found, at, verdict.words), WHY[level],
        CONVERT.format(remove=remove(item.name)),
    )  # fmt: skip
    if nested < MOST_NESTED:
        for offset, inner in found.embedded:
            yield from scan_pickle(_inside(item, at + offset, inner), nested=nested + 1)


def _is_pickle(name: str, data: bytes, found: Disassembly) -> bool:
    """A text may begin with what could be an operation: it counts when it would import, or has a pickle's name."""
    return bool(found.imports) or (found.end > 0 and (data.startswith(PROTOCOLS) or _is_named(name)))


def _is_named(name: str) -> bool:
    return PurePosixPath(name.lower()).suffix in PICKLES


def _describe(item: Item, found: Disassembly, at: int, verdict: str) -> str:
    names = list(dict.fromkeys(f"{one.module}.{one.name}" for one in found.imports))
    listed = ", ".join(quoted(name)[1:-1] for name in names[:5]) + (" ..." if len(names) > 5 else "")
    what = [f"a pickle that imports {listed}" if names else "a pickle that imports nothing", verdict]
    if found.broken:
        what.append(f"{found.broken}, so that nobody can tell what follows")
    elif item.size - at > LARGEST:
        what.append(f"only its first {LARGEST:,} bytes were looked at")
    elif item.size - at > found.end:
        what.append(f"{item.size - at - found.end:,} bytes after it are no pickle")
    return "; ".join(what)


def _inside(item: Item, offset: int, data: bytes) -> Item:

    return Item(f"{item.name}!bytes at {offset}", io.BytesIO(data), len(data), item.depth + 1)


def numpy_data(item: Item) -> int:
    """The byte at which the data of a .npy file begins: there an array of objects keeps its pickle."""
    head = item.read(12)
    if head[6:7] == b"\x01":
        return 10 + int.from_bytes(head[8:10], "little")
    return 12 + int.from_bytes(head[8:12], "little")
