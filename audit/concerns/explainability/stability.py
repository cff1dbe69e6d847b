"""Completeness, infidelity and sensitivity: do the scores add up, foretell deletions, and hold still?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from audit.concerns.explainability.faithfulness import OF_A_CLASS, Watched
from audit.evidence import metric
from audit.statistics import Estimate, bootstrap_mean
from core_model.attribution import EVEN_STEPS, WITHOUT_SIGN, Attribution
from core_model.attribution_path import EmbeddingPath
from core_model.attribution_trials import infidelity, max_sensitivity
from reports.record import Metric

YEH = "Yeh et al. 2019, arXiv:1901.09392"
SUNDARARAJAN = "Sundararajan et al. 2017, arXiv:1703.01365"
PROBABILITY = "probability"
PERTURBATIONS = 10  # sets of words for infidelity
NEIGHBOURS = 4  # noisy copies for sensitivity; each costs eight gradients
RADIUS = 0.1  # of the noise, as a share of the embeddings' root mean square


def planned_stability_passes(rows: int, methods: int) -> int:
    """Rows through the model that `stability_metrics` takes; gradients count as one each."""
    return rows * (PERTURBATIONS * methods + (NEIGHBOURS + 1) * (EVEN_STEPS + 2))


def completeness_metrics(
    found: Sequence[Attribution], *, resamples: int, random: np.random.Generator, unit: str = PROBABILITY
) -> list[Metric]:
    """How far the scores of integrated gradients miss what they should sum to."""
    errors = np.array([a.completeness_error for a in found], dtype=np.float64)
    what = f"size of (sum of a row's scores minus what its score differs from the baseline's, {unit})"
    largest = Estimate(
        float(errors.max()), None, None, len(errors), "none", reason="a largest value of a sample has no interval"
    )
    return [
        metric(
            "completeness_error", _mean_size(errors, random, resamples), unit=unit,
            better="lower", slice={"over": "mean"}, definition=f"{what}, mean over rows", source=SUNDARARAJAN,
        ),
        metric(
            "completeness_error", largest, unit=unit, better="lower", slice={"over": "largest"},
            definition=f"{what}, the largest of the rows", source=SUNDARARAJAN,
        ),
    ]  # fmt: skip


def stability_metrics(
    path: EmbeddingPath,
    attributions: Mapping[str, Sequence[Attribution]],
    rows: np.ndarray,
    *,
    resamples: int,
    random: np.random.Generator,
    watched: Watched = OF_A_CLASS,
    tokens: np.ndarray | None = None,
) -> list[Metric]:
    """Infidelity of every method whose scores add up to what is watched, and the sensitivity of integrated gradients.

    Args:
        path, attributions: of all rows; scores in the units of the path.
        rows: those that are put to it.
        tokens: (rows of the path,) how many units of the path are one of what is watched; None: one.
    """
    some = path.select(rows)
    sensitivity_random, mean_random, *children = random.spawn(2 + len(attributions))
    seed = int(random.integers(2**62))  # every method meets the same perturbations
    lines = []
    for (name, found), child in zip(attributions.items(), children, strict=True):
        if name in WITHOUT_SIGN:  # shares of attention foretell no probability
            continue
        values = infidelity(
            some, [found[row] for row in rows], perturbations=PERTURBATIONS, random=np.random.default_rng(seed)
        )
        if tokens is not None:
            values = values / tokens[rows] ** 2
        lines.append(
            metric(
                "infidelity", _mean_size(values, child, resamples), unit=watched.squared,
                better="lower", slice={"method": name}, source=YEH,
                definition="mean square of (scores of a random half of the words, minus the "
                f"{watched.name} lost when their embeddings become padding); 0 is exact",
            )
        )  # fmt: skip
    by_gradients = attributions.get("integrated-gradients")
    if by_gradients is not None:
        values = max_sensitivity(
            some, [by_gradients[row] for row in rows], radius=RADIUS, perturbations=NEIGHBOURS,
            random=sensitivity_random,
        )  # fmt: skip
        lines.append(
            metric(
                "max_sensitivity", _mean_size(values, mean_random, resamples),
                unit="share of the scores' norm", better="lower", slice={"method": "integrated-gradients"}, source=YEH,
                definition=f"largest relative change of a row's scores among {NEIGHBOURS} copies whose embeddings "
                f"were moved by noise of {RADIUS:.0%} of their size; 0 is stable",
            )
        )  # fmt: skip
    return lines


def _mean_size(values: np.ndarray, random: np.random.Generator, resamples: int) -> Estimate:
    """The mean of sizes, of which none is below 0; nor is the interval."""
    found = bootstrap_mean(values, random, resamples=resamples)
    return found if found.low is None else replace(found, low=max(0.0, found.low))
