"""The sandwich of a federation: epsilon over all rounds above, canary clients below, attacks on updates between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.concerns.privacy.inference import AUC, TPR
from audit.concerns.privacy.sandwich import CONFIDENCE, Canaried, Promise
from audit.concerns.privacy.sandwich_lines import UNIT
from audit.concerns.privacy.server_view import UPDATE, ServerView
from audit.concerns.privacy.server_view_lines import FPR, LEADING, attack_name
from audit.evidence import metric
from audit.statistics import Estimate
from core_model.errors import OptionUnfit
from reports.record import Metric, Scalar

if TYPE_CHECKING:
    from audit.subject import Subject

ATTACK = "cosine with the sum of all steps"
ONE_SHOT = "epsilon_one_shot_estimate"
ANDREW = "Andrew et al. 2023, arXiv:2302.03098"
NO_CANARIES = {
    "client": "no canary clients took part; aboveboard federate --private --canary-clients 200",
    "example": "canary clients test a promise to whole clients; this one is to rows, into which `federate` puts none",
    None: "nothing was promised that canary clients could test",
}


def audit_canary_clients(
    subject: Subject, promise: Promise, *, random: np.random.Generator
) -> tuple[Canaried, list[Metric]] | None:
    """The bound from a federation's canary clients, and an estimate beside it; None where no federation made it.

    The record has the cosine of every canary with the last model less the first, and the coins.
    """
    record = subject.federated_record if subject.checkpoint.path is not None else None
    if record is None:
        return None
    from federated.canary_run import KEY

    said = record.privacy.get(KEY)
    if said is None or promise.claim is None:
        unit = None if promise.claim is None else "client" if promise.claim.unit == "client" else "example"
        return Canaried(None, NO_CANARIES[unit], attack=ATTACK), []
    try:
        return _bounded(said, promise.claim.delta, random)
    except (KeyError, TypeError, ValueError, OptionUnfit) as unreadable:
        because = f"what the record says of canary clients cannot be read ({unreadable})"
        return Canaried(None, because, attack=ATTACK), []


def _bounded(said: Mapping[str, Any], delta: float, random: np.random.Generator) -> tuple[Canaried, list[Metric]]:
    from federated.canary_clients import canary_bound, one_shot_epsilon
    from privacy.one_run import epsilon_lower_bound, ways_to_guess

    cosines = np.array(said["cosines"], dtype=np.float64)
    included = np.array([bool(coin) for coin in said["included"]])
    dimensions = int(said["dimensions"])
    if not np.isfinite(cosines).all() or cosines.ndim != 1:
        raise ValueError("a cosine is not a number")
    bound = canary_bound(cosines, included, delta=delta, random=random, confidence=CONFIDENCE)
    ways = ways_to_guess(len(cosines))
    each = 1 - (1 - CONFIDENCE) / len(ways)
    most = max(epsilon_lower_bound(w.count, w.count, len(cosines), delta=delta, confidence=each) for w in ways)
    taken = cosines[included]
    estimate = Estimate.absent(f"{len(taken)} canary clients took part; two are needed")
    if len(taken) >= 2:
        found = one_shot_epsilon(taken, dimensions=dimensions, delta=delta)
        reason = "an estimate from a normal law, and no bound: it has no interval"
        estimate = Estimate(found.epsilon, None, None, len(taken), "none", reason=reason)
    line = metric(
        ONE_SHOT, estimate, unit=UNIT, better="lower", source=ANDREW,
        definition="Epsilon that tells canary clients that took part from those that did not, by the normal law that "
        f"fits their cosines with the sum of all steps; {dimensions:,} numbers in an update.",
    )  # fmt: skip
    return Canaried(bound, "", most, ATTACK, None, included), [line]


def federated_row(promise: Promise, view: ServerView, metrics: Sequence[Metric]) -> dict[str, Scalar]:
    """What the sandwich's row says of a federation beside the rest: the attack is the one that the promise is about.

    With a promise to rows that is the client whose updates tell most; its interval is that of one client, and the
    largest of several.
    """
    claim, seen = promise.claim, view.promised
    found = [m for m in metrics if m.slice.get("attack") == attack_name(LEADING) and m.slice.get("seen") == seen]
    if seen != UPDATE:
        found = [m for m in found if "client" not in m.slice]
    area = max((m for m in found if m.name == AUC and m.value is not None), key=lambda m: m.value or 0.0, default=None)
    whose = None if area is None else area.slice.get("client")
    rate = next((m for m in found if m.name == TPR and m.slice.get("client") == whose), None)
    low, high = (area.interval if area is not None and area.interval else None) or (None, None)
    return {
        "unit": None if claim is None else claim.unit,
        "rounds": None if claim is None else claim.steps,
        "attack on updates": None if area is None else attack_name(LEADING),
        "what was seen": seen,
        "client that tells most": whose,
        "updates' AUC": None if area is None else area.value,
        "updates' AUC low": low,
        "updates' AUC high": high,
        f"updates' TPR at {FPR:.0%} FPR": None if rate is None else rate.value,
    }


def federated_note(row: Mapping[str, Scalar]) -> str:
    """The same as one sentence."""
    area = row["updates' AUC"]
    attacked = (
        "not measured"
        if not isinstance(area, float)
        else f"AUC {area:.3f} ({row['what was seen']}"
        + (f", {row['client that tells most']}" if row["client that tells most"] else "")
        + ")"
    )
    return (
        f"Of a federation: {row['rounds']} noisy rounds or steps, one {row['unit']} is protected; attack on updates: "
        f"{attacked}."
    )
