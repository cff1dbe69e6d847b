"""What single rows did under noise and smoothed: for each share in `classifier` and `certified`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit.concerns.robustness.answers import UnderNoise
from audit.outcomes import Outcome


def noise_outcomes(
    answers: Sequence[UnderNoise], rows: np.ndarray, targets: np.ndarray | None, right: np.ndarray | None
) -> dict[str, Outcome]:
    """Accuracy, its loss and invariance under each noise; invariance under all.

    Args:
        rows: (sampled rows,) their numbers. targets, right: as in `classifier.accuracy_metrics`.
    """
    outcomes = {"invariance_rate_all_noises": Outcome(rows, np.all([a.kept for a in answers if a.judged], axis=0))}
    if right is not None:
        outcomes["accuracy[noise=none]"] = Outcome(rows, right)
    for under in answers:
        inside = "[" + ", ".join(f"{name}={value}" for name, value in under.slice.items()) + "]"
        if under.changed.any():
            outcomes[f"invariance_rate{inside}"] = Outcome(rows[under.changed], under.kept[under.changed])
        if targets is not None and right is not None:
            correct = under.predicted == targets
            outcomes[f"accuracy{inside}"] = Outcome(rows, correct)
            outcomes[f"accuracy_drop{inside}"] = Outcome(rows, right.astype(int) - correct)
    return outcomes
