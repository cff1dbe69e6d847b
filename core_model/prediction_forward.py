"""From token ids to logits: one batch on one thread, several batches side by side.

On a CPU a small model gains little from two threads in one matrix product, and much from two batches at once (seen: 1.4
times the rows per second on two cores). Besides, a batch computed by one thread has the same last bits on any number of
threads. On a GPU batches follow each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np

from core_model.batching import Ragged
from core_model.errors import TaskUnfit
from core_model.prediction_speed import shortened

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Result = TypeVar("Result")
Target = Literal["logit", "probability"]
Head = Literal["classes", "spans", "text"]
CAN = {"classes": "chooses a class", "spans": "answers questions out of a context", "text": "writes text"}


class Loadable(Protocol):
    """As much of a checkpoint as the forward pass needs."""

    @property
    def max_length(self) -> int:
        """Tokens that it takes at once."""
        ...

    def load_model(self) -> PreTrainedModel:
        """The model, in eval mode."""
        ...

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""
        ...


class Forward:
    """A loaded model with frozen parameters.

    Args:
        checkpoint: what to load.
        device: "auto" takes a GPU that torch can use, else the CPU.

    Attributes:
        model: the model as it was loaded.
        head: what it can be asked for: "classes", "spans" of a context, or "text".
        short: the same numbers by a shorter way, for passes without gradients.
        can_pad: whether rows of different lengths may share a batch.
    """

    def __init__(self, checkpoint: Loadable, device: str = "auto") -> None:
        import torch

        # A tokenizer that has used threads of its own warns at every later fork; ours needs none.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.tokenizer = checkpoint.load_tokenizer()
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        model = checkpoint.load_model().eval().requires_grad_(False)
        self.head = _head_of(model)
        self.pad, self.can_pad = _padding(model, self.head)
        self.model = model.to(self.device)
        self.short = shortened(model) if self.device.type == "cpu" else self.model

    @property
    def alone(self) -> bool:
        """Whether each row needs a batch of its own, because its neighbours would move its answer."""
        return False

    @property
    def classes(self) -> int:
        """How many a classifier chooses from."""
        return int(self.model.config.num_labels)

    @property
    def vocabulary(self) -> int:
        """How many tokens a model that writes chooses from."""
        return int(self.model.config.get_text_config().vocab_size)

    @property
    def reads_sources(self) -> bool:
        """Whether it is an encoder-decoder, which writes a target given a source."""
        return bool(self.model.config.is_encoder_decoder)

    def require(self, head: Head) -> None:
        """Raises: TaskUnfit when the model's head cannot do this."""
        if self.head != head:
            raise TaskUnfit(
                f"{type(self.model).__name__} {CAN[self.head]}; what was asked for needs a model that {CAN[head]}",
                mend="name a checkpoint of the task that the data is for",
            )

    def logits(self, ids: Ragged, types: Ragged | None, rows: np.ndarray) -> tuple[list[bytes], int]:
        """Logits of some rows as one batch: (classes,) float32 each, as bytes; and how many rows these are."""
        import torch

        with torch.inference_mode():
            found = self.short(**self.batch(ids, types, rows)).logits
            return [row.tobytes() for row in found.float().cpu().numpy()], len(rows)

    def spans(self, ids: Ragged, types: Ragged | None, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits of each token being an answer's first, and its last: (rows, longest) float32 each, as one batch."""
        import torch

        with torch.inference_mode():
            output = self.model(**self.batch(ids, types, rows))
        starts, ends = (logits.float().cpu().numpy() for logits in (output.start_logits, output.end_logits))
        return starts, ends

    def batch(self, ids: Ragged, types: Ragged | None, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """The model's arguments, padded on the right. Rows of equal length need no mask, and attention is faster so."""
        import torch

        arguments = {"input_ids": torch.from_numpy(ids.padded(rows, self.pad))}
        if types is not None:
            arguments["token_type_ids"] = torch.from_numpy(types.padded(rows, 0))
        lengths = ids.lengths[rows]
        if lengths.min() < lengths.max():
            mask = np.arange(lengths.max()) < lengths[:, None]
            arguments["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
        return {name: tensor.to(self.device) for name, tensor in arguments.items()}

    def each(
        self, batches: Sequence[np.ndarray], work: Callable[[np.ndarray], Result], threads: int
    ) -> Generator[tuple[np.ndarray, Result], None, None]:
        """`work` on every batch, `threads` of them at a time, one torch thread each; results as they come.

        Close the generator when an error ends the loop: torch's own number of threads is then put back at once.
        """
        if self.device.type != "cpu":
            for batch in batches:
                yield batch, work(batch)
            return
        import torch

        with (
            torch_threads(1),
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            waiting = iter(batches)
            running: dict[Future[Result], np.ndarray] = {}
            try:
                while True:
                    # Two batches a thread: nobody waits, and an interruption has little to wait for.
                    for batch in islice(waiting, 2 * threads - len(running)):
                        running[pool.submit(work, batch)] = batch
                    if not running:
                        return
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        yield running.pop(done), done.result()
            finally:
                for future in running:
                    future.cancel()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within it torch computes with so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def default_threads() -> int:
    """As many as torch would use, which heeds OMP_NUM_THREADS."""
    import torch

    return torch.get_num_threads()


def _head_of(model: Any) -> Head:
    if type(model).__name__.endswith("ForQuestionAnswering"):
        return "spans"
    can_generate = getattr(model, "can_generate", None)
    return "text" if can_generate is not None and can_generate() else "classes"


def _padding(model: Any, head: Head) -> tuple[int, bool]:
    """The id to pad with, and whether padding is possible.

    Decoders that classify find the last token as the last one that is not padding. Without a padding id they refuse
    every batch of more than one row; an id that no row has tells them that nothing is padded, which holds for rows of
    equal length. Models that write go by the attention mask, and any id will do.
    """
    config = model.config.get_text_config()
    if config.pad_token_id is not None:
        return int(config.pad_token_id), True
    if head == "text":
        return 0, True
    config.pad_token_id = -1
    return 0, False
