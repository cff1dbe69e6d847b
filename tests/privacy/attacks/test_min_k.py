"""Min-K%++ is its formula, and finds texts that hold no surprise."""

from __future__ import annotations

import numpy as np
import pytest
from pytest import approx

from audit.statistics import auroc
from core_model.predictions import TokenScores
from privacy.attacks.min_k import min_k_plus_plus


def tokens_of(rows: list[list[float]], means: float = -3.0, deviation: float = 1.5) -> TokenScores:
    flat = np.array([value for row in rows for value in row], dtype=np.float32)
    starts = np.cumsum([0, *(len(row) for row in rows)])
    return TokenScores(starts, flat, np.full_like(flat, means), np.full_like(flat, deviation))


@pytest.mark.parametrize("share", [0.1, 0.2, 1.0])
def test_it_is_the_mean_of_the_lowest_standardised_tokens(share: float):
    random = np.random.default_rng(0)
    rows = [list(random.normal(-3, 2, int(random.integers(1, 40)))) for _ in range(30)]
    slow = []
    for row in rows:
        lowest = sorted((value + 3.0) / 1.5 for value in row)[: int(np.ceil(share * len(row)))]
        slow.append(sum(lowest) / len(lowest))
    assert min_k_plus_plus(tokens_of(rows), share=share) == approx(slow, rel=1e-5)


def test_a_text_without_a_scored_token_has_no_score_and_certainty_divides_by_nothing():
    scores = min_k_plus_plus(tokens_of([[-1.0], [], [-2.0, -4.0]]))
    assert np.isnan(scores).tolist() == [False, True, False]
    assert np.isfinite(min_k_plus_plus(tokens_of([[-1.0]], deviation=0.0))).all()


def test_nulls_give_chance_and_texts_without_surprise_are_found():
    random = np.random.default_rng(1)

    def texts(floor: float, rows: int = 200) -> list[list[float]]:
        return [list(np.maximum(random.normal(-3, 1.5, 30), floor)) for _ in range(rows)]

    def area(members: list[list[float]]):
        scores = [min_k_plus_plus(tokens_of(some)) for some in (members, texts(-99.0))]
        return auroc(np.concatenate(scores), np.repeat([True, False], [len(s) for s in scores]))

    assert 88 <= sum(area(texts(-99.0)).covers(0.5) for _ in range(100)) <= 100
    assert area(texts(-4.5)).low > 0.6
