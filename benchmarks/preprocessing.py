"""How fast rows are prepared, and how much memory a row takes: the same kind of rows at two sizes, in fresh processes.

    python -m benchmarks.preprocessing [--small 20000] [--large 200000] [--json]

Rows: synthetic pairs of 5 to 30 words a side, labelled so; a fifth of them near duplicates of the row before, one in a
hundred exact ones. Every step runs: cleaning, filters, both kinds of duplicates, the split by clusters (three MinHash
signatures a pair). Speed is told by the clock, and by processor time, which a busy machine changes less. Memory is the
peak resident set; its growth between the two sizes, divided by the rows between them, is the state of a row.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure, print_figures

WORDS = 20_000


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # what the fresh process is told
    given = parser.parse_args(arguments)
    if given.measure is not None:
        print(json.dumps(measured(given.measure)))
        return
    found = {rows: _in_fresh_process(rows) for rows in (given.small, given.large)}
    print_figures("preprocessing", figures(given.small, given.large, found), given.json)


def figures(small: int, large: int, found: dict[int, dict[str, float]]) -> list[Figure]:
    """Speed and memory at both sizes, and what a row adds."""
    state = (found[large]["peak_bytes"] - found[small]["peak_bytes"]) / (large - small)
    return [
        *(Figure(f"rows_per_second_{rows}", round(rows / found[rows]["seconds"]), "rows/s, one process", None)
          for rows in (small, large)),
        *(Figure(f"rows_per_processor_second_{rows}", round(rows / found[rows]["processor_seconds"]), "rows/s", None)
          for rows in (small, large)),
        *(Figure(f"peak_memory_{rows}", round(found[rows]["peak_bytes"] / 1e6, 1), "MB, resident set", None)
          for rows in (small, large)),
        Figure("peak_memory_a_row", round(state, 1), f"bytes, from {small:,} to {large:,} rows", "<= 600"),
        Figure("text_a_row", round(found[large]["input_bytes"] / large, 1), "bytes of input"),
        Figure("near_duplicates_removed", found[large]["near"], f"of {large:,} rows"),
    ]  # fmt: skip


def measured(file: Path) -> dict[str, float]:
    """Prepare a file; seconds, peak memory of this process, and what was removed."""
    from core_model.preprocessing import prepare

    started, processor = time.perf_counter(), time.process_time()
    prepared = prepare(
        file, file.with_suffix(".prepared"), task="translation", source_column="en", target_column="de",
        max_length_ratio=3, min_letters=0.3,
    )  # fmt: skip
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    [near] = [step for step in prepared.card["steps"] if step["name"] == "near duplicates"]
    # The peak of this process alone: getrusage's would begin with that of the process that started it.
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return {
        "seconds": seconds,
        "processor_seconds": processor,
        "peak_bytes": peak * 1_024,
        "input_bytes": file.stat().st_size,
        "near": near["rows_in"] - near["rows_out"],
    }


def _in_fresh_process(rows: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{rows}.jsonl"
        write_rows(file, rows)
        command = [sys.executable, "-m", "benchmarks.preprocessing", "--measure", str(file)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        answer: dict[str, float] = json.loads(run.stdout)
        return answer


def write_rows(file: Path, rows: int) -> None:
    """Synthetic pairs, streamed to a file."""
    chance = random.Random(0)  # noqa: S311  # no secret
    before: tuple[list[str], list[str]] = ([], [])
    with file.open("w", encoding="utf-8") as out:
        for row in range(rows):
            kind = chance.random()
            if kind < 0.2 and len(before[0]) > 18:
                pair = tuple([*side[:-1], _word(chance)] for side in before)
            elif kind < 0.21 and before[0]:
                pair = before
            else:
                length = chance.randint(5, 30)
                pair = tuple([_word(chance) for _ in range(length)] for _ in range(2))
            before = (pair[0], pair[1])
            en, de = (" ".join(side) for side in before)
            out.write(json.dumps({"id": row, "en": f"{en} &amp; so", "de": de}) + "\n")


def _word(chance: random.Random) -> str:
    return f"w{chance.randrange(WORDS):x}"


if __name__ == "__main__":
    main()
