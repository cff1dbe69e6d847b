"""What an ONNX graph is worth beside torch: agreement, speed in turns, and quality on the same rows, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from audit.corpus_estimates import estimate, paired_difference
from audit.statistics import bootstrap_rows, paired_bootstrap_rows, proportion
from audit.trade_quality import number_of
from core_model.compression.turns import seconds_in_turns
from core_model.evaluation import classification_metrics
from core_model.export.parity import Batch, Parity, Runner, run_all
from core_model.predictions import Predictions
from reports.trade import Line, Number

if TYPE_CHECKING:
    from core_model.data import Table
    from core_model.export.onnx import Exported

ROUNDS = 12
BATCHES = 4  # of a round, drawn from all


def agreement(parity: Parity) -> Number:
    """The share of rows of which every choice (class, token, place) is the same on both sides."""
    return number_of(proportion(int(parity.same.sum()), len(parity.same)))


def lines_of(exported: Exported, data: Table, random: np.random.Generator, *, labels: bool) -> dict[str, list[Line]]:
    """Speed and quality of each graph against torch, by the graph's name.

    Args:
        data: the rows that were asked. labels: whether they have classes.
    """
    found = {"onnx": exported.parity}
    if exported.int8_parity is not None:
        found["onnx int8"] = exported.int8_parity
    chosen = random.permutation(len(exported.batches))[:BATCHES]
    batches = [exported.batches[int(i)] for i in chosen]
    return {
        name: [
            _speed(exported.runners["torch"], exported.runners[name], batches, random),
            *_quality(parity, data, random, labels=labels),
        ]
        for name, parity in found.items()
    }


def _speed(first: Runner, second: Runner, batches: Sequence[Batch], random: np.random.Generator) -> Line:
    rows = sum(len(batch.rows) for batch in batches)
    work = [partial(run_all, runner, batches) for runner in (first, second)]
    seconds = seconds_in_turns(*work, rounds=ROUNDS)
    before, after = (bootstrap_rows(seconds[:, i], lambda means: rows / means[:, 0], random) for i in (0, 1))
    ratio = bootstrap_rows(seconds, lambda means: means[:, 0] / means[:, 1], random)
    return Line(
        kind="speed", name="rows answered", unit="rows per second", better="higher", before=number_of(before),
        after=number_of(after), change=number_of(ratio), change_is="ratio", paired=True,
    )  # fmt: skip


def _quality(parity: Parity, data: Table, random: np.random.Generator, *, labels: bool) -> list[Line]:
    if labels:
        sides = [Predictions(side.astype(np.float32)) for side in (parity.first, parity.second)]
        metrics = [classification_metrics(side, data.targets, side.logits.shape[1]) for side in sides]
        return [
            Line(
                kind="quality", name=first.name, unit=first.unit, better=first.better,
                before=number_of(estimate(first, random)), after=number_of(estimate(second, random)),
                change=number_of(paired_difference(second, first, random)), change_is="difference", paired=True,
            )
            for first, second in zip(*metrics, strict=True)
        ]  # fmt: skip
    if parity.first.shape[1] == 0:
        return []
    rows = [np.hstack([side, parity.tokens[:, None]]) for side in (parity.first, parity.second)]
    before, after = (bootstrap_rows(side, _ratio, random) for side in rows)
    change = paired_bootstrap_rows(rows[1], rows[0], _ratio, random)
    return [
        Line(
            kind="quality", name="negative log-likelihood", unit="nats per token", better="lower",
            before=number_of(before), after=number_of(after), change=number_of(change), change_is="difference",
            paired=True,
        )
    ]  # fmt: skip


def _ratio(means: np.ndarray) -> np.ndarray:
    """Means (..., 2) of nats and tokens -> nats per token."""
    ratio: np.ndarray = means[:, 0] / means[:, 1]
    return ratio
