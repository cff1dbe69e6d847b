"""How many words may be replaced before a smoothed classifier's answer can change: the arithmetic, without a model.

A smoothed classifier asks the model about random subsets of k of a text's h words, and answers with the majority. Two
texts that differ in d words look alike to it whenever the subset holds none of these, which happens with probability
1 - Delta, where

    Delta = 1 - C(h - d, k) / C(h, k).

So the share p of subsets that vote for the answer falls by at most beta * Delta, where beta is the share of those
votes among the subsets that do hold a replaced word (Zeng et al. 2021, theorem 1). The answer stays as long as

    p - beta * Delta > 1/2.

beta <= 1 always, and beta = 1 is what is claimed here (Levine and Feizi 2020, theorem 1): it holds whichever words are
replaced by whatever. The paper puts an estimate of beta in its place, the mean over places, which is smaller and
holds on average only; it is measured beside, and no promise.

Sources: Zeng et al. 2021 (RanMASK), arXiv:2105.03743; Levine and Feizi 2020, arXiv:1911.09272; Cohen et al. 2019,
arXiv:1902.02918 (the lower limit of p, and abstention).
"""

from __future__ import annotations

from math import comb

import numpy as np


def subset_size(words: int, keep: float) -> int:
    """How many of a text's words the model is shown: keep times the words, rounded, and at least one."""
    return min(words, max(1, round(keep * words)))


def changed_share(words: int, kept: int, replaced: int) -> float:
    """Delta: the share of subsets of `kept` words that hold at least one of `replaced` words.

    Args:
        words: in the text, h; kept: shown to the model, k <= h; replaced: d <= h.
    """
    return 1 - comb(words - replaced, kept) / comb(words, kept)


def lower_limit(votes: np.ndarray, asked: np.ndarray, failure_probability: float) -> np.ndarray:
    """One-sided Clopper-Pearson limit of the share of subsets that vote for an answer.

    Args:
        votes: for the answer; asked: subsets that were drawn; both (rows,).
        failure_probability: with which a limit may lie above the share.
    Returns: (rows,); 0 where nothing voted for it.
    """
    from scipy.stats import beta

    votes, asked = np.asarray(votes), np.asarray(asked)
    limits = beta.ppf(failure_probability, np.maximum(votes, 1), asked - votes + 1)
    return np.where(votes > 0, limits, 0.0)


def radius_of(share: float, words: int, kept: int, *, beta: float = 1.0) -> int | None:
    """The largest number of replaced words at which the answer holds; None where it holds for no text at all.

    Args:
        share: of the subsets that vote for the answer, or its lower limit.
        beta: share of these votes among subsets with a replaced word; 1 is sound, whatever the replacement.
    """
    if not share > 0.5:
        return None
    radius = 0
    while radius < words and share - beta * changed_share(words, kept, radius + 1) > 0.5:
        radius += 1
    return radius
