"""LiRA and RMIA are their formulas, give chance on nulls, and find a leak that was planted."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from pytest import approx
from scipy.stats import norm

from audit.statistics import auroc
from privacy.attacks.likelihood_ratio import lira, rmia
from privacy.attacks.reference_models import halves

MEMBERS = 150


def scene(leak: float, *, models: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows as hard as they are by nature, and `leak` nats easier for every model that had them.

    Returns: log p under the target, (models, rows) under references, who was in, and who is a member of the target.
    """
    random = np.random.default_rng(seed)
    rows = 2 * MEMBERS
    hardness, member = random.normal(-2, 1, rows), np.arange(rows) < MEMBERS
    included = halves(models, rows, random)

    def said(had: np.ndarray) -> np.ndarray:
        return hardness + leak * had + random.normal(0, 0.2, had.shape)

    return said(member), said(included), included, member


def area(scores: np.ndarray, member: np.ndarray):
    return auroc(scores, member)


def test_lira_is_the_ratio_of_two_normal_densities_row_by_row():
    target, references, included, _ = scene(0.3, models=6)
    sides = []
    for side in (included, ~included):
        means = [references[side[:, row], row].mean() for row in range(len(target))]
        residuals = [references[m, row] - means[row] for row in range(len(target)) for m in range(6) if side[m, row]]
        variance = sum(r * r for r in residuals) / (len(residuals) - len(target))
        sides.append([norm.logpdf(x, mean, variance**0.5) for x, mean in zip(target, means, strict=True)])
    slow = [a - b for a, b in zip(*sides, strict=True)]
    assert lira(target, references, included) == approx(slow, rel=1e-9)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_rmia_counts_the_population_rows_that_a_row_dominates(gamma: float):
    target, references, included, member = scene(0.3)
    ratios = []
    for row in range(len(target)):
        with_row = [exp(references[m, row]) for m in range(4) if included[m, row]]
        without = [exp(references[m, row]) for m in range(4) if not included[m, row]]
        ratios.append(exp(target[row]) / (0.5 * np.mean(with_row) + 0.5 * np.mean(without)))
    slow = [
        np.mean([log(ratio) - log(ratios[z]) >= log(gamma) - 1e-12 for z in np.flatnonzero(~member)])
        for ratio in ratios
    ]
    assert rmia(target, references, included, ~member, gamma=gamma) == approx(slow)


@pytest.mark.parametrize("attack", ["lira", "rmia"])
def test_nulls_give_chance_at_the_nominal_rate_and_a_planted_leak_is_found(attack: str):
    def found(leak: float, seed: int):
        target, references, included, member = scene(leak, seed=seed)
        scores = lira(target, references, included) if attack == "lira" else rmia(target, references, included, ~member)
        return area(scores, member)

    covered = sum(found(0.0, seed).covers(0.5) for seed in range(200))
    assert 180 <= covered <= 199  # 190 of 200 expected; within 3 standard deviations
    assert all(found(0.4, seed).low > 0.55 for seed in range(20))


def test_reference_models_beat_the_loss_where_rows_differ_in_hardness():
    target, references, included, member = scene(0.4)
    assert area(lira(target, references, included), member).low > area(target, member).high


def test_models_of_one_kind_are_refused():
    target, references, included, _ = scene(0.0, models=2)  # one with each row, one without: no variance
    with pytest.raises(ValueError, match="two of a kind"):
        lira(target, references, included)
    with pytest.raises(ValueError, match="with and without"):
        lira(target, references, np.ones_like(included))
