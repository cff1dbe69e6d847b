"""What these rows cannot test: classes of too few rows, words that none of them holds, groups without rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.testability.noticing import smallest_noticed_break
from audit.evidence import metric
from audit.plugin import Need
from audit.statistics import Estimate
from core_model.label_words import distinct_words
from core_model.tasks import Task
from reports.record import Metric

if TYPE_CHECKING:
    from audit.subject import Subject

EXACT = "exact binomial; it follows from the number of rows, and has no sampling error"
FREQUENT_WORDS = 1000  # of the training rows, by the rows that hold them
FEWEST_ROWS = 5  # of a cell: fewer cannot show a break even where each of them turns
CONNOR = "McNemar 1947, Psychometrika 12:153; power: Connor 1987, Biometrics 43:207"


def untested_lines(subject: Subject) -> list[Metric]:
    """Metrics of what the rows reach."""
    return [*_breaks(subject), _words(subject), *_cells(subject)]


def _breaks(subject: Subject) -> list[Metric]:
    """Of each class, the smallest break that its rows would notice."""
    if subject.task is not Task.CLASSIFICATION:
        return []
    definition = (
        "The smallest share of a label's rows, answered rightly now, that a break must turn for a run on all given "
        "rows of that label to notice it in 8 of 10 cases, with a false alarm rate of at most 5%."
    )
    if not subject.has(Need.LABELS):
        absent = Estimate.absent("needs labels: --label-column COLUMN")
        return [_break_line(absent, {}, definition)]
    right = subject.predictions.predicted == subject.targets
    lines = []
    for place, label in enumerate(subject.labels):
        rows = int((right & (subject.targets == place)).sum())
        share = smallest_noticed_break(rows)
        few = f"{rows} rows are answered rightly: even a break of all of them would not be noticed"
        estimate = Estimate.absent(few, n=rows) if share is None else Estimate.counted(share, rows, EXACT)
        lines.append(_break_line(estimate, {"label": label}, definition))
    return lines


def _break_line(estimate: Estimate, part: dict[str, str], definition: str) -> Metric:
    return metric(
        "smallest_noticed_break", estimate, unit="share of rows", better="lower", slice=part, definition=definition,
        source=CONNOR,
    )  # fmt: skip


def _words(subject: Subject) -> Metric:
    """Frequent words of the training rows that the given rows hold."""
    if not subject.has(Need.TRAINING_DATA):
        estimate = Estimate.absent("needs training data: --train-data FILE")
    else:
        frequent = _frequent(subject.training_texts)
        held: set[str] = set().union(*(distinct_words(text) for text in subject.texts))
        share = sum(word in held for word in frequent) / len(frequent) if frequent else None
        estimate = Estimate.absent("the training rows hold no word")
        if share is not None:
            estimate = Estimate.counted(share, len(frequent))
    return metric(
        "training_words_exercised", estimate, unit="share of words", better="higher",
        definition=f"Of the {FREQUENT_WORDS:,} words that most training rows hold, those that some given row holds.",
    )  # fmt: skip


def _frequent(texts: object) -> list[str]:
    counts: Counter[str] = Counter()
    for text in texts:  # type: ignore[attr-defined]
        counts.update(distinct_words(text))
    return sorted(counts, key=lambda word: (-counts[word], word))[:FREQUENT_WORDS]


def _cells(subject: Subject) -> list[Metric]:
    """Groups, by label where there are labels, that have too few rows for any test."""
    definition = f"Values of a group column, by label where there are labels, that fewer than {FEWEST_ROWS} rows hold."
    if not subject.has(Need.GROUPS):
        absent = Estimate.absent("needs group columns: --group-column COLUMN")
        return [_cell_line(absent, {}, definition)]
    classified = subject.task is Task.CLASSIFICATION and subject.has(Need.LABELS)
    classes = len(subject.labels) if classified else 1
    targets = subject.targets if classified else np.zeros(subject.data.rows, dtype=np.int64)
    lines = []
    for column, values in subject.groups.items():
        counts = [
            int(((values == value) & (targets == place)).sum())
            for value in np.unique(values)
            for place in range(classes)
        ]
        share = sum(count < FEWEST_ROWS for count in counts) / len(counts)
        lines.append(_cell_line(Estimate.counted(share, len(counts)), {"by": column}, definition))
    return lines


def _cell_line(estimate: Estimate, part: dict[str, str], definition: str) -> Metric:
    return metric(
        "groups_without_rows", estimate, unit="share of groups", better="lower", slice=part, definition=definition
    )
