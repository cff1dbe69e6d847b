"""Promises of the bootstrap: it agrees with slow loops and other libraries, covers the truth, and repeats itself."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from audit.statistics import bootstrap, bootstrap_mean, bootstrap_rows, bootstrap_table
from tests.audit.statistics.coverage import share_covered

approx = pytest.approx
FEW = 300  # resamples in simulations: enough for coverage, and cheap enough for 2,000 data sets


def accuracy(tables):
    t = tables.reshape(len(tables), 2, 2)
    return (t[:, 0, 0] + t[:, 1, 1]) / t.sum(axis=(1, 2))


def recall_mean(classes):
    def balanced_accuracy(tables):
        t = tables.reshape(len(tables), classes, classes)
        return (np.einsum("rii->ri", t) / t.sum(axis=2)).mean(axis=1)

    return balanced_accuracy


def macro_f1(classes):
    def statistic(tables):
        t = tables.reshape(len(tables), classes, classes)
        return (2 * np.einsum("rii->ri", t) / (t.sum(axis=1) + t.sum(axis=2))).mean(axis=1)

    return statistic


def confusion(shares, right):
    """Cell probabilities of a confusion table: shares of classes, and how often each is predicted right."""
    k = len(shares)
    return np.array(
        [[s * (right if i == j else (1 - right) / (k - 1)) for j in range(k)] for i, s in enumerate(shares)]
    )


@pytest.mark.parametrize("right", [0, 3, 120, 199, 200])
def test_a_rate_from_a_table_is_jeffreys_interval(right):
    estimate = bootstrap_table([right, 200 - right], lambda t: t[:, 0] / t.sum(axis=1), np.random.default_rng(0),
                               resamples=20_000)  # fmt: skip
    low, high = proportion_confint(right, 200, method="jeffreys")
    assert estimate.value == right / 200
    # At the edges the interval reaches to the value, which Jeffreys' equal tails leave out (Brown et al. 2001).
    assert estimate.interval == approx((low if right else 0, high if right < 200 else 1), abs=0.0015)


def test_accuracy_of_a_perfect_classifier_still_has_an_interval():
    estimate = bootstrap_table([60, 0, 0, 40], accuracy, np.random.default_rng(0))
    assert estimate.value == estimate.high == 1
    assert 0.96 < estimate.low < 0.99


def test_an_empty_table_is_absent():
    assert bootstrap_table([0, 0, 0, 0], accuracy, np.random.default_rng(0)).value is None


def test_a_statistic_that_does_not_exist_is_absent():
    no_row_of_the_second_class = [50, 10, 0, 0]
    estimate = bootstrap_table(no_row_of_the_second_class, recall_mean(2), np.random.default_rng(0))
    assert estimate.value is None
    assert "does not exist" in estimate.reason


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="negative"):
        bootstrap_table([3, -1], accuracy, np.random.default_rng(0))


def test_a_table_agrees_with_scipys_bootstrap_of_the_rows():
    table = np.array([[310, 60], [45, 285]])
    target, predicted = (np.repeat(axis, table.ravel()) for axis in ([0, 0, 1, 1], [0, 1, 0, 1]))

    def f1(target, predicted, axis=-1):
        hit = (target & predicted).sum(axis=axis)
        return 2 * hit / (target.sum(axis=axis) + predicted.sum(axis=axis))

    theirs = stats.bootstrap(
        (target, predicted), f1, paired=True, vectorized=True, n_resamples=3000, rng=np.random.default_rng(1)
    ).confidence_interval
    ours = bootstrap_table(
        table, lambda t: 2 * t[:, 3] / (2 * t[:, 3] + t[:, 1] + t[:, 2]), np.random.default_rng(0), resamples=20_000
    )
    assert ours.interval == approx((theirs.low, theirs.high), abs=0.003)


def test_a_mean_agrees_with_scipys_bootstrap():
    values = np.random.default_rng(3).gamma(2, 1, 400)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=9999, rng=np.random.default_rng(1)).confidence_interval
    ours = bootstrap_mean(values, np.random.default_rng(0), resamples=10_000)
    assert ours.interval == approx((theirs.low, theirs.high), abs=0.015)


def test_the_studentized_interval_is_what_a_slow_loop_gives():
    """Every resample drawn as rows, its mean and standard error taken from the drawn rows alone."""
    values = np.random.default_rng(3).exponential(1, 60)
    n, pivots = len(values), []
    for child in np.random.default_rng(5).spawn(3):
        for picks in child.integers(0, n, (100, n)):
            drawn = values[picks]
            pivots.append((drawn.mean() - values.mean()) / (drawn.std() / np.sqrt(n)))
    error = values.std() / np.sqrt(n)
    high = values.mean() - np.quantile(pivots, 0.025) * error
    low = values.mean() - np.quantile(pivots, 0.975) * error
    ours = bootstrap_mean(values, np.random.default_rng(5), resamples=300)
    assert ours.interval == approx((low, high), rel=1e-6)


def test_a_ratio_of_means_has_the_delta_methods_width():
    random = np.random.default_rng(0)
    below = random.gamma(20, 1, 2000)
    above = 0.5 * below + random.normal(0, 1, 2000)
    ours = bootstrap_rows(np.stack([above, below], axis=1), lambda m: m[:, 0] / m[:, 1], random)
    ratio = above.mean() / below.mean()
    error = (above - ratio * below).std() / below.mean() / np.sqrt(2000)
    assert ours.interval == approx((ratio - 1.96 * error, ratio + 1.96 * error), abs=0.15 * error)


@pytest.mark.parametrize("clusters", [None, np.arange(300) // 3])
@pytest.mark.parametrize("bounds", [None, (0.0, 50.0)])
def test_memory_moves_no_number(monkeypatch, clusters, bounds):
    values = np.random.default_rng(3).exponential(1, 300)

    def measured():
        return bootstrap_mean(values, np.random.default_rng(0), clusters=clusters, bounds=bounds, resamples=250)

    at_once = measured()
    monkeypatch.setattr(bootstrap, "CHUNK", 7 * 300)
    in_chunks = measured()
    assert in_chunks.interval == approx(at_once.interval, rel=1e-12)


def test_the_same_seed_gives_the_same_interval_and_another_seed_does_not():
    values = np.random.default_rng(3).exponential(1, 100)
    first, again, other = (bootstrap_mean(values, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == again
    assert first.interval != other.interval


def test_rows_that_all_say_the_same_have_no_interval_and_say_why():
    estimate = bootstrap_mean(np.full(50, 0.3), np.random.default_rng(0))
    assert estimate.value == approx(0.3)
    assert estimate.interval is None
    assert "no spread" in estimate.reason


def test_rows_that_all_say_the_same_have_an_interval_where_bounds_are_known():
    estimate = bootstrap_mean(np.zeros(50), np.random.default_rng(0), bounds=(0, 1))
    assert estimate.low == 0
    assert 0.02 < estimate.high < 0.08


def test_one_odd_row_of_a_thousand_does_not_blow_the_interval_up():
    values = np.full(1000, 1e-4) + np.random.default_rng(0).normal(0, 1e-6, 1000)
    values[0] = 3.0
    estimate = bootstrap_mean(values, np.random.default_rng(0))
    assert 0.006 < estimate.high < 0.03  # a chance of 1 to 6 in 1,000 (Wilson's upper end) of such a row


def test_a_statistic_that_most_resamples_lack_has_no_interval_and_says_why():
    rare = np.r_[np.ones(2), np.zeros(98)]
    columns = np.stack([np.random.default_rng(0).random(100), rare], axis=1)
    estimate = bootstrap_rows(columns, lambda m: m[:, 0] / m[:, 1], np.random.default_rng(0))
    assert estimate.interval is None
    assert "does not exist in" in estimate.reason


def test_a_value_outside_its_bounds_is_refused():
    with pytest.raises(ValueError, match="outside"):
        bootstrap_mean(np.array([0.5, 1.5]), np.random.default_rng(0), bounds=(0, 1))


def test_a_sum_that_misses_its_bound_by_its_rounding_stands_on_it():
    values = np.array([np.nextafter(1.0, 2.0), 0.7, -1e-16, 0.5])
    assert values.max() > 1
    on_it = bootstrap_mean(values.clip(0, 1), np.random.default_rng(0), bounds=(0, 1))
    assert bootstrap_mean(values, np.random.default_rng(0), bounds=(0, 1)) == on_it


def test_no_rows_are_absent():
    assert bootstrap_mean(np.array([]), np.random.default_rng(0)).value is None


TABLES = {
    "accuracy near 1": (confusion([0.5, 0.5], 0.98), 400, accuracy, 0.98),
    "balanced accuracy, rare class": (confusion([0.9, 0.1], 0.9), 400, recall_mean(2), 0.9),
    "macro F1 of three": (confusion([0.6, 0.3, 0.1], 0.85), 600, macro_f1(3), None),
    "macro F1 of five near 1": (confusion([0.2] * 5, 0.96), 400, macro_f1(5), None),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_tables_interval_covers_the_truth_in_93_to_97_percent(name):
    cells, n, statistic, truth = TABLES[name]
    truth = float(statistic(cells.reshape(1, -1))[0]) if truth is None else truth

    def measure(random):
        return bootstrap_table(random.multinomial(n, cells.ravel()), statistic, random, resamples=FEW)

    assert 0.93 <= share_covered(measure, truth) <= 0.97


def rare_losses(random):
    """Losses of a good classifier: nearly all tiny, one in fifty large."""
    return np.where(random.random(200) < 0.02, random.uniform(0.3, 1, 200), random.beta(0.1, 10, 200))


MEANS = {
    "skewed": (lambda random: random.exponential(1, 60), 1.0, None),
    "bounded, near 0": (rare_losses, 0.02 * 0.65 + 0.98 * 0.1 / 10.1, (0.0, 1.0)),
    "bounded, near 1": (lambda random: 1 - rare_losses(random), 1 - (0.02 * 0.65 + 0.98 * 0.1 / 10.1), (0.0, 1.0)),
}


@pytest.mark.parametrize("name", MEANS)
def test_a_means_interval_covers_the_truth_in_93_to_97_percent(name):
    draw, truth, bounds = MEANS[name]
    covered = share_covered(lambda random: bootstrap_mean(draw(random), random, bounds=bounds, resamples=FEW), truth)
    assert 0.93 <= covered <= 0.97


def clustered(random):
    """200 rows of 40 authors who each have a habit."""
    author = np.repeat(np.arange(40), 5)
    return random.normal(0, 1, 40)[author] + random.normal(0, 0.5, 200), author


def test_resampled_clusters_cover_the_truth_in_93_to_97_percent():
    def measure(random):
        values, author = clustered(random)
        return bootstrap_mean(values, random, clusters=author, resamples=FEW)

    assert 0.93 <= share_covered(measure, 0.0) <= 0.97


def test_rows_that_belong_together_but_are_resampled_alone_would_be_caught():
    covered = share_covered(
        lambda random: bootstrap_mean(clustered(random)[0], random, resamples=100), 0.0, data_sets=500
    )
    assert covered < 0.75
