"""Gradient attacks in embedding space: how far must a text move before the answer changes?

The points between words are no texts: nobody can send them. They bound what words could do, and show how near the
decision lies. Methods, norms and units: `core_model.attacks.embedding_space`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit.concerns.security.sample import Sample
from audit.evidence import metric
from audit.statistics import Estimate, proportion
from core_model.attacks.embedding_space import NORMS, EmbeddedTexts, Fallen, fgsm, pgd
from reports.record import Figure, Metric, Scalar

if TYPE_CHECKING:
    from core_model.prediction import Predictor

SOURCES = {"fgsm": "Goodfellow et al. 2015, arXiv:1412.6572", "pgd": "Madry et al. 2018, arXiv:1706.06083"}
FLAT = "the gradient is 0 at every row: the model says the same of every point, as far as it can be told"
UNITS = {"L2": "the norm of the row's embeddings", "Linf": "the root mean square of the row's embeddings"}


@dataclass(frozen=True)
class GradientAttack:
    """One method under one norm; `fallen` is None where nothing was measured, and `missing` says why."""

    method: str
    norm: str
    fallen: Fallen | None
    missing: str | None = None

    @property
    def name(self) -> str:
        """As in the slices: "pgd-L2"."""
        return f"{self.method}-{self.norm}"


def attack_embeddings(
    predictor: Predictor | None, sample: Sample, radii: Sequence[float], *, steps: int, missing: str | None
) -> tuple[list[GradientAttack], int]:
    """FGSM and PGD under both norms, and how many rows went through the model for it.

    Args:
        radii: above 0, ascending; 0 is put before them.
        missing: why nothing can be measured; None where it can.
    """
    if predictor is None or missing is not None or not len(sample):
        why = missing or "no row with a word"
        return [GradientAttack(method, norm, None, why) for method in SOURCES for norm in NORMS], 0
    texts = EmbeddedTexts(predictor, sample.texts, sample.pairs)
    ways = (0.0, *radii)
    found = [
        GradientAttack(
            method,
            norm,
            fgsm(texts, sample.targets, ways, norm=norm)
            if method == "fgsm"
            else pgd(texts, sample.targets, ways, norm=norm, steps=steps),
        )
        for method in SOURCES
        for norm in NORMS
    ]
    return found, texts.forward_passes


def gradient_metrics(found: Sequence[GradientAttack], *, labelled: bool) -> list[Metric]:
    """Share of the rows that were right whose answer changes within each radius, and the accuracy that is left."""
    lines = []
    for one in found:
        source = SOURCES[one.method]
        if one.fallen is None or one.fallen.flat:
            why = one.missing or FLAT
            lines.append(
                metric(
                    "attack_success_rate", Estimate.absent(why), better="lower",
                    unit="share of attacked rows", slice={"attack": one.name}, source=source,
                    definition="share of the rows that were answered rightly whose answer changes within the radius",
                )
            )  # fmt: skip
            continue
        right_before = int(one.fallen.right[0].sum())
        for radius, right in zip(one.fallen.radii[1:], one.fallen.right[1:], strict=True):
            part = {"attack": one.name, "radius": f"{radius:g}"}
            fell = right_before - int(right.sum())
            lines.append(
                metric(
                    "attack_success_rate",
                    proportion(fell, right_before) if right_before else Estimate.absent(
                        "the model answers none of the drawn rows rightly"
                    ),
                    unit="share of attacked rows", better="lower", slice=part, source=source,
                    definition="share of the rows that were answered rightly whose answer changes within the radius, "
                    f"which is in units of {UNITS[one.norm]}",
                )
            )  # fmt: skip
            if labelled:
                lines.append(
                    metric(
                        "accuracy_under_attack", proportion(int(right.sum()), len(right)), unit="share of rows",
                        better="higher", slice=part, source=source,
                        definition="share of the drawn rows that are answered rightly wherever the attack moved them "
                        f"within the radius, which is in units of {UNITS[one.norm]}",
                    )
                )  # fmt: skip
    return lines


def radius_figure(found: Sequence[GradientAttack], *, labelled: bool) -> Figure | None:
    """Accuracy against radius, one line for each method and norm."""
    rows: list[dict[str, Scalar]] = []
    for one in found:
        if one.fallen is None or one.fallen.flat:
            continue
        for radius, right in zip(one.fallen.radii, one.fallen.right, strict=True):
            share = proportion(int(right.sum()), len(right))
            rows.append({"x": radius, "y": share.value, "low": share.low, "high": share.high, "series": one.name})
    if not rows:
        return None
    what = "Accuracy" if labelled else "Share of answers that stay"
    strongest = [row for row in rows if row["series"] == "pgd-L2"]
    n = next(one.fallen.right.shape[1] for one in found if one.fallen is not None)
    half = next((row["x"] for row in strongest if row["y"] <= strongest[0]["y"] / 2), None)  # type: ignore[operator]
    said = (
        f"PGD (L2) halves it within {half:g} of the norm of a row's embeddings"
        if half is not None
        else f"PGD (L2) does not halve it within {strongest[-1]['x']:g} of the norm of a row's embeddings"
    )
    return Figure(
        id="security-accuracy-against-radius",
        kind="lines",
        title=f"{what} when embeddings are moved",
        caption=f"{said}; {n} rows, bands are 95% intervals; L2 and Linf radii are in different units.",
        x_label="radius, in units of the row's embeddings",
        y_label=what.lower(),
        rows=rows,
    )
