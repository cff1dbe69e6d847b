"""Chat templates: a Jinja template is a program, and it came with the checkpoint. It is parsed here, and not rendered.

transformers renders it in a sandbox; other servers have rendered it without one (CVE-2024-34359, llama-cpp-python).
A template for messages needs no attribute that begins with two underscores, no import, and no attribute whose name it
computes. What such a template says to the model in plain words is not judged here.
Source: https://jinja.palletsprojects.com/en/stable/sandbox/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from core_model.supply_chain.issues import Issue, Kind, Level, quoted

if TYPE_CHECKING:
    from jinja2 import Environment, nodes

DUNDER = re.compile(r"__[a-z]\w*__|\bfunc_globals\b|\bgi_frame\b|\bgi_code\b|\bcr_frame\b|\bf_globals\b|\bf_builtins\b")
MAKE_TEXT = {"format", "join", "replace", "reverse", "lower", "upper", "trim", "string", "center", "translate", "strip"}
GATEWAYS = {"cycler", "joiner", "lipsum", "self", "request", "url_for", "get_flashed_messages"}
FILES = re.compile(
    r"(^|/)(chat_template\w*\.(jinja2?|json)|[^/]+\.(jinja2?|j2)|tokenizer_config\.json|processor_config\.json)$"
)
WHY = "a server that renders it outside of a sandbox runs what it reaches"
MEND = "write the chat template anew, or take the one of the model that this checkpoint was trained from"
LONGEST_TEMPLATE = 1_000_000  # characters; the longest public ones have some 20,000


def scan_templates(name: str, raw: bytes) -> Iterator[Issue]:
    """Issues of the chat templates in a file: a template itself, or JSON that holds some."""
    text = raw.decode("utf-8", "replace")
    if not name.lower().endswith(".json"):
        yield from scan_template(name, text, offsets=_line_starts(raw))
        return
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return  # told by the scan of configurations
    at = max(raw.find(b'"chat_template"'), 0)
    for template in _templates(value.get("chat_template") if isinstance(value, dict) else None):
        yield from scan_template(name, template, offsets=[at])


def _templates(value: Any) -> Iterator[str]:
    """The templates under `chat_template`: one text, several with names, or a list of such."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _templates(inner)
    elif isinstance(value, list):
        yield from (one["template"] for one in value if isinstance(one, dict) and isinstance(one.get("template"), str))


def _line_starts(raw: bytes) -> list[int]:
    return [0, *(match.end() for match in re.finditer(b"\n", raw))]


def scan_template(name: str, text: str, *, offsets: list[int]) -> Iterator[Issue]:
    """Issues of one template.

    Args:
        offsets: the byte of each of its lines; one byte where they are all within a JSON string.
    """
    from jinja2 import TemplateSyntaxError

    def issue(line: int, what: str, level: Level = Level.HIGH) -> Issue:
        at = offsets[min(line, len(offsets)) - 1]
        return Issue(Kind.TEMPLATE, level, name, at, f"chat template, line {line}: {what}", WHY, MEND)

    if len(text) > LONGEST_TEMPLATE:
        yield issue(1, f"{len(text):,} characters are too many to look into", Level.MEDIUM)
        return
    try:
        tree = _environment().parse(text)
    except (TemplateSyntaxError, RecursionError) as error:
        yield issue(getattr(error, "lineno", 1), f"it cannot be parsed ({quoted(str(error))})", Level.MEDIUM)
        return
    told: set[tuple[int, str]] = set()
    waiting: list[nodes.Node] = [tree]  # no recursion: the template may be built to exhaust it
    while waiting:
        node = waiting.pop()
        waiting += node.iter_child_nodes()
        if (found := _judge(node)) is not None and (node.lineno, found[0]) not in told:
            told.add((node.lineno, found[0]))
            yield issue(node.lineno, *found)


def _judge(node: nodes.Node) -> tuple[str, Level] | None:
    """What one node of the template does, or says, that no chat template needs."""
    text = _constant(node)
    if text is not None and (found := DUNDER.search(text)):
        return f"it holds the name {quoted(found[0])} as a text", Level.HIGH
    return _done_by(node)


def _done_by(node: nodes.Node) -> tuple[str, Level] | None:
    from jinja2 import nodes

    match node:
        case nodes.Include() | nodes.Import() | nodes.FromImport() | nodes.Extends():
            return "it loads another template", Level.HIGH
        case nodes.Getattr(attr=name) if DUNDER.search(name):
            return f"it reaches for the attribute {quoted(name)}", Level.HIGH
        case nodes.Filter(name="attr", args=[argument, *_]) if _constant(argument) is None:
            return "it reaches for an attribute whose name it computes", Level.HIGH
        case nodes.Getitem(arg=name) if _constant(name) is None and _makes_text(name):
            return "it looks up a name that it puts together", Level.MEDIUM
        case nodes.Name(name=name, ctx="load") if name in GATEWAYS:
            return f"it uses {quoted(name)}, a way out of careless sandboxes", Level.MEDIUM
    return None


def _constant(node: nodes.Node) -> str | None:
    """The text of an expression of constants put together with `~` or `+`; filters are not applied, for they run."""
    from jinja2 import nodes

    match node:
        case nodes.Const(value=str(text)):
            return text
        case nodes.Concat(nodes=parts):
            return _joined(parts)
        case nodes.Add(left=left, right=right):
            return _joined([left, right])
    return None


def _makes_text(node: nodes.Node) -> bool:
    """Whether an expression puts a text together, or turns one around; looking up `message[key]` does not."""
    from jinja2 import nodes

    match node:
        case nodes.Concat():
            return True
        case nodes.Filter(name=name) if name in MAKE_TEXT:
            return True
        case nodes.Call(node=nodes.Getattr(attr=name)) if name in MAKE_TEXT:
            return True
        case nodes.Getitem(arg=nodes.Slice()):
            return True
        case nodes.Add() | nodes.Mul() | nodes.Mod():
            return any(
                isinstance(part, nodes.Const) and isinstance(part.value, str) for part in (node.left, node.right)
            )
    return False


def _joined(parts: list[Any]) -> str | None:
    texts = [_constant(part) for part in parts]
    return None if None in texts else "".join(text for text in texts if text is not None)


@lru_cache(1)
def _environment() -> Environment:
    """A parser that knows the tags which transformers adds: `generation`, `break` and `continue`."""
    from jinja2.ext import Extension, LoopControlExtension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    return ImmutableSandboxedEnvironment(extensions=[Generation, LoopControlExtension], trim_blocks=True)
