"""The smoothed classifier: how many of its right answers provably stay when words are replaced, by their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.robustness.findings import smoothing_finding
from audit.evidence import metric
from audit.plugin import Evidence, Need
from audit.statistics import Estimate, proportion
from core_model.smoothing import Certificate, SmoothedClassifier, Smoothing
from reports.record import Figure, Metric

if TYPE_CHECKING:
    from audit.subject import Subject

SOURCE = "Zeng et al. 2021 (RanMASK), arXiv:2105.03743, with beta = 1 (Levine and Feizi 2020, arXiv:1911.09272)"
RADII = (0, 1, 2, 3, 5, 8)


def smoothing_evidence(
    subject: Subject, rows: np.ndarray, smoothing: Smoothing, random: np.random.Generator
) -> Evidence:
    """Provable accuracy against the number of replaced words, on some rows.

    Args:
        rows: (rows,) their numbers; of none, everything is absent.
    """
    seed = int(random.integers(2**31))
    if not len(rows):
        return Evidence(metrics=_lines([], None, None, "no row was smoothed: --set robustness.smoothed_rows=60"))
    texts, pairs = [subject.texts[row] for row in rows], subject.data.pairs
    certificates = SmoothedClassifier(subject, smoothing, seed=seed).certify(
        texts, None if pairs is None else [pairs[row] for row in rows]
    )
    has_labels = subject.has(Need.LABELS)
    targets = subject.targets[rows] if has_labels else None
    lines = _lines(certificates, targets, subject.predictions.predicted[rows], "needs labels: --label-column COLUMN")
    exact = sum(c.exact for c in certificates)
    return Evidence(
        metrics=lines,
        findings=smoothing_finding(lines, subject),
        figures=[figure] if (figure := radius_figure(lines)) else [],
        notes=[
            f"Smoothed: {len(rows):,} rows, each looked at {smoothing.choosing} + {smoothing.looks} times through "
            f"{smoothing.keep:.0%} of its words; of {exact:,} short ones all parts were looked at. Each row's limit "
            f"may be wrong with probability {smoothing.failure_probability:g}.",
        ],
    )


def _lines(
    certificates: Sequence[Certificate], targets: np.ndarray | None, predicted: np.ndarray | None, why_not: str
) -> list[Metric]:
    """Plain, smoothed and provable accuracy, and how often no answer is given."""
    n = len(certificates)
    answers = np.array([-1 if c.answer is None else c.answer for c in certificates])
    radii = np.array([-1 if c.radius is None else c.radius for c in certificates])

    def share(hits: np.ndarray | None) -> Estimate:
        return Estimate.absent(why_not) if hits is None or not n else proportion(int(hits.sum()), n)

    right = None if targets is None else answers == targets
    return [
        metric(
            "plain_accuracy", share(None if targets is None or predicted is None else predicted == targets),
            unit="share of rows", better="higher",
            definition="Accuracy of the model itself on the rows that were smoothed, to compare with.",
        ),
        metric(
            "abstention_rate", share(answers < 0), unit="share of rows", better="lower",
            definition="Rows where no class surely has more than half of the votes; they count as not right.",
            source="Cohen et al. 2019, arXiv:1902.02918",
        ),
        *(
            metric(
                "certified_accuracy", share(None if right is None else right & (radii >= radius)),
                unit="share of rows", better="higher", slice={"radius": str(radius)}, source=SOURCE,
                definition="Rows that the smoothed classifier answers right, whichever words are replaced by "
                f"whatever, up to {radius} of them.",
            )
            for radius in RADII
        ),
    ]  # fmt: skip


def radius_figure(lines: Sequence[Metric]) -> Figure | None:
    """Provable accuracy against the number of replaced words."""
    points = [
        {
            "x": int(line.slice["radius"]), "y": line.value,
            "low": None if line.interval is None else line.interval[0],
            "high": None if line.interval is None else line.interval[1],
        }
        for line in lines
        if line.name == "certified_accuracy" and line.value is not None
    ]  # fmt: skip
    if not points:
        return None
    return Figure(
        id="robustness-radius", kind="lines", title="Accuracy that provably stays when words are replaced",
        caption=f"{points[0]['y']:.0%} with no word replaced, {points[1]['y']:.0%} with any one; bands are 95% "
        "intervals over rows.",
        x_label="words replaced", y_label="share of rows", rows=points,
    )  # fmt: skip
