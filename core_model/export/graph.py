"""From a model to an ONNX graph: torch's exporter, with any number of rows and any length.

The graph takes token ids and their mask, and gives logits, as `model(...)` does. An encoder-decoder is one graph,
given the source and the target so far; a cache of keys and values is not in it, so that it scores texts rather than
writes them quickly.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core_model.errors import TaskUnfit
from core_model.onnx_session import require_packages
from core_model.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROWS, TOKENS, TARGETS = 2, 8, 6  # of the example; numbers that differ, and none of them 0 or 1, which torch would fix


@dataclass(frozen=True)
class Signature:
    """What goes into a graph and what comes out, by name."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def require_onnx() -> None:
    """Refuse before any work where the packages are missing.

    Raises: OptionUnfit, with the command that installs them.
    """
    require_packages(("onnx", "onnxscript", "onnxruntime"), what="--format onnx")


def signature_of(task: Task, tokenizer: PreTrainedTokenizerBase) -> Signature:
    """The names of a task's graph.

    Raises: TaskUnfit for a checkpoint without a head.
    """
    segments = ("token_type_ids",) if "token_type_ids" in tokenizer.model_input_names else ()
    if task is Task.QUESTION_ANSWERING:
        return Signature(("input_ids", "attention_mask", *segments), ("start_logits", "end_logits"))
    if task in (Task.TRANSLATION, Task.SUMMARIZATION):
        return Signature(("input_ids", "attention_mask", "decoder_input_ids"), ("logits",))
    if task is Task.LANGUAGE_MODELING:
        return Signature(("input_ids", "attention_mask"), ("logits",))
    if task is Task.CLASSIFICATION:
        return Signature(("input_ids", "attention_mask", *segments), ("logits",))
    raise TaskUnfit(f"a {task} checkpoint has no head whose answers could be compared", mend="a checkpoint with a head")


class Plain(torch.nn.Module):
    """A model that takes tensors in a fixed order and gives a tuple of tensors."""

    def __init__(self, model: Any, signature: Signature) -> None:
        super().__init__()
        self.model, self.signature = model, signature

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, third: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Tensors in the order of `signature.inputs` -> those of `signature.outputs`."""
        tensors = (ids, mask) if third is None else (ids, mask, third)  # the exporter follows no *tensors
        found = self.model(**dict(zip(self.signature.inputs, tensors, strict=True)))
        return tuple(getattr(found, name) for name in self.signature.outputs)


def write_graph(model: PreTrainedModel, signature: Signature, path: Path) -> int:
    """Write the graph; weights beyond 2 GB go into a file beside it, `NAME.data`.

    Returns: the version of ONNX's operators.
    Raises: TaskUnfit, naming the architecture and what ONNX could not hold.
    """
    model.config.use_cache = False
    attention = getattr(model.config, "_attn_implementation", "sdpa")
    try:
        program = _exported(model, signature)
    except Exception as first:  # the exporter raises a dozen kinds
        if attention == "eager":
            raise _unfit(model, first) from first
        # Fused attention has shapes that the exporter does not always follow (T5's); written out, it has none.
        model.set_attn_implementation("eager")
        try:
            program = _exported(model, signature)
        except Exception as second:
            raise _unfit(model, second) from second
        finally:
            model.set_attn_implementation(attention)
    for node in program.model.graph.all_nodes():  # the exporter leaves stack traces there, with paths of this machine
        node.metadata_props.clear()
        node.doc_string = None
    program.save(str(path))
    return int(program.model.opset_imports[""])


def _exported(model: PreTrainedModel, signature: Signature) -> Any:
    ids = torch.randint(1, int(model.config.get_text_config().vocab_size), (ROWS, TOKENS))
    example = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
        "decoder_input_ids": ids[:, :TARGETS],
    }
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with _quiet():
        return torch.onnx.export(
            Plain(model, signature).eval(),
            tuple(example[name] for name in signature.inputs),
            dynamo=True,
            input_names=list(signature.inputs),
            output_names=list(signature.outputs),
            dynamic_shapes=(free,) * len(signature.inputs),
            verbose=False,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its progress, and logs what it lacks, with whole graphs."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    said = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(before)


def _unfit(model: PreTrainedModel, error: BaseException) -> TaskUnfit:
    return TaskUnfit(
        f"ONNX cannot hold {type(model).__name__} (model_type {model.config.model_type}): {_reason(error)}",
        mend="serve this checkpoint with transformers, or train one of another architecture",
    )


def _reason(error: BaseException) -> str:
    """The operator that ONNX lacks, else the deepest cause in one line, without paths and colours."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or at.__context__
    said = "\n".join(str(one) for one in chain)
    operator = re.search(r"No ONNX function found for.*?(aten[.:\w]+)", said, re.DOTALL)
    if operator:
        return f"there is no ONNX operator for {operator[1]}"
    lines = [line for one in reversed(chain) for line in _clean(str(one)).splitlines() if line.strip()]
    return f"{type(chain[-1]).__name__}: {(lines or ['no reason given'])[0].strip()[:240]}"


def _clean(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m|/[\w./-]*/(?=[\w-]+\.py)", "", text)
