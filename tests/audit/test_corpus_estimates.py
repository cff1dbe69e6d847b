"""Intervals of corpus metrics: the value is the metric's, the interval covers, pairs are tighter than strangers."""

from __future__ import annotations

import numpy as np
import pytest

from audit.corpus_estimates import estimate, paired_difference, spread, without
from audit.statistics import minimum_detectable_difference
from core_model.corpus_metric import CorpusMetric, mean_of_rows, values_and_rows
from core_model.metrics_text import bleu
from core_model.metrics_text_likelihood import likelihood_metrics
from tests.audit.concerns.writing_subjects import sentences, spoiled, translated


def of_rows(values, form="mean"):
    return CorpusMetric("m", values_and_rows(np.asarray(values, float)), mean_of_rows, "s", "u", "higher", form)


def system(texts, share):
    return bleu([spoiled(t, share) for t in texts], [translated(t) for t in texts])


TEXTS = sentences(200, seed=9)


def test_each_form_has_the_interval_that_fits_it():
    random = np.random.default_rng(0)
    assert estimate(of_rows([1, 0, 1, 1], "share"), random).method.startswith("Wilson")
    assert "half a row of prior at each bound" in estimate(of_rows([0.2, 0.9, 0.5]), random).method
    assert estimate(system(TEXTS, 0.3), random).method.startswith("studentized bootstrap")


def test_a_share_and_a_mean_have_an_interval_at_the_ends_of_their_scale():
    for form in ("share", "mean"):
        low = estimate(of_rows(np.zeros(50), form), np.random.default_rng(0))
        assert low.value == 0 and low.low == 0 and 0 < low.high < 0.12


def test_nothing_is_known_of_no_rows():
    nothing = estimate(system(TEXTS, 0.3).select(np.zeros(200, bool)), np.random.default_rng(0))
    assert nothing.value is None and nothing.reason == "no rows"


def test_the_interval_of_perplexity_covers_what_is_true_of_the_population():
    """Rows of 20 tokens whose mean nats are gamma distributed with mean 2: the population's perplexity is e squared."""
    covered = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        nll = random.gamma(4, 0.5, 120) * 20
        [perplexity, _] = likelihood_metrics(nll, np.full(120, 20), np.full(120, 80))
        covered += estimate(perplexity, random).covers(np.exp(2))
    assert covered >= 52  # of 60, 95% intervals: fewer has a chance below one in a hundred


def test_a_paired_difference_is_the_difference_and_tighter_than_that_of_strangers():
    a, b, random = system(TEXTS, 0.2), system(TEXTS, 0.35), np.random.default_rng(0)
    paired = paired_difference(a, b, random)
    assert paired.value == pytest.approx(a.score - b.score) and paired.low > 0
    alone = [estimate(one, random) for one in (a, b)]
    strangers = sum((one.high - one.low) ** 2 for one in alone) ** 0.5
    assert paired.high - paired.low < strangers


@pytest.mark.parametrize("form", ["share", "mean"])
def test_a_system_does_not_differ_from_itself(form):
    values = np.random.default_rng(0).integers(0, 2, 80)
    same = paired_difference(of_rows(values, form), of_rows(values, form), np.random.default_rng(0))
    assert same.value == 0 and same.covers(0)


def test_numbers_under_two_signatures_are_not_subtracted():
    a = of_rows([1, 0])
    b = CorpusMetric("m", a.statistics, a.value, "another", "u", "higher", "mean")
    with pytest.raises(ValueError, match="another"):
        paired_difference(a, b, np.random.default_rng(0))


def test_what_rows_add_is_the_metric_with_them_minus_the_metric_without():
    metric = system(TEXTS, 0.3)
    chosen = np.arange(200) < 50
    added = without(metric, chosen, np.random.default_rng(0))
    assert added.value == pytest.approx(metric.score - metric.select(~chosen).score)


def test_the_spread_of_a_mean_is_that_of_its_rows():
    values = np.random.default_rng(0).random(50)
    assert spread(of_rows(values)) == pytest.approx(values.std(ddof=1))


def test_a_difference_of_the_detectable_size_is_found_four_times_in_five():
    """Two systems, rows correlated by 0.5, a paired z-test at 5%: simulated power against the promised 0.8."""
    random, n, found = np.random.default_rng(0), 100, 0
    size = minimum_detectable_difference(n, 1.0, correlation=0.5).value
    for _ in range(2000):
        shared = random.normal(size=n)
        a, b = ((shared + random.normal(size=n)) / np.sqrt(2) for _ in range(2))
        gain = a - b + size
        found += abs(gain.mean()) / (gain.std(ddof=1) / np.sqrt(n)) > 1.96
    assert 0.77 < found / 2000 < 0.83
