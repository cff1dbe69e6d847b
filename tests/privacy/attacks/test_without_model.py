"""The attack without a model: chance where both sides are of one kind, certain where one word gives a side away."""

from __future__ import annotations

import numpy as np

from audit.statistics import auroc
from privacy.attacks.without_model import bag_of_words_scores
from tests.factories import WORDS


def texts(count: int, random: np.random.Generator, extra: str = "") -> list[str]:
    return [" ".join([*random.choice(WORDS, 8), *([extra] if extra and random.random() < 0.5 else [])])
            for _ in range(count)]  # fmt: skip


def area(extra: str, seed: int):
    random = np.random.default_rng(seed)
    scores = bag_of_words_scores(texts(60, random, extra), texts(60, random), seed=seed)
    return auroc(np.concatenate(scores), np.repeat([True, False], 60))


def test_one_kind_of_rows_gives_chance_and_a_word_that_only_members_have_is_found():
    assert sum(area("", seed).covers(0.5) for seed in range(40)) >= 33  # folds share rows: a little below 38
    assert area("2024", 0).low > 0.6


def test_no_row_is_scored_by_a_model_that_learnt_from_it():
    """Texts of words that stand nowhere else cannot be learnt from others: they score alike."""
    members, others = [f"m{i} n{i}" for i in range(30)], [f"o{i} p{i}" for i in range(30)]
    found = auroc(np.concatenate(bag_of_words_scores(members, others, seed=0)), np.repeat([True, False], 30))
    assert found.value == 0.5
