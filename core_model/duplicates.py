"""Which test rows stand in the training data, word for word or nearly so?

Exact: equal after Unicode normalisation (NFKC), lower-casing and joining of blanks. Near: the Jaccard similarity of the
sets of three-word shingles reaches a threshold; 0.8 is the usual one for near-duplicate text. Candidates come from
MinHash signatures in bands, and each is then held against the other by its true Jaccard similarity, so that no row is
accused by an approximation. At the threshold a pair is missed with probability below one in a million.

Source: Broder 1997, On the resemblance and containment of documents; Lee et al. 2022, arXiv:2107.06499.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from datasketch import MinHash

PERMUTATIONS = 128
SEED = 1
SHINGLE_WORDS = 3
BATCH_SHINGLES = 8_192  # hashed at once: 4 MB; a book has a million
MISSED = 1e-6  # probability of overlooking a pair that is exactly as similar as the threshold

Shingles = frozenset[str]
T = TypeVar("T")


@dataclass(frozen=True)
class Overlap:
    """What of the test rows is in the training rows.

    Attributes:
        exact: (test rows,) bool.
        near: (test rows,) bool; without the exact ones, so that the two can be added.
        pairs: for each exact or near row its most similar training row, the first of several:
            (test row, training row, Jaccard similarity).
    """

    exact: np.ndarray
    near: np.ndarray
    pairs: list[tuple[int, int, float]]


def overlap(train: Sequence[str], test: Sequence[str], *, threshold: float = 0.8) -> Overlap:
    """Find test rows that occur in training, exactly or nearly.

    Args:
        train, test: texts, (training rows,) and (test rows,).
        threshold: smallest Jaccard similarity that counts as near, in (0, 1].
    Raises: ValueError for a threshold outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold} is no similarity in (0, 1]")
    first_exact = _first_rows(normalised(text) for text in train)
    first_of = _first_rows(shingles(text) for text in train)
    known = list(first_of)
    index = _Index(known, threshold)
    exact, near = np.zeros(len(test), bool), np.zeros(len(test), bool)
    pairs: list[tuple[int, int, float]] = []
    nearest: dict[Shingles, tuple[float, int] | None] = {}
    for row, text in enumerate(test):
        same = first_exact.get(normalised(text))
        if same is not None:
            exact[row] = True
            pairs.append((row, same, 1.0))
            continue
        mine = shingles(text)
        if mine not in nearest:
            similar = ((jaccard(mine, known[i]), -first_of[known[i]]) for i in index.candidates(mine))
            best = max(similar, default=(0.0, 0))
            nearest[mine] = best if best[0] >= threshold else None
        if (found := nearest[mine]) is not None:
            near[row] = True
            pairs.append((row, -found[1], found[0]))
    return Overlap(exact, near, pairs)


def normalised(text: str) -> str:
    """The text without differences that no reader would see: NFKC, lower case, single blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def shingles(text: str) -> Shingles:
    """The set of its runs of three words; of a shorter text all words together, of one without words itself."""
    plain = normalised(text)
    words = re.findall(r"\w+", plain)
    if len(words) < SHINGLE_WORDS:
        return frozenset([" ".join(words) or plain])
    return frozenset(" ".join(words[i : i + SHINGLE_WORDS]) for i in range(len(words) - SHINGLE_WORDS + 1))


def jaccard(a: Shingles, b: Shingles) -> float:
    """Size of the intersection over size of the union; 1 for two empty sets."""
    common = len(a & b)
    union = len(a) + len(b) - common
    return common / union if union else 1.0


def bands(threshold: float) -> tuple[int, int]:
    """How to cut a signature: (bands, values a band), as selective as the probability of a miss allows."""
    for values in range(PERMUTATIONS // 2, 0, -1):  # datasketch wants two bands at least
        count = PERMUTATIONS // values
        if (1 - threshold**values) ** count <= MISSED:
            return count, values
    return PERMUTATIONS, 1


class Signer:
    """Makes MinHash signatures of sets of shingles; equal sets have equal ones, on every machine."""

    def __init__(self) -> None:
        from datasketch import MinHash

        self._blank = MinHash(num_perm=PERMUTATIONS, seed=SEED, hashfunc=zlib.crc32)

    def __call__(self, some: Shingles) -> MinHash:
        """The set's signature; its `hashvalues` are (PERMUTATIONS,) uint32."""
        signature = self._blank.copy()
        encoded = [shingle.encode("utf-8", "surrogatepass") for shingle in some]
        for start in range(0, len(encoded), BATCH_SHINGLES):
            signature.update_batch(encoded[start : start + BATCH_SHINGLES])
        return signature


class _Index:
    """Sets that may be similar to another: those that share a band of their MinHash signatures."""

    def __init__(self, known: Sequence[Shingles], threshold: float) -> None:
        from datasketch import MinHashLSH

        self._signature = Signer()
        self._lsh = MinHashLSH(num_perm=PERMUTATIONS, params=bands(threshold))
        with self._lsh.insertion_session() as session:
            for i, some in enumerate(known):
                session.insert(i, self._signature(some), check_duplication=False)

    def candidates(self, some: Shingles) -> list[int]:
        """Positions in `known` of sets worth a comparison."""
        found: list[int] = self._lsh.query(self._signature(some))
        return found


def _first_rows(keys: Iterable[T]) -> dict[T, int]:
    first: dict[T, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    return first
