"""Texts as a model takes them: token ids, each distinct input once, and a key that names it.

The key is a hash of the token ids (and segment ids), so that two texts that the tokenizer does not tell apart are one
input. Token ids lie in flat arrays: 65,000 comments take a few megabytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from core_model.batching import Ragged
from core_model.errors import DataDamaged

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase

CHUNK = 1_000  # texts tokenized at a time: their Python lists are short-lived


@dataclass(frozen=True)
class Inputs:
    """The distinct inputs of some texts.

    Attributes:
        keys: the name of each distinct input, 16 bytes, ascending: the order of the texts does not matter.
        ids: its token ids, special tokens included; types: its segment ids, where the model has them.
        of_row: (texts,) int64; text i is input `of_row[i]`.
        truncated: texts that were longer than the model takes.
    """

    keys: list[bytes]
    ids: Ragged
    types: Ragged | None
    of_row: np.ndarray
    truncated: int


def make_inputs(
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    salt: str = "",
    first_row: int = 0,
) -> Inputs:
    """Tokenize, cut to `max_length` tokens, and keep each distinct input once.

    Args:
        texts, pairs: first texts and, where the task has them, second texts.
        salt: enters the keys: what else the answers depend on, at most 16 bytes.
        first_row: where these texts begin in the caller's count, for messages.
    Raises: DataDamaged when a text has no token at all.
    """
    keys: dict[bytes, int] = {}
    ids: list[Ragged] = []
    types: list[Ragged] = []
    of_row = np.empty(len(texts), dtype=np.int64)
    truncated = 0
    for start in range(0, len(texts), CHUNK):
        some = list(texts[start : start + CHUNK])
        other = None if pairs is None else list(pairs[start : start + CHUNK])
        found = tokenize(tokenizer, some, other, max_length)
        chunk_ids = found["input_ids"]
        chunk_types = found.get("token_type_ids")
        truncated += len(rows_cut(tokenizer, some, other, chunk_ids, max_length))
        new = []
        for row, sequence in enumerate(chunk_ids):
            if not sequence:
                raise DataDamaged(
                    f"the text of row {first_row + start + row + 1} (counted from 1) has no token", mend="leave it out"
                )
            key = _key(sequence, None if chunk_types is None else chunk_types[row], salt)
            if key not in keys:
                keys[key] = len(keys)
                new.append(row)
            of_row[start + row] = keys[key]
        ids.append(Ragged.of([chunk_ids[row] for row in new]))
        if chunk_types is not None:
            types.append(Ragged.of([chunk_types[row] for row in new]))
    names = list(keys)
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    return Inputs(
        keys=[names[i] for i in order],
        ids=Ragged.joined(ids).taken(order),
        types=Ragged.joined(types).taken(order) if types else None,
        of_row=place[of_row],
        truncated=truncated,
    )


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    pairs: list[str] | None,
    max_length: int | None,
    *,
    as_targets: bool = False,
) -> BatchEncoding:
    """Token ids without padding, and whatever else the tokenizer says of them; nothing is cut without `max_length`.

    Args:
        as_targets: the texts are what an encoder-decoder is to write; some tokenizers have another vocabulary for it.
    """
    limit = {"truncation": True, "max_length": max_length} if max_length is not None else {"truncation": False}
    given = {"text_target": texts} if as_targets else {"text": texts, "text_pair": pairs}
    # verbose: transformers would warn of long texts; we count them instead.
    return tokenizer(**given, padding=False, return_attention_mask=False, verbose=False, **limit)


def rows_cut(
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    pairs: list[str] | None,
    ids: list[list[int]],
    max_length: int,
    *,
    as_targets: bool = False,
) -> list[int]:
    """Which texts have more tokens than were kept; only those that fill the length can."""
    full = [row for row, sequence in enumerate(ids) if len(sequence) >= max_length]
    if not full:
        return []
    others = None if pairs is None else [pairs[row] for row in full]
    whole = tokenize(tokenizer, [texts[row] for row in full], others, None, as_targets=as_targets)["input_ids"]
    return [row for row, sequence in zip(full, whole, strict=True) if len(sequence) > len(ids[row])]


def _key(ids: list[int], types: list[int] | None, salt: str) -> bytes:
    hashed = blake2b(np.asarray([len(ids), *ids], dtype=np.int32).tobytes(), digest_size=16, person=salt.encode())
    if types is not None and any(types):  # the text "a [SEP] b" and the pair ("a", "b") have equal ids
        hashed.update(np.asarray(types, dtype=np.int8).tobytes())
    return hashed.digest()
