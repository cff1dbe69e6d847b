"""A folder with a checkpoint's ONNX graph: made, held against torch on real rows, and refused where they differ."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.checkpoint_files import CONFIGURATION_FILES, TOKENIZER_FILES, checked
from core_model.checkpoint_loading import quiet
from core_model.compression.scheme import refuse_quantized
from core_model.errors import OptionUnfit
from core_model.export.graph import Signature, require_onnx, signature_of, write_graph
from core_model.export.parity import Batch, Parity, Runner, batches_of, compare, onnx_runner, torch_runner
from core_model.model_card import LICENCE_FILES

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table

GRAPH, INT8_GRAPH = "model.onnx", "model.int8.onnx"
PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Exported:
    """A graph in its folder, beside the model that it came from, ready to be asked the same.

    Attributes:
        opset: version of ONNX's operators. signature: names of inputs and outputs.
        parity: graph against torch; int8_parity: the rounded graph against torch, where there is one.
        runners: "torch", "onnx" and, where there is one, "onnx int8".
        batches: the rows that all were asked.
    """

    opset: int
    signature: Signature
    parity: Parity
    int8_parity: Parity | None
    runners: Mapping[str, Runner]
    batches: list[Batch]


def export_onnx(
    checkpoint: Checkpoint, data: Table, folder: Path, *, max_difference: float, int8: bool, threads: int
) -> Exported:
    """Write graph, tokenizer and configuration into an empty folder.

    Args:
        data: rows of the checkpoint's task that both sides are asked.
        max_difference: largest difference of a logit; beyond it the export is refused.
        int8: write a rounded graph, too, by ONNX Runtime's dynamic quantization.
    Raises: TaskUnfit where ONNX cannot hold the architecture; OptionUnfit beyond `max_difference`, or without the
        packages; OutputUnwritable.
    """
    require_onnx()
    refuse_quantized(checkpoint)
    task = _task(checkpoint, data)
    model = task.model.eval()
    signature = signature_of(checkpoint.task, task.tokenizer)
    opset = write_graph(model, signature, folder / GRAPH)
    batches = batches_of(task, signature)
    runners = {"torch": torch_runner(model, signature), "onnx": onnx_runner(folder / GRAPH, signature, threads=threads)}
    parity = compare(runners["torch"], runners["onnx"], batches)
    largest = float(parity.largest.max())
    if not largest <= max_difference:
        raise OptionUnfit(
            f"{checkpoint.name} as ONNX differs from torch by {largest:.3g} in a logit of example "
            f"{int(parity.largest.argmax()) + 1} of {data.name} (counted from 1); the limit is {max_difference:g}",
            mend=f"--max-difference {largest * 1.1:.2g}, if that is near enough for you; nothing was written",
        )
    rounded = None
    if int8:
        _round(folder / GRAPH, folder / INT8_GRAPH)
        runners["onnx int8"] = onnx_runner(folder / INT8_GRAPH, signature, threads=threads)
        rounded = compare(runners["torch"], runners["onnx int8"], batches)
    for name in (*CONFIGURATION_FILES, *TOKENIZER_FILES, *LICENCE_FILES):
        if path := checked(checkpoint.path, name):
            shutil.copyfile(path, folder / name)
    return Exported(opset, signature, parity, rounded, runners, batches)


def _task(checkpoint: Checkpoint, data: Table) -> Any:
    """The rows in the tokens of the one data path, and the model, as for training."""
    from core_model.tasks.training_task import preparer
    from core_model.training_options import TrainingOptions

    options = TrainingOptions(task=checkpoint.task)
    return preparer(checkpoint.task)(options, base=checkpoint, architecture=None, data=data, evaluation=None)


def _round(graph: Path, out: Path) -> None:
    """Int8 weights, one scale a channel; activations, one scale a batch."""
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises through the root logger
    try:
        with quiet():
            quantize_dynamic(graph, out, weight_type=QuantType.QInt8, per_channel=True)
    finally:
        root.setLevel(level)


def facts(parity: Parity) -> dict[str, float | int]:
    """How far apart the two sides are, over all rows."""
    return {
        "largest_difference": float(parity.largest.max()),
        "mean_difference": float(parity.total.sum() / np.sum(parity.logits)),
        "logits": int(np.sum(parity.logits)),
        "rows": len(parity.largest),
        "rows_with_equal_choices": int(parity.same.sum()),
    }


def versions() -> dict[str, str]:
    """Of everything that made the graph."""
    return {name: version(name) for name in PACKAGES}
