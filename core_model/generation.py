"""What a model writes: greedy and beam search by transformers' own `generate`, with its cache of keys and values.

Rows of like length share a batch, bounded by the tokens that the cache must hold for it (source and new ones, once a
beam). Sources of an encoder-decoder are padded on the right, beginnings that a decoder continues on the left, and what
is too long is cut there, too: a beginning loses its first tokens, for the last ones say how to go on.

Kept in the cache, in memory and on disk, are token ids, no text.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.batching import Ragged
from core_model.errors import DataDamaged
from core_model.generation_settings import NEW_TOKENS, GenerationSettings, settings_of
from core_model.prediction_inputs import CHUNK, rows_cut, tokenize
from core_model.prediction_requests import Place, Work, distinct, name_of, windows
from core_model.predictions import Generations

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from core_model.prediction import Predictor

__all__ = ["NEW_TOKENS", "generations"]

CACHED_TOKENS = 8_192  # keys and values that a batch may hold at its end, in tokens
GPU_CACHED_TOKENS = 131_072
STEP_COST = 16  # tokens: what one more step of a batch costs beyond its rows; a step reads every weight anew


@dataclass(frozen=True)
class Written:
    """Token ids that a model wrote for one row, as they lie in the cache: the flag, then the ids, int32."""

    ids: np.ndarray
    cut: bool

    @classmethod
    def read(cls, record: bytes) -> Written:
        """From the cache."""
        numbers = np.frombuffer(record, dtype=np.int32)
        return cls(numbers[1:], bool(numbers[0]))

    def record(self) -> bytes:
        """For the cache."""
        return np.concatenate([[self.cut], self.ids]).astype(np.int32).tobytes()


def generations(predictor: Predictor, texts: Sequence[str], *, beams: int, max_new_tokens: int | None) -> Generations:
    """See `Predictor.generate`."""
    settings, written = written_ids(predictor, texts, beams=beams, max_new_tokens=max_new_tokens)
    words: dict[bytes, str] = {}
    found: list[str] = []
    for each in written:
        record = each.record()
        if record not in words:
            words[record] = str(predictor.forward.tokenizer.decode(each.ids.tolist(), skip_special_tokens=True))
        found.append(words[record])
    return Generations(
        texts=tuple(found),
        tokens=np.array([len(each.ids) for each in written], dtype=np.int64),
        cut=np.array([each.cut for each in written], dtype=bool),
        signature=settings.signature,
    )


def written_ids(
    predictor: Predictor, texts: Sequence[str], *, beams: int, max_new_tokens: int | None
) -> tuple[GenerationSettings, list[Written]]:
    """The settings, and the token ids that are written for each text; arguments as of `Predictor.generate`."""
    forward = predictor.forward
    forward.require("text")
    settings = settings_of(
        forward.model,
        beams=beams,
        max_new_tokens=max_new_tokens,
        end_token=forward.tokenizer.eos_token_id,
        max_length=predictor.checkpoint.max_length,
    )
    written: list[Written] = []
    for place, some, _ in windows(texts):
        written += [Written.read(record) for record in _records(predictor, some, settings, place)]
    return settings, written


def _records(predictor: Predictor, texts: list[str], settings: GenerationSettings, place: Place) -> list[bytes]:
    forward = predictor.forward
    left = not forward.model.config.is_encoder_decoder
    max_length = predictor.checkpoint.max_length
    if left:
        sources, truncated = _beginnings(
            forward.tokenizer, texts, max_length - settings.max_new_tokens, first_row=place.before
        )
    else:
        sources, truncated = _sources(forward.tokenizer, texts, max_length, first_row=place.before)
    predictor.truncated += truncated
    kind = f"generation {settings.signature}"
    names, first, of_row = distinct(
        [name_of(kind, sources.row(row), device=forward.device.type) for row in range(len(sources))]
    )
    ids = sources.taken(first)
    writer = _writer(forward.model)

    def run(batch: np.ndarray) -> tuple[list[bytes], int]:
        arguments = _padded(ids, batch, int(settings.others["pad_token_id"]), left=left)
        return _write(writer, {name: t.to(forward.device) for name, t in arguments.items()}, settings)

    work = Work(
        names,
        settings.beams * (ids.lengths + settings.max_new_tokens),
        run,
        budget=CACHED_TOKENS if forward.device.type == "cpu" else GPU_CACHED_TOKENS,
        batch_cost=STEP_COST * settings.max_new_tokens,
    )
    answers = predictor.paid_once(work, place)
    return [answers[number] for number in of_row]


def _write(writer: Any, arguments: dict[str, torch.Tensor], settings: GenerationSettings) -> tuple[list[bytes], int]:
    """The record of each row, and how many rows went through the model, counted step by step."""
    import torch
    from transformers import LogitsProcessor, LogitsProcessorList

    class Count(LogitsProcessor):
        """Changes nothing; it is called once a step, with one row a beam."""

        rows = 0

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            self.rows += len(input_ids)
            return scores

    count = Count()
    with torch.inference_mode():
        sequences = writer.generate(
            **arguments,
            generation_config=settings.configuration(),
            logits_processor=LogitsProcessorList([count]),
        )
    begun = 1 if writer.config.is_encoder_decoder else arguments["input_ids"].shape[1]
    return [_until_end(row[begun:], settings).record() for row in sequences.cpu().numpy()], count.rows


def _until_end(ids: np.ndarray, settings: GenerationSettings) -> Written:
    ends = np.flatnonzero(np.isin(ids, settings.end))
    if len(ends):
        return Written(ids[: ends[0] + 1], cut=False)
    return Written(ids[: settings.max_new_tokens], cut=True)


def _writer(model: Any) -> Any:
    """The same model, every weight shared, but without the generation settings that came with the checkpoint.

    `generate` fills whatever its caller leaves open from the model's own settings.
    """
    from transformers import GenerationConfig

    writer = copy.copy(model)
    writer.generation_config = GenerationConfig()
    return writer


def _padded(ids: Ragged, batch: np.ndarray, pad: int, *, left: bool) -> dict[str, torch.Tensor]:
    """input_ids and attention_mask, (rows, longest) int64."""
    import torch

    lengths = ids.lengths[batch]
    matrix = ids.padded(batch, pad)
    mask = (np.arange(matrix.shape[1]) < lengths[:, None]).astype(np.int64)
    if left:
        # Row i is rolled by what it lacks, so that its padding comes to stand in front.
        places = (np.arange(matrix.shape[1]) - (matrix.shape[1] - lengths)[:, None]) % max(1, matrix.shape[1])
        matrix, mask = np.take_along_axis(matrix, places, axis=1), mask[:, ::-1].copy()
    return {"input_ids": torch.from_numpy(matrix), "attention_mask": torch.from_numpy(mask)}


def _sources(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int, *, first_row: int
) -> tuple[Ragged, int]:
    """What an encoder reads of each text, and how many were cut."""
    sources: list[Ragged] = []
    truncated = 0
    for start in range(0, len(texts), CHUNK):
        some = texts[start : start + CHUNK]
        found = tokenize(tokenizer, some, None, max_length)["input_ids"]
        truncated += len(rows_cut(tokenizer, some, None, found, max_length))
        empty = next((row for row, ids in enumerate(found) if not ids), None)
        if empty is not None:
            raise DataDamaged(
                f"the text of row {first_row + start + empty + 1} (counted from 1) has no token", mend="leave it out"
            )
        sources.append(Ragged.of(found))
    return Ragged.joined(sources), truncated


def _beginnings(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], room: int, *, first_row: int
) -> tuple[Ragged, int]:
    """What a decoder is to continue, at most `room` tokens of it, and how many were cut.

    An end mark that the tokenizer appends is taken off: a text that has ended is not continued. A text without a token
    begins as training texts do, with the mark of the beginning, or of the end before it.
    """
    [letter] = tokenize(tokenizer, ["a"], None, None)["input_ids"]
    ended = letter[-1:] == [tokenizer.eos_token_id]
    keeps_first = letter[:1] == [tokenizer.bos_token_id]
    nothing = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    beginnings: list[Ragged] = []
    truncated = 0
    for start in range(0, len(texts), CHUNK):
        prompts: list[list[int]] = []
        for row, ids in enumerate(tokenize(tokenizer, texts[start : start + CHUNK], None, None)["input_ids"]):
            prompt = ids[:-1] if ended else ids
            if not prompt and nothing is None:
                raise DataDamaged(
                    f"the text of row {first_row + start + row + 1} (counted from 1) has no token, and the tokenizer "
                    "no mark of a beginning",
                    mend="leave it out",
                )
            prompt = prompt or [nothing]
            if len(prompt) > room:
                truncated += 1
                prompt = [prompt[0], *prompt[len(prompt) - room + 1 :]] if keeps_first and room > 1 else prompt[-room:]
            prompts.append(prompt)
        beginnings.append(Ragged.of(prompts))
    return Ragged.joined(beginnings), truncated
