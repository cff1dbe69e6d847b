"""Which metric names the installed audits can write: read from their own source, so that nobody keeps a list.

A name stands in the source as a text in snake_case, whole ("equalized_odds_difference") or with a part that is filled
in ("true_positive_rate_at_{...}"). This finds more texts than metrics; it serves to refuse a name that no audit could
ever write, and to suggest the nearest ones.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import core_model
from audit.registry import Registry

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9.]+)*")
_OURS = "aboveboard"


@dataclass(frozen=True)
class MetricNames:
    """Names that a metric may have, and patterns of names with a part that is filled in."""

    whole: frozenset[str]
    patterns: tuple[str, ...]
    complete: bool = True  # False where an audit's source could not be found: then nothing can be called unknown

    def knows(self, name: str) -> bool:
        """Whether some installed audit could write a metric of this name."""
        return not self.complete or name in self.whole or bool(self._pattern.fullmatch(name))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(self.patterns) or r"(?!)")


def metric_names(registry: Registry) -> MetricNames:
    """The names in the source of these audits."""
    whole: set[str] = set()
    patterns: set[str] = set()
    files = {module: list(_files(module)) for module in _modules(registry)}
    for file in sorted({file for found in files.values() for file in found}):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAME.fullmatch(node.value):
                whole.add(node.value)
            elif isinstance(node, ast.JoinedStr) and (pattern := _pattern_of(node)):
                patterns.add(pattern)
    return MetricNames(frozenset(whole), tuple(sorted(patterns)), complete=all(files.values()))


def _modules(registry: Registry) -> Iterator[str]:
    for plugin in registry.plugins:
        module = plugin.run.__module__
        yield module if plugin.distribution == _OURS else module.partition(".")[0]  # a stranger's whole package
    yield "audit.statistics"
    yield from (f"core_model.{file.stem}" for file in Path(core_model.__file__).parent.glob("*metric*.py"))


def _files(module: str) -> Iterable[Path]:
    """The Python files of a module, or of the whole package."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # a session's own `__main__`
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return []
    origin = Path(spec.origin)
    return origin.parent.glob("**/*.py") if origin.name == "__init__.py" else [origin]


def _pattern_of(node: ast.JoinedStr) -> str | None:
    """An f-string as a pattern, where what is fixed in it is long enough to mean something."""
    parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
    fixed = [str(part) for part in parts if part is not None]
    if sum(map(len, fixed)) < 4 or not all(re.fullmatch(r"[a-z0-9_.]+", part) for part in fixed):
        return None
    return "".join(r"[a-z0-9_.]+" if part is None else re.escape(str(part)) for part in parts)
