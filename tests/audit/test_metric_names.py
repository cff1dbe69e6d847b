"""Promises of the vocabulary to audits: whatever number one of them can write has words and a meaning in each language.

The names are read in the source, where `metric(NAME, ...)` and `CorpusMetric(NAME, ...)` are written: as a string, as a
constant, as a key of a table of the same function, or as a string with another metric's name in it.
"""

from __future__ import annotations

import ast
import fnmatch
import re
from functools import cache
from pathlib import Path

import pytest

import core_model
from audit import concerns
from audit.concerns.fairness.gaps import _RATES
from core_model.evaluation import VALUES
from reports.catalogue import LANGUAGES, language
from reports.document.rows import in_words
from reports.document.vocabulary import fixed_words, meaning, vocabulary
from reports.language import speaking

MAKERS, WRAPPERS = {"metric", "CorpusMetric"}, {"line", "_difference", "_ratio"}
SHAPE = re.compile(r"[a-z]+(_[a-z0-9]+)+")
INNER = "accuracy"  # stands in a name for the metric that it is made of


def sources() -> list[str]:
    roots = [Path(concerns.__file__).parent, Path(core_model.__file__).parent]
    return [path.read_text(encoding="utf-8") for root in roots for path in sorted(root.rglob("*.py"))]


def constants(tree: ast.Module) -> dict[str, str]:
    """The module's own upper-case strings, also where several are set in one line."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            names, values = node.targets[0], node.value
            pairs = zip(getattr(names, "elts", [names]), getattr(values, "elts", [values]), strict=False)
            found |= {
                name.id: value.value
                for name, value in pairs
                if isinstance(name, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str)
            }
    return found


def names_in(source: str, shared: dict[str, str]) -> set[str]:
    """The names of metrics that a module writes; "*" stands where a name goes on with what is not known here."""
    tree = ast.parse(source)
    known, found = shared | constants(tree), set()
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for around, call in [(one, node) for one in (tree, *functions) for node in ast.walk(one)]:
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args):
            continue
        name = call.args[0]
        if call.func.id in WRAPPERS and isinstance(name, ast.Constant):
            found.add(name.value)
        elif call.func.id not in MAKERS:
            continue
        elif isinstance(name, ast.Constant):
            found.add(name.value)
        elif isinstance(name, ast.JoinedStr):
            found.add("".join(map(part, name.values)))
        elif isinstance(name, ast.Name) and name.id in known:
            found.add(known[name.id])
        elif isinstance(name, ast.Name) and around is not tree:
            found |= keys(around, known)
    return found


def part(of: ast.expr) -> str:
    if isinstance(of, ast.Constant):
        return str(of.value)
    another = isinstance(of, ast.FormattedValue) and isinstance(of.value, ast.Attribute) and of.value.attr == "name"
    return INNER if another else "*"


def keys(around: ast.AST, known: dict[str, str]) -> set[str]:
    """Of the tables of a function that makes a metric of each key."""
    nodes = [key for table in ast.walk(around) if isinstance(table, ast.Dict) for key in table.keys]
    named = {known.get(key.id, "") for key in nodes if isinstance(key, ast.Name)}
    strings = named | {key.value for key in nodes if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return {name for name in strings if SHAPE.fullmatch(name)}


@cache
def every_name() -> frozenset[str]:
    trees = [ast.parse(source) for source in sources()]
    shared = {name: value for tree in trees for name, value in constants(tree).items()}
    written = {name for source in sources() for name in names_in(source, shared)}
    return frozenset(written | {*VALUES, *_RATES})


def test_the_names_are_found_however_they_are_written():
    found = every_name()
    assert len(found) > 120
    assert {"accuracy", "bytes_up", "shapley_value", "client_attribution_auc", "demographic_parity_ratio", "bleu",
            "energy_per_1000_inferences", "training_emissions", "accuracy_gain_over_baseline"} <= found  # fmt: skip
    planted = 'X, Y = "new_number", 1\nmetric(X, e, unit="u")\nmetric("other_number", e)\nmetric(f"{of}_price", e)\n'
    assert names_in(planted, {}) == {"new_number", "other_number", "*_price"}


def those_like(name: str) -> list[str]:
    return fnmatch.filter(vocabulary()["metrics"], name) if "*" in name else [name]


def explained(name: str) -> bool:
    return bool(fixed_words(in_words(name)) and meaning(name))


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_number_that_an_audit_can_write_has_words_and_a_meaning(name):
    with speaking(language(name)):
        missing = {one for one in every_name() if not any(map(explained, those_like(one)))}
    assert not missing, f"vocabulary.toml lacks {sorted(missing)}"
