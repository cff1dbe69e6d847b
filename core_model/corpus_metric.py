"""The corpus metric: a number over many rows as a function of sums, so that a resample never sees a text.

Each row's statistics are computed once (matched n-grams, lengths, negative log-likelihood ...). The metric of any set
of rows is a function of the sum of their statistics: of all rows, of a slice, of two thousand resamples at once.
`audit.corpus_estimates` makes intervals of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Array = np.ndarray
Value = Callable[[Array], Array]

Form = Literal["share", "mean", "corpus"]


@dataclass(frozen=True, eq=False)
class CorpusMetric:
    """One metric over rows.

    Attributes:
        name: the field's name: bleu, chrf, rouge1, exact_match, perplexity ...
        statistics: (rows, k) float64; a row's own part of every sum.
        value: from sums of statistics (..., k) to values (...); NaN where the sums hold nothing to judge.
        signature: every setting that could change the number, in sacrebleu's form: `key:value|key:value`.
        unit: of the value.
        better: which direction is.
        form: how values come about, which decides what interval is fit: "share", each row counts or does not; "mean",
            each row has a value in [0, 1]; "corpus", a function of sums that is no mean of rows (BLEU, perplexity).
    """

    name: str
    statistics: Array
    value: Value
    signature: str
    unit: str
    better: Literal["lower", "higher"]
    form: Form = "corpus"

    def __len__(self) -> int:
        return len(self.statistics)

    @property
    def score(self) -> float | None:
        """The metric of all rows; None where it does not exist on them."""
        value = float(self.value(self.statistics.sum(axis=0)))
        return value if np.isfinite(value) else None

    @property
    def of_each_row(self) -> Array:
        """The metric of each row alone, (rows,); NaN where it does not exist. Its mean is not the metric, for a corpus
        form: use it to rank rows, not to judge a system."""
        return np.asarray(self.value(self.statistics), dtype=np.float64)

    @property
    def scale(self) -> float:
        """What a difference is measured by: 100 for points from 0 to 100, else 1."""
        return 100.0 if "0 to 100" in self.unit else 1.0

    def select(self, rows: Array) -> CorpusMetric:
        """The same metric over some rows: indices, or (rows,) bool."""
        return CorpusMetric(
            self.name, self.statistics[rows], self.value, self.signature, self.unit, self.better, self.form
        )


def mean_of_rows(sums: Array) -> Array:
    """Of sums (..., 2) of values and of rows: the mean, (...)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.true_divide(sums[..., 0], sums[..., 1])


def values_and_rows(values: Array) -> Array:
    """Statistics of a mean: each row's value and a 1, (rows, 2)."""
    values = np.asarray(values, dtype=np.float64)
    return np.stack([values, np.ones(len(values))], axis=1)
