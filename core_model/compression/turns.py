"""Two checkpoints asked in turns: seconds for the same rows, in one process, minute for minute on one machine.

A machine is quicker at one moment than at the next. In turns, both sides meet the same moments, and the ratio of their
times is steadier than either time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

WARM_UP = 2  # times that each side is asked for nothing: the first call loads a model, the second fills caches


def seconds_in_turns(
    first: Callable[[], object],
    second: Callable[[], object],
    *,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> np.ndarray:
    """Seconds of each call, (rounds, 2); who begins changes from round to round.

    Args:
        first, second: do the same work, one on each side.
        clock: wall time, or `time.process_time`, which leaves out what else runs on the machine.
    """
    for ask in (first, second):
        for _ in range(WARM_UP):
            ask()
    seconds = np.empty((rounds, 2))
    for turn in range(rounds):
        for side in ((0, 1), (1, 0))[turn % 2]:
            begun = clock()
            (first, second)[side]()
            seconds[turn, side] = clock() - begun
    return seconds
