"""Attacked examples a minute and success, beside TextAttack 0.3.11 on the same rows in one run.

    python -m benchmarks.attack [--rows 25] [--checkpoint DIR] [--data FILE] [--peer-length N] [--no-peer]
                               [--json]

Rows: held-out RedditBias comments in lower case that the model answers rightly, those with the smallest sha256. Model:
the demo's (`aboveboard demo` makes it). Stop words: scikit-learn's, on both sides; WordNet 3.0, the same files; no word
twice, and 30 letters for DeepWordBug. CPU time of one thread, attacks alone, on both sides after a warm start.
TextAttack attacks one row after the other, as it does; ours attacks all in lock-step. Success is compared by row.
TextAttack pads every text to the tokenizer's length, which decides its speed. Here that is what the longest row needs,
in its favour; --peer-length 512 leaves it as a BERT checkpoint comes, many times slower.

TextAttack runs in an environment of its own, which is made when it is not there; where that fails, its figures are
left out, with a line that says why. TextFooler and BAE would have to download vectors and models: not compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from audit.statistics import paired_difference_of_proportions
from benchmarks.figures import Figure, print_figures
from benchmarks.peer_environment import NotInstallable, peer_python
from core_model.attacks.constraints import english_stop_words
from core_model.attacks.lock_step import attack
from core_model.attacks.recipes import recipe
from core_model.attacks.word_gradients import word_gradients
from core_model.attacks.wordnet import find_wordnet
from core_model.checkpoint import open_checkpoint
from core_model.errors import BadInput
from core_model.prediction import PredictionCache, Predictor

AIMS = {"deepwordbug": 3, "pwws": 5}  # times TextAttack's attacked examples a minute
PEER = Path(__file__).with_name("attack_peer.py")


@dataclass(frozen=True)
class Measured:
    """One recipe on all rows: (rows,) of bool and int, and CPU seconds in all."""

    succeeded: np.ndarray
    queries: np.ndarray
    seconds: float

    @property
    def per_minute(self) -> float:
        """Attacked examples a CPU-minute."""
        return 60 * len(self.succeeded) / self.seconds


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=25)
    parser.add_argument("--checkpoint", default="demo/minilm-redditbias")
    parser.add_argument("--data", default="demo/data/test.jsonl")
    parser.add_argument("--peer-length", type=int, help="tokens that TextAttack pads to; default: the longest row's")
    parser.add_argument("--no-peer", action="store_true", help="measure this suite alone")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    try:
        find_wordnet()
        predictor = Predictor(open_checkpoint(given.checkpoint), threads=1, device="cpu")
        texts, labels = rows_of(predictor, Path(given.data), given.rows)
    except (BadInput, OSError) as error:
        parser.exit(2, f"{error}\n  The demo's model and rows: aboveboard demo\n")
    ours = {
        name + suffix: measure(predictor, texts, labels, name, quick=bool(suffix))
        for name in AIMS
        for suffix in ("", "_quick")
    }
    theirs: dict[str, Measured] = {}
    if not given.no_peer:
        try:
            theirs = measure_peer(given.checkpoint, texts, labels, length=given.peer_length)
        except NotInstallable as why:
            print(f"TextAttack is left out: {why}", file=sys.stderr)
    print_figures("attack", figures_of(ours, theirs), given.json)


def rows_of(predictor: Predictor, data: Path, rows: int) -> tuple[list[str], list[int]]:
    """The first rows that are answered rightly, and their labels."""
    lines = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()[: 4 * rows]]
    texts = [line["comment"].lower() for line in lines]
    labels = [predictor.checkpoint.labels.index(line["label"]) for line in lines]  # type: ignore[attr-defined]
    right = np.flatnonzero(predictor.predict(texts).predicted == labels)[:rows]
    return [texts[row] for row in right], [labels[row] for row in right]


def measure(predictor: Predictor, texts: list[str], labels: list[int], name: str, *, quick: bool) -> Measured:
    """This suite's attack, nothing cached before."""
    made = recipe(name)
    attack(predictor, texts[:2], labels[:2], made, random=np.random.default_rng(1))  # a warm start
    fresh = Predictor.like(predictor)
    fresh.cache = PredictionCache()
    begun = time.process_time()
    run = attack(
        fresh, texts, labels, made.quick() if quick else made, random=np.random.default_rng(0),
        gradients=partial(word_gradients, fresh),
    )  # fmt: skip
    seconds = time.process_time() - begun
    succeeded = np.array([row.status == "succeeded" for row in run.rows])
    return Measured(succeeded, np.array([row.queries for row in run.rows]), seconds)


def measure_peer(checkpoint: str, texts: list[str], labels: list[int], *, length: int | None) -> dict[str, Measured]:
    """TextAttack's, in a process of its own with one thread.

    Raises: NotInstallable.
    """
    python = peer_python(
        "textattack-0.3.11",
        ["textattack==0.3.11", "transformers<5"],
        check="import importlib.metadata as m; m.version('textattack')",
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nltk_data(folder / "nltk")
        job = {
            "checkpoint": str(Path(checkpoint).resolve()), "texts": texts, "labels": labels, "recipes": list(AIMS),
            "length": length,
        }  # fmt: skip
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        environment = {
            **os.environ, "NLTK_DATA": str(folder / "nltk"), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
            "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TA_CACHE_DIR": str(folder / "cache"),
        }  # fmt: skip
        command = [str(python), str(PEER), str(folder / "job.json"), str(folder / "result.json")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            last = done.stderr.strip().splitlines()
            raise NotInstallable(f"it stopped with an error: {last[-1] if last else done.returncode}")
        found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {
        name: Measured(
            np.array([row["succeeded"] for row in rows]),
            np.array([row["queries"] for row in rows]),
            sum(row["seconds"] for row in rows),
        )
        for name, rows in found.items()
    }


def nltk_data(folder: Path) -> None:
    """The same stop words and the same WordNet as ours, where NLTK looks for them."""
    (folder / "corpora/stopwords").mkdir(parents=True)
    (folder / "corpora/stopwords/english").write_text("\n".join(sorted(english_stop_words())) + "\n", encoding="utf-8")
    (folder / "corpora/wordnet").mkdir()
    for file in find_wordnet().folder.iterdir():
        # Offsets count bytes without the carriage returns that this packaging added.
        (folder / "corpora/wordnet" / file.name).write_bytes(file.read_bytes().replace(b"\r\n", b"\n"))


def figures_of(ours: dict[str, Measured], theirs: dict[str, Measured]) -> list[Figure]:
    """Speed, queries and success of each recipe; ratios and paired differences where the peer was measured."""
    figures = []
    for name, one in ours.items():
        rows = len(one.succeeded)
        unit = f"attacked examples a CPU-minute ({rows} rows, one thread)"
        figures += [
            Figure(f"{name}_per_minute", round(one.per_minute, 1), unit),
            Figure(f"{name}_queries", round(float(one.queries.mean()), 1), "texts asked for a row, mean"),
            Figure(f"{name}_success", round(float(one.succeeded.mean()), 3), f"share of {rows} rows"),
        ]
        peer = theirs.get(name.removesuffix("_quick"))
        if peer is None:
            continue
        if not name.endswith("_quick"):
            figures += [
                Figure(f"textattack_{name}_per_minute", round(peer.per_minute, 1), unit),
                Figure(
                    f"textattack_{name}_queries", round(float(peer.queries.mean()), 1), "texts asked for a row, mean"
                ),
                Figure(f"textattack_{name}_success", round(float(peer.succeeded.mean()), 3), f"share of {rows} rows"),
            ]
        aim = AIMS[name.removesuffix("_quick")]
        figures.append(
            Figure(f"{name}_to_textattack", round(one.per_minute / peer.per_minute, 2), "times", f">= {aim}")
        )
        figures.append(difference(name, one.succeeded, peer.succeeded))
    return figures


def difference(name: str, ours: np.ndarray, theirs: np.ndarray) -> Figure:
    """Success, ours minus TextAttack's, on the same rows."""
    found = paired_difference_of_proportions(
        int((ours & theirs).sum()), int((ours & ~theirs).sum()), int((~ours & theirs).sum()),
        int((~ours & ~theirs).sum()),
    )  # fmt: skip
    unit = "share of rows, ours minus TextAttack's, paired"
    if found.low is not None and found.high is not None:
        unit += f", 95% interval {found.low:+.3f} to {found.high:+.3f}"
    value = None if found.value is None else round(found.value, 3)
    return Figure(f"{name}_success_difference", value, unit, "interval not wholly below 0")


if __name__ == "__main__":
    main()
