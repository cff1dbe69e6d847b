"""How much a row of each class counts in a classifier's loss.

    class_weights("balanced", ("no", "yes"), targets)         # every class counts alike, however rare
    class_weights({"no": 1, "yes": 5}, ("no", "yes"), targets)

Weights are scaled so that their mean over the training rows is 1: what is asked for is how much one class counts
against another, and the learning rate keeps its meaning. Evaluation is not weighed.

Source: King & Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868 ("balanced", as scikit-learn's `compute_class_weight`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core_model.errors import LabelsUnfit, OptionUnfit


def class_weights(
    asked: Literal["balanced"] | Mapping[str, float], labels: Sequence[str], targets: np.ndarray
) -> np.ndarray:
    """The weight of a row of each class.

    Args:
        asked: "balanced", or a weight for each label.
        targets: (rows,) the class of each training row.
    Returns: (classes,) float64, mean 1 over the rows; 1 for a class without a row that "balanced" was asked for.
    Raises: LabelsUnfit when a label has no weight, or a weight no label.
    """
    counts = np.bincount(targets, minlength=len(labels))
    if asked == "balanced":
        used = np.count_nonzero(counts)
        return np.divide(counts.sum(), used * counts, out=np.ones(len(labels)), where=counts > 0)
    weights = {label: float(weight) for label, weight in dict(asked).items()}
    absent = [label for label in labels if label not in weights]
    strange = [label for label in weights if label not in labels]
    for wrong, what in ((strange, "a weight for what is no label:"), (absent, "no weight for")):
        if wrong:
            raise LabelsUnfit(
                f"class_weights has {what} {', '.join(map(repr, wrong))}; labels are {', '.join(map(repr, labels))}",
                mend="--class-weights " + ",".join(f"{label}=1" for label in labels) + ", or --class-weights balanced",
            )
    by_class = np.array([weights[label] for label in labels])
    return np.asarray(by_class * counts.sum() / (by_class * counts).sum())


def row_weights(by_class: np.ndarray, targets: np.ndarray, others: np.ndarray | None) -> np.ndarray:
    """The weight of each row, (rows,) float32, mean 1: of its class, times the weight that it already had."""
    weights = by_class[targets] * (1.0 if others is None else others.astype(np.float64))
    return np.asarray(weights / weights.mean(), dtype=np.float32)


def class_weights_record(
    asked: object, labels: Sequence[str], by_class: np.ndarray, targets: np.ndarray
) -> dict[str, Any]:
    """What was done, for training_record.json."""
    counts = np.bincount(targets, minlength=len(labels))
    return {
        "class_weights": {
            "source": "King & Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868",
            "asked_for": "balanced" if asked == "balanced" else "given",
            "classes": [
                {"label": label, "rows": int(rows), "weight": float(weight)}
                for label, rows, weight in zip(labels, counts, by_class, strict=True)
            ],
        }
    }


def read_class_weights(said: str) -> Literal["balanced"] | dict[str, float]:
    """What the command line says: "balanced", LABEL=WEIGHT pairs with commas between, or a TOML file of such pairs.

    Raises: OptionUnfit.
    """
    if said == "balanced":
        return "balanced"
    if said.endswith(".toml"):
        from core_model.settings import read_toml

        given: Mapping[str, Any] = read_toml(Path(said), flag="--class-weights")
    else:
        given = {label.strip(): weight for label, _, weight in (pair.rpartition("=") for pair in said.split(","))}
    try:
        return {label: _positive(weight) for label, weight in given.items()}
    except (TypeError, ValueError) as error:
        raise OptionUnfit(
            f"--class-weights {said!r} is neither balanced, nor pairs of a label and a positive number, nor a TOML "
            "file of them",
            mend="--class-weights balanced, --class-weights no=1,yes=5, or a FILE.toml with lines such as yes = 5",
        ) from error


def _positive(weight: Any) -> float:
    number = float(weight)
    if not 0 < number < float("inf"):
        raise ValueError(weight)
    return number
