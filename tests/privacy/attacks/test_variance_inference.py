"""BaVarIA is the conjugate posterior, learns its prior from the rows, gives chance on nulls, finds a planted leak."""

from __future__ import annotations

import numpy as np
import pytest
from pytest import approx
from scipy.stats import norm

from privacy.attacks.likelihood_ratio import lira
from privacy.attacks.reference_models import halves
from privacy.attacks.variance_inference import Prior, bavaria, fitted_prior, log_predictive
from tests.privacy.attacks.test_likelihood_ratio import area, scene

PRIOR = Prior(mean=-1.0, weight=0.5, variance=0.4, degrees=6.0)


def rows_of(prior: Prior, *, rows: int, each: int, random: np.random.Generator) -> np.ndarray:
    """Observations (each, rows) of rows that were drawn from a prior."""
    variances = prior.degrees * prior.variance / random.chisquare(prior.degrees, rows)
    means = random.normal(prior.mean, np.sqrt(variances / prior.weight))
    return random.normal(means, np.sqrt(variances), (each, rows))


def summed(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    means = seen.mean(axis=0)
    return means, ((seen - means) ** 2).sum(axis=0), np.full(seen.shape[1], len(seen))


def test_the_density_is_the_average_over_a_million_draws_from_the_prior():
    random = np.random.default_rng(0)
    variances = PRIOR.degrees * PRIOR.variance / random.chisquare(PRIOR.degrees, 1_000_000)
    means = random.normal(PRIOR.mean, np.sqrt(variances / PRIOR.weight))
    seen, new = np.array([-0.2, 0.3, 0.1]), np.array([-0.5, 0.2, 1.5])
    likelihood = np.prod([norm.pdf(x, means, np.sqrt(variances)) for x in seen], axis=0)
    drawn = [(likelihood * norm.pdf(x, means, np.sqrt(variances))).sum() / likelihood.sum() for x in new]
    found = log_predictive(new, *summed(np.repeat(seen[:, None], 3, axis=1)), PRIOR)
    assert np.exp(found) == approx(drawn, rel=0.01)


def test_the_prior_that_rows_were_drawn_from_is_found_again():
    found = fitted_prior(*summed(rows_of(PRIOR, rows=40_000, each=3, random=np.random.default_rng(0))))
    assert found.mean == approx(PRIOR.mean, abs=0.03)
    assert found.variance == approx(PRIOR.variance, rel=0.05)
    assert found.degrees == approx(PRIOR.degrees, rel=0.15)
    assert found.weight == approx(PRIOR.weight, rel=0.4)  # of means with heavy tails: moments are coarse


def test_with_one_variance_for_all_rows_it_is_lira_but_for_what_few_models_leave_open():
    target, references, included, _ = scene(0.4, models=64)
    assert np.corrcoef(bavaria(target, references, included), lira(target, references, included))[0, 1] > 0.99


def test_nulls_give_chance_at_the_nominal_rate_and_a_planted_leak_is_found():
    def found(leak: float, seed: int):
        target, references, included, member = scene(leak, seed=seed)
        return area(bavaria(target, references, included), member)

    covered = sum(found(0.0, seed).covers(0.5) for seed in range(200))
    assert 180 <= covered <= 199  # 190 of 200 expected; within 3 standard deviations
    assert all(found(0.4, seed).low > 0.55 for seed in range(20))


def test_where_rows_vary_unequally_it_finds_more_than_lira_with_few_models():
    areas = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        rows, models = 400, 8
        spread, member = np.exp(random.normal(-1, 1, rows)), np.arange(rows) < 200
        included = halves(models, rows, random)
        hardness = random.normal(0, 1, rows)
        references = hardness + 0.4 * included + random.normal(0, 1, (models, rows)) * spread
        target = hardness + 0.4 * member + random.normal(0, 1, rows) * spread
        areas.append([area(attack(target, references, included), member).value for attack in (bavaria, lira)])
    ours, theirs = np.mean(areas, axis=0)
    assert ours > theirs + 0.03


def test_models_of_one_kind_are_refused():
    target, references, included, _ = scene(0.0, models=2)
    with pytest.raises(ValueError, match="two of each kind"):
        bavaria(target, references, included)
