"""Charts of word attacks: how often each succeeds, on all rows, and by class and group."""

from __future__ import annotations

from collections.abc import Sequence

from audit.concerns.security.word_attacks import WordAttack
from reports.record import Figure, Metric, Scalar


def success_figure(found: Sequence[WordAttack], metrics: Sequence[Metric]) -> Figure | None:
    """Success rate of each recipe, with its classes and groups below it."""
    names = [one.name for one in found]
    rows: list[dict[str, Scalar]] = []
    overall: dict[str, Metric] = {}
    for line in metrics:
        name = line.slice.get("attack")
        if line.name != "attack_success_rate" or name not in names or line.value is None or line.interval is None:
            continue
        parts = [f"{key} {value}" for key, value in line.slice.items() if key != "attack"]
        if not parts:
            overall[name] = line
        rows.append(
            {
                "label": ", ".join(parts) or "all rows",
                "value": line.value,
                "low": line.interval[0],
                "high": line.interval[1],
                "series": name,
                "n": line.n,
            }
        )
    if not overall:
        return None
    name, worst = max(overall.items(), key=lambda pair: pair[1].value or 0.0)
    return Figure(
        id="security-attack-success",
        kind="intervals",
        title="How often an attack changes a right answer",
        caption=f"{name} changes most, {worst.value:.0%} of {worst.n} right answers; whiskers are 95% intervals, and "
        "each class and group stands alone.",
        x_label="share of attacked rows whose answer changes",
        y_label="rows",
        rows=rows,
    )
