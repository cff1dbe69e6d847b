"""Words that go with a label: by counting rows, without a model.

Log odds of a word's rows in one class against all others, with a Dirichlet prior of the words' own frequencies, in
standard errors: a rare word must be very one-sided to count.

Source: Monroe, Colaresi and Quinn 2008, "Fightin' Words", Political Analysis 16:372, doi:10.1093/pan/mpn018.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from core_model.identity_swap import words_of

FEWEST_ROWS = 5  # of a word, to be looked at
PRIOR_ROWS = 500.0  # rows' worth of words that the prior weighs


def distinct_words(text: str) -> set[str]:
    """Its words, case-folded, each once."""
    return {word for _, _, word in words_of(text)}


def label_words(texts: Sequence[str], targets: np.ndarray, classes: int) -> list[dict[str, float]]:
    """How strongly each word goes with each class.

    Args:
        texts: (rows,). targets: (rows,) index of the class.
    Returns: for each class, word -> z; words in fewer than 5 rows are left out.
    """
    counts: list[Counter[str]] = [Counter() for _ in range(classes)]
    for text, target in zip(texts, targets, strict=True):
        counts[int(target)].update(distinct_words(text))
    everywhere = sum(counts, Counter[str]())
    words = sorted(word for word, rows in everywhere.items() if rows >= FEWEST_ROWS)
    if not words:
        return [{} for _ in range(classes)]
    table = np.array([[one[word] for word in words] for one in counts], dtype=np.float64)
    in_all = table.sum(axis=0)
    prior = PRIOR_ROWS * in_all / in_all.sum()
    found = []
    for inside in table:
        other = in_all - inside
        sides = []
        for rows in (inside, other):
            weight = rows + prior
            sides.append((np.log(weight / (weight.sum() - weight)), 1 / weight))
        (ours, our_variance), (theirs, their_variance) = sides
        z = (ours - theirs) / np.sqrt(our_variance + their_variance)
        found.append(dict(zip(words, z.tolist(), strict=True)))
    return found


def decisive_part(text: str, evidence: Mapping[str, float], most: int) -> tuple[str, float]:
    """The run of at most `most` words whose evidence adds up to the most, as it stands in the text; and that sum."""
    words = words_of(text)
    if not words:
        return "", 0.0
    values = np.array([evidence.get(word, 0.0) for _, _, word in words])
    length = min(most, len(values))
    sums = np.convolve(values, np.ones(length), mode="valid")
    first = int(sums.argmax())
    return text[words[first][0] : words[first + length - 1][1]], float(sums[first])
