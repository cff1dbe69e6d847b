"""Which attacks can be run on this subject, and what each of them says of every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from audit.concerns.privacy.rows import Trial
from core_model.onnx_graph import graph_of
from core_model.tasks import Task
from privacy.attacks.likelihood_ratio import lira, rmia
from privacy.attacks.quantile import FEWEST, features_of, quantile_scores
from privacy.attacks.reference_models import joined, recipe, reference_signals
from privacy.attacks.signals import Attackable, Signals, signals_of
from privacy.attacks.variance_inference import bavaria

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table

LOSS, CALIBRATED, MIN_K, QUANTILE = "loss", "calibrated loss", "min-k%++", "quantile regression"
LIRA, RMIA, BAVARIA = "lira", "rmia", "bavaria"
BEFOREHAND = (RMIA, CALIBRATED, LOSS)
"""The attack whose scores say who is most exposed: the first of these that could be run, whatever it finds."""
SOURCES = {
    LOSS: "Yeom et al. 2018, arXiv:1709.01604",
    CALIBRATED: "Watson et al. 2022, arXiv:2111.08440; Carlini et al. 2021, arXiv:2012.07805",
    MIN_K: "Zhang et al. 2024, arXiv:2404.02936",
    QUANTILE: "Bertran et al. 2023, arXiv:2307.03694",
    LIRA: "Carlini et al. 2022, arXiv:2112.03570",
    RMIA: "Zarifzadeh et al. 2024, arXiv:2312.03262",
    BAVARIA: "Brännvall 2026, arXiv:2603.11799; the prior is fitted here (Smyth 2004)",
}


@dataclass(frozen=True)
class Attack:
    """What one attack says of each row; higher: "was in training".

    Attributes:
        members: (members,); of a row that could not be scored NaN. others: (others,), or the part that the attack did
            not learn from.
        absent: why it was not run; the scores are empty then.
        owed: whether it should have been run, so that its absence leaves its limits undecided.
    """

    name: str
    members: np.ndarray
    others: np.ndarray
    absent: str | None = None
    owed: bool = False

    @classmethod
    def not_run(cls, name: str, because: str, *, owed: bool = False) -> Attack:
        """An attack that lacks what it needs."""
        return cls(name, np.zeros(0), np.zeros(0), because, owed)


@dataclass(frozen=True)
class Attacked:
    """All attacks, in the order in which they are told.

    Attributes:
        forward_passes: rows that went through other models than the one on trial.
        notes: how reference models were made.
    """

    attacks: tuple[Attack, ...]
    forward_passes: int
    notes: tuple[str, ...]

    @property
    def leading(self) -> Attack:
        """The one that says who is most exposed."""
        run = {attack.name: attack for attack in self.attacks if attack.absent is None}
        return next(run[name] for name in BEFOREHAND if name in run)


def attack(subject: Subject, trial: Trial, *, models: int, random: np.random.Generator) -> Attacked:
    """Run every attack that the subject allows; one question to the model for each row.

    Args:
        models: reference models; 0: none are trained.
    """
    quantile_random, reference_random = random.spawn(2)
    predictor, task = cast(Attackable, subject.predictor), subject.task
    members, others = (signals_of(predictor, table, task) for table in (trial.members, trial.others))
    attacks = [Attack(LOSS, -members.losses, -others.losses)]
    calibrated, passes = _calibrated(subject, trial, members, others)
    attacks.append(calibrated)
    if members.min_k is not None and others.min_k is not None:
        attacks.append(Attack(MIN_K, members.min_k, others.min_k))
    attacks.append(_quantile(trial, members, others, quantile_random))
    with_references, more, notes = _with_references(subject, trial, members, others, models, reference_random)
    return Attacked((*attacks, *with_references), passes + more, notes)


def unfit_reference(subject: Subject) -> str | None:
    """Why the reference checkpoint cannot say what a row costs it; None where it can."""
    reference = subject.reference
    if reference is None:
        return "there is no reference checkpoint; --reference CHECKPOINT supplies it, such as the one trained from"
    if reference.task is not subject.task:
        return f"the reference checkpoint, {reference.name}, has a head for {reference.task}, none for {subject.task}"
    if subject.task is Task.CLASSIFICATION and tuple(reference.labels) != tuple(subject.labels):
        return f"the reference checkpoint, {reference.name}, has other labels: {', '.join(reference.labels)}"
    return None


def reference_losses(subject: Subject, *tables: Table) -> tuple[list[np.ndarray], int]:
    """What rows cost the reference checkpoint, and the forward passes; only where `unfit_reference` finds nothing."""
    from core_model.prediction import Predictor

    predictor = Predictor(cast("Checkpoint", subject.reference), cache=None)
    return [signals_of(predictor, table, subject.task).losses for table in tables], predictor.forward_passes


def _calibrated(subject: Subject, trial: Trial, members: Signals, others: Signals) -> tuple[Attack, int]:
    if (because := unfit_reference(subject)) is not None:
        return Attack.not_run(CALIBRATED, because), 0
    (of_members, of_others), passes = reference_losses(subject, trial.members, trial.others)
    return Attack(CALIBRATED, of_members - members.losses, of_others - others.losses), passes


def _quantile(trial: Trial, members: Signals, others: Signals, random: np.random.Generator) -> Attack:
    """Learnt on half of the held-out rows, and held against the other half."""
    known = np.flatnonzero(np.isfinite(others.confidence))
    order = random.permutation(known)
    learning, rest = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    if len(learning) < FEWEST:
        because = f"{len(known)} held-out rows; {2 * FEWEST} are needed, half of them to learn quantiles from"
        return Attack.not_run(QUANTILE, because)
    features, own = features_of(trial.others), features_of(trial.members)
    of_members, of_others = quantile_scores(
        (features[learning], others.confidence[learning]),
        (own, members.confidence),
        (features[rest], others.confidence[rest]),
    )
    return Attack(QUANTILE, of_members, of_others)


def _with_references(
    subject: Subject, trial: Trial, members: Signals, others: Signals, models: int, random: np.random.Generator
) -> tuple[list[Attack], int, tuple[str, ...]]:
    because = None
    if models == 0:
        because = "no reference models were asked for; --profile full, or --set privacy.reference_models=4"
    elif subject.reference is None:
        because = "reference models start from the base of this checkpoint; --reference BASE supplies it"
    elif subject.smoothing is not None:
        because = "reference models would have to be asked by votes, too: leave --smoothing-keep out"
    elif graph_of(subject.reference) is not None:
        because = f"{subject.reference.name} is an exported graph, which cannot be trained; --reference BASE can"
    if because is not None or subject.reference is None:
        return [Attack.not_run(name, str(because)) for name in (LIRA, RMIA, BAVARIA)], 0, ()
    options, how = recipe(subject.checkpoint.training_record, subject.task)
    found = reference_signals(
        joined(trial.members, trial.others), subject.task, base=subject.reference, options=options, models=models,
        random=random,
    )  # fmt: skip
    confidence = np.concatenate([members.confidence, others.confidence])
    losses = np.concatenate([members.losses, others.losses])
    population = np.arange(len(losses)) >= trial.members.rows
    scores = {
        LIRA: lira(confidence, found.confidence, found.included),
        RMIA: rmia(-losses, -found.losses, found.included, population),
        BAVARIA: bavaria(confidence, found.confidence, found.included),
    }
    note = (
        f"{models} reference models were trained from {subject.reference.name}, {how}, each on half of the rows on "
        "trial: where the checkpoint saw many more rows, or noise, they are unlike it, and the attack is weaker."
    )
    each = [Attack(name, both[~population], both[population]) for name, both in scores.items()]
    return each, found.forward_passes, (note,)
