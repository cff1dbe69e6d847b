"""From token ids to logits by an exported graph: ONNX Runtime in torch's place, behind the same questions.

Batches are those of a torch model, several side by side with one thread each, so that the bits do not hang on the
number of threads. What needs the model itself (its gradients, weights, attention) is refused with a letter.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.checkpoint_files import read_json
from core_model.errors import CheckpointDamaged, OptionUnfit, TaskUnfit
from core_model.onnx_graph import EXPORT, OUTPUTS, Graph
from core_model.onnx_session import open_session, short
from core_model.prediction_forward import Forward, Head
from core_model.tasks import Task

if TYPE_CHECKING:
    from core_model.batching import Ragged
    from core_model.checkpoint import Checkpoint

NO_MODEL = "is an exported graph (ONNX): it gives no gradients, weights or attention, and writes no text"
HEADS: dict[Task, Head] = {
    Task.CLASSIFICATION: "classes", Task.QUESTION_ANSWERING: "spans", Task.LANGUAGE_MODELING: "text",
}  # fmt: skip


class GraphForward(Forward):
    """An opened graph. It has no `model`: whoever asks for one gets a letter."""

    def __init__(self, checkpoint: Checkpoint, graph: Graph, device: str = "auto") -> None:
        """Open the session, and ask it two short rows.

        Raises: OptionUnfit for a device that is no CPU; CheckpointDamaged when the graph cannot be run, or gives
            another shape than it should.
        """
        import torch

        if device not in ("auto", "cpu"):
            raise OptionUnfit(f"an exported graph runs on the CPU, not on {device!r}", mend="leave the device out")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.name, self.path = checkpoint.name, checkpoint.path / graph.file
        self.graph, self.device = graph, torch.device("cpu")
        self.tokenizer = checkpoint.load_tokenizer()
        self.head, self.outputs = HEADS[checkpoint.task], OUTPUTS[checkpoint.task]
        self.labels, self.words = len(checkpoint.labels), int(checkpoint.facts["vocabulary"] or 0)
        # Without a mask, and for classifiers that find their last token by its padding, rows of equal length alone.
        pad = read_json(checkpoint.path / "config.json").get("pad_token_id")
        self.can_pad = (pad is not None or self.head == "text") and "attention_mask" in graph.inputs
        self.pad = pad if isinstance(pad, int) else 0
        self.session = open_session(self.path, threads=1)
        self._try()

    def __getattr__(self, name: str) -> Any:
        if name in ("model", "short"):
            raise TaskUnfit(f"{self.name} {NO_MODEL}", mend="name the checkpoint that it was exported from")
        raise AttributeError(name)

    @property
    def classes(self) -> int:
        """How many a classifier chooses from."""
        return self.labels

    @property
    def vocabulary(self) -> int:
        """How many tokens a model that writes chooses from."""
        return self.words

    @property
    def reads_sources(self) -> bool:
        """Graphs of encoder-decoders are not opened."""
        return False

    @property
    def alone(self) -> bool:
        """Rows are asked one at a time where the rows of a batch would share the scale of what is rounded."""
        return self.graph.by_batch

    def require(self, head: Head) -> None:
        """Raises: TaskUnfit when the graph's head cannot do this."""
        if self.head != head:
            raise TaskUnfit(
                f"{self.name} is an exported graph that gives {' and '.join(self.outputs)}; that is not what was asked",
                mend="name a checkpoint of the task that the data is for",
            )

    def logits(self, ids: Ragged, types: Ragged | None, rows: np.ndarray) -> tuple[list[bytes], int]:
        """As `Forward.logits`."""
        [found] = self._ask(self._inputs(ids, types, rows))
        return [row.tobytes() for row in found], len(rows)

    def spans(self, ids: Ragged, types: Ragged | None, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Forward.spans`."""
        starts, ends = self._ask(self._inputs(ids, types, rows))
        return starts, ends

    def token_logits(self, ids: Ragged, rows: np.ndarray) -> np.ndarray:
        """Of a language model: logits after each token, (rows, longest, vocabulary) float32."""
        [found] = self._ask(self._inputs(ids, None, rows))
        return found

    def _inputs(self, ids: Ragged, types: Ragged | None, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What the graph takes of some rows, padded on the right, (rows, longest) int64 each."""
        padded = ids.padded(rows, self.pad)
        mask = np.arange(padded.shape[1]) < ids.lengths[rows][:, None]
        segments = np.zeros_like(padded) if types is None else types.padded(rows, 0)
        return {"input_ids": padded, "attention_mask": mask.astype(np.int64), "token_type_ids": segments}

    def _ask(self, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs in the task's order, float32: (rows, classes), (rows, tokens) of a reader, or with a vocabulary, too.

        Raises: CheckpointDamaged when the session fails, or gives another shape.
        """
        rows, tokens = given["input_ids"].shape
        try:
            found = self.session.run(
                list(self.outputs), {name: given[name].astype(np.int64) for name in self.graph.inputs}
            )
        except Exception as error:  # its kinds of error share no base but this
            raise CheckpointDamaged(
                f"{self.path}: ONNX Runtime cannot run it: {short(error)}", mend=f"export it again: {EXPORT}"
            ) from None
        shape = {"classes": (rows, self.labels), "spans": (rows, tokens), "text": (rows, tokens, self.words)}[self.head]
        for name, array in zip(self.outputs, found, strict=True):
            if array.shape != shape:
                raise CheckpointDamaged(
                    f"{self.path} gives {name} of shape {array.shape} for {rows} rows of {tokens} tokens; it should be "
                    f"{shape}",
                    mend=f"export it again: {EXPORT}",
                )
        return [np.ascontiguousarray(array, dtype=np.float32) for array in found]

    def _try(self) -> None:
        """Two rows of three tokens, so that a graph that cannot be run is told before anything is measured."""
        ids = np.ones((2, 3), dtype=np.int64)
        self._ask({"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)})
