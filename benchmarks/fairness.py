"""How fast the group table is, beside fairlearn's MetricFrame with bootstrap intervals, on the same rows in one run.

    python -m benchmarks.fairness [--rows 10000] [--groups 20] [--resamples 200] [--full] [--json]

Rows are synthetic. Both make selection rate, false-positive rate, false-negative rate and accuracy of each group, their
largest difference, and 95% percentile intervals of all of these from the same number of resamples. fairlearn is timed
with 0 and with 10 resamples, and its time for all of them extrapolated in a line, unless --full runs them all. Point
values must agree to 1e-12, or the benchmark stops.

Two more figures: the table as the fairness audit makes it (Wilson intervals, and for the differences the interval that
holds where the percentile one does not), and 2,000 resamples. CPU time of this process; ours is the best of seven runs,
fairlearn runs once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from audit.statistics import (
    bootstrap_rows,
    group_counts,
    largest_minus_smallest,
    rate_parts,
    rates,
    resampled_counts,
    wilson_bounds,
)
from benchmarks.figures import Figure, print_figures

NAMES = ("selection_rate", "false_positive_rate", "false_negative_rate", "accuracy")
TAILS = (0.025, 0.975)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--groups", type=int, default=20)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--full", action="store_true", help="run all of fairlearn's resamples (about a minute)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = _rows(options.rows, options.groups)

    peer = {n_boot: _fairlearn(*rows, n_boot) for n_boot in (0, options.resamples if options.full else 10)}
    seconds_at_0, seconds_at_some = (seconds for seconds, _ in peer.values())
    fewer = max(peer)
    peer_seconds = seconds_at_0 + (seconds_at_some - seconds_at_0) * options.resamples / fewer
    ours, table = _best(lambda: bootstrap_table_of(*rows, resamples=options.resamples))
    many, _ = _best(lambda: bootstrap_table_of(*rows, resamples=2000))
    audited, _ = _best(lambda: audit_table_of(*rows))
    one_hot = np.eye(options.groups)[rows[0]]
    per_row = np.hstack([one_hot, one_hot * rows[2][:, None]])  # a row's group, and whether it is selected there
    by_rows, _ = _best(
        lambda: {
            "": bootstrap_rows(
                per_row,
                lambda m: (m[:, options.groups :] / m[:, : options.groups]).mean(axis=1),
                np.random.default_rng(0),
            )
        },
        repeats=1,
    )
    difference = max(float(np.abs(table[name][0] - peer[0][1][name]).max()) for name in NAMES)
    if not difference <= 1e-12:
        raise SystemExit(f"point values differ from fairlearn's by {difference}")
    how = "measured" if options.full else f"in a line from {fewer} resamples"
    size = f"{options.rows} rows, {options.groups} groups, synthetic"
    print_figures(
        "fairness",
        [
            Figure("fairlearn_seconds", round(peer_seconds, 3), f"CPU s, {options.resamples} resamples, {size}; {how}"),
            Figure("group_table_seconds", round(ours, 6), f"CPU s, {options.resamples} resamples, the same rows"),
            Figure("ratio", round(peer_seconds / ours), "times faster", "at least 1000"),
            Figure("audit_table_seconds", round(audited, 6), "CPU s, with Wilson and simultaneous intervals"),
            Figure("audit_table_ratio", round(peer_seconds / audited), "times faster than fairlearn's intervals"),
            Figure("largest_difference_of_point_values", difference, "against fairlearn", "at most 1e-12"),
            Figure("seconds_for_2000_resamples", round(many, 6), "CPU s, group table of the same rows", "under 2"),
            Figure(
                "seconds_for_2000_resamples_of_rows",
                round(by_rows, 3),
                f"CPU s, mean selection rate over groups, {per_row.shape[1]} statistics a row, studentized",
                "under 2",
            ),
        ],
        options.json,
    )


def bootstrap_table_of(
    group: np.ndarray, target: np.ndarray, predicted: np.ndarray, *, resamples: int
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Name -> (value of each group, its interval (2, groups), interval of the largest difference (2,))."""
    counts = group_counts(group, target, predicted)
    seen = rates(counts)
    drawn = rates(resampled_counts(counts, np.random.default_rng(0), resamples=resamples))
    return {
        name: (
            seen[name],
            np.quantile(drawn[name], TAILS, axis=0),
            np.quantile(drawn[name].max(axis=1) - drawn[name].min(axis=1), TAILS),
        )
        for name in NAMES
    }


def audit_table_of(group: np.ndarray, target: np.ndarray, predicted: np.ndarray) -> dict[str, tuple]:
    """The same table with the intervals that the audit reports."""
    random = np.random.default_rng(0)
    parts = rate_parts(group_counts(group, target, predicted))
    return {name: (wilson_bounds(*parts[name], 1.96), largest_minus_smallest(*parts[name], random)) for name in NAMES}


def _rows(rows: int, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Synthetic rows: groups differ in how often they are selected."""
    random = np.random.default_rng(0)
    group = random.integers(0, groups, rows)
    target = (random.random(rows) < 0.4).astype(int)
    chance = np.where(target == 1, 0.7, 0.2) + 0.1 * group / max(1, groups)
    return group, target, (random.random(rows) < chance).astype(int)


def _fairlearn(
    group: np.ndarray, target: np.ndarray, predicted: np.ndarray, n_boot: int
) -> tuple[float, dict[str, np.ndarray]]:
    from fairlearn.metrics import MetricFrame, false_negative_rate, false_positive_rate, selection_rate
    from sklearn.metrics import accuracy_score

    functions = dict(
        zip(NAMES, (selection_rate, false_positive_rate, false_negative_rate, accuracy_score), strict=True)
    )
    bootstrap = {"n_boot": n_boot, "ci_quantiles": list(TAILS), "random_state": 0} if n_boot else {}
    start = time.process_time()
    frame = MetricFrame(metrics=functions, y_true=target, y_pred=predicted, sensitive_features=group, **bootstrap)
    by_group = frame.by_group
    frame.difference(method="between_groups")
    if n_boot:
        _ = frame.by_group_ci, frame.difference_ci(method="between_groups")
    seconds = time.process_time() - start
    return seconds, {name: by_group[name].to_numpy(dtype=float) for name in NAMES}


def _best(work: Callable[[], dict], repeats: int = 7) -> tuple[float, dict]:
    """CPU seconds of the best of some runs, and the result."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return min(seconds), result


if __name__ == "__main__":
    main()
