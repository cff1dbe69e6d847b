"""Pictures: each attack's area under the curve, and the curves where they matter, at few false accusations."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from audit.concerns.privacy.attacks import Attack
from audit.concerns.privacy.inference import AUC, scored
from privacy.attacks.scores import roc
from reports.record import Figure, Metric, Scalar

POINTS = 60  # of a curve: more are no picture, and the table behind it is read


def figures_of(attacks: Sequence[Attack], metrics: Sequence[Metric]) -> list[Figure]:
    """Both pictures of the attacks that were run."""
    run = [attack for attack in attacks if attack.absent is None and all(len(side) for side in scored(attack))]
    return [_areas(metrics), _curves(run)] if run else []


def _areas(metrics: Sequence[Metric]) -> Figure:
    told = [m for m in metrics if m.name == AUC and set(m.slice) == {"attack"} and m.value is not None]
    rows: list[dict[str, Scalar]] = [
        {
            "label": m.slice["attack"], "value": m.value, "low": m.interval[0] if m.interval else None,
            "high": m.interval[1] if m.interval else None, "limit": m.limit, "n": m.n,
        }
        for m in told
    ]  # fmt: skip
    strongest = max(told, key=lambda m: m.value or 0.0)
    return Figure(
        id="privacy-attacks", kind="intervals", title="How well each attack tells training rows from held-out rows",
        caption=f"Strongest: {strongest.slice['attack']}, {strongest.value:.3f}; guessing gives 0.5.",
        x_label="area under the curve", rows=rows,
    )  # fmt: skip


def _curves(attacks: Sequence[Attack]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for attack in attacks:
        points = roc(*scored(attack)).on_log_axes()
        rows += [{"x": round(x, 7), "y": round(y, 7), "series": attack.name} for x, y in thinned(points)]
    if rows:
        least = min(float(row["x"]) for row in rows if isinstance(row["x"], float))
        rows += [{"x": x, "y": x, "series": "guessing"} for x in (least, 1.0)]
    return Figure(
        id="privacy-roc", kind="lines", title="Training rows found against held-out rows accused, logarithmic axes",
        caption="A leak of a few rows shows on the left, above guessing: 0.01 is 1% of false accusations.",
        x_label="false-positive rate", y_label="true-positive rate", scale="log", rows=rows,
    )  # fmt: skip


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 60 points, evenly spaced on the logarithmic axis: of each stretch the last one."""
    if len(points) <= POINTS:
        return list(points)
    width = -log10(points[0][0]) / (POINTS - 1) or 1.0
    kept: dict[int, tuple[float, float]] = {}
    for x, y in points:
        kept[round(-log10(x) / width)] = (x, y)
    return [kept[place] for place in sorted(kept, reverse=True)]
