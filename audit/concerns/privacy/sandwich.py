"""The sandwich: the epsilon that is claimed above, the epsilon that canaries betray below.

The claim is `privacy.json`: computed again from its own phases by two accountants, held against the record of the
training, and read by the accounting linter. The bound below comes from `canaries.json`: made-up rows that fair coins
put into the training. One attack, fixed beforehand, scores all of them; scores and coins together refute small
epsilons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from audit.concerns.privacy.attacks import CALIBRATED, LOSS, reference_losses, unfit_reference
from core_model.errors import BadInput, CheckpointMissing, OptionUnfit
from core_model.tasks import Task
from privacy.attacks.signals import Attackable, signals_of
from privacy.canaries import as_table, read_canaries
from privacy.claim import Contradiction, PrivacyClaim, read_claim, supported
from privacy.linter import Fault, TrainingFacts, lint
from privacy.one_run import Guesses, OneRunBound, audit_scores, epsilon_lower_bound, ways_to_guess

if TYPE_CHECKING:
    from pathlib import Path

    from audit.subject import Subject

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Promise:
    """What a checkpoint claims, and what became of the claim when it was looked at.

    Attributes:
        claim: None without a `privacy.json`, or where it cannot be read: `trouble` then says which.
        damaged: whether there is a `privacy.json` that cannot be read.
        accounted: epsilon from the claim's phases, by accountant; None where that has no answer.
        contradictions: where the training record does not bear it out.
        faults: what the accounting linter says.
    """

    claim: PrivacyClaim | None
    trouble: str = ""
    damaged: bool = False
    accounted: Mapping[str, float | None] | None = None
    contradictions: Sequence[Contradiction] = ()
    faults: Sequence[Fault] = ()


@dataclass(frozen=True)
class Canaried:
    """What the canaries say.

    Attributes:
        bound: on epsilon, from below; None where `trouble` says why not.
        most: the bound that these canaries would give if every guess were right.
        attack: which one scored them.
        losses, included: (canaries,) of the model on trial, and the coins.
        data_sha256: of the training rows without canaries.
        forward_passes: of the reference checkpoint.
    """

    bound: OneRunBound | None
    trouble: str = ""
    most: float = 0.0
    attack: str = LOSS
    losses: np.ndarray | None = None
    included: np.ndarray | None = None
    data_sha256: str | None = None
    forward_passes: int = 0


def read_promise(subject: Subject) -> Promise:
    """Read the claim and look at it."""
    if subject.checkpoint.path is None:
        return Promise(None, "the checkpoint has no folder that could hold a privacy.json")
    try:
        claim = read_claim(subject.checkpoint.path)
    except CheckpointMissing:
        return Promise(None, "the checkpoint carries no privacy.json: it promises nothing")
    except BadInput as damaged:
        return Promise(None, damaged.found, damaged=True)
    record = subject.checkpoint.training_record or {}
    accounted = {name: _epsilon(claim, name) for name in ("prv", "rdp")}
    said = record.get("privacy")
    facts = _facts(claim, said if isinstance(said, Mapping) else {})
    return Promise(claim, accounted=accounted, contradictions=supported(claim, record), faults=lint(facts))


def audit_canaries(subject: Subject, promise: Promise, *, random: np.random.Generator) -> Canaried:
    """The one-run lower bound at 95%, at the claim's delta (0 where nothing is claimed).

    The attack is the loss, calibrated by the reference checkpoint where there is a fit one; it is fixed before any
    score is seen.
    """
    training = subject.training
    if subject.checkpoint.path is None or training is None:
        return Canaried(None, "the checkpoint has no folder that could hold canaries")
    try:
        canaries = read_canaries(subject.checkpoint.path)
    except BadInput as trouble:
        missing = isinstance(trouble, CheckpointMissing)
        return Canaried(None, "it was trained without canaries; --canaries 1000" if missing else trouble.found)
    if canaries.task is not subject.task:
        return Canaried(None, f"its canaries are rows for {canaries.task}, not for {subject.task}")
    strange = {c.wanted for c in canaries.canaries} - {*training.label_names} if training.has_labels else set()
    if strange:
        return Canaried(None, f"its canaries carry a label that the model does not have: {min(map(str, strange))}")
    table, included = as_table(canaries, training), canaries.included
    losses = signals_of(cast(Attackable, subject.predictor), table, subject.task).losses
    scores, passes, attack = -losses, 0, LOSS
    if unfit_reference(subject) is None:
        (reference,), passes = reference_losses(subject, table)
        scores, attack = reference - losses, CALIBRATED
    delta = promise.claim.delta if promise.claim is not None else 0.0
    bound = audit_scores(
        np.nan_to_num(scores, nan=-np.inf), included, how=ways_for(subject.task, len(included)), delta=delta,
        confidence=CONFIDENCE, random=random,
    )  # fmt: skip
    most = largest_bound(subject.task, len(included), delta)
    return Canaried(bound, "", most, attack, losses, included, canaries.data_sha256, passes)


def canaries_beside(folder: Path | None) -> int:
    """How many canaries a checkpoint's training left with it; 0 where none can be read."""
    if folder is None:
        return 0
    try:
        return len(read_canaries(folder).canaries)
    except BadInput:
        return 0


def ways_for(task: Task, canaries: int) -> list[Guesses]:
    """Ways to guess that follow from the task and the number of canaries alone.

    The label of a classifier's canary is drawn by lot. Of those held back the model is surely wrong about some: they
    were not in. About the others it is right by chance, as about those that were in: calling these "in" is often wrong.
    So half of the ways call canaries "out" and nothing else. What is written whole is not right by chance.
    """
    if task is not Task.CLASSIFICATION:
        return ways_to_guess(canaries)
    out_alone = [Guesses(0, max(1, canaries // share)) for share in (5, 10, 20)]
    return [*ways_to_guess(canaries)[:3], *out_alone]


def largest_bound(task: Task, canaries: int, delta: float) -> float:
    """The lower bound that so many canaries would give if every guess were right; no claim above it can be refuted."""
    ways = ways_for(task, canaries)
    each = 1 - (1 - CONFIDENCE) / len(ways)
    return max(epsilon_lower_bound(w.count, w.count, canaries, delta=delta, confidence=each) for w in ways)


def _epsilon(claim: PrivacyClaim, accountant: Any) -> float | None:
    try:
        epsilon = claim.ledger().epsilon(claim.delta, accountant=accountant)
    except OptionUnfit:
        return None
    return epsilon if isfinite(epsilon) else None


def _facts(claim: PrivacyClaim, said: Mapping[str, Any]) -> TrainingFacts:
    """What the linter can be told of a claim and of the privacy section of its record; others may have written it."""

    def number(name: str) -> float | None:
        value = said.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None

    units, published, divisor = number("units"), said.get("noise_seed_published"), said.get("gradient_divisor")
    return TrainingFacts(
        ledger=claim.ledger(),
        clipping_norm=claim.clipping_norm,
        gradient_divisor=divisor if divisor in ("public", "batch", "rows") else None,
        rows=None if units is None else int(units),
        batch_size=number("expected_units"),
        delta=claim.delta,
        epsilon_reported=claim.epsilon,
        noise_seed_published=published if isinstance(published, bool) else None,
    )
