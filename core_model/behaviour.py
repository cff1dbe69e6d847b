"""Behavioural tests: a text, and what a model's answer to it must be, or how it may differ from that to another text.

    cases = read_suite("behavioural_suite.csv")
    texts, pairs = questions(cases)
    judge(cases, predictor.predict(texts, pairs), labels).passed          # (cases,) bool

Three kinds (CheckList): MFT, minimum functionality: the answer is this label. INV, invariance: the answer is that to
the text it was made from. DIR, direction: the label's probability does not rise (or fall) against that text.

Source: Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList",
doi:10.18653/v1/2020.acl-main.442.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from core_model.data_reading import open_file, whole_rows
from core_model.errors import DataDamaged
from core_model.predictions import Predictions, SpanAnswers

Kind = Literal["MFT", "INV", "DIR"]
Expectation = Literal["is", "same", "not above", "not below"]
KINDS: Mapping[str, tuple[str, ...]] = {"MFT": ("is",), "INV": ("same",), "DIR": ("not above", "not below")}
TOLERANCE = 0.1  # probability that may move against the direction, as in CheckList


@dataclass(frozen=True)
class Case:
    """One test.

    Attributes:
        kind: MFT, INV or DIR. capability: what is tried.
        cluster: tests of one number were made of one row, and belong together.
        text: what the model is asked. pair: its second text, where the task has one.
        base: the text that its answer is held against; None for MFT.
        expectation: "is" the label, "same" answer as for base, probability of the label "not above" or "not below"
            that for base.
        label: name of the class, of MFT and DIR.
    """

    kind: Kind
    capability: str
    cluster: int
    text: str
    expectation: Expectation
    pair: str | None = None
    base: str | None = None
    label: str | None = None

    def row(self) -> dict[str, str | int | None]:
        """As one line of a file; `from_row` reads it again."""
        return {
            "kind": self.kind, "capability": self.capability, "made_of": self.cluster, "text": self.text,
            "pair": self.pair, "expectation": self.expectation, "label": self.label, "base": self.base,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Judged:
    """What came of some tests. passed: (cases,) bool. answers: (cases,) what was answered, in words."""

    passed: np.ndarray
    answers: tuple[str, ...]


def questions(cases: Sequence[Case]) -> tuple[list[str], list[str] | None]:
    """What a model is to be asked: each test's text, then each test's base (its text again where it has none)."""
    texts = [case.text for case in cases] + [case.text if case.base is None else case.base for case in cases]
    pairs = [case.pair for case in cases] * 2
    return texts, None if any(pair is None for pair in pairs) else [pair or "" for pair in pairs]


def judge(
    cases: Sequence[Case],
    answers: Predictions | SpanAnswers,
    labels: Sequence[str] = (),
    *,
    tolerance: float = TOLERANCE,
) -> Judged:
    """Which tests pass.

    Args:
        answers: to `questions(cases)`, (2 x cases,).
        labels: names of the model's classes.
        tolerance: how far a probability may move against its direction.
    Raises: DataDamaged when a test names a label that the model does not have.
    """
    n = len(cases)
    if isinstance(answers, SpanAnswers):
        return Judged(np.array([answers.texts[i] == answers.texts[n + i] for i in range(n)], bool), answers.texts[:n])
    index = {label: place for place, label in enumerate(labels)}
    unknown = next((i for i, case in enumerate(cases) if case.label is not None and case.label not in index), None)
    if unknown is not None:
        raise DataDamaged(
            f"test {unknown + 1} is about the label {cases[unknown].label!r}, which the model does not have",
            mend=f"one of {', '.join(labels)}",
        )
    predicted, chances = answers.predicted, answers.probabilities
    passed = np.empty(n, dtype=bool)
    said = []
    for i, case in enumerate(cases):
        watched = index.get(case.label or "", int(predicted[i]))
        after, before = float(chances[i, watched]), float(chances[n + i, watched])
        if case.expectation == "is":
            passed[i] = predicted[i] == watched
        elif case.expectation == "same":
            passed[i] = predicted[i] == predicted[n + i]
        else:
            rise = after - before if case.expectation == "not above" else before - after
            passed[i] = rise <= tolerance
        shown = f"{labels[predicted[i]]} ({chances[i, predicted[i]]:.2f})"
        said.append(shown if case.kind != "DIR" else f"{case.label}: {before:.2f} to {after:.2f}")
    return Judged(passed, tuple(said))


def read_suite(file: str | Path) -> list[Case]:
    """The tests of a file of rows (.csv, .jsonl ...), as an audit of testability writes it.

    Raises: DataDamaged, with the row, when a kind or an expectation is none, or a field lacks; and as `open_file`.
    """
    path = Path(file)
    rows = whole_rows(open_file(path))
    spreadsheet = path.suffix == ".csv"
    cases = [_case(row, f"{file}, row {number}", spreadsheet) for number, row in enumerate(rows, start=1)]
    if not cases:
        raise DataDamaged(f"{file} holds no test", mend="behavioural_suite.csv, as `aboveboard audit` writes it")
    return cases


def _case(row: Mapping[str, object], where: str, spreadsheet: bool) -> Case:
    values = {name: str(row.get(name) if row.get(name) is not None else "") for name in _FIELDS}
    if spreadsheet:  # where an apostrophe stands before what would be a formula
        values = {name: value[1:] if _QUOTED.match(value) else value for name, value in values.items()}
    kind, expectation = values["kind"], values["expectation"]
    if expectation not in KINDS.get(kind, ()):
        known = "; ".join(f"{name}: {', '.join(found)}" for name, found in KINDS.items())
        raise DataDamaged(f"{where}: kind {kind!r} with expectation {expectation!r} is no test", mend=known)
    needed = ("text", *(("base",) if kind != "MFT" else ()), *(("label",) if kind != "INV" else ()))
    lacking = next((name for name in needed if not values[name].strip()), None)
    if lacking:
        raise DataDamaged(f"{where}: a test of kind {kind} needs {lacking!r}", mend="kind, text, expectation, ...")
    if not values["made_of"].lstrip("-").isdigit():
        raise DataDamaged(f"{where}: made_of is {values['made_of']!r}", mend="the number of a row")
    return Case(
        kind, values["capability"], int(values["made_of"]), values["text"], expectation,  # type: ignore[arg-type]
        pair=values["pair"] or None, base=values["base"] or None, label=values["label"] or None,
    )  # fmt: skip


_QUOTED = re.compile(r"'(?:[\t\r\n]|\s*[=+\-@])")
_FIELDS = ("kind", "capability", "made_of", "text", "pair", "expectation", "label", "base")
