"""A classifier's answers under every noise: what each row says when it is changed, asked in one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core_model.noise import NOISES, Noise, keeps_meaning, noisy_texts

if TYPE_CHECKING:
    from audit.subject import Subject


@dataclass(frozen=True, eq=False)
class UnderNoise:
    """One noise at one rate, on the sampled rows.

    Attributes:
        noise, rate: which.
        texts: (rows,) as they became.
        changed: (rows,) bool, whether the noise touched the row.
        predicted: (rows,) class index of the answer to the changed text.
        kept: (rows,) bool, whether it is the answer to the text as it was.
    """

    noise: Noise
    rate: float
    texts: Sequence[str]
    changed: np.ndarray
    predicted: np.ndarray
    kept: np.ndarray

    @property
    def slice(self) -> dict[str, str]:
        """As the record names it; the rate only where there are degrees."""
        return {"noise": self.noise.name, **({"rate": f"{self.rate:g}"} if self.rate < 1 else {})}

    @property
    def words(self) -> str:
        """For readers: "typos (0.3)"."""
        return self.name if self.rate == 1 else f"{self.name} ({self.rate:g})"

    @property
    def what(self) -> str:
        """What the noise does, in a few words."""
        return self.noise.said(self.rate)

    @property
    def name(self) -> str:
        """For sentences."""
        return self.noise.name.replace("_", " ")

    @property
    def judged(self) -> bool:
        """Whether the answer surely should stay."""
        return keeps_meaning(self.noise, self.rate)


def ask_under_noise(subject: Subject, rows: np.ndarray, seed: int) -> list[UnderNoise]:
    """What the model says of some rows under every noise; rows that a noise leaves alone are not asked again.

    Args:
        rows: (sampled rows,) their numbers.
    """
    texts = [subject.texts[row] for row in rows]
    before = subject.predictions.predicted[rows]
    forms = [(noise, rate) for noise in NOISES.values() for rate in noise.rates]
    noisy = [noisy_texts(texts, noise, rate, seed=seed) for noise, rate in forms]
    changed = np.array([[a != b for a, b in zip(some, texts, strict=True)] for some in noisy])
    asked = [(form, place) for form, place in zip(*np.nonzero(changed), strict=True)]
    pairs = subject.data.pairs
    after = np.tile(before, (len(forms), 1))
    if asked:
        after[changed] = subject.predict(
            [noisy[form][place] for form, place in asked],
            None if pairs is None else [pairs[rows[place]] for _, place in asked],
        ).predicted
    return [
        UnderNoise(noise, rate, noisy[form], changed[form], after[form], after[form] == before)
        for form, (noise, rate) in enumerate(forms)
    ]
