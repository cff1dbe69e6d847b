"""Does the privacy audit catch a trainer whose noise is silently off, and leave an honest one alone?

    python -m benchmarks.privacy_audit [--runs 20] [--canaries 300] [--epochs 120] [--nulls 1000] [--json]

Each run trains a tiny classifier in private (epsilon 1 at delta 1e-6) on 20 synthetic rows and about half of the
canaries, once with Opacus' noise and once with the noise silently 0; its papers are the same. The audit sees the
finished checkpoint alone. Caught: the lower bound lies above the claim. Coins and noise come from the operating
system's entropy: no two runs are alike. The size of the model, its rate and the number of canaries were set so that a
model without any noise remembers them; the runs with noise had no say in it. About six minutes of one core.

Beside it the bound on null scores, which costs no training: scores that know nothing of the coins, at 95% confidence.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from audit.concerns.privacy.sandwich import audit_canaries, read_promise, ways_for
from audit.subject import Subject
from benchmarks.figures import Figure, print_figures
from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.prediction import Predictor
from core_model.tasks import Task
from core_model.training_options import TrainingOptions
from privacy.one_run import audit_scores
from privacy.options import PrivacyOptions
from privacy.training import train_privately
from tests.core_model.training_world import planted_table
from tests.factories import write_checkpoint

ROWS, EPSILON, DELTA = 20, 1.0, 1e-6


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--canaries", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--nulls", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="aboveboard-audit-") as folder:
        base = open_checkpoint(write_checkpoint(Path(folder) / "base", hidden=32, layers=1))
        bounds: dict[str, list[float]] = {"silent": [], "honest": []}
        for run in range(given.runs):
            for way, found in bounds.items():
                out = Path(folder) / f"{way}-{run}"
                found.append(bound(base, out, silent=way == "silent", canaries=given.canaries, epochs=given.epochs))
    print_figures("privacy_audit", figures(bounds, nulls(given.nulls, given.canaries)), given.json)


def bound(base: Checkpoint, out: Path, *, silent: bool, canaries: int, epochs: int) -> float:
    """The audited epsilon of one private training, over the epsilon that it claims: above 1 is caught."""
    training = planted_table(ROWS)
    with no_noise() if silent else TemporaryDirectory():
        train_privately(
            TrainingOptions(epochs=epochs, batch_size=32, learning_rate=2e-3, dropout=0.0, weight_decay=0.0),
            PrivacyOptions(epsilon=EPSILON, delta=DELTA, canaries=canaries, clipping_norm=100.0),
            data=training, base=base, out=out,
        )  # fmt: skip
    checkpoint = open_checkpoint(out)
    subject = Subject(checkpoint=checkpoint, data=training, training=training, predictor=Predictor(checkpoint))
    promise = read_promise(subject)
    found = audit_canaries(subject, promise, random=np.random.default_rng())
    if promise.claim is None or found.bound is None:
        raise RuntimeError(promise.trouble or found.trouble)
    return found.bound.epsilon / promise.claim.epsilon


@contextmanager
def no_noise() -> Iterator[None]:
    """The planted bug: Opacus' optimizer is told to add noise, and adds none."""
    from opacus.optimizers.optimizer_fast_gradient_clipping import DPOptimizerFastGradientClipping as Optimizer

    add_noise = Optimizer.add_noise

    def silent(self: Optimizer) -> None:
        multiplier, self.noise_multiplier = self.noise_multiplier, 0.0
        add_noise(self)
        self.noise_multiplier = multiplier

    Optimizer.add_noise = silent
    try:
        yield
    finally:
        Optimizer.add_noise = add_noise


def nulls(draws: int, canaries: int) -> float:
    """Share of draws in which scores that know nothing give a bound above 0."""
    random = np.random.default_rng(0)
    above = 0
    for _ in range(draws):
        found = audit_scores(
            random.normal(size=canaries), random.random(canaries) < 0.5, how=ways_for(Task.CLASSIFICATION, canaries),
            delta=DELTA, random=random,
        )  # fmt: skip
        above += found.epsilon > 0
    return above / draws


def figures(bounds: dict[str, list[float]], null: float) -> list[Figure]:
    caught = {way: sum(ratio > 1 for ratio in found) for way, found in bounds.items()}
    runs = len(bounds["silent"])
    return [
        Figure("caught_silent_noise", caught["silent"], f"runs of {runs}", f"{runs} of {runs}"),
        Figure("accused_honest_noise", caught["honest"], f"runs of {runs}", "at most 1 of 20"),
        Figure("smallest_bound_silent", round(min(bounds["silent"]), 2), "times the claim"),
        Figure("largest_bound_honest", round(max(bounds["honest"]), 2), "times the claim"),
        Figure("bound_above_0_on_nulls", round(null, 4), "share of draws", "at most 0.05"),
    ]


if __name__ == "__main__":
    main()
