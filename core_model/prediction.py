"""The Predictor: the one way in which anything in this suite asks a model.

    predictor = Predictor(checkpoint, cache=PredictionCache.default(checkpoint))
    predictor.predict(["a good book", "a bad meal"]).probabilities   # a classifier: (2, classes)
    predictor.score(["a good book"]).nll                             # a language model: nats
    predictor.generate(["a good book"], beams=4).texts               # what it writes
    predictor.answer(["Who?"], ["The king said so."]).texts          # spans of the contexts

Texts are tokenized once; equal inputs are computed once; inputs of like length share a batch; what was asked before
comes from the cache. Two promises hold beside the speed:

- Equal numbers. A row's logits are those of `model(**tokenizer(text))` within 1e-5, its score within 1e-4.
- Equal bits. The same requests in the same order give the same bits, on any number of threads, and whether or not the
  process was killed and began again with its cache on disk (`core_model.prediction_requests` says how). For generated
  texts that is: the same texts. Another request may put a row into another batch, whose last bits differ; where two
  tokens are equally probable to within those bits, the text then goes on differently, as it would between two GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from threading import RLock
from typing import TYPE_CHECKING, Literal, Protocol, cast

import numpy as np

from core_model.onnx_graph import graph_of
from core_model.prediction_cache import Named, PredictionCache, scope_of
from core_model.prediction_forward import Forward, Loadable, default_threads
from core_model.prediction_gradients import EmbeddingGradients, Target, embedding_gradients
from core_model.prediction_inputs import Inputs, make_inputs
from core_model.prediction_requests import Place, Work, paid_once, windows
from core_model.predictions import Generations, Predictions, Scores, SpanAnswers, TokenScores

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint as OpenedCheckpoint

__all__ = ["EmbeddingGradients", "PredictionCache", "Predictor"]

TOKEN_BUDGET = 2_048  # a batch's activations then stay in a CPU's last cache
GPU_TOKEN_BUDGET = 32_768


class Checkpoint(Named, Loadable, Protocol):
    """As much of a checkpoint as a predictor needs."""


class Predictor:
    """A model's answers, each paid for once.

    Args:
        checkpoint: what is asked; it is loaded at the first question.
        token_budget: tokens in a batch, padding included.
        threads: batches computed at once on a CPU; None: as many as torch would use. It does not change a bit.
        cache: where answers are kept: "memory" for as long as this object lives, a PredictionCache, or None: every
            call runs the model (for measuring it).
        device: "auto", "cpu", "cuda" ...
        progress: told (rows answered, rows asked for) as a request goes on.

    Attributes:
        forward_passes: rows that went through the model so far; what the cache knew is not counted. While a model
            writes, each step sends every row of the batch through it, once a beam, and each of these is counted.
        truncated: texts so far that were longer than the model takes, and were cut (an answer's context is not cut,
            but read in windows).
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
        """The loaded model, its parameters frozen, or the opened graph; and its tokenizer."""
        graph = graph_of(self.checkpoint)
        if graph is None:
            return Forward(self.checkpoint, self._device)
        from core_model.onnx_forward import GraphForward

        # Only `open_checkpoint` makes a checkpoint with a graph.
        return GraphForward(cast("OpenedCheckpoint", self.checkpoint), graph, self._device)

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
        if self.forward.alone:
            return 1
        return self._token_budget or (TOKEN_BUDGET if self.forward.device.type == "cpu" else GPU_TOKEN_BUDGET)

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        """What the classifier says of each text, or of each pair of texts.

        Args:
            texts: (rows,); a lazy sequence is read once, from front to back.
            pairs: (rows,) second texts, for tasks that have them.
        Returns: logits (rows, classes), in the order asked for.
        Raises: DataDamaged when a text has no token; TaskUnfit when the model is no classifier; ValueError when texts
            and pairs differ in number.
        """
        with self._one_at_a_time:
            self.forward.require("classes")
            parts = [np.zeros((0, self.forward.classes), dtype=np.float32)]
            for place, some, other in windows(texts, pairs):
                inputs = self._inputs(some, other, first_row=place.before)
                self.truncated += inputs.truncated
                work = Work(
                    inputs.keys,
                    inputs.ids.lengths,
                    run=partial(self.forward.logits, inputs.ids, inputs.types),
                    budget=self.token_budget,
                    padding=self.forward.can_pad,
                )
                records = self.paid_once(work, place)
                logits = np.stack([np.frombuffer(record, dtype=np.float32) for record in records])
                parts.append(logits[inputs.of_row])
            return Predictions(np.concatenate(parts))

    def score(self, texts: Sequence[str], targets: Sequence[str] | None = None) -> Scores:
        """How well the model foresaw each text, or each target given its text.

        A decoder scores the text itself: every token but the first, which nothing precedes; the first one too where
        the tokenizer puts a mark of the beginning (BOS) in front. An encoder-decoder scores the targets: every token of
        them, special tokens such as the end mark included, as its training loss does.

        Args:
            texts: (rows,); targets: (rows,) what an encoder-decoder is to write, and only there.
        Raises: TaskUnfit when the model does not write text; ValueError when targets are lacking, too many, or given to
            a decoder.
        """
        from core_model.prediction_scores import scores

        with self._one_at_a_time:
            return scores(self, texts, targets)

    def token_scores(self, texts: Sequence[str], targets: Sequence[str] | None = None) -> TokenScores:
        """As `score`, but token by token, with what was to be expected of each (as Min-K%++ needs it)."""
        from core_model.prediction_scores import token_scores

        with self._one_at_a_time:
            return token_scores(self, texts, targets)

    def generate(self, texts: Sequence[str], *, beams: int = 1, max_new_tokens: int | None = None) -> Generations:
        """What the model writes for each text: greedily, or by beam search. Never sampled.

        Args:
            texts: (rows,) sources of an encoder-decoder, or beginnings that a decoder continues.
            beams: hypotheses kept; 1 is greedy.
            max_new_tokens: limit; None: what the checkpoint says, else `core_model.generation.NEW_TOKENS`.
        Raises: TaskUnfit when the model does not write text; OptionUnfit when a limit cannot be held.
        """
        from core_model.generation import generations

        with self._one_at_a_time:
            return generations(self, texts, beams=beams, max_new_tokens=max_new_tokens)

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> SpanAnswers:
        """The part of each context that answers its question; long contexts are read in overlapping windows.

        Args:
            questions, contexts: (rows,).
        Raises: TaskUnfit when the model finds no spans; TokenizerUnfit when its tokenizer does not say where a token
            stands; DataDamaged when a context has no token.
        """
        from core_model.prediction_answers import span_answers

        with self._one_at_a_time:
            return span_answers(self, questions, contexts)

    def span_losses(
        self, questions: Sequence[str], contexts: Sequence[str], answers: Sequence[tuple[int, int] | None]
    ) -> np.ndarray:
        """What each true answer costs: minus the log-probability of its span, as `answer` scores spans, in nats.

        Args:
            questions, contexts: (rows,).
            answers: (rows,) first and last-but-one character of each answer in its context; None where it has none.
        Returns: (rows,) float64; NaN where no window holds the whole answer.
        Raises: as `answer`; ValueError when there are not as many answers as questions.
        """
        from core_model.prediction_span_losses import span_losses

        with self._one_at_a_time:
            return span_losses(self, questions, contexts, answers)

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
        Raises: TaskUnfit when the model is no classifier.
        """
        with self._one_at_a_time:
            self.forward.require("classes")
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

    def paid_once(self, work: Work, place: Place) -> list[bytes]:
        """The record of each distinct input of some rows, from the cache or the model; counts, tells of progress."""

        def told(passes: int, answered: int) -> None:
            self.forward_passes += passes
            if self.progress is not None:
                self.progress(place.before + place.rows * answered // len(work.keys), place.in_all)

        return paid_once(work, forward=self.forward, cache=self.cache, threads=self.threads, told=told)
