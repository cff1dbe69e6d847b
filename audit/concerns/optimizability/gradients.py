"""Is the gradient healthy, layer by layer? Lines of the record from what is known of the batches' gradients.

A layer that gets a gradient far smaller than the others, measured against its weights, hardly learns; a matrix whose
gradient is exactly zero on every row does not learn at all.
Sources: Glorot and Bengio 2010, AISTATS (gradients by layer); You et al. 2017, arXiv:1708.03888 (|gradient| / |weight|
by layer); McCandlish et al. 2018, arXiv:1812.06162 (noise scale).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.concerns.optimizability.compressed import why_no_copies
from audit.concerns.optimizability.noise_scale import (
    FEWEST,
    jackknife_error,
    left_out,
    logarithmic,
    noise_scale,
    student,
)
from audit.evidence import Limit, metric
from audit.plugin import Need
from audit.statistics import Estimate
from core_model.tasks import Task
from reports.record import Figure, Metric, Scalar

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.gradient_batches import BatchGradients
    from core_model.prediction_forward import Forward

NOISE = "McCandlish et al. 2018, arXiv:1812.06162, appendix A.1"
NO_RECORD = "the checkpoint has no training_record.json; `aboveboard train` leaves one"
NO_GRADIENT = "the gradient of all sampled rows is zero or not finite"


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of the loss on labelled rows, or why there are none.

    Attributes:
        found: of each batch. forward: the copy that they were taken of.
        on_training_rows: whether the rows are training rows.
        passes: rows that went through the copy.
    """

    missing: str | None = None
    found: BatchGradients | None = None
    forward: Forward | None = None
    on_training_rows: bool = False
    passes: int = 0


def why_no_gradients(subject: Subject) -> str | None:
    """Why the gradient part cannot be measured; None where it can."""
    if problem := why_no_copies(subject):
        return problem
    if subject.task is not Task.CLASSIFICATION:
        return f"gradients are taken of a classifier's loss, and this is a {subject.task} model"
    if subject.checkpoint.facts.get("quantization"):
        return "rounded weights have no gradients"
    if not _labelled(subject):
        return f"needs {Need.LABELS}; {Need.LABELS.supply} supplies them"
    return None


def _labelled(subject: Subject) -> bool:
    return subject.has(Need.LABELS) or _trained_on(subject)


def _trained_on(subject: Subject) -> bool:
    return subject.has(Need.TRAINING_DATA) and subject.training is not None and subject.training.has_labels


def take_gradients(subject: Subject, random: np.random.Generator, *, batches: int, rows: int) -> Gradients:
    """Gradients of a copy of the model on a sample of training rows; of the audit's rows where there are none.

    Args:
        batches: how many; rows: of each, fewer where there are not as many.
    """
    if missing := why_no_gradients(subject):
        return Gradients(missing)
    from core_model.gradient_batches import batch_gradients
    from core_model.prediction_forward import Forward

    trained_on = _trained_on(subject)
    table = subject.training if trained_on and subject.training is not None else subject.data
    batches = min(batches, table.rows)
    chosen = random.permutation(table.rows)[: batches * min(rows, table.rows // batches)]
    device: Any = getattr(subject.predictor, "device", "cpu")
    forward = Forward(subject.checkpoint, device)
    found = batch_gradients(forward, table.select(chosen), batches=batches, max_length=subject.checkpoint.max_length)
    passes = len(chosen) * (1 if found.dots is None else 2)
    return Gradients(None, found, forward, trained_on, passes)


def layer_of(name: str) -> str:
    """Which layer a parameter belongs to: up to its first number, else the first two parts of its module's path.

    "bert.encoder.layer.0.output.dense.weight" -> "bert.encoder.layer.0"; "classifier.weight" -> "classifier".
    """
    parts = name.split(".")
    number = next((place for place, part in enumerate(parts) if part.isdigit()), None)
    return ".".join(parts[:-1][:2] if number is None else parts[: number + 1])


def is_numbered(layer: str) -> bool:
    """Whether it is one of a stack, which can be held against the others."""
    return layer.rsplit(".", 1)[-1].isdigit()


def gradient_lines(
    gradients: Gradients, record: Mapping[str, Any] | None, *, dead: Limit, smallest: Limit
) -> list[Metric]:
    """Metrics of the gradients.

    Args:
        record: of the training, where the checkpoint has one.
        dead: limit for the share of matrices without a gradient; smallest: for the smallest layer over the largest.
    """
    norms = layer_norms(gradients)
    each = [(estimate, {"layer": layer}) for layer, (estimate, _) in norms.items()]
    return [
        *(
            metric(
                "gradient_norm_over_weight_norm", estimate, unit="ratio", slice=part,
                definition="Norm of the loss's gradient over all sampled rows, over the norm of the layer's weights.",
                source="You et al. 2017, arXiv:1708.03888",
            )
            for estimate, part in each or [(_absent(gradients), {})]
        ),
        metric(
            "smallest_over_largest_layer_gradient", _smallest_over_largest(gradients, norms), unit="ratio",
            better="higher", limit=smallest,
            definition="Of the stacked layers, the smallest gradient norm over weight norm over the largest; far below "
            "1 some layers hardly learn.",
        ),
        metric(
            "matrices_without_gradient", _dead(gradients), unit="share of matrices", better="lower", limit=dead,
            definition="Weight matrices whose gradient is exactly zero on every sampled row.",
        ),
        metric(
            "batches_with_infinite_gradient", _infinite(gradients), unit="share of batches", better="lower",
            limit=Limit(0.0, "a gradient that is not finite cannot be trained on"),
            definition="Batches whose gradient holds a number that is infinite or none.",
        ),
        *_noise_lines(gradients, record),
    ]  # fmt: skip


def dead_matrices(gradients: Gradients) -> list[str]:
    """Names of the matrices whose gradient is exactly zero in every batch."""
    found = gradients.found
    if found is None or found.not_finite.any():
        return []
    return [
        name
        for name, matrix, squares in zip(found.names, found.matrices, found.squares.T, strict=True)
        if matrix and (squares == 0).all()
    ]


def layer_norms(gradients: Gradients) -> dict[str, tuple[Estimate, np.ndarray]]:
    """|G| / |weights| of each layer with its interval, and the same with each batch left out; in the model's order."""
    found = gradients.found
    if found is None or found.dots is None or len(found.squares) < FEWEST:
        return {}
    layers = np.array([layer_of(name) for name in found.names])
    norms = {}
    for layer in dict.fromkeys(layers.tolist()):
        own = layers == layer
        weight = float(np.sqrt(found.weight_squares[own].sum()))
        if weight == 0:
            continue
        squares, dots = found.squares[:, own].sum(axis=1), found.dots[:, own].sum(axis=1)
        value = float(np.sqrt(max(dots.mean(), 0.0))) / weight
        without = np.sqrt(left_out(squares, dots)) / weight
        if value > 0 and (without > 0).all():
            estimate = logarithmic(value, without)
        else:
            arm = student(len(without)) * jackknife_error(without)
            estimate = Estimate(value, max(0.0, value - arm), value + arm, len(without), "jackknife over batches")
        norms[layer] = (estimate, without)
    return norms


def _absent(gradients: Gradients) -> Estimate:
    if gradients.found is not None and gradients.found.dots is not None:
        return Estimate.absent(f"fewer than {FEWEST} batches of gradients cannot tell how much they differ")
    return Estimate.absent(gradients.missing or NO_GRADIENT)


def _smallest_over_largest(gradients: Gradients, norms: Mapping[str, tuple[Estimate, np.ndarray]]) -> Estimate:
    if not norms:
        return _absent(gradients)
    stacked = {layer: pair for layer, pair in norms.items() if is_numbered(layer)}
    if len(stacked) < 2:
        return Estimate.absent("the model has fewer than two layers of a stack")
    order = sorted(stacked, key=lambda layer: stacked[layer][0].value or 0.0)
    (low, low_without), (high, high_without) = stacked[order[0]], stacked[order[-1]]
    if not high.value or not (high_without > 0).all():
        return Estimate.absent(NO_GRADIENT)
    ratio = (low.value or 0.0) / high.value
    if ratio > 0 and (low_without > 0).all():
        return logarithmic(ratio, low_without / high_without)
    return Estimate.counted(ratio, low.n, "a gradient of exactly zero on every sampled row")


def _dead(gradients: Gradients) -> Estimate:
    found = gradients.found
    if found is None or found.not_finite.any():
        return Estimate.absent(gradients.missing or NO_GRADIENT)
    n = int(found.matrices.sum())
    return Estimate.counted(len(dead_matrices(gradients)) / n, n)


def _infinite(gradients: Gradients) -> Estimate:
    if gradients.found is None:
        return Estimate.absent(gradients.missing or NO_GRADIENT)
    return Estimate.counted(float(gradients.found.not_finite.mean()), len(gradients.found.not_finite))


def _noise_lines(gradients: Gradients, record: Mapping[str, Any] | None) -> list[Metric]:
    """The noise scale, and the recorded batch beside it."""
    found = gradients.found
    scale = (
        Estimate.absent(gradients.missing or NO_GRADIENT)
        if found is None or found.dots is None
        else noise_scale(found.squares.sum(axis=1), found.dots.sum(axis=1), found.rows)
    )
    return [
        metric(
            "gradient_noise_scale", scale, unit="rows", source=NOISE,
            definition="B_simple: rows of a batch beyond which a larger batch says little more of the gradient, at "
            "these weights; of a model at rest it is large.",
        ),
        metric(
            "batch_size_over_noise_scale", _over(recorded_batch(record), scale, record), unit="ratio", source=NOISE,
            definition="The recorded batch size over the gradient noise scale.",
        ),
    ]  # fmt: skip


def recorded_batch(record: Mapping[str, Any] | None) -> int | None:
    """Rows of an optimizer step; None where no record says, or where batches were bounded by tokens."""
    options = part_of(record, "options")
    factors = (options.get("batch_size"), options.get("accumulate", 1), part_of(record, "hardware").get("processes", 1))
    if options.get("batch_tokens") is not None or not all(isinstance(part, int) and part > 0 for part in factors):
        return None
    return prod(part for part in factors if isinstance(part, int))


def part_of(record: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    """A table of a record; an empty one where it has none."""
    found = (record or {}).get(key)
    return found if isinstance(found, Mapping) else {}


def _over(batch: int | None, scale: Estimate, record: Mapping[str, Any] | None) -> Estimate:
    if batch is None:
        return Estimate.absent(NO_RECORD if record is None else "the training record names no batch of so many rows")
    if scale.value is None or scale.low is None or scale.high is None:
        return Estimate.absent(scale.reason or NO_GRADIENT)
    return Estimate(batch / scale.value, batch / scale.high, batch / scale.low, scale.n, scale.method)


def layer_figure(lines: Sequence[Metric]) -> Figure | None:
    """The relative gradient norm of each stacked layer, in the model's order."""
    rows: list[dict[str, Scalar]] = [
        {"label": line.slice["layer"], "value": line.value, "low": line.interval[0], "high": line.interval[1],
         "n": line.n}
        for line in lines
        if line.name == "gradient_norm_over_weight_norm" and line.value is not None and line.interval is not None
        and is_numbered(line.slice["layer"])
    ]  # fmt: skip
    if len(rows) < 2:
        return None
    return Figure(
        id="optimizability-layers", kind="intervals", title="How large each layer's gradient is, against its weights",
        caption="Stacked layers, over all sampled rows, in the model's order. Whiskers are 95% intervals over batches.",
        x_label="gradient norm over weight norm", y_label="layer", rows=rows,
    )  # fmt: skip
