"""Where a model finds an answer, asked about points in embedding space: how sure is it of the span, as the text fades?

    path = AnswerPath(predictor, questions, contexts)
    path.answers[0].text, path.pieces               # what the model found, in its two ends
    path.ask(rows, shares, targets, gradients=True) # as of a classifier; the score is a log-probability

The span that the model found stands fixed; the words of question and context come and go. A target is BEGINS, ENDS, or
WHOLE: the log-probability of the span's first token, of its last one, or of both, each over the tokens of the context.
Of a context that is read in windows, the window with the answer is what is explained.

Source of explaining both ends: Captum's tutorial "Interpreting BERT Models", whose targets are the two logits; here
they are normalized, as in `core_model.prediction_answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from core_model.attribution_path import EmbeddingPath, sequence_of
from core_model.attribution_words import word_text
from core_model.batching import Ragged
from core_model.length_buckets import plan_batches
from core_model.prediction_answers import longest_question, read_windows, records_of, shortened
from core_model.prediction_inputs import tokenize
from core_model.prediction_requests import Place

if TYPE_CHECKING:
    import torch

    from core_model.prediction import Predictor

WHOLE, BEGINS, ENDS = -1, 0, 1


@dataclass(frozen=True)
class Answer:
    """The span that a model found.

    Attributes:
        text: as it stands in the context.
        first, last: its tokens, counted in what the model reads.
        context: the tokens of the context, (first, last).
        ends: its first and its last token, as text.
    """

    text: str
    first: int
    last: int
    context: tuple[int, int]
    ends: tuple[str, str]


class AnswerPath(EmbeddingPath):
    """Questions, each with its context and the span that the model found there; see `EmbeddingPath`.

    Args:
        questions, contexts: (rows,); a question may take half of the model's positions, its rest is cut.

    Attributes:
        answers: (rows,) what the model found, as `Predictor.answer` does.
        windowed: how many contexts were longer than the model takes; one window of each is explained.
    Raises: TaskUnfit when the model finds no spans; TokenizerUnfit, DataDamaged as `Predictor.answer`.
    """

    def __init__(self, predictor: Predictor, questions: Sequence[str], contexts: Sequence[str]) -> None:
        predictor.forward.require("spans")
        self.predictor = predictor
        self.of = "logit"
        self.worded = []
        self.of_token = []
        self.answers: list[Answer] = []
        tokenizer = predictor.forward.tokenizer
        parts = read_windows(tokenizer, list(questions), list(contexts), predictor.checkpoint.max_length, first_row=0)
        spans = records_of(predictor, parts, Place(0, len(questions), len(questions)))
        starts = np.searchsorted(parts.rows, np.arange(len(questions) + 1))
        self.windowed = int((np.diff(starts) > 1).sum())
        self.truncated = parts.truncated + self.windowed
        chosen = [begin + int(np.argmax(spans["logit"][begin:end])) for begin, end in pairwise(starts.tolist())]
        some, _ = shortened(tokenizer, list(questions), longest_question(tokenizer, predictor.checkpoint.max_length))
        # What stands before the context is the same whatever the context; of it a mark is enough.
        begun = tokenize(tokenizer, some, [context.strip()[:1] for context in contexts], None).encodings or []
        self.ids = parts.ids.taken(np.array(chosen, dtype=np.int64))
        self.types = None if parts.types is None else parts.types.taken(np.array(chosen, dtype=np.int64))
        special: list[list[int]] = []
        for row, part in enumerate(chosen):
            first, last, found = int(parts.first[part]), int(parts.last[part]), spans[part]
            inside, before = parts.offsets[part], begun[row]
            begin, end = 0, len(contexts[row])
            if starts[row + 1] - starts[row] > 1:  # one window of several
                begin, end = int(inside[0, 0]), int(inside[-1, 1])
            after = int(self.ids.lengths[row]) - last - 1
            sequence = np.array([*sequence_of(before)[:first], *[1] * len(inside), *[-1] * after], dtype=np.int64)
            offsets = np.array([*before.offsets[:first], *(inside - begin).tolist(), *[(0, 0)] * after])
            worded, of_token = word_text(some[row], contexts[row][begin:end], offsets, sequence, cut=False)
            self.worded.append(worded)
            self.of_token.append(of_token)
            special.append((sequence < 0).astype(np.int64).tolist())
            own = self.ids.row(row)
            span = (int(found["start"]), int(found["end"]))
            self.answers.append(
                Answer(
                    contexts[row][inside[span[0] - first, 0] : inside[span[1] - first, 1]],
                    *span,
                    context=(first, last),
                    ends=tuple(str(tokenizer.decode([own[place]])).strip() for place in span),  # type: ignore[arg-type]
                )
            )
        self._special = Ragged.of(special)

    def select(self, rows: np.ndarray) -> AnswerPath:
        """Some of the rows, or some of them several times."""
        twin = super().select(rows)
        assert isinstance(twin, AnswerPath)  # noqa: S101  a copy of self
        twin.answers = [self.answers[row] for row in np.asarray(rows, dtype=np.int64).tolist()]
        return twin

    def scores_of(self, rows: np.ndarray, targets: np.ndarray) -> torch.Tensor:
        """log p of the span's begin, of its end, or of both, (rows,)."""
        import torch

        both = self._log_p(rows)
        chosen = torch.from_numpy(targets).to(both.device)
        one = both.gather(1, chosen.clamp(min=0)[:, None]).squeeze(1)
        return torch.where(chosen < 0, both.sum(dim=1), one)

    def log_probabilities(self) -> np.ndarray:
        """log p of each span's two ends, (rows, 2) float64, in nats."""
        import torch

        found, forward = np.zeros((len(self), 2)), self.predictor.forward

        def run(batch: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return np.asarray(self._log_p(batch).double().cpu().numpy())

        plan = plan_batches(self.lengths, self.token_budget, padding=forward.can_pad)
        for batch, values in forward.each(plan, run, self.predictor.threads):
            self.predictor.forward_passes += len(batch)
            found[batch] = values
        return found

    def without(self, rows: np.ndarray, gone: Sequence[np.ndarray], *, target: int = WHOLE) -> np.ndarray:
        """log p of the span, or of one end, when some words' embeddings become padding, (points,).

        In place, for a text without the words would have its answer elsewhere, or nowhere.

        Args:
            rows: (points,) which row each is of. gone: (points,) places of the words.
        """
        shares = []
        for row, places in zip(rows.tolist(), gone, strict=True):
            kept = np.ones(len(self.worded[row]) + 1)  # the last place stands for tokens of no word, which stay
            kept[np.asarray(places, dtype=np.int64)] = 0.0
            shares.append(kept[self.of_token[row]])
        found, _ = self.ask(rows, shares, np.full(len(rows), target), gradients=False)
        return found

    def _log_p(self, rows: np.ndarray) -> torch.Tensor:
        """log p of both ends over the context's tokens, (rows, 2)."""
        import torch

        forward = self.predictor.forward
        output = forward.model(**forward.batch(self.ids, self.types, rows))
        ends = []
        for which, logits in enumerate((output.start_logits, output.end_logits)):
            places = np.arange(logits.shape[1])
            answers = [self.answers[row] for row in rows.tolist()]
            outside = np.stack([(places < a.context[0]) | (places > a.context[1]) for a in answers])
            wanted = np.array([(a.first, a.last)[which] for a in answers])
            ruled_out = torch.from_numpy(outside).to(logits.device)
            logs = logits.float().masked_fill(ruled_out, -torch.inf).log_softmax(dim=1)
            ends.append(logs.gather(1, torch.from_numpy(wanted)[:, None].to(logits.device)))
        return torch.cat(ends, dim=1)
