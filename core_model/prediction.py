"""The Predictor: the one way in which anything in this suite asks a classifier.

    predictor = Predictor(checkpoint, cache=PredictionCache.default(checkpoint))
    predictor.predict(["a good book", "a bad meal"]).probabilities   # (2, classes)

Texts are tokenized once; equal inputs are computed once; inputs of like length share a batch; what was asked before
comes from the cache. Two promises hold beside the speed:

- Equal numbers. A row's logits are those of `model(**tokenizer(text))` within 1e-5.
- Equal bits. The same requests in the same order give the same bits, on any number of threads, and whether or not the
  process was killed and began again with its cache on disk. For a batch's composition moves the last bits, and it
  follows from the request and from what *earlier* requests left, never from how far this one had come: the cache
  remembers which request computed an answer, and the plan counts this request's own answers as still to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from threading import RLock
from typing import Literal, Protocol

import numpy as np

from core_model.length_buckets import plan_batches
from core_model.prediction_cache import REQUEST_BYTES, Named, PredictionCache, scope_of
from core_model.prediction_forward import Forward, Loadable, default_threads
from core_model.prediction_gradients import EmbeddingGradients, Target, embedding_gradients
from core_model.prediction_inputs import Inputs, make_inputs
from core_model.predictions import Predictions

__all__ = ["EmbeddingGradients", "PredictionCache", "Predictor"]

WINDOW = 65_536  # rows tokenized and planned at a time: a million rows take no more memory than these
TOKEN_BUDGET = 2_048  # a batch's activations then stay in a CPU's last cache
GPU_TOKEN_BUDGET = 32_768


class Checkpoint(Named, Loadable, Protocol):
    """As much of a checkpoint as a predictor needs."""


class Predictor:
    """A classifier's answers, each paid for once.

    Args:
        checkpoint: what is asked; it is loaded at the first question.
        token_budget: tokens in a batch, padding included.
        threads: batches computed at once on a CPU; None: as many as torch would use. It does not change a bit.
        cache: where answers are kept: "memory" for as long as this object lives, a PredictionCache, or None: every
            call runs the model (for measuring it).
        device: "auto", "cpu", "cuda" ...
        progress: told (rows answered, rows asked for) as a request goes on.

    Attributes:
        forward_passes: rows that went through the model so far; what the cache knew is not counted.
        truncated: texts so far that were longer than the model takes, and were cut.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        token_budget: int | None = None,
        threads: int | None = None,
        cache: PredictionCache | Literal["memory"] | None = "memory",
        device: str = "auto",
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.cache = PredictionCache() if cache == "memory" else cache
        if self.cache is not None:
            self.cache.bind(scope_of(checkpoint))
        self.progress = progress
        self.forward_passes = 0
        self.truncated = 0
        self._token_budget = token_budget
        self._threads = threads
        self._device = device
        self._one_at_a_time = RLock()

    @classmethod
    def like(cls, other: Predictor) -> Predictor:
        """A predictor with the same loaded model and settings, with counters at 0 and no cache."""
        twin = cls(
            other.checkpoint,
            token_budget=other._token_budget,
            threads=other._threads,
            cache=None,
            device=other._device,
        )
        twin.forward = other.forward
        return twin

    @cached_property
    def forward(self) -> Forward:
        """The loaded model, its parameters frozen, and its tokenizer."""
        return Forward(self.checkpoint, self._device)

    @property
    def device(self) -> str:
        """What does the work: "cpu", "cuda" ..."""
        return str(self.forward.device)

    @property
    def threads(self) -> int:
        """Batches computed at once on a CPU."""
        return self._threads or default_threads()

    @property
    def token_budget(self) -> int:
        """Tokens in a batch, padding included."""
        return self._token_budget or (TOKEN_BUDGET if self.forward.device.type == "cpu" else GPU_TOKEN_BUDGET)

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        """What the classifier says of each text, or of each pair of texts.

        Args:
            texts: (rows,); a lazy sequence is read once, from front to back.
            pairs: (rows,) second texts, for tasks that have them.
        Returns: logits (rows, classes), in the order asked for.
        Raises: DataDamaged when a text has no token; ValueError when texts and pairs differ in number.
        """
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(f"{len(texts)} texts, but {len(pairs)} second texts")
        with self._one_at_a_time:
            parts = []
            done = 0
            for some, other in _windows(texts, pairs):
                inputs = self._inputs(some, other, first_row=done)
                self.truncated += inputs.truncated
                logits = self._answers(inputs, done, len(some), len(texts))
                parts.append(logits[inputs.of_row])
                done += len(some)
            return Predictions(np.concatenate(parts) if parts else np.zeros((0, self._classes), dtype=np.float32))

    def embedding_gradients(
        self,
        texts: Sequence[str],
        targets: Sequence[int] | np.ndarray,
        pairs: Sequence[str] | None = None,
        *,
        of: Target = "logit",
    ) -> list[EmbeddingGradients]:
        """Gradient of one class's logit or probability with respect to each token's input embedding.

        Args:
            texts, pairs: as in `predict`; longer ones are cut.
            targets: (rows,) index of the class whose score is differentiated.
            of: "logit", or "probability" (softmax).
        Returns: one object a row, in order. Every row counts as a forward pass; nothing is cached.
        """
        with self._one_at_a_time:
            found = embedding_gradients(
                self.forward,
                texts,
                np.asarray(targets, dtype=np.int64),
                pairs,
                of=of,
                max_length=self.checkpoint.max_length,
                token_budget=self.token_budget,
                threads=self.threads,
            )
            self.forward_passes += len(found)
            return found

    def _inputs(self, texts: list[str], pairs: list[str] | None, *, first_row: int) -> Inputs:
        return make_inputs(
            self.forward.tokenizer,
            self.checkpoint.max_length,
            texts,
            pairs,
            salt=self.forward.device.type,
            first_row=first_row,
        )

    def _answers(self, inputs: Inputs, rows_before: int, rows: int, rows_in_all: int) -> np.ndarray:
        """Logits of each distinct input, (inputs, classes) float32, from the cache or the model."""
        request = blake2b(
            b"".join(inputs.keys), digest_size=REQUEST_BYTES, salt=str(self.token_budget).encode()
        ).digest()
        held = self.cache.lookup(inputs.keys) if self.cache is not None else {}
        plan = self._plan(inputs, held, request)
        answers: dict[bytes, bytes] = {key: record[REQUEST_BYTES:] for key, record in held.items()}
        to_do = [batch for batch in plan if any(inputs.keys[row] not in held for row in batch)]

        def run(batch: np.ndarray) -> np.ndarray:
            return self.forward.logits(inputs.ids, inputs.types, batch)

        def tell() -> None:
            if self.progress is not None:
                self.progress(rows_before + rows * len(answers) // len(inputs.keys), rows_in_all)

        try:
            with closing(self.forward.each(to_do, run, self.threads)) as results:
                for batch, logits in results:
                    self.forward_passes += len(batch)
                    keys = [inputs.keys[row] for row in batch]
                    for key, row in zip(keys, logits, strict=True):
                        answers.setdefault(key, row.tobytes())  # the first answer stays
                    if self.cache is not None:
                        self.cache.store(keys, logits, request)
                        self.cache.flush(force=False)
                    tell()
        finally:  # an interrupted request keeps what it has
            theirs = self.cache.flush() if self.cache is not None else {}
        answers.update({key: record[REQUEST_BYTES:] for key, record in theirs.items() if key in answers})
        tell()
        return np.stack([np.frombuffer(answers[key], dtype=np.float32) for key in inputs.keys])

    def _plan(self, inputs: Inputs, held: dict[bytes, bytes], request: bytes) -> list[np.ndarray]:
        """Batches over what earlier requests left open, as if this one had not begun."""
        open_rows = np.array(
            [row for row, key in enumerate(inputs.keys) if key not in held or held[key].startswith(request)],
            dtype=np.int64,
        )
        lengths = inputs.ids.lengths[open_rows]
        batches = plan_batches(lengths, self.token_budget, padding=self.forward.can_pad)
        return [open_rows[batch] for batch in batches]

    @property
    def _classes(self) -> int:
        return int(self.forward.model.config.num_labels)


def _windows(texts: Sequence[str], pairs: Sequence[str] | None) -> Iterator[tuple[list[str], list[str] | None]]:
    """Some rows at a time, read once from front to back."""
    first = iter(texts)
    second = iter(pairs) if pairs is not None else None
    while some := list(islice(first, WINDOW)):
        yield some, None if second is None else list(islice(second, WINDOW))
