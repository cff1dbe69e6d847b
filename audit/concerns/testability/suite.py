"""The suite: behavioural tests that are made of the given rows. All of them are synthetic: rows were edited by rules.

INV  rows drawn at random, each with every edit that must not turn an answer; rows that hold a name, a place, a number
MFT  rows that are answered rightly and surely, cut to the run of words that goes most with their label, where that is
     surely so by counting; and three words at a time of those that go most with a label
DIR  rows with the decisive run of a row of another class behind them; rows with their own run repeated

A test says what is expected by the row's label, never by the model's answer, so that the suite can be run on another
model. Which words go with a label is counted (`core_model.label_words`), in the training rows where they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.plugin import Need
from core_model.behaviour import Case
from core_model.behaviour_edits import EVERYWHERE, WHERE_HELD
from core_model.label_words import decisive_part, label_words
from core_model.tasks import Task

if TYPE_CHECKING:
    from audit.subject import Subject

CUT, REPEATED, APPENDED, TEMPLATE = "decisive part", "own words repeated", "other class appended", "label-bound words"
CAPABILITIES: Mapping[str, Sequence[str]] = {
    "MFT": (CUT, TEMPLATE), "INV": (*EVERYWHERE, *WHERE_HELD), "DIR": (APPENDED, REPEATED),
}  # fmt: skip
SURE = 0.9  # probability from which a right answer is a clear one
LONGEST_PART = 8  # words of a decisive part
LEAST_EVIDENCE, LEAST_OF_A_WORD = 5.0, 3.0  # standard errors, of a part and of a word in a template
TOP_WORDS, TEMPLATES = 20, 4  # of each class


@dataclass(frozen=True, eq=False)
class Suite:
    """Tests, and the rows that they were made of.

    Attributes:
        drawn: rows drawn at random, (rows,). used: every row that a test was made of, as a set.
        counted: where label-bound words were counted: "training rows", "given rows", or why they were not.
    """

    cases: Sequence[Case]
    drawn: np.ndarray
    used: frozenset[int]
    counted: str


def make_suite(subject: Subject, rows: int, random: np.random.Generator) -> Suite:
    """The suite of a subject.

    Args:
        rows: drawn at random, at most half of those there are; a quarter as many more for each edit of names, places,
            numbers. A quarter of all rows is left alone, for whatever has to be seen on rows of no test.
    """
    data = subject.data
    drawing, editing, joining = random.spawn(3)
    order = drawing.permutation(data.rows)[: max(1, 3 * data.rows // 4)]
    rows = drawn_rows(rows, data.rows)
    drawn = order[:rows]
    cases = [
        case
        for row in drawn.tolist()
        for name, edit in EVERYWHERE.items()
        if (case := _edited(subject, row, name, edit(data.texts[row], editing)))
    ]
    for name, edit in WHERE_HELD.items():
        holders: list[Case] = []
        for row in order.tolist():
            if len(holders) == max(1, rows // 4):
                break
            if case := _edited(subject, row, name, edit(data.texts[row], editing)):
                holders.append(case)
        cases += holders
    counted = why_no_labels(subject)
    if counted is None:
        counted, evidence = _evidence(subject)
        cases += _bound_to_labels(subject, drawn, evidence, joining)
    return Suite(cases, drawn, frozenset(case.cluster for case in cases if case.cluster < data.rows), counted)


def drawn_rows(wanted: int, rows: int) -> int:
    """How many rows are drawn: as many as wanted, and at most half."""
    return min(wanted, max(1, rows // 2))


def why_no_labels(subject: Subject) -> str | None:
    """Why no test can say which label is right; None where it can."""
    if subject.task is not Task.CLASSIFICATION:
        return "an answer out of a context is no label, whose probability could be watched"
    if not subject.has(Need.LABELS):
        return "needs labels: --label-column COLUMN"
    if subject.data.pairs is not None:
        return "the label is about two texts, and no word of one of them decides it"
    return None


def _edited(subject: Subject, row: int, name: str, text: str | None) -> Case | None:
    base = subject.data.texts[row]
    if text is None or text == base or not text.strip():
        return None
    pair = None if subject.data.pairs is None else subject.data.pairs[row]
    return Case("INV", name, row, text, "same", pair=pair, base=base)


def _evidence(subject: Subject) -> tuple[str, list[dict[str, float]]]:
    if subject.has(Need.TRAINING_DATA):
        training = subject.training
        if training is not None and training.has_labels:
            found = label_words(training.texts, training.targets, len(subject.labels))
            return "training rows", found
    return "given rows", label_words(subject.texts, subject.targets, len(subject.labels))


def _bound_to_labels(
    subject: Subject, drawn: np.ndarray, evidence: Sequence[Mapping[str, float]], random: np.random.Generator
) -> list[Case]:
    texts, targets, labels = subject.texts, subject.targets, subject.labels
    chances = subject.predictions.probabilities
    parts: dict[int, str] = {}
    for row in drawn.tolist():
        part, sum_of_evidence = decisive_part(texts[row], evidence[targets[row]], LONGEST_PART)
        if sum_of_evidence >= LEAST_EVIDENCE:
            parts[row] = part
    cases = []
    for row, part in parts.items():
        label, text = labels[targets[row]], texts[row]
        if chances[row, targets[row]] >= SURE and part != text:
            cases.append(Case("MFT", CUT, row, part, "is", label=label))
        cases.append(Case("DIR", REPEATED, row, _joined(text, part), "not below", base=text, label=label))
    for row in drawn.tolist():
        others = [part for other, part in parts.items() if targets[other] != targets[row]]
        if others:
            text = _joined(texts[row], others[int(random.integers(len(others)))])
            label = labels[targets[row]]
            cases.append(Case("DIR", APPENDED, row, text, "not above", base=texts[row], label=label))
    cluster = subject.data.rows
    for label, words in zip(labels, evidence, strict=True):
        ranked = sorted(words, key=lambda word: (-words[word], word))[:TOP_WORDS]
        bound = [word for word in ranked if words[word] >= LEAST_OF_A_WORD]
        for _ in range(TEMPLATES if len(bound) >= 3 else 0):
            text = " ".join(bound[place] for place in random.permutation(len(bound))[:3])
            cases.append(Case("MFT", TEMPLATE, cluster, text, "is", label=label))
            cluster += 1
    return cases


def _joined(text: str, part: str) -> str:
    bare = text.rstrip()
    return f"{bare} {part}" if bare.endswith((".", "!", "?")) else f"{bare}. {part}"


def most_tests(rows: int, classes: int) -> int:
    """About how many texts the suite asks for beyond the rows: what a tokenizer does not tell apart is asked once."""
    return 5 * rows + rows // 3 + TEMPLATES * classes
