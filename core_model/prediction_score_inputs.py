"""Texts as what is scored of them: token ids, how many of these are scored, and for how many bytes of text they stand.

Bytes are those of the scored part alone, so that bits per byte stay honest: a first token that is given and not scored,
and an end that was cut off, are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.batching import Ragged
from core_model.errors import DataDamaged
from core_model.prediction_inputs import CHUNK, rows_cut, tokenize

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Scorable:
    """Some texts as token ids.

    Attributes:
        sources: what an encoder reads, row by row; None for a decoder.
        targets: what is scored; of a decoder, the first token is given and not scored.
        bytes: (rows,) int64 UTF-8 bytes of the scored part.
        truncated: rows of which something was cut.
    """

    sources: Ragged | None
    targets: Ragged
    bytes: np.ndarray
    truncated: int

    @property
    def given(self) -> int:
        """Tokens at the beginning of a target that are not scored."""
        return 1 if self.sources is None else 0

    @property
    def tokens(self) -> np.ndarray:
        """Scored tokens, (rows,) int64."""
        return np.maximum(0, self.targets.lengths - self.given)


def scorable(
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    targets: list[str] | None,
    max_length: int,
    *,
    first_row: int,
) -> Scorable:
    """Texts of a decoder, or with `targets` texts of an encoder-decoder, each cut to `max_length` tokens.

    Args:
        first_row: where these texts begin in the caller's count, for messages.
    Raises: DataDamaged when an encoder would have no token to read.
    """
    sources: list[Ragged] = []
    ids: list[Ragged] = []
    sizes: list[int] = []
    truncated = 0
    for start in range(0, len(texts), CHUNK):
        some = texts[start : start + CHUNK]
        too_long: list[int] = []
        if targets is not None:
            read = tokenize(tokenizer, some, None, max_length)["input_ids"]
            empty = next((row for row, sequence in enumerate(read) if not sequence), None)
            if empty is not None:
                raise DataDamaged(
                    f"the text of row {first_row + start + empty + 1} (counted from 1) has no token",
                    mend="leave it out",
                )
            too_long = rows_cut(tokenizer, some, None, read, max_length)
            sources.append(Ragged.of(read))
            some = targets[start : start + CHUNK]
        as_targets = targets is not None
        found = tokenize(tokenizer, some, None, max_length, as_targets=as_targets)
        cut = set(rows_cut(tokenizer, some, None, found["input_ids"], max_length, as_targets=as_targets))
        truncated += len(cut.union(too_long))
        ids.append(Ragged.of(found["input_ids"]))
        sizes += [
            _bytes_scored(tokenizer, text, found, row, first_is_given=not as_targets, cut=row in cut)
            for row, text in enumerate(some)
        ]
    return Scorable(
        sources=None if targets is None else Ragged.joined(sources),
        targets=Ragged.joined(ids),
        bytes=np.array(sizes, dtype=np.int64),
        truncated=truncated,
    )


def _bytes_scored(
    tokenizer: PreTrainedTokenizerBase, text: str, found: BatchEncoding, row: int, *, first_is_given: bool, cut: bool
) -> int:
    """UTF-8 bytes of the part of `text` that the scored tokens stand for."""
    ids = found["input_ids"][row]
    if first_is_given and len(ids) < 2:
        return 0
    if not found.encodings:  # a tokenizer written in Python does not say where a token stands
        from_second = first_is_given and ids[0] != tokenizer.bos_token_id
        if not (from_second or cut):
            return len(text.encode())
        return len(str(tokenizer.decode(ids[1:] if from_second else ids, skip_special_tokens=True)).encode())
    encoding: Any = found.encodings[row]
    begin = encoding.offsets[0][1] if first_is_given and not encoding.special_tokens_mask[0] else 0
    end = max(end for _, end in encoding.offsets) if cut else len(text)
    return len(text[begin:end].encode())
