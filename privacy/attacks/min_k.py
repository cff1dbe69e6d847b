"""Min-K%++: a text that was trained on has no token that surprises the model more than its place would lead to expect.

Each token's log p is standardised by what was to be expected there: the mean and the standard deviation of log p under
the model's own distribution. The mean of the lowest share of them is the score; higher says "was in training".

Source: Zhang et al. 2024, arXiv:2404.02936, section 3.2; Shi et al. 2023, arXiv:2310.16789 (the lowest 20%).
"""

from __future__ import annotations

from math import ceil

import numpy as np

from core_model.predictions import TokenScores

SHARE = 0.2
LEAST_DEVIATION = 1e-6  # a distribution that is certain has none


def min_k_plus_plus(tokens: TokenScores, *, share: float = SHARE) -> np.ndarray:
    """The score of each text, (rows,); NaN where no token is scored.

    Args:
        share: of the tokens, the lowest of which are averaged; at least one.
    """
    standardised = (tokens.log_probabilities - tokens.means) / np.maximum(tokens.deviations, LEAST_DEVIATION)
    scores = np.full(len(tokens), np.nan)
    for row, (start, end) in enumerate(zip(tokens.starts[:-1], tokens.starts[1:], strict=True)):
        if end > start:
            lowest = ceil(share * (end - start))
            scores[row] = np.partition(standardised[start:end].astype(np.float64), lowest - 1)[:lowest].mean()
    return scores
