"""Coverage and width of three 95% intervals for a largest-minus-smallest rate, by simulation with known truth.

    python -m benchmarks.coverage [--simulations 1000] [--resamples 1000] [--seed 0] [--json]

percentile  quantiles of resampled ranges, as fairlearn's difference_ci gives them
max_t       the largest simultaneous pairwise interval: gap +- c * standard error over all pairs, c the 95% quantile of
            the largest studentized noise; clipped at 0
ours        audit.statistics.largest_minus_smallest

The figures do not depend on the machine: the same seed gives the same ones everywhere. Each of the three meets the same
data sets. An interval should cover in at least 93%; a narrower one says more.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from audit.statistics import largest_minus_smallest
from benchmarks.figures import Figure, print_figures

SCENES: dict[str, tuple[Sequence[float], int]] = {
    "20_equal": ([0.3] * 20, 500),
    "5_equal": ([0.3] * 5, 500),
    "2_equal": ([0.3] * 2, 500),
    "20_one_lower_by_0.1": ([0.3] * 19 + [0.2], 500),
    "20_spread_0.1_to_0.5": (np.linspace(0.1, 0.5, 20), 500),
    "5_spread_0.2_to_0.4": (np.linspace(0.2, 0.4, 5), 500),
    "2_gap_0.1": ([0.3, 0.4], 500),
    "20_in_two_halves": ([0.2] * 10 + [0.5] * 10, 500),
    "5_near_0": ([0.01, 0.02, 0.02, 0.03, 0.06], 200),
    "5_of_30_rows": ([0.3] * 5, 30),
    "20_spread_of_30_rows": (np.linspace(0.1, 0.5, 20), 30),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    figures = []
    for name, (rate, rows) in SCENES.items():
        random = np.random.default_rng(options.seed)
        intervals = np.array(
            [three_intervals(np.asarray(rate), rows, random, options.resamples) for _ in range(options.simulations)]
        )
        truth = float(np.ptp(rate))
        covered = (intervals[..., 0] <= truth) & (truth <= intervals[..., 1])
        for k, way in enumerate(("percentile", "max_t", "ours")):
            aim = "at least 0.93" if way == "ours" else None
            figures.append(Figure(f"{name}/{way}/coverage", round(float(covered[:, k].mean()), 3), "share", aim))
            width = float((intervals[:, k, 1] - intervals[:, k, 0]).mean())
            figures.append(Figure(f"{name}/{way}/width", round(width, 3), "mean width, share of rows"))
    print_figures("coverage", figures, options.json)


def three_intervals(
    rate: np.ndarray, rows: int, random: np.random.Generator, resamples: int
) -> list[tuple[float, float]]:
    """Percentile, max-T and our interval on one simulated data set."""
    n = np.full(len(rate), rows)
    successes = random.binomial(n, rate)
    seen = successes / n
    resampled = random.binomial(n, seen, size=(resamples, len(rate))) / n
    ours = largest_minus_smallest(successes, n, random)
    assert ours.interval is not None  # noqa: S101 - every group has rows
    low, high = np.quantile(np.ptp(resampled, axis=1), [0.025, 0.975])
    return [(float(low), float(high)), _max_t(seen, n, random, resamples), ours.interval]


def _max_t(seen: np.ndarray, n: np.ndarray, random: np.random.Generator, resamples: int) -> tuple[float, float]:
    variance = seen * (1 - seen) / n + 1e-12
    i, j = np.triu_indices(len(seen), 1)
    error = np.sqrt(variance[i] + variance[j])
    noise = random.standard_normal((resamples, len(seen))) * np.sqrt(variance)
    critical = np.quantile(np.abs((noise[:, i] - noise[:, j]) / error).max(axis=1), 0.95)
    gap = np.abs(seen[i] - seen[j])
    return max(0.0, float((gap - critical * error).max())), float((gap + critical * error).max())


if __name__ == "__main__":
    main()
