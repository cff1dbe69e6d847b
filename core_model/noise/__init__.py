"""Noise that is nobody's attack: what happens to texts on their way, by people's fingers, keyboards and programs.

    text = NOISES["typos"].apply("a good book", 0.3, np.random.default_rng(0))      # "a goid book"
    noisy_texts(texts, NOISES["typos"], 0.3, seed=0)                                # each row by its own generator

Each noise is a pure function of a text, a rate and a generator. What a row becomes follows from (seed, noise, rate,
text) alone, so that rows may be left out, or be read in another order, without a change to the others.

Sources: Belinkov and Bisk 2018, arXiv:1711.02173 (typing); Ribeiro et al. 2020, arXiv:2005.04118 (CheckList: invariance
to typos, contractions); Boucher et al. 2022, arXiv:2106.09898 (Unicode). None of them is tuned against a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np

from core_model.noise.characters import decomposed, full_width, look_alikes, without_accents
from core_model.noise.surface import (
    lower_case,
    punctuation_added,
    random_case,
    spaces_added,
    spaces_lost,
    upper_case,
    without_punctuation,
)
from core_model.noise.wording import contractions, number_words, spelling, truncated
from core_model.noise.words import typos

Perturb = Callable[[str, float, np.random.Generator], str]
Family = Literal["typing", "casing", "punctuation", "whitespace", "unicode", "wording", "truncation"]


@dataclass(frozen=True)
class Noise:
    """One way in which a text changes and its meaning does not (truncation: may not).

    Attributes:
        name: as the record says it.
        family: what it is akin to.
        apply: from text, rate and generator to text; it returns the text itself where there is nothing to change.
        rates: how severe, mildest first: shares of the words (letters, for the case) that are touched; (1.0,) where
            there are no degrees.
        what: in a few words, for readers; "{share}" is the rate.
    """

    name: str
    family: Family
    apply: Perturb
    rates: tuple[float, ...]
    what: str

    def said(self, rate: float) -> str:
        """What it does at a rate, in a few words."""
        return self.what.format(share=f"{rate:.0%}")


NOISES: Mapping[str, Noise] = {
    noise.name: noise
    for noise in (
        Noise("typos", "typing", typos, (0.1, 0.3, 0.6), "a letter beside the right key, two letters in the wrong "
              "order, one missing or doubled, in {share} of the words"),
        Noise("lower_case", "casing", lower_case, (1.0,), "no capital letters"),
        Noise("upper_case", "casing", upper_case, (1.0,), "capital letters alone"),
        Noise("random_case", "casing", random_case, (0.3,), "{share} of the letters in the other case"),
        Noise("no_punctuation", "punctuation", without_punctuation, (1.0,), "all punctuation left out"),
        Noise("punctuation_added", "punctuation", punctuation_added, (0.3,), "a mark after {share} of the words"),
        Noise("spaces_added", "whitespace", spaces_added, (0.3,), "{share} of the spaces longer or of another kind"),
        Noise("spaces_lost", "whitespace", spaces_lost, (0.1, 0.3), "{share} of the spaces left out"),
        Noise("no_accents", "unicode", without_accents, (1.0,), "accents left out"),
        Noise("decomposed", "unicode", decomposed, (1.0,), "letters and their accents as two characters (NFD)"),
        Noise("full_width", "unicode", full_width, (0.3,), "{share} of the words in full-width forms (NFKC)"),
        Noise("look_alikes", "unicode", look_alikes, (0.1, 0.3), "a letter of another alphabet that looks alike, in "
              "{share} of the words"),
        Noise("contractions", "wording", contractions, (1.0,), "English: 'do not' for 'don't', and the other way"),
        Noise("number_words", "wording", number_words, (1.0,), "English: 'three' for '3', and the other way"),
        Noise("spelling", "wording", spelling, (1.0,), "English: British for American spelling, and the other way"),
        Noise("truncated", "truncation", truncated, (0.25, 0.5), "{share} of the words cut off at the end"),
    )
}  # fmt: skip
"""Every noise, by name."""


HEAVY = 0.5  # share of touched words from which another answer may be right


def keeps_meaning(noise: Noise, rate: float) -> bool:
    """Whether an answer surely should stay: not where the end is gone, or most words are touched."""
    return noise.family != "truncation" and (rate == 1 or rate < HEAVY)


def noisy(text: str, noise: Noise, rate: float, *, seed: int) -> str:
    """A text with a noise; the same for the same four arguments."""
    if rate == 1.0:  # without degrees, and so without chance
        return noise.apply(text, rate, _NOTHING_DRAWN)
    named = blake2b(f"{noise.name} {rate!r} {text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return noise.apply(text, rate, np.random.default_rng([seed, int.from_bytes(named, "big")]))


def noisy_texts(texts: Sequence[str], noise: Noise, rate: float, *, seed: int) -> list[str]:
    """Each text with a noise, (rows,)."""
    return [noisy(text, noise, rate, seed=seed) for text in texts]


_NOTHING_DRAWN = np.random.default_rng(0)
