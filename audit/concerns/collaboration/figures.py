"""Pictures: each client's accuracy together and alone, what it gains, and what it contributed."""

from __future__ import annotations

from collections.abc import Sequence

from audit.concerns.collaboration.contributions import NAME as SHAPLEY
from reports.record import Figure, Metric, Scalar

SERIES = {"client_accuracy": "federated", "solo_accuracy": "alone"}


def figures_of(metrics: Sequence[Metric]) -> list[Figure]:
    """Those that have something to show."""
    accuracy = _rows([m for m in metrics if m.name in SERIES])
    gains = [m for m in metrics if m.name == "gain_over_solo" and m.slice]
    values = [m for m in metrics if m.name == SHAPLEY]
    unit = values[0].unit if values else ""
    figures = [
        Figure(
            id="collaboration-accuracy", kind="intervals", title="Accuracy of each client, together and alone",
            caption="Intervals hold for all clients at once.", x_label="share of rows", rows=accuracy,
        ),
        Figure(
            id="collaboration-gain", kind="intervals", title="What each client gains by taking part",
            caption=_said(gains, "loses by taking part", "gains by taking part"),
            x_label="accuracy federated minus alone", rows=_rows(gains),
        ),
        Figure(
            id="collaboration-contribution", kind="intervals", title="What each client's updates are worth",
            caption=_said(values, "makes the model worse", "makes the model better"),
            x_label=f"Shapley value, {unit}", rows=_rows(values),
        ),
    ]  # fmt: skip
    return [figure for figure in figures if figure.rows]


def _rows(metrics: Sequence[Metric]) -> list[dict[str, Scalar]]:
    several = len({m.name for m in metrics}) > 1
    return [
        {
            "label": m.slice["client"], "value": m.value, "low": m.interval[0], "high": m.interval[1], "n": m.n,
            **({"series": SERIES[m.name]} if several else {}),
        }
        for m in metrics
        if m.value is not None and m.interval
    ]  # fmt: skip


def _said(metrics: Sequence[Metric], below: str, above: str) -> str:
    """Which clients' intervals lie on one side of 0."""
    sides = [
        ([m.slice["client"] for m in metrics if m.interval and m.interval[1] < 0], below),
        ([m.slice["client"] for m in metrics if m.interval and m.interval[0] > 0], above),
    ]
    parts = [f"{', '.join(names)}: {what}" for names, what in sides if names]
    return ("; ".join(parts) or "No client's interval leaves 0") + ". Intervals hold for all clients at once."
