"""MinHash signatures on disk, and the texts that share a band of theirs: locality-sensitive hashing by sorting.

An index of all bands in memory takes kilobytes a text. Here a text's signature is 512 bytes on disk; a few bands at a
time are hashed to 8 bytes a text, sorted, and equal neighbours are the candidates. The bands are those of
`core_model.duplicates`: a pair exactly at the threshold is missed with probability below one in a million.

Source: Broder 1997, On the resemblance and containment of documents; Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, chapter 3.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core_model.duplicates import PERMUTATIONS, Shingles, Signer

SIGNATURE_BYTES = 4 * PERMUTATIONS
BLOCK = 4_096  # signatures read at once: 2 MB
BAND_BYTES = 64_000_000  # hashes of as many bands as fit here are sorted in one pass over the file
MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio: Knuth's multiplicative hashing


class Signatures:
    """One signature a text, in the order in which texts are added. The file has no name.

    Args:
        folder: where the file lives.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=1 << 20)  # noqa: SIM115  # lives as long as this object
        self._sign = Signer()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, some: Shingles) -> None:
        """Sign one more text."""
        self._file.write(self._sign(some).hashvalues.tobytes())
        self._count += 1

    def take(self, texts: np.ndarray) -> np.ndarray:
        """The signatures of some texts, (texts, PERMUTATIONS) uint32."""
        handle = self._file.fileno()
        read = (os.pread(handle, SIGNATURE_BYTES, int(text) * SIGNATURE_BYTES) for text in texts)
        return np.frombuffer(b"".join(read), np.uint32).reshape(len(texts), PERMUTATIONS)

    def groups(self, bands: int, values: int) -> Iterator[tuple[int, np.ndarray]]:
        """Texts that share a band, for each band: (band, increasing numbers of at least two texts)."""
        self._file.flush()
        at_once = max(1, min(bands, BAND_BYTES // (8 * max(1, self._count))))
        for first in range(0, bands, at_once):
            chosen = range(first, min(first + at_once, bands))
            for band, hashes in zip(chosen, self._band_hashes(chosen, values), strict=True):
                for group in equal_groups(hashes):
                    yield band, group

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()

    def _band_hashes(self, bands: range, values: int) -> np.ndarray:
        """(bands, texts) uint64; equal for equal bands."""
        hashes = np.empty((len(bands), self._count), np.uint64)
        self._file.seek(0)
        for start in range(0, self._count, BLOCK):
            block = np.frombuffer(self._file.read(BLOCK * SIGNATURE_BYTES), np.uint32).reshape(-1, PERMUTATIONS)
            for place, band in enumerate(bands):
                mixed = np.zeros(len(block), np.uint64)
                for column in block[:, band * values : (band + 1) * values].T:
                    mixed = (mixed ^ column) * MIX
                    mixed ^= mixed >> np.uint64(29)
                hashes[place, start : start + len(block)] = mixed
        return hashes


def equal_groups(values: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of equal values, increasing, for each value that occurs more than once."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else order
    ends = np.append(starts[1:], len(ordered))
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        yield order[start:end]
