"""Two classifiers' answers to the same rows, and the paired difference of any number made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.rows import GROUP, PROBABILITY
from audit.statistics import Estimate, bootstrap_mean, paired_bootstrap_table, paired_shares
from core_model.metrics import balanced_accuracy, macro_f1
from reports.record import Metric, Record

if TYPE_CHECKING:
    import pandas as pd

Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Answers:
    """One model's answers, in the order of the joined rows.

    Attributes:
        predicted: (rows,) label index.
        probabilities: (rows, classes).
    """

    predicted: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class PairedRows:
    """The rows that both records hold.

    Attributes:
        labels: names of the classes.
        targets: (rows,) true label index, or None.
        groups: column -> (rows,) of str.
        selected: index of the label that counts as selected.
        a, b: what each model said of the rows.
        minimum_group_rows: smaller groups stand outside the gaps, as in the audits.
    """

    labels: tuple[str, ...]
    targets: np.ndarray | None
    groups: dict[str, np.ndarray]
    a: Answers
    b: Answers
    selected: int
    minimum_group_rows: int

    def difference(self, metric: Metric, random: np.random.Generator) -> Estimate | None:
        """B minus A of a metric, paired; None where the rows cannot give it."""
        rows = self._slice(metric)
        if self.targets is None or rows is None:
            return None
        simple = self._shares(metric.name, rows)
        if simple is not None:
            of_a, of_b = simple
            return paired_shares(of_b, of_a)
        if metric.name in ("brier_score", "negative_log_likelihood"):
            change = _row_score(metric.name, self.b, self.targets) - _row_score(metric.name, self.a, self.targets)
            return bootstrap_mean(change[rows], random)
        if metric.name in CONFUSION and not metric.slice:
            cells = len(self.labels)
            joint = (self.targets * cells + self.a.predicted) * cells + self.b.predicted
            counts = np.bincount(joint[rows], minlength=cells**3)
            of = CONFUSION[metric.name]
            return paired_bootstrap_table(
                counts,
                lambda t: of(t.reshape(-1, cells, cells, cells).sum(axis=2)),  # B: A's answers summed out
                lambda t: of(t.reshape(-1, cells, cells, cells).sum(axis=3)),  # A
                random,
            )
        column = metric.slice.get("by")
        if metric.name in GAPS and column in self.groups and len(metric.slice) == 1:
            return self._gap(GAPS[metric.name], self.groups[column], random)
        return None

    def _slice(self, metric: Metric) -> np.ndarray | None:
        """Rows of the metric's slice; None where the slice is not made of group columns."""
        rows = np.ones(len(self.a.predicted), dtype=bool)
        for column, value in metric.slice.items():
            if column == "by":
                continue
            if column not in self.groups:
                return None
            rows &= self.groups[column] == value
        return rows

    def _shares(self, name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """(A, B): which of the counted rows count, for a metric that is a share of rows."""
        assert self.targets is not None  # noqa: S101 - the caller looked
        positive = self.targets == self.selected
        if name == "accuracy":
            return (self.a.predicted == self.targets)[rows], (self.b.predicted == self.targets)[rows]
        within = {
            "selection_rate": rows,
            "false_positive_rate": rows & ~positive,
            "false_negative_rate": rows & positive,
        }
        if name not in within:
            return None
        chosen = within[name]
        a, b = (self.a.predicted == self.selected)[chosen], (self.b.predicted == self.selected)[chosen]
        return (~a, ~b) if name == "false_negative_rate" else (a, b)

    def _gap(self, gap: Statistic, column: np.ndarray, random: np.random.Generator) -> Estimate | None:
        _, index = np.unique(column, return_inverse=True)
        large = np.bincount(index) >= self.minimum_group_rows
        if large.sum() < 2:
            return None
        keep, renumbered = large[index], (np.cumsum(large) - 1)[index]
        positive = np.asarray(self.targets == self.selected, dtype=int)
        a = (self.a.predicted == self.selected).astype(int)
        b = (self.b.predicted == self.selected).astype(int)
        groups = int(large.sum())
        joint = ((renumbered * 2 + positive) * 2 + a) * 2 + b
        counts = np.bincount(joint[keep], minlength=groups * 8)
        return paired_bootstrap_table(
            counts,
            lambda t: gap(t.reshape(-1, groups, 2, 2, 2).sum(axis=3)),  # B: A's answers summed out
            lambda t: gap(t.reshape(-1, groups, 2, 2, 2).sum(axis=4)),  # A
            random,
        )


def paired_answers(left: pd.DataFrame, right: pd.DataFrame, a: Record) -> PairedRows:
    """The answers of two classifiers' evidence files, whose rows are in one order; `a` says what counts as selected."""
    labels = tuple(a.subject.labels)
    fairness = a.audit("fairness")
    chosen = (fairness.options.get("selected") if fairness else None) or labels[min(1, len(labels) - 1)]
    smallest = fairness.options.get("minimum_group_rows", 1) if fairness else 1
    return PairedRows(
        labels=labels,
        targets=left["target"].to_numpy() if "target" in left else None,
        groups={c.removeprefix(GROUP): left[c].to_numpy(dtype=str) for c in left.columns if c.startswith(GROUP)},
        a=_answers(left, labels),
        b=_answers(right, labels),
        selected=labels.index(chosen) if chosen in labels else min(1, len(labels) - 1),
        minimum_group_rows=int(smallest),
    )


def _answers(frame: pd.DataFrame, labels: tuple[str, ...]) -> Answers:
    return Answers(frame["predicted"].to_numpy(), frame[[PROBABILITY + label for label in labels]].to_numpy())


def _row_score(name: str, answers: Answers, targets: np.ndarray) -> np.ndarray:
    """Brier score (sum over classes) or negative log-likelihood in nats, of each row."""
    if name == "negative_log_likelihood":
        return -np.log(np.clip(answers.probabilities[np.arange(len(targets)), targets], 1e-12, 1))
    truth = np.eye(answers.probabilities.shape[1])[targets]
    return ((answers.probabilities - truth) ** 2).sum(axis=1)


def _range(successes: np.ndarray, n: np.ndarray) -> np.ndarray:
    rates = np.where(n > 0, successes / np.maximum(n, 1), np.nan)
    return np.nanmax(rates, axis=1) - np.nanmin(rates, axis=1)


def _false_positive_range(t: np.ndarray) -> np.ndarray:
    return _range(t[:, :, 0, 1], t[:, :, 0].sum(axis=2))


def _false_negative_range(t: np.ndarray) -> np.ndarray:
    return _range(t[:, :, 1, 0], t[:, :, 1].sum(axis=2))


CONFUSION: dict[str, Statistic] = {"balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}

GAPS: dict[str, Statistic] = {
    "demographic_parity_difference": lambda t: _range(t[..., 1].sum(axis=2), t.sum(axis=(2, 3))),
    "false_positive_rate_difference": _false_positive_range,
    "false_negative_rate_difference": _false_negative_range,
    "accuracy_difference": lambda t: _range(t[:, :, 0, 0] + t[:, :, 1, 1], t.sum(axis=(2, 3))),
    "equalized_odds_difference": lambda t: np.maximum(_false_positive_range(t), _false_negative_range(t)),
}
"""Gaps over groups, from (resamples, groups, true positive class?, selected?) counts."""
