"""The recorded training, run again: twice for some steps, whole against these very weights, or with other seeds.

Source: Dodge et al. 2020, arXiv:2002.06305 (seeds); Milani Fard et al. 2016, "Launch and Iterate" (churn).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.answer_changes import answer_changes
from audit.concerns.reproducibility.recorded import NO_RECORD
from audit.evidence import Limit, metric
from audit.plugin import Need
from audit.statistics import Estimate, bootstrap_mean
from core_model.errors import BadInput
from core_model.evaluation import metrics_of
from core_model.retraining import retrain, why_not
from reports.record import Metric

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.evaluation import Answers

FEDERATED = "federated_record.json"
SMOOTHED = "the smoothed classifier is on trial, and a training makes the model in it: leave --smoothing-keep out"
CHI_SQUARE = "chi-square for a standard deviation of normal values"
DODGE = "Dodge et al. 2020, arXiv:2002.06305"


@dataclass(frozen=True)
class Compared:
    """Weights of two checkpoints, tensor by tensor.

    Attributes:
        tensors: how many there are; same: how many of them have the same bits.
    """

    tensors: int
    same: int


@dataclass(frozen=True, eq=False)
class TrainedAgain:
    """What came of it. Each part is None where it was not asked for, or could not be done: `missing` says why.

    Attributes:
        twice: two short trainings, against each other. whole: a whole one, against the checkpoint.
        answers: of the model on trial and of the models of other seeds, on the audit's rows.
        passes: rows through those models.
    """

    missing: str | None = None
    supply: str | None = None
    twice: Compared | None = None
    whole: Compared | None = None
    answers: Sequence[Answers] = ()
    passes: int = 0


def train_again(subject: Subject, *, steps: int, whole: bool, seeds: int) -> TrainedAgain:
    """Run the recorded training again.

    Args:
        steps: of the two short trainings; 0: none.
        whole: run it to its end, and hold its weights against the checkpoint's.
        seeds: further whole trainings, each of a seed of its own.
    """
    record = subject.checkpoint.training_record
    if record is None:
        return TrainedAgain(NO_RECORD, "a checkpoint trained by `aboveboard train`")
    if subject.smoothing is not None or (subject.checkpoint.path / FEDERATED).exists():
        return TrainedAgain(SMOOTHED if subject.smoothing else "clients trained it, each on rows of its own")
    base = subject.reference if subject.has(Need.REFERENCE_CHECKPOINT) else None
    data = subject.training if subject.has(Need.TRAINING_DATA) else None
    if problem := why_not(record, data=data, base=base):
        return TrainedAgain(*problem)
    if steps < 1 and not whole and seeds < 1:
        return TrainedAgain("not asked for", "--set reproducibility.retraining_steps=4")
    given: dict[str, Any] = {"data": data, "base": None if record.get("base") is None else base}
    try:
        with tempfile.TemporaryDirectory(prefix="aboveboard-retraining-") as folder:
            return _trained(subject, record, given, Path(folder), steps=steps, whole=whole, seeds=seeds)
    except BadInput as error:
        return TrainedAgain(f"training again ended: {error.found}", error.mend)


def _trained(
    subject: Subject,
    record: Mapping[str, Any],
    given: Mapping[str, Any],
    folder: Path,
    *,
    steps: int,
    whole: bool,
    seeds: int,
) -> TrainedAgain:
    from core_model.checkpoint import open_checkpoint
    from core_model.prediction import Predictor

    twice = weights = None
    if steps > 0:
        for name in ("first", "second"):
            retrain(record, out=folder / name, steps=steps, **given)
        twice = compare_weights(folder / "first", folder / "second")
    # Early stopping chooses by the evaluation rows, which must then be the recorded ones.
    recorded = (record.get("evaluation_data") or {}).get("sha256")
    given = {**given, "evaluation": subject.data if subject.data.sha256 == recorded else None}
    stops_early = bool((record.get("options") or {}).get("early_stopping"))
    if (whole or seeds > 0) and stops_early and given["evaluation"] is None:
        return TrainedAgain("early stopping chose by rows that are not given", "--data with the evaluation rows", twice)
    if whole:
        retrain(record, out=folder / "whole", **given)
        weights = compare_weights(subject.checkpoint.path, folder / "whole")
    answers, passes = [], 0
    for number in range(1, seeds + 1):
        out = folder / f"seed{number}"
        retrain(record, out=out, seed=(int(record["seed"]) + number) % 2**32, **given)
        worker = Predictor(open_checkpoint(out), cache=None)
        answers.append(subject.ask(subject.data, worker))
        passes += worker.forward_passes
    return TrainedAgain(
        twice=twice, whole=weights, answers=[subject.answers, *answers] if answers else (), passes=passes
    )


def compare_weights(one: Path, other: Path) -> Compared:
    """The safetensors of two folders, a tensor at a time. A tensor that only one of them has is not the same."""
    from core_model.checkpoint_weights import hash_tensor, read_weights

    (ours, _), (theirs, _) = read_weights(one), read_weights(other)
    both = ours.keys() & theirs.keys()
    same = sum(
        ours[name].shape == theirs[name].shape and hash_tensor(ours[name]) == hash_tensor(theirs[name]) for name in both
    )
    return Compared(len(ours.keys() | theirs.keys()), same)


def training_lines(
    again: TrainedAgain, subject: Subject, random: np.random.Generator, *, steps: int, limit: Limit
) -> list[Metric]:
    """Metrics of what was trained again.

    Args:
        limit: for the share of tensors that two short trainings agree in, where these were run.
    """
    need = f"; supply: {again.supply}" if again.supply else ""
    why = f"{again.missing}{need}" if again.missing else None
    spread, churn = _of_seeds(again, subject, random)
    unasked = "not asked for: --set reproducibility.seeds=4 trains with so many other seeds"
    return [
        metric(
            "retraining_same_weights", _same(again.twice, why or "not asked for"), unit="share of tensors",
            better="higher", limit=None if again.twice is None else limit, slice={"trained": "some steps, twice"},
            definition=f"Tensors with the same bits after {steps} steps of the recorded training, run twice here.",
        ),
        metric(
            "retraining_same_weights",
            _same(again.whole, why or "not asked for: --set reproducibility.retrain_whole=true"),
            unit="share of tensors", better="higher", slice={"trained": "whole, against this checkpoint"},
            definition="Tensors with the same bits as the checkpoint's after the whole recorded training, run here.",
        ),
        metric(
            "seed_spread", spread or Estimate.absent(why or unasked), better="lower", source=DODGE,
            unit=f"standard deviation of {_chosen(subject)}",
            definition="How much the task's first metric differs between trainings that differ in their seed alone.",
        ),
        metric(
            "seed_churn", churn or Estimate.absent(why or unasked), unit="share of rows", better="lower", source=DODGE,
            definition="Rows that two trainings, which differ in their seed alone, answer otherwise; mean over pairs.",
        ),
    ]  # fmt: skip


def _same(compared: Compared | None, missing: str) -> Estimate:
    return (
        Estimate.absent(missing)
        if compared is None
        else Estimate.counted(compared.same / compared.tensors, compared.tensors)
    )


def _chosen(subject: Subject) -> str:
    return subject.metrics[0].name if subject.has(Need.LABELS) else "the task's metric"


def _of_seeds(
    again: TrainedAgain, subject: Subject, random: np.random.Generator
) -> tuple[Estimate | None, Estimate | None]:
    """The spread of the task's first metric, and the churn."""
    if len(again.answers) < 2:
        return None, None
    spread = Estimate.absent("needs labels: --label-column COLUMN")
    if subject.has(Need.LABELS):
        scores = [metrics_of(one, subject.data, subject.task)[0].score for one in again.answers]
        spread = deviation(np.array(scores))
    pairs = [answer_changes(a, b).turned for a, b in combinations(again.answers, 2)]
    turned = [pair for pair in pairs if pair is not None]
    if not turned:
        return spread, Estimate.absent("a likelihood decides nothing that could turn")
    return spread, bootstrap_mean(np.mean(turned, axis=0), random, bounds=(0.0, 1.0))


def deviation(values: np.ndarray) -> Estimate:
    """The standard deviation of some trainings' scores, with its interval.

    Args:
        values: (trainings,), two or more.
    """
    from scipy.stats import chi2

    n = len(values)
    spread = float(np.std(values, ddof=1))
    low, high = (spread * sqrt((n - 1) / float(chi2.ppf(q, n - 1))) for q in (0.975, 0.025))
    return Estimate(spread, low, high, n, CHI_SQUARE)
