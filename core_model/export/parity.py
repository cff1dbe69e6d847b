"""Torch and ONNX Runtime on the same real rows, batch by batch: how far apart are their logits?

What counts is what a task judges: each class of a classifier, each token with a target of a model that writes, each
place of a text in which an answer is sought. Padding does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core_model.export.graph import Plain, Signature
from core_model.length_buckets import plan_batches
from core_model.onnx_session import open_session

if TYPE_CHECKING:
    from core_model.tasks.training_task import TrainingTask

TOKEN_BUDGET = 2_048  # tokens in a batch, padding included
IGNORED = -100

Arrays = Sequence[np.ndarray]
Runner = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class Batch:
    """Some rows, ready for either side.

    Attributes:
        rows: (b,) indices into the examples.
        inputs: arrays in the order of the signature.
        judged: (b, tokens) bool, which places count; None where each row is one answer.
        targets: (b, tokens) int64, or None.
    """

    rows: np.ndarray
    inputs: Arrays
    judged: np.ndarray | None
    targets: np.ndarray | None


@dataclass(frozen=True)
class Parity:
    """What the two sides said, one number a row.

    Attributes:
        largest: (rows,) largest difference of a logit.
        total: (rows,) sum of the differences; logits: (rows,) how many there were.
        same: (rows,) bool, whether every choice (class, token, place) was the same.
        first, second: what the two sides' quality is counted from: logits (rows, classes) of a classifier; -log p of
            each row's targets, (rows, 1), of a model that writes; nothing, (rows, 0), of a reader.
        tokens: (rows,) targets that were judged.
    """

    largest: np.ndarray
    total: np.ndarray
    logits: np.ndarray
    same: np.ndarray
    first: np.ndarray
    second: np.ndarray
    tokens: np.ndarray


def batches_of(task: TrainingTask, signature: Signature) -> list[Batch]:
    """The task's rows in batches of like length."""
    lengths = task.training.lengths
    return [_batch(task.batch(task.training, rows), rows, signature) for rows in plan_batches(lengths, TOKEN_BUDGET)]


def _batch(tensors: Mapping[str, torch.Tensor], rows: np.ndarray, signature: Signature) -> Batch:
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    empty = np.zeros_like(arrays["input_ids"])
    inputs = [arrays.get(name, empty) for name in signature.inputs]
    if "start_logits" in signature.outputs:
        return Batch(rows, inputs, arrays["attention_mask"].astype(bool), None)
    targets = arrays["targets"]
    return Batch(rows, inputs, targets != IGNORED, targets) if targets.ndim == 2 else Batch(rows, inputs, None, None)


def torch_runner(model: Any, signature: Signature) -> Runner:
    """The model itself."""
    plain = Plain(model, signature).eval()

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            return [found.float().numpy() for found in plain(*(torch.from_numpy(array) for array in inputs))]

    return run


def onnx_runner(path: Path, signature: Signature, *, threads: int) -> Runner:
    """The graph in ONNX Runtime, on the CPU."""
    session = open_session(path, threads=threads)
    taken = {put.name for put in session.get_inputs()}

    def run(inputs: Arrays) -> Arrays:
        given = {name: array for name, array in zip(signature.inputs, inputs, strict=True) if name in taken}
        found: Arrays = session.run(list(signature.outputs), given)
        return found

    return run


def compare(first: Runner, second: Runner, batches: Sequence[Batch]) -> Parity:
    """Both sides asked for every batch.

    Returns: rows in the order of the examples.
    """
    parts = [_compared(batch, first(batch.inputs), second(batch.inputs)) for batch in batches]
    order = np.argsort(np.concatenate([batch.rows for batch in batches]), kind="stable")
    fields = (np.concatenate(column)[order] for column in zip(*parts, strict=True))
    return Parity(*fields)


def _compared(batch: Batch, first: Arrays, second: Arrays) -> tuple[np.ndarray, ...]:
    rows = len(batch.rows)
    differences, same = [], np.ones(rows, dtype=bool)
    for one, other in zip(first, second, strict=True):
        gap = np.abs(one.astype(np.float64) - other)
        gap = np.where(np.isfinite(gap), gap, np.inf)  # a logit that is no number on one side is no parity
        if batch.judged is not None:
            gap = np.where(batch.judged.reshape(*batch.judged.shape, *[1] * (gap.ndim - 2)), gap, 0.0)
        differences.append(gap.reshape(rows, -1))
        same &= _same_choice(one, other, batch.judged)
    gaps = np.concatenate(differences, axis=1)
    width = first[0].shape[2] if first[0].ndim == 3 else 1
    judged = np.full(rows, first[0].shape[1]) if batch.judged is None else batch.judged.sum(1) * width * len(first)
    tokens = np.ones(rows, np.int64) if batch.judged is None else batch.judged.sum(1)
    sides = (_for_quality(batch, side[0]) for side in (first, second))
    return gaps.max(1), gaps.sum(1), judged, same, *sides, tokens


def _same_choice(one: np.ndarray, other: np.ndarray, judged: np.ndarray | None) -> np.ndarray:
    """(rows,) bool: the most probable class, tokens or place is the same."""
    if judged is not None and one.ndim == 2:  # a place in a text
        one, other = (np.where(judged, side, -np.inf) for side in (one, other))
    equal = one.argmax(-1) == other.argmax(-1)
    return equal if judged is None or equal.ndim == 1 else (equal | ~judged).all(1)


def _for_quality(batch: Batch, logits: np.ndarray) -> np.ndarray:
    if batch.judged is None:
        return logits
    if batch.targets is None:
        return np.zeros((len(logits), 0))
    wide = logits.astype(np.float64)
    largest = wide.max(-1, keepdims=True)
    log_total = largest[..., 0] + np.log(np.exp(wide - largest).sum(-1))
    chosen = np.take_along_axis(wide, np.maximum(batch.targets, 0)[..., None], axis=-1)[..., 0]
    return np.where(batch.judged, log_total - chosen, 0.0).sum(1, keepdims=True)


def run_all(runner: Runner, batches: Sequence[Batch]) -> list[Arrays]:
    """What one side says of every batch."""
    return [runner(batch.inputs) for batch in batches]
