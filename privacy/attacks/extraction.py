"""Verbatim extraction: given the beginning of a training text, does the model write how it goes on, word for word?

Greedy continuation of a prefix, held against the suffix that stood in training. Held-out texts are asked, too: what is
written of them was foreseen, not remembered.

Source: Carlini et al. 2023, arXiv:2202.07646 ("discoverable": 50 tokens of prefix, 50 of suffix).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from core_model.predictions import Generations

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Writer(Protocol):
    """As much of a predictor as an extraction asks."""

    def generate(self, texts: Sequence[str], *, beams: int = 1, max_new_tokens: int | None = None) -> Generations:
        """What the model writes behind each text."""
        ...


@dataclass(frozen=True)
class Cut:
    """Texts cut in two, as a model of this tokenizer reads them.

    Attributes:
        rows: (texts,) where each stood. prefixes, suffixes: as text.
    """

    rows: np.ndarray
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)


def cut_in_two(
    texts: Sequence[str], rows: np.ndarray, tokenizer: PreTrainedTokenizerBase, *, tokens: int, most: int
) -> Cut:
    """The first texts that have `tokens` tokens twice, cut behind the first of them.

    A text whose prefix is not read as the same tokens again is passed over: the model would be asked something else.

    Args:
        rows: which texts to look at, in this order.
        most: texts at most.
    """
    chosen: list[int] = []
    prefixes, suffixes = [], []
    for row in rows:
        if len(chosen) == most:
            break
        ids = _ids(tokenizer, texts[int(row)])
        if len(ids) < 2 * tokens:
            continue
        prefix = str(tokenizer.decode(ids[:tokens]))
        if _ids(tokenizer, prefix) != ids[:tokens]:
            continue
        chosen.append(int(row))
        prefixes.append(prefix)
        suffixes.append(str(tokenizer.decode(ids[tokens : 2 * tokens])))
    return Cut(np.array(chosen, dtype=np.int64), tuple(prefixes), tuple(suffixes))


def extracted(cut: Cut, written: Generations) -> np.ndarray:
    """Whether each suffix was written word for word, (texts,) bool; how many blanks stand between words is not held."""
    return np.array(
        [wrote.split() == suffix.split() for wrote, suffix in zip(written.texts, cut.suffixes, strict=True)], dtype=bool
    )


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
