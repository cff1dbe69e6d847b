"""Where in its context a question's answer stands: the best span, cut out of the original text.

A context longer than the model takes is read in windows that overlap; the best span over all of them wins. A span
begins and ends in the context, is not longer than 30 tokens, and its score is the log-probability of its two ends,
normalized over every token of the context (over all windows), so that rows can be compared.

Source: Devlin et al. 2019 (BERT), arXiv:1810.04805, section 4.2; windows and the limit as in its SQuAD script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core_model.batching import Ragged
from core_model.errors import DataDamaged, TokenizerUnfit
from core_model.prediction_requests import Place, Work, distinct, name_of, windows
from core_model.predictions import SpanAnswers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from core_model.prediction import Predictor

LONGEST_ANSWER = 30  # tokens
OVERLAP = 1 / 3  # of the context that fits beside the longest question; SQuAD's script has 128 of some 370 tokens
CHUNK = 200  # questions tokenized at a time; each may have many windows

# What is kept of a window: the best span's tokens, its two logits added up, and the normalizers of both ends.
RECORD = np.dtype([("start", "<i4"), ("end", "<i4"), ("logit", "<f4"), ("starts", "<f4"), ("ends", "<f4")])


@dataclass(frozen=True)
class Windows:
    """Questions, each with a part of its context, as token ids; a row's windows stand one behind the other.

    Attributes:
        ids, types: what the model reads.
        rows: (windows,) int64, whose.
        first, last: (windows,) int64; the context's tokens are `ids.row(i)[first[i]:last[i] + 1]`.
        offsets: of each window, (last - first + 1, 2) int32, where these tokens stand in the context, in characters.
        truncated: questions of which something was cut.
    """

    ids: Ragged
    types: Ragged | None
    rows: np.ndarray
    first: np.ndarray
    last: np.ndarray
    offsets: list[np.ndarray]
    truncated: int

    def __len__(self) -> int:
        return len(self.rows)


def span_answers(predictor: Predictor, questions: Sequence[str], contexts: Sequence[str]) -> SpanAnswers:
    """See `Predictor.answer`."""
    predictor.forward.require("spans")
    texts: list[str] = []
    scores: list[float] = []
    for place, some, other in windows(questions, contexts):
        assert other is not None  # noqa: S101  contexts were given
        parts = read_windows(
            predictor.forward.tokenizer, some, other, predictor.checkpoint.max_length, first_row=place.before
        )
        predictor.truncated += parts.truncated
        records = records_of(predictor, parts, place)
        starts = np.searchsorted(parts.rows, np.arange(len(some) + 1))
        for context, start, end in zip(other, starts, starts[1:], strict=False):
            text, score = _best(parts, records, range(start, end), context)
            texts.append(text)
            scores.append(score)
    return SpanAnswers(tuple(texts), np.array(scores, dtype=np.float64))


def best_spans(
    starts: np.ndarray, ends: np.ndarray, first: np.ndarray, last: np.ndarray, longest: int = LONGEST_ANSWER
) -> np.ndarray:
    """The best span of each row and what normalizes it.

    Args:
        starts, ends: (rows, tokens) float32 logits.
        first, last: (rows,) the context's first and last token.
        longest: tokens of a span at most.
    Returns: (rows,) of RECORD; of equal spans the shortest, then the first.
    """
    rows, tokens = starts.shape
    places = np.arange(tokens)
    inside = (places >= first[:, None]) & (places <= last[:, None])
    starts, ends = (np.where(inside, logits, -np.inf).astype(np.float64) for logits in (starts, ends))
    best = np.full(rows, -np.inf)
    found = np.zeros(rows, dtype=RECORD)
    for length in range(min(longest, tokens)):
        sums = starts[:, : tokens - length] + ends[:, length:]
        start = sums.argmax(axis=1)
        score = sums[np.arange(rows), start]
        better = score > best
        best[better] = score[better]
        found["start"][better], found["end"][better] = start[better], start[better] + length
    found["logit"] = best
    found["starts"], found["ends"] = np.logaddexp.reduce(starts, axis=1), np.logaddexp.reduce(ends, axis=1)
    return found


def records_of(predictor: Predictor, parts: Windows, place: Place) -> np.ndarray:
    """The best span of each window, from the cache or the model, (windows,) of RECORD."""
    forward = predictor.forward
    nothing = np.zeros(0, dtype=np.int32)
    names, chosen, of_part = distinct(
        [
            name_of(
                "spans",
                parts.ids.row(i),
                nothing if parts.types is None else parts.types.row(i),
                np.array([parts.first[i], parts.last[i]]),
                device=forward.device.type,
            )
            for i in range(len(parts))
        ]
    )
    ids = parts.ids.taken(chosen)
    types = None if parts.types is None else parts.types.taken(chosen)
    first, last = parts.first[chosen], parts.last[chosen]

    def run(batch: np.ndarray) -> tuple[list[bytes], int]:
        starts, ends = forward.spans(ids, types, batch)
        return [record.tobytes() for record in best_spans(starts, ends, first[batch], last[batch])], len(batch)

    work = Work(names, ids.lengths, run, budget=predictor.token_budget, padding=forward.can_pad)
    answers = predictor.paid_once(work, place)
    return np.frombuffer(b"".join(answers), dtype=RECORD)[of_part]


def _best(parts: Windows, records: np.ndarray, own: range, context: str) -> tuple[str, float]:
    """The best span over a row's `own` windows, as text of the context, and its log-probability."""
    mine = records[own.start : own.stop]
    best = own[int(np.argmax(mine["logit"]))]
    span = records[best]
    begin = parts.offsets[best][span["start"] - parts.first[best]][0]
    end = parts.offsets[best][span["end"] - parts.first[best]][1]
    total = np.logaddexp.reduce(mine["starts"].astype(float)) + np.logaddexp.reduce(mine["ends"].astype(float))
    return context[begin:end], min(0.0, float(span["logit"]) - float(total))


def read_windows(
    tokenizer: PreTrainedTokenizerBase, questions: list[str], contexts: list[str], max_length: int, *, first_row: int
) -> Windows:
    """Every window of every row, in order. A question may take half of the model's positions; its rest is cut.

    Args:
        first_row: where these rows begin in the caller's count, for messages.
    Raises: TokenizerUnfit when the tokenizer does not say where a token stands; DataDamaged when a context has none.
    """
    if not tokenizer.is_fast:
        raise TokenizerUnfit(
            f"{type(tokenizer).__name__} does not say where in the text a token stands",
            mend="save the checkpoint with a fast tokenizer (tokenizer.json)",
        )
    special = tokenizer.num_special_tokens_to_add(pair=True)
    longest = longest_question(tokenizer, max_length)
    has_types = "token_type_ids" in tokenizer.model_input_names
    ids: list[Ragged] = []
    types: list[Ragged] = []
    places: list[tuple[int, int, int]] = []
    offsets: list[np.ndarray] = []
    truncated = 0
    for start in range(0, len(questions), CHUNK):
        some, cut = shortened(tokenizer, questions[start : start + CHUNK], longest)
        truncated += cut
        found = tokenizer(
            some,
            contexts[start : start + CHUNK],
            truncation="only_second",
            max_length=max_length,
            stride=int(OVERLAP * (max_length - special - longest)),
            return_overflowing_tokens=True,
            return_attention_mask=False,
            padding=False,
            verbose=False,
        )
        for encoding, row in zip(found.encodings, found["overflow_to_sample_mapping"], strict=True):
            inside = [place for place, sequence in enumerate(encoding.sequence_ids) if sequence == 1]
            if not inside:
                raise DataDamaged(
                    f"the context of row {first_row + start + row + 1} (counted from 1) has no token",
                    mend="leave it out",
                )
            places.append((start + row, inside[0], inside[-1]))
            offsets.append(np.array(encoding.offsets[inside[0] : inside[-1] + 1], dtype=np.int32))
        ids.append(Ragged.of([encoding.ids for encoding in found.encodings]))
        types.append(Ragged.of([encoding.type_ids for encoding in found.encodings]))
    rows, first, last = np.array(places, dtype=np.int64).reshape(-1, 3).T
    return Windows(
        Ragged.joined(ids), Ragged.joined(types) if has_types else None, rows, first, last, offsets, truncated
    )


def longest_question(tokenizer: PreTrainedTokenizerBase, max_length: int) -> int:
    """Tokens that a question may take: half of what special tokens leave."""
    return max(1, (max_length - tokenizer.num_special_tokens_to_add(pair=True)) // 2)


def shortened(tokenizer: PreTrainedTokenizerBase, questions: list[str], longest: int) -> tuple[list[str], int]:
    """The first `longest` tokens of each question, as text, and how many had more."""
    found = tokenizer(questions, add_special_tokens=False, truncation=False, verbose=False)
    ends = [encoding.offsets[longest - 1][1] if len(encoding.ids) > longest else None for encoding in found.encodings]
    return [question[:end] for question, end in zip(questions, ends, strict=True)], len(ends) - ends.count(None)
