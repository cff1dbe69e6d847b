"""A checkpoint before and after it was made smaller: size, speed and quality, each with what chance leaves open.

Quality is compared on the same rows, so that most of the chance is common to both sides and cancels: a difference can
be certain where the two intervals overlap. Speed is measured in turns (`core_model.compression.turns`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.environment import environment, tool
from audit.session import data_facts, subject_facts
from audit.statistics import bootstrap_rows
from audit.trade_quality import number_of, quality_lines
from core_model.compression.turns import seconds_in_turns
from core_model.evaluation import ask
from core_model.prediction import Predictor
from reports.record import Figure, Scalar
from reports.trade import COUNTED, Line, Number, Trade

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.tasks import Task

ROUNDS = 12
ROWS_PER_ROUND = 64  # sampled from the data: as long and as short as the data's rows are


def measure_trade(
    before: Checkpoint, after: Checkpoint, data: Table, *, method: str, settings: Mapping[str, Any], seed: int,
    threads: int | None = None, command: str | None = None, notes: Sequence[str] = (),
    tell: Callable[[str], None] = lambda text: None,
) -> Trade:  # fmt: skip
    """Both sides measured on the same rows.

    Args:
        before, after: of one task, with the same classes.
        data: the rows; neither side was trained on them, or the quality is that of memory.
        method, settings: what was done to make `after` of `before`.
        tell: told what is measured now.
    """
    random = np.random.default_rng(seed)
    sides = [Predictor(side, cache="memory", threads=threads) for side in (before, after)]
    tell(f"asking both for {data.rows:,} rows")
    quality = quality_lines(sides[0], sides[1], data, before.task, random)
    tell(f"timing both in {ROUNDS} turns")
    lines = [*_size_lines(before, after), _speed_line(sides, data, before.task, random), *quality]
    return Trade(
        tool=tool(), method=method, settings=dict(settings), before=subject_facts(before), after=subject_facts(after),
        data=data_facts(data), environment=environment(seed=seed, profile="standard", threads=sides[0].threads),
        lines=lines, figure=_figure(lines), notes=list(notes), command=command,
    )  # fmt: skip


def _size_lines(before: Checkpoint, after: Checkpoint) -> list[Line]:
    def line(name: str, unit: str, a: float, b: float) -> Line:
        first, second = (Number(value=value, n=1, method=COUNTED) for value in (a, b))
        ratio = Number(value=b / a, n=1, method=COUNTED)
        return Line(
            kind="size", name=name, unit=unit, better="lower", before=first, after=second, change=ratio,
            change_is="ratio",
        )  # fmt: skip

    return [
        line("weights on disk", "bytes", weight_bytes(before), weight_bytes(after)),
        line("parameters", "numbers", before.parameters, after.parameters),
    ]


def weight_bytes(checkpoint: Checkpoint) -> int:
    """Bytes of the files that hold the weights."""
    return sum((checkpoint.path / name).stat().st_size for name in checkpoint.files if name.endswith(".safetensors"))


def _speed_line(sides: Sequence[Predictor], data: Table, task: Task, random: np.random.Generator) -> Line:
    rows = np.sort(random.permutation(data.rows)[:ROWS_PER_ROUND])
    sample = data.select(rows)
    workers = [Predictor.like(side) for side in sides]
    seconds = seconds_in_turns(*(partial(ask, worker, sample, task) for worker in workers), rounds=ROUNDS)
    before, after = (bootstrap_rows(seconds[:, i], lambda means: sample.rows / means[:, 0], random) for i in (0, 1))
    ratio = bootstrap_rows(seconds, lambda means: means[:, 0] / means[:, 1], random)
    return Line(
        kind="speed", name="rows answered", unit="rows per second", better="higher", before=number_of(before),
        after=number_of(after), change=number_of(ratio), change_is="ratio", paired=True,
    )  # fmt: skip


def _figure(lines: Sequence[Line]) -> Figure:
    """Each number after as a multiple of the number before; 1 is no change."""
    rows: list[dict[str, Scalar]] = []
    for line in lines:
        base, change = line.before.value, line.change
        if base is None or not base or change.value is None:
            continue
        ratio = line.change_is == "ratio"
        low, high = change.interval or (change.value, change.value)
        value, low, high = ((x if ratio else 1 + x / base) for x in (change.value, low, high))
        rows.append({"label": line.name, "value": value, "low": low, "high": high})
    return Figure(
        id="trade", kind="intervals", title="After, as a multiple of before",
        caption="1 is no change. Bars are 95% intervals of the change; of a number that was counted there is none.",
        x_label="after / before", rows=rows, volatile=True,
    )  # fmt: skip
