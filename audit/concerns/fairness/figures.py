"""Charts of the rates by group, each as the table that it is drawn from."""

from __future__ import annotations

from collections.abc import Sequence

from audit.concerns.fairness.findings import severity, short
from audit.concerns.fairness.gaps import Rate, plain
from audit.concerns.fairness.measured import Measured, rate_in_words
from reports.record import Figure, Metric, Scalar

MOST_GROUPS = 30  # groups in a chart, the largest ones


def rate_figures(measured: Measured, *, slug: str) -> list[Figure]:
    """A chart of each rate by group; for an intersection only of the error rate that differs most, if it does."""
    names = [name for name in measured.rates if name != "accuracy"]
    if measured.column.crossed:
        odds = next(gap for gap in measured.gaps if gap.name == "equalized_odds_difference")
        names = [odds.rate.name] if severity(measured.gap_metrics[odds.name], parity=0) else []
    return [figure for name in names if (figure := _figure(measured, measured.rates[name], slug)) is not None]


def _figure(measured: Measured, rate: Rate, slug: str) -> Figure | None:
    column = measured.column
    sizes = column.sizes
    groups = [group for group in measured.shown if rate.out_of[group] > 0]
    kept = sorted(sorted(groups, key=lambda g: (-sizes[g], g))[:MOST_GROUPS], key=lambda g: (-rate.value(g), g))
    rows: list[dict[str, Scalar]] = []
    for group in kept:
        estimate = rate.estimate(group, "")
        n = int(rate.out_of[group])
        rows.append(
            {"label": column.groups[group], "value": estimate.value, "low": estimate.low, "high": estimate.high, "n": n}
        )
    if not rows:
        return None
    of_class = f" of {measured.selected!r}" if measured.part else ""
    left_out = f" The {len(kept)} largest of {len(column.groups)} groups are drawn." if len(kept) < len(groups) else ""
    return Figure(
        id=f"fairness-{rate.name.replace('_', '-')}-{slug}",
        kind="intervals",
        title=f"{plain(rate.name).capitalize()}{of_class} by {short(column.name)}",
        caption=_caption(measured, rate, kept) + left_out,
        x_label=rate_in_words(rate.name, measured.selected),
        y_label=short(column.name),
        rows=rows,
    )


def _caption(measured: Measured, rate: Rate, kept: Sequence[int]) -> str:
    names, large = measured.column.groups, [group for group in kept if not measured.small[group]]
    what = plain(rate.name)
    if len(large) < 2:
        return f"Fewer than two groups are large enough for their {what} to be compared."
    highest, lowest = large[0], large[-1]
    span = (
        f"{rate.value(highest):.2f} for {short(names[highest])} to {rate.value(lowest):.2f} for {short(names[lowest])}"
    )
    return f"The {what} runs from {span}; whiskers are 95% intervals."


def swap_figure(lines: Sequence[Metric]) -> Figure | None:
    """The flip rate by category of identity terms."""
    rows: list[dict[str, Scalar]] = [
        {
            "label": line.slice.get("category", "any category").replace("_", " "),
            "value": line.value,
            "low": line.interval[0],
            "high": line.interval[1],
            "limit": line.limit,
            "n": line.n,
        }
        for line in lines
        if line.name == "counterfactual_flip_rate" and line.value is not None and line.interval is not None
    ]
    if not rows:
        return None
    share, n = rows[0]["value"], rows[0]["n"]
    return Figure(
        id="fairness-counterfactual-flip-rate",
        kind="intervals",
        title="Predicted labels that change when identity terms are swapped",
        caption=f"{share:.1%} of {n:,} rows with an identity term change their label; whiskers are 95% intervals.",
        x_label="share of rows with a term of the category whose label changes",
        y_label="category",
        rows=rows,
    )
