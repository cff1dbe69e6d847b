"""The counterfactual identity swap: does the answer change when only the identity in the text does?

Each row that holds a term of a category gives one swapped text for that category; the row is the unit of every rate,
so that a row with terms of two categories counts once overall.

Source: Garg et al. 2019, "Counterfactual Fairness in Text Classification through Robustness", arXiv:1809.10610.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.evidence import Limit, metric
from audit.statistics.bootstrap import bootstrap_mean
from audit.statistics.estimate import Estimate
from audit.statistics.proportions import proportion
from core_model.identity_swap import IdentityTerms, swap, words_of
from reports.record import Metric

if TYPE_CHECKING:
    from core_model.predictions import Predictions

SOURCE = "Garg et al. 2019, arXiv:1809.10610"
NO_TERM = "no row holds a term of the identity list"


@dataclass(frozen=True, eq=False)
class Swaps:
    """Swapped texts, one for each row and category where a term was found.

    Attributes:
        categories: names, in the order of the list.
        rows: which row each swapped text is of, (swaps,).
        category: index of its category, (swaps,).
        texts: the swapped texts, (swaps,).
        pairs: the swapped second texts, or None where rows have none.
        rows_with_term: how many rows hold a term, before `most` was applied.
        rows_in_all: how many rows there are.
    """

    categories: tuple[str, ...]
    rows: np.ndarray
    category: np.ndarray
    texts: Sequence[str]
    pairs: Sequence[str] | None
    rows_with_term: int
    rows_in_all: int


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What the swap did to the answers. Arrays are (swaps,), in the order of `swaps`.

    Attributes:
        flipped: whether the predicted label changed.
        shift: change of the score (swapped minus original), in probability.
        predicted: predicted class after the swap.
    """

    swaps: Swaps
    flipped: np.ndarray
    shift: np.ndarray
    predicted: np.ndarray


def swaps_of(
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    terms: IdentityTerms,
    *,
    most: int | None,
    random: np.random.Generator,
) -> Swaps:
    """Swap every row that holds a term.

    Args:
        texts, pairs: the rows; a term in either part is swapped in both.
        terms: the list.
        most: swap at most this many rows, drawn at random; None for all.
    """
    found: list[tuple[int, int, str, str | None]] = []
    for row, text in enumerate(texts):
        pair = None if pairs is None else pairs[row]
        words, pair_words = words_of(text), [] if pair is None else words_of(pair)
        for place, category in enumerate(terms.categories):
            swapped = swap(text, category, terms, words)
            swapped_pair = None if pair is None else swap(pair, category, terms, pair_words)
            if swapped is not None or swapped_pair is not None:
                found.append((row, place, swapped or text, swapped_pair or pair))
    rows = np.array([row for row, *_ in found], dtype=np.int64)
    holders = np.unique(rows)
    if most is not None and len(holders) > most:
        drawn = set(random.choice(holders, size=most, replace=False).tolist())
        found = [one for one in found if one[0] in drawn]
    return Swaps(
        categories=tuple(category.name for category in terms.categories),
        rows=np.array([row for row, *_ in found], dtype=np.int64),
        category=np.array([place for _, place, *_ in found], dtype=np.int64),
        texts=[text for *_, text, _ in found],
        pairs=None if pairs is None else [pair or "" for *_, pair in found],
        rows_with_term=len(holders),
        rows_in_all=len(texts),
    )


def compare(swaps: Swaps, before: Predictions, after: Predictions, *, selected: int | None) -> Outcomes:
    """Hold the answers to the swapped texts against those to the originals.

    Args:
        before: predictions of all rows; after: of the swapped texts.
        selected: the class whose probability is the score; None for the class that was predicted before.
    """
    was = before.predicted[swaps.rows]
    score_class = was if selected is None else np.full(len(swaps.rows), selected)
    place = np.arange(len(swaps.rows))
    shift = after.probabilities[place, score_class] - before.probabilities[swaps.rows, score_class]
    return Outcomes(swaps, after.predicted != was, shift, after.predicted)


def metrics_of(
    outcomes: Outcomes,
    *,
    limit: Limit,
    minimum_rows: int,
    score: str,
    resamples: int,
    random: np.random.Generator,
) -> list[Metric]:
    """Flip rate, score shift and token-fairness gap, overall and by category; and the share of rows with a term.

    Args:
        limit: for the flip rates.
        minimum_rows: a category with fewer rows is shown, and held to no limit.
        score: what the score is, in words: "the probability of 'toxic'".
    """
    swaps = outcomes.swaps
    metrics = [
        metric(
            "identity_term_share",
            proportion(swaps.rows_with_term, swaps.rows_in_all),
            unit="share of rows",
            definition="share of rows that hold a term of the identity list; of the others the swap says nothing",
        )
    ]
    everything = np.ones(len(swaps.rows), dtype=bool)
    metrics += _of(outcomes, everything, {}, limit=limit, score=score, resamples=resamples, random=random)
    for place, name in enumerate(swaps.categories):
        chosen = swaps.category == place
        if chosen.any():
            part = {"category": name}
            held = limit if int(chosen.sum()) >= minimum_rows else None
            metrics += _of(outcomes, chosen, part, limit=held, score=score, resamples=resamples, random=random)
    return metrics


def _of(
    outcomes: Outcomes,
    chosen: np.ndarray,
    part: dict[str, str],
    *,
    limit: Limit | None,
    score: str,
    resamples: int,
    random: np.random.Generator,
) -> list[Metric]:
    flipped, shift, size = by_row(outcomes, chosen)
    n = len(flipped)
    flips = proportion(int(flipped.sum()), n) if n else Estimate.absent(NO_TERM)

    def averaged(values: np.ndarray) -> Estimate:
        return bootstrap_mean(values, random, resamples=resamples) if n else Estimate.absent(NO_TERM)

    return [
        metric(
            "counterfactual_flip_rate",
            flips,
            unit="share of rows with a term",
            better="lower",
            limit=limit,
            slice=part,
            definition="share of rows with an identity term whose predicted label changes when the term is swapped",
            source=SOURCE,
        ),
        metric(
            "counterfactual_score_shift",
            averaged(shift),
            unit="probability",
            slice=part,
            definition=f"mean change of {score} by the swap (swapped minus original); opposite changes cancel",
            source=SOURCE,
        ),
        metric(
            "counterfactual_token_fairness_gap",
            averaged(size),
            unit="probability",
            better="lower",
            slice=part,
            definition=f"mean size of the change of {score} by the swap, whatever its direction",
            source=SOURCE,
        ),
    ]


def by_row(outcomes: Outcomes, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each row once: whether any of its swaps flips it, its mean shift and mean size of shift; (rows with a term,)."""
    _, line = np.unique(outcomes.swaps.rows[chosen], return_inverse=True)
    swaps = np.maximum(np.bincount(line), 1)
    flipped = np.bincount(line, weights=outcomes.flipped[chosen]) > 0
    shift = np.bincount(line, weights=outcomes.shift[chosen]) / swaps
    size = np.bincount(line, weights=np.abs(outcomes.shift[chosen])) / swaps
    return flipped, shift, size
