"""The numbers that a model without gradients cannot give: one absent line for each that another model would have."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations

from audit.concerns.explainability.cascade import NAME as CASCADE
from audit.concerns.explainability.faithfulness import ADEBAYO, ERASER, PROBABILITY, RANDOM_WEIGHTS
from audit.concerns.explainability.stability import SUNDARARAJAN, YEH
from audit.evidence import Better, metric
from audit.statistics import Estimate
from core_model.attribution import WITHOUT_SIGN
from reports.record import Metric

BY_GRADIENTS = "integrated-gradients"
CORRELATION = "rank correlation"
ABOUT: dict[str, tuple[str, Better, str, str]] = {
    "comprehensiveness": (
        PROBABILITY, "higher", ERASER,
        "probability of the predicted class lost when the first words of this ranking are deleted",
    ),
    "sufficiency": (
        PROBABILITY, "lower", ERASER,
        "probability of the predicted class lost when only the first words of this ranking are left",
    ),
    "comprehensiveness_over_random": (
        PROBABILITY, "higher", ERASER, "comprehensiveness minus that of a random order on the same rows",
    ),
    "sufficiency_over_random": (
        PROBABILITY, "higher", ERASER, "sufficiency of a random order minus that of the method on the same rows",
    ),
    "comprehensiveness_over_random_weights": (
        PROBABILITY, "higher", ADEBAYO,
        "comprehensiveness minus that of integrated gradients of a copy with shuffled weights",
    ),
    "sufficiency_over_random_weights": (
        PROBABILITY, "higher", ADEBAYO,
        "sufficiency of integrated gradients of a copy with shuffled weights minus that of the method",
    ),
    "infidelity": (
        "probability squared", "lower", YEH,
        "mean square of (scores of a random half of the words, minus the probability lost when their embeddings become "
        "padding)",
    ),
    "max_sensitivity": (
        "share of the scores' norm", "lower", YEH,
        "largest relative change of a row's scores among copies whose embeddings were moved a little",
    ),
    "randomization_rank_correlation": (
        CORRELATION, "lower", ADEBAYO,
        "Spearman's correlation of the sizes of a row's word scores with those of a copy with shuffled weights",
    ),
    CASCADE: (
        CORRELATION, "lower", ADEBAYO, "the same with a copy whose weights were shuffled from the head down to a layer",
    ),
    "rank_agreement": (
        CORRELATION, "none", "Krishna et al. 2022, arXiv:2202.01602",
        "Spearman's correlation of the two methods' word scores within a row, mean over rows",
    ),
    "completeness_error": (
        PROBABILITY, "lower", SUNDARARAJAN,
        "size of (sum of a row's scores minus what its score differs from the baseline's)",
    ),
}  # fmt: skip


def absent_metrics(asked: Sequence[str], measured: Sequence[str], *, stages: int, why: str) -> list[Metric]:
    """Every line that is missing.

    Args:
        asked: methods of the options. measured: those that were on trial.
        stages: of the layer-by-layer randomization; 0: not asked for.
        why: there are no gradients.
    """
    line = partial(_absent, why)
    missing = [method for method in asked if method not in measured]
    both = list(dict.fromkeys((*asked, *measured)))
    lines = [line(name, method=RANDOM_WEIGHTS) for name in ("comprehensiveness", "sufficiency")]
    for method in missing:
        lines += [line(name + over, method=method) for name in ("comprehensiveness", "sufficiency")
                  for over in ("", "_over_random")]  # fmt: skip
    for method in both:
        lines += [line(f"{name}_over_random_weights", method=method) for name in ("comprehensiveness", "sufficiency")]
        lines += [] if method in WITHOUT_SIGN else [line("infidelity", method=method)]
    lines += [
        line("rank_agreement", methods=f"{first}, {second}")
        for first, second in combinations(both, 2)
        if {first, second} & set(missing)
    ]
    lines += [line("completeness_error", over=over) for over in ("mean", "largest")]
    alone = ("max_sensitivity", "randomization_rank_correlation", *((CASCADE,) if stages else ()))
    return [*lines, *(line(name, method=BY_GRADIENTS) for name in alone)]


def _absent(why: str, name: str, **part: str) -> Metric:
    unit, better, source, definition = ABOUT[name]
    return metric(
        name, Estimate.absent(why), unit=unit, better=better, slice=part, source=source, definition=definition
    )
