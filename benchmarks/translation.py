"""How well a translator learns from nothing on two CPU cores: BLEU and chrF on held-out pages, at marks in time.

    python -m benchmarks.translation [--minutes 60] [--marks 10,18,30,45] [--corpus help|both] [--rows 400] [--beams 4]
                                     [--threads 2] [--seed 0] [--out DIR] [--any-version] [--json]
    python -m benchmarks.translation --recipe examples/wmt16.toml      # other data, shape and options

An encoder-decoder of 8.4 M parameters (Marian's layout, 4 + 3 layers of 256) is trained by `core_model.training`, with
its vocabulary, on LibreOffice's help in English and German ("both": and on Debian's package descriptions). At each mark
the run is set down, the averaged weights are saved as a checkpoint in DIR/mark-N, and it goes on. A mark is minutes of
training (steps and saving; preparing data, about a minute, and scoring are not counted).

Scored are sentences of pages that training never saw, without those that it nearly saw; package descriptions apart.
Marks: greedy search over --rows rows of each; the end: all rows, greedy and with --beams. DIR/scores.jsonl has each
score with its interval (bootstrap over rows), n and sacrebleu signature. The same command goes on after a kill or
Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure, print_figures
from benchmarks.translation_recipe import packaged_recipe, read_recipe
from benchmarks.translation_run import MarkedRun
from benchmarks.translation_scores import ScoreBook, Scored
from core_model.errors import AboveboardError

AIMS = {30.0: "25 or more", 60.0: "30 or more"}  # BLEU on the help's pages, by minutes


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--marks", type=_minutes, default=[10, 18, 30, 45], help="minutes, with commas between")
    parser.add_argument("--corpus", choices=("help", "both"), default="help")
    parser.add_argument("--recipe", type=Path, help="TOML file of data, architecture and training, in place of ours")
    parser.add_argument("--rows", type=int, default=400, help="test rows of each corpus that are scored at a mark")
    parser.add_argument("--beams", type=int, default=4, help="of the second score at the end; 1: none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder of the run [default: runs/translation-CORPUS-SEED]")
    parser.add_argument("--any-version", action="store_true", help="take the texts of any version of the packages")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    marks = sorted({mark for mark in options.marks if mark < options.minutes})
    named = options.recipe.stem if options.recipe else f"translation-{options.corpus}"
    out = options.out or Path("runs") / f"{named}-{options.seed}"
    import torch

    torch.set_num_threads(options.threads)
    try:
        if options.recipe:
            recipe = read_recipe(options.recipe)
        else:
            recipe = packaged_recipe(out / "data", options.corpus, pinned=not options.any_version)
        run = MarkedRun(out, recipe, minutes=options.minutes, seed=options.seed, say=say)
        book = ScoreBook(out / "scores.jsonl", run.tests, threads=options.threads, say=say)
        for mark in marks:
            if not book.has(mark):
                checkpoint = run.train_until(mark)
                if checkpoint is not None:
                    book.score(checkpoint, mark, rows=options.rows, beams=1)
        finished = run.train_to_the_end()
        for beams in sorted({1, options.beams}):
            book.score(finished, options.minutes, rows=None, beams=beams)
    except AboveboardError as letter:
        sys.exit(str(letter))
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        sys.exit(130)
    figures = [figure for scored in book.scores for figure in (_figure(scored), _steps(scored)) if figure is not None]
    print_figures("translation", figures, options.json)


def _minutes(text: str) -> list[float]:
    try:
        return [float(mark) for mark in text.split(",") if mark]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of minutes; such as 10,18,30") from None


def _figure(scored: Scored) -> Figure:
    beams = "" if scored.beams == 1 else f"_{scored.beams}_beams"
    name = f"{scored.metric}_{scored.corpus}_{scored.minutes:g}_min{beams}"
    unit = f"{scored.unit}; {scored.said}, 95%; {scored.signature}"
    wanted = scored.metric == "bleu" and scored.corpus == "help"
    return Figure(
        name,
        None if scored.value is None else round(scored.value, 2),
        unit,
        AIMS.get(scored.minutes) if wanted else None,
    )


def _steps(scored: Scored) -> Figure | None:
    if scored.metric != "bleu" or scored.beams != 1 or scored.corpus == "packages":
        return None
    return Figure(f"steps_{scored.minutes:g}_min", scored.steps, "optimizer steps done")


def say(text: str) -> None:
    """A line with the time, at once: a log of an hour must show that somebody lives."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
