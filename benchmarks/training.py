"""How fast the trainer is, beside transformers' own Trainer at its defaults, on the same rows in one run.

    python -m benchmarks.training [--rows 960] [--rounds 3] [--threads 2] [--json]

Model: MiniLM-L6 (22.7 M parameters) with a new head of two classes, float32. Rows: RedditBias training comments, drawn
anew for each round, the same for both. Both read them in batches of 32, cut after 128 tokens and padded to the longest
row of the batch; ours puts rows of like length together, which is where its gain comes from. Each trainer has a process
of its own. In a round both train one epoch; they take turns of some two seconds, the other waiting idle, so that a busy
machine slows both alike. A first round is to warm up and is not counted. Timed are the steps, from the first batch to
the last; waiting, tokenizing and saving are not. The ratio's spread over the rounds stands beside its median.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

import numpy as np

from benchmarks.figures import Figure, print_figures
from core_model.embedded import Comment, load_redditbias
from core_model.errors import BadInput

BATCH_SIZE = 32
MAX_LENGTH = 128
WARM_UP_ROWS = 128
SIDES = ("ours", "transformers")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=960, help="rows of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    try:
        comments = load_redditbias()
    except BadInput as error:
        parser.exit(2, f"{error}\n")
    answers = rounds(comments, rows=given.rows, count=given.rounds, threads=given.threads)
    print_figures("training", figures(answers, given.threads), given.json)


def rounds(comments: Sequence[Comment], *, rows: int, count: int, threads: int) -> dict[str, list[dict[str, Any]]]:
    """What each side answered in each counted round."""
    answers: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    with ExitStack() as stack:
        processes = {side: stack.enter_context(_process(side, threads)) for side in SIDES}
        for number in range(count + 1):
            drawn = np.random.default_rng(number).permutation(len(comments))[: rows if number else WARM_UP_ROWS]
            asked = {
                "rows": [[comments[i].text, comments[i].label] for i in drawn], "batch_size": BATCH_SIZE,
                "max_length": MAX_LENGTH, "threads": threads, "seed": number,
            }  # fmt: skip
            done = _take_turns(processes, asked, SIDES if number % 2 else SIDES[::-1])
            for side in SIDES if number else ():
                answers[side].append(done[side])
                speed = done[side]["rows"] / done[side]["seconds"]
                print(f"round {number} of {count}: {side} {speed:.1f} rows/s", file=sys.stderr)
    return answers


def figures(answers: dict[str, list[dict[str, Any]]], threads: int) -> list[Figure]:
    """Speeds, their ratio with its spread over the rounds, and peak memory."""
    speed = {side: [one["rows"] / one["seconds"] for one in answers[side]] for side in SIDES}
    ratio = [a / b for a, b in zip(*speed.values(), strict=True)]
    peak = {side: max(one["peak_bytes"] for one in answers[side]) / 2**20 for side in SIDES}
    rows = answers["ours"][0]["rows"]
    unit = f"rows/s ({rows} RedditBias rows a round, {threads} threads, float32, median of {len(ratio)} rounds)"
    return [
        *(Figure(f"{side}_rows_per_second", round(median(speed[side]), 1), unit) for side in SIDES),
        Figure("ours_to_transformers", round(median(ratio), 2), "times, median of the rounds' ratios", ">= 1.5"),
        Figure("ours_to_transformers_lowest", round(min(ratio), 2), "times, in the worst round"),
        Figure("ours_to_transformers_highest", round(max(ratio), 2), "times, in the best round"),
        *(
            Figure(f"{side}_peak_memory", round(peak[side]), "MiB, largest resident set of its process")
            for side in SIDES
        ),
    ]


def _process(side: str, threads: int) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.training_side", side], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env=environment,
    )  # fmt: skip


def _take_turns(
    processes: dict[str, subprocess.Popen[str]], asked: dict[str, Any], order: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """One round: each side works in turn until both have answered."""
    done: dict[str, dict[str, Any]] = {}
    words = dict.fromkeys(order, json.dumps(asked))
    while len(done) < len(order):
        for side in order:
            if side not in done:
                answer = _ask(processes[side], words[side])
                words[side] = "go on"
                if "paused" not in answer:
                    done[side] = answer
    return done


def _ask(process: subprocess.Popen[str], words: str) -> dict[str, Any]:
    """Tell a side to work, and wait for its answer.

    Raises: RuntimeError when its process ended; `python -m benchmarks.training_side` by hand then says why.
    """
    assert process.stdin is not None and process.stdout is not None  # noqa: S101 - both are pipes
    process.stdin.write(words + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a trainer ended with code {process.wait()} before it answered")
    answer: dict[str, Any] = json.loads(line)
    return answer


if __name__ == "__main__":
    main()
