"""The smoothed classifier: how many of its right answers provably stay when words are replaced, by their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.robustness.findings import smoothing_finding
from audit.evidence import metric
from audit.outcomes import Outcome
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

    Where a smoothed classifier is on trial, it is that one which is certified, by more looks: its share of the words,
    its mask and its seed count, and the model inside it is asked.

    Args:
        rows: (rows,) their numbers; of none, everything is absent.
    """
    seed, asked = int(random.integers(2**31)), subject.predictor
    if (wrapper := subject.wrapper) is not None:
        seed, asked = wrapper.seed, wrapper.predictor
        smoothing = replace(smoothing, keep=wrapper.smoothing.keep, mask=wrapper.smoothing.mask)
    if not len(rows):
        return Evidence(metrics=_lines({}, 0, "no row was smoothed: --set robustness.smoothed_rows=60"))
    texts, pairs = [subject.texts[row] for row in rows], subject.data.pairs
    certificates = SmoothedClassifier(asked, smoothing, seed=seed).certify(
        texts, None if pairs is None else [pairs[row] for row in rows]
    )
    targets = subject.targets[rows] if subject.has(Need.LABELS) else None
    hits = _hits(certificates, targets, subject.predictions.predicted[rows])
    lines = _lines(hits, len(rows), "needs labels: --label-column COLUMN")
    protocol = f"parts of {smoothing.keep:.0%} of the words, {smoothing.looks} looks, failure probability "
    protocol += f"{smoothing.failure_probability:g}" + (f", mask {smoothing.mask}" if smoothing.mask else "")
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
        outcomes={key: Outcome(rows, of_rows, protocol) for key, of_rows in hits.items()},
    )


def _hits(
    certificates: Sequence[Certificate], targets: np.ndarray | None, predicted: np.ndarray
) -> dict[str, np.ndarray]:
    """Metric -> (rows,) of bool, whether the row counts; those against labels only where there are any."""
    answers = np.array([-1 if c.answer is None else c.answer for c in certificates])
    radii = np.array([-1 if c.radius is None else c.radius for c in certificates])
    if targets is None:
        return {"abstention_rate": answers < 0}
    right = answers == targets
    certified = {f"certified_accuracy[radius={radius}]": right & (radii >= radius) for radius in RADII}
    return {"plain_accuracy": predicted == targets, "abstention_rate": answers < 0, **certified}


def _lines(hits: Mapping[str, np.ndarray], n: int, why_not: str) -> list[Metric]:
    """Plain, smoothed and provable accuracy, and how often no answer is given.

    Args:
        hits: as in `_hits`; n: rows; why_not: why what it does not hold is absent.
    """

    def share(key: str) -> Estimate:
        return proportion(int(hits[key].sum()), n) if key in hits else Estimate.absent(why_not)

    return [
        metric(
            "plain_accuracy", share("plain_accuracy"), unit="share of rows", better="higher",
            definition="Accuracy of what is on trial itself on the rows that were certified, to compare with.",
        ),
        metric(
            "abstention_rate", share("abstention_rate"), unit="share of rows", better="lower",
            definition="Rows where no class surely has more than half of the votes; they count as not right.",
            source="Cohen et al. 2019, arXiv:1902.02918",
        ),
        *(
            metric(
                "certified_accuracy", share(f"certified_accuracy[radius={radius}]"),
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
