"""The smoothed classifier in a predictor's place: every question is put to many parts of a text, and they vote.

    predictor = SmoothedPredictor(Predictor(checkpoint), Smoothing(keep=0.3, looks=LOOKS), seed=0)
    predictor.predict(["a good book"]).probabilities     # shares of the votes
    predictor.forward_passes                             # looks that went through the model

Whoever asks for labels is answered by the wrapper and need not know of it. It is no `Predictor`: votes have no
gradients, and whatever looks into the model itself has to ask the model itself.

Source: Zeng et al. 2021 (RanMASK), arXiv:2105.03743.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb
from typing import TYPE_CHECKING, NoReturn

from core_model.errors import TaskUnfit
from core_model.prediction import Predictor
from core_model.predictions import Predictions
from core_model.smoothing import SmoothedClassifier, Smoothing
from core_model.smoothing_certificate import subset_size

if TYPE_CHECKING:
    from core_model.prediction_forward import Forward

LOOKS = 25
"""Votes for an answer that nobody vouches for. A share of them has a standard deviation of at most 0.1, 0.5 / sqrt(25),
and of two classes one always has more."""


class SmoothedPredictor:
    """A predictor's `predict`, by votes.

    Args:
        predictor: who looks; its cache pays for equal looks once, also for those of earlier runs.
        smoothing: how; `looks` of them vote.
        seed: draws the looks, together with the text.
    """

    def __init__(self, predictor: Predictor, smoothing: Smoothing, *, seed: int = 0) -> None:
        self.predictor, self.smoothing, self.seed = predictor, smoothing, seed
        self._classifier = SmoothedClassifier(predictor, smoothing, seed=seed)

    @classmethod
    def like(cls, other: SmoothedPredictor) -> SmoothedPredictor:
        """The same wrapper around a predictor with the same loaded model, with counters at 0 and no cache."""
        return cls(Predictor.like(other.predictor), other.smoothing, seed=other.seed)

    @property
    def forward_passes(self) -> int:
        """Looks that went through the model so far; what the cache knew is not counted."""
        return self.predictor.forward_passes

    @property
    def truncated(self) -> int:
        """Looks so far that were longer than the model takes, and were cut."""
        return self.predictor.truncated

    @property
    def threads(self) -> int:
        """Batches of looks computed at once on a CPU."""
        return self.predictor.threads

    @property
    def device(self) -> str:
        """What does the work: "cpu", "cuda" ..."""
        return self.predictor.device

    @property
    def forward(self) -> Forward:
        """The loaded model and its tokenizer."""
        return self.predictor.forward

    @property
    def progress(self) -> Callable[[int, int], None] | None:
        """Told (looks answered, looks asked for) as a request goes on."""
        return self.predictor.progress

    @progress.setter
    def progress(self, told: Callable[[int, int], None] | None) -> None:
        self.predictor.progress = told

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        """Shares of the votes for each text, or pair of texts, whose second is shown whole; as `SmoothedClassifier`."""
        return self._classifier.predict(texts, pairs)

    def passes_an_answer(self, texts: Sequence[str]) -> float:
        """Looks at a text, on average over these: where there are fewer parts than looks, all of them are taken.

        Args:
            texts: (rows,), one or more.
        """
        words = [len(text.split()) for text in texts]
        parts = [comb(number, subset_size(number, self.smoothing.keep)) for number in words]
        return sum(min(self.smoothing.looks, some) for some in parts) / len(parts)

    def score(self, texts: Sequence[str], targets: Sequence[str] | None = None) -> NoReturn:
        """Raises: TaskUnfit, as the others below."""
        self._refuse()

    def generate(self, texts: Sequence[str], *, beams: int = 1, max_new_tokens: int | None = None) -> NoReturn:
        """Raises: TaskUnfit."""
        self._refuse()

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> NoReturn:
        """Raises: TaskUnfit."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TaskUnfit(
            "a smoothed classifier counts votes for classes; it writes no text and finds none",
            mend="ask the model itself",
        )
