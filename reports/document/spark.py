"""One number through many runs as a small drawing: a line, a band of intervals, the limit as it stood in each run.

Runs stand at equal steps, in their order. Where a run does not hold the number, or could not measure it, the line
breaks and a cross stands at the foot. The numbers stand beside the drawing and in the table of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.document import states
from reports.document.states import State
from reports.history import HistoryLine, Point

WIDTH, HEIGHT = 168, 40
_SIDE, _TOP = 6.0, 5.0
_MARKS = {"fail": "broken", "inconclusive": "undecided", "waived": "undecided"}


@dataclass(frozen=True)
class Spark:
    """Paths in a box of WIDTH by HEIGHT; made of numbers only.

    Attributes:
        dots, broken, undecided: marks of the values; a broken limit is a full diamond, an undecided one a hollow one.
    """

    line: str
    band: str
    whiskers: str
    limit: str
    crosses: str
    dots: str
    broken: str
    undecided: str
    width: int = WIDTH
    height: int = HEIGHT


def state_of(point: Point) -> State:
    """The state of a number in one run, as `reports.document.states` calls it."""
    if point.value is None:
        return states.NOT_MEASURED
    return states.WAIVED if point.waived else states.of_point(point.verdict)


def spark(line: HistoryLine, runs: range) -> Spark | None:
    """The drawing of these runs; None where none of them has a value."""
    points = [point for point in line.points if point.run in runs]
    held = {point.run: point for point in points}
    scale = _Scale(points, runs)
    if scale.empty:
        return None
    stretches = _stretches(points)
    valued = [point for stretch in stretches for point in stretch]
    gaps = [run for run in runs if run not in held or held[run].value is None]
    marks: dict[str, list[Point]] = {"broken": [], "undecided": [], "plain": []}
    for point in valued:
        marks[_MARKS.get(state_of(point).key, "plain")].append(point)
    foot = HEIGHT - 3.0
    return Spark(
        line="".join(_path([(scale.x(p.run), scale.y(p.value)) for p in s]) for s in stretches if len(s) > 1),
        band="".join(_band(part, scale) for s in stretches for part in _with_intervals(s) if len(part) > 1),
        whiskers="".join(_whisker(part[0], scale) for s in stretches for part in _with_intervals(s) if len(part) == 1),
        limit=_limit(points, scale),
        crosses="".join(f"M{_n(scale.x(run) - 2)} {_n(foot - 2)}l4 4m0-4l-4 4" for run in gaps),
        dots="".join(f"M{_n(scale.x(p.run))} {_n(scale.y(p.value))}h0" for p in marks["plain"]),
        broken="".join(_diamond(p, scale) for p in marks["broken"]),
        undecided="".join(_diamond(p, scale) for p in marks["undecided"]),
    )


class _Scale:
    """Places of runs and values in the box; the values decide where it begins, not zero."""

    def __init__(self, points: Sequence[Point], runs: range) -> None:
        valued = [point for point in points if point.value is not None]
        reach = [x for p in valued for x in (p.value, p.limit, *(p.interval or ())) if x is not None]
        self.empty = not reach
        self._runs = runs
        self._low, self._high = min(reach, default=0.0), max(reach, default=0.0)

    @property
    def step(self) -> float:
        return (WIDTH - 2 * _SIDE) / max(1, len(self._runs) - 1)

    def x(self, run: int) -> float:
        return round(_SIDE + self.step * (run - self._runs.start), 1)

    def y(self, value: float | None) -> float:
        inner = HEIGHT - 2 * _TOP
        if value is None or self._high == self._low:
            return HEIGHT / 2
        return round(_TOP + inner * (self._high - value) / (self._high - self._low), 1)


def _stretches(points: Sequence[Point]) -> list[list[Point]]:
    """Runs of values without a gap."""
    found: list[list[Point]] = []
    for point in points:
        if point.value is None:
            continue
        if found and found[-1][-1].run == point.run - 1:
            found[-1].append(point)
        else:
            found.append([point])
    return found


def _with_intervals(stretch: Sequence[Point]) -> list[list[Point]]:
    """The parts of a stretch in which each value has its interval."""
    return _stretches([point for point in stretch if point.interval is not None])


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in places)


def _band(part: Sequence[Point], scale: _Scale) -> str:
    ends = [(scale.x(p.run), *(scale.y(bound) for bound in p.interval)) for p in part if p.interval is not None]
    return _path([(x, low) for x, low, _ in ends] + [(x, high) for x, _, high in reversed(ends)]) + "z"


def _whisker(point: Point, scale: _Scale) -> str:
    low, high = point.interval or (None, None)
    return f"M{_n(scale.x(point.run))} {_n(scale.y(low))}V{_n(scale.y(high))}"


def _diamond(point: Point, scale: _Scale) -> str:
    return f"M{_n(scale.x(point.run))} {_n(scale.y(point.value) - 3.8)}l3.8 3.8-3.8 3.8-3.8-3.8z"


def _limit(points: Sequence[Point], scale: _Scale) -> str:
    """The limit of each run over half a step to either side, so that a limit that moved is a stair."""
    limited = [point for point in points if point.limit is not None and point.value is not None]
    if not limited:
        return ""
    half = scale.step / 2
    path, before = "", 0
    for point in limited:
        left, right = max(0.0, scale.x(point.run) - half), min(float(WIDTH), scale.x(point.run) + half)
        y = _n(scale.y(point.limit))
        path += f"V{y}H{_n(right)}" if before == point.run - 1 and path else f"M{_n(left)} {y}H{_n(right)}"
        before = point.run
    return path


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
