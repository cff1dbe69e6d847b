"""The proof by swapping: what happens when an identity term that the model leans on becomes its counterpart?

Deleting a word leaves a text that nobody wrote; "she" that becomes "he" leaves one that somebody could have. Only this
word is swapped, everywhere in the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from audit.plugin import Need
from audit.statistics import Estimate, paired_difference_of_proportions, proportion
from core_model.identity_swap import Category, IdentityTerms, read_terms, swap

if TYPE_CHECKING:
    from audit.subject import Subject


@dataclass(frozen=True)
class Swapped:
    """What swapping one word did.

    Attributes:
        category: of the identity, such as "gender".
        flips: share of the rows with the word whose predicted label changes.
        accuracy: accuracy after the swap minus before; absent without labels.
    """

    category: str
    flips: Estimate
    accuracy: Estimate


@lru_cache(maxsize=1)
def identity_terms() -> IdentityTerms:
    """This suite's list, read once."""
    return read_terms()


def category_of(word: str) -> Category | None:
    """The category that swaps this word (in lower case) and no other; None where it is no identity term."""
    for category in identity_terms().categories:
        alone = replace(category, lengths={word: (1,)})
        if 1 in category.lengths.get(word, ()) and swap(word, alone, identity_terms()) is not None:
            return alone
    return None


def identity_words(words: Iterable[str], most: int) -> list[str]:
    """The first so many that are identity terms."""
    found: list[str] = []
    for word in words:
        if len(found) == most:
            break
        if category_of(word) is not None:
            found.append(word)
    return found


def swapped(subject: Subject, word: str, rows: np.ndarray) -> Swapped | None:
    """Swap a word in rows that hold it, and count flips and accuracy; None where it has no counterpart."""
    category = category_of(word)
    if category is None or not len(rows):
        return None

    def other(texts: Sequence[str]) -> list[str]:
        return [swap(text, category, identity_terms()) or text for text in texts]

    pairs = subject.data.pairs
    texts = other([subject.texts[row] for row in rows])
    second = None if pairs is None else other([pairs[row] for row in rows])
    before, after = subject.predictions.predicted[rows], subject.predict(texts, second).predicted
    accuracy = Estimate.absent("the data have no labels; --label-column COLUMN supplies them", n=len(rows))
    if subject.has(Need.LABELS):
        right, still = before == subject.targets[rows], after == subject.targets[rows]
        accuracy = paired_difference_of_proportions(
            int((still & right).sum()), int((still & ~right).sum()), int((~still & right).sum()),
            int((~still & ~right).sum()),
        )  # fmt: skip
    return Swapped(category.name, proportion(int((before != after).sum()), len(rows)), accuracy)
