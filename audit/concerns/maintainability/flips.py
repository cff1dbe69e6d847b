"""The version before on the same rows: which right answers were lost, which were won?

Two models of equal accuracy may disagree on many rows. For whoever builds on the model, a row that was answered rightly
and no longer is is a break, whatever the mean says.

Sources: Yan et al. 2021 (negative flip rate), arXiv:2011.09161; Srivastava et al. 2020 (backward trust compatibility),
arXiv:2008.04572.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from audit.evidence import Limit, metric
from audit.statistics import Estimate, bootstrap_table, paired_shares, proportion, share_of
from reports.record import Figure, Metric, Scalar

YAN = "Yan et al. 2021, arXiv:2011.09161"
SRIVASTAVA = "Srivastava et al. 2020, arXiv:2008.04572"
NO_LABELS = "needs labels: --label-column COLUMN"
FEWEST_ROWS = 20  # of a group


@dataclass(frozen=True, eq=False)
class Versions:
    """Two versions on the same rows. Arrays are (rows,) bool.

    Attributes:
        other: whether the two answer otherwise.
        before, now: whether each answers rightly; None without labels.
        missing: why there is no version before.
    """

    other: np.ndarray | None = None
    before: np.ndarray | None = None
    now: np.ndarray | None = None
    missing: str | None = None

    @property
    def lost(self) -> np.ndarray | None:
        """Rows that were answered rightly and no longer are."""
        return None if self.before is None or self.now is None else self.before & ~self.now

    @property
    def won(self) -> np.ndarray | None:
        """Rows that are answered rightly and were not."""
        return None if self.before is None or self.now is None else self.now & ~self.before

    @property
    def change(self) -> Estimate:
        """Accuracy now less accuracy before."""
        if self.before is None or self.now is None:
            return Estimate.absent(self.missing or NO_LABELS)
        return paired_shares(self.now, self.before)


def flip_lines(
    versions: Versions, groups: Mapping[str, np.ndarray], random: np.random.Generator, *, limit: Limit | None
) -> list[Metric]:
    """Metrics of the two versions.

    Args:
        groups: column -> (rows,) values. limit: for the share of rows that are lost.
    """
    return [
        metric(
            "churn", share_of(versions.other, versions.missing or NO_LABELS), unit="share of rows", better="none",
            definition="Rows that this version answers otherwise than the one before, right or wrong.",
        ),
        metric(
            "negative_flip_rate", share_of(versions.lost, versions.missing or NO_LABELS),
            unit="share of rows", better="lower",
            limit=None if versions.lost is None else limit, source=YAN,
            definition="Rows that the version before answers rightly and this one does not.",
        ),
        metric(
            "positive_flip_rate", share_of(versions.won, versions.missing or NO_LABELS),
            unit="share of rows", better="higher",
            source=YAN, definition="Rows that this version answers rightly and the one before does not.",
        ),
        metric(
            "relative_negative_flip_rate", _relative(versions, random), unit="ratio", better="lower", source=YAN,
            definition="Negative flips over those of two models that err independently; 1: no more alike than chance.",
        ),
        metric(
            "backward_trust_compatibility", _kept(versions), unit="share of rows", better="higher", source=SRIVASTAVA,
            definition="Of the rows that the version before answers rightly, those that this one answers rightly, too.",
        ),
        metric(
            "accuracy_change", versions.change, unit="difference of shares of rows", better="higher",
            definition="Accuracy of this version less that of the one before, on the same rows.",
        ),
        *_by_group(versions, groups),
    ]  # fmt: skip


def _kept(versions: Versions) -> Estimate:
    if versions.before is None or versions.now is None:
        return Estimate.absent(versions.missing or NO_LABELS)
    right = int(versions.before.sum())
    if not right:
        return Estimate.absent("the version before answers no row rightly")
    return proportion(int((versions.before & versions.now).sum()), right)


def _relative(versions: Versions, random: np.random.Generator) -> Estimate:
    """Negative flips over (right before) times (wrong now)."""
    if versions.before is None or versions.now is None:
        return Estimate.absent(versions.missing or NO_LABELS)
    before, now = versions.before, versions.now
    cells = np.array([(before & now).sum(), (before & ~now).sum(), (~before & now).sum(), (~before & ~now).sum()])
    if not (before.any() and (~now).any()):
        return Estimate.absent("nothing was right before, or nothing is wrong now")

    def ratio(tables: np.ndarray) -> np.ndarray:
        shares = tables / tables.sum(axis=1, keepdims=True)
        return np.asarray(shares[:, 1] / ((shares[:, 0] + shares[:, 1]) * (shares[:, 1] + shares[:, 3])))

    return bootstrap_table(cells, ratio, random)


def _by_group(versions: Versions, groups: Mapping[str, np.ndarray]) -> list[Metric]:
    """Negative flips of each group with rows enough."""
    lines = []
    for column, values in groups.items():
        for value in sorted(set(values.tolist())):
            rows = values == value
            few = f"{int(rows.sum())} rows; {FEWEST_ROWS} are needed"
            lost = None if versions.lost is None or rows.sum() < FEWEST_ROWS else versions.lost[rows]
            why = few if versions.lost is not None else versions.missing
            lines.append(
                metric(
                    "negative_flip_rate", share_of(lost, why or NO_LABELS), unit="share of rows", better="lower",
                    slice={column: str(value)}, source=YAN,
                    definition="Rows of the group that the version before answers rightly and this one does not.",
                )
            )  # fmt: skip
    return lines


def flips_figure(lines: list[Metric]) -> Figure | None:
    """Negative flips of all rows and of each group."""
    rows: list[dict[str, Scalar]] = [
        {
            "label": ", ".join(f"{k} = {v}" for k, v in line.slice.items()) or "all rows",
            "value": line.value, "low": line.interval[0], "high": line.interval[1], "n": line.n,
        }
        for line in lines
        if line.name == "negative_flip_rate" and line.value is not None and line.interval
    ]  # fmt: skip
    if len(rows) < 2:
        return None
    return Figure(
        id="maintainability-negative-flips", kind="intervals", title="Right answers that were lost",
        caption="Share of the rows that the version before answers rightly and this one does not. Whiskers are 95% "
        "intervals, each for its own group.",
        x_label="share of rows", y_label="group", rows=rows,
    )  # fmt: skip
