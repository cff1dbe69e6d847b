"""The sandwich as lines of the record, and all of it in one row."""

from __future__ import annotations

from collections.abc import Sequence

from audit.concerns.privacy.attacks import Attack
from audit.concerns.privacy.inference import AUC, TPR
from audit.concerns.privacy.sandwich import Canaried, Promise
from audit.evidence import Limit, metric
from audit.statistics import Estimate
from reports.record import Metric, Scalar

STEINKE = "Steinke, Nasr and Jagielski 2023, arXiv:2305.08846, theorem 5.2"
ACCOUNTANTS = {"prv": "Gopi et al. 2021, arXiv:2106.02848", "rdp": "Mironov 2017, arXiv:1702.07476"}
CLAIMED, ACCOUNTED, LOWER = "epsilon_claimed", "epsilon_accounted", "epsilon_lower_bound"
CONTRADICTIONS, MOST = "claim_contradictions", "epsilon_lower_bound_at_most"
UNIT = "epsilon"


def sandwich_metrics(promise: Promise, canaried: Canaried) -> list[Metric]:
    """Epsilon as it is claimed, as two accountants find it, and as the canaries bound it."""
    claim = promise.claim
    stated = "stated in privacy.json, no measurement"
    claimed = (
        Estimate.absent(promise.trouble)
        if claim is None
        else Estimate(claim.epsilon, None, None, claim.steps, "none", reason=stated)
    )
    said = "" if claim is None else f" Delta {claim.delta:.3g}; what is protected: one {claim.unit}."
    lines = [
        metric(
            CLAIMED, claimed, unit=UNIT, better="lower",
            definition=f"What the checkpoint promises at most.{said}",
        )
    ]  # fmt: skip
    if claim is not None:
        lines += _accounted(promise)
        count = float(len(promise.contradictions))
        lines.append(
            metric(
                CONTRADICTIONS, Estimate(count, count, count, claim.steps, "counted, exact"), unit="contradictions",
                better="lower", limit=Limit(0.0, "a claim that its own record contradicts is worth nothing"),
                definition="What the claim and its training record, or its own numbers, say differently.",
            )
        )  # fmt: skip
    return [*lines, *_below(promise, canaried)]


def sandwich_row(
    promise: Promise, canaried: Canaried, attack: Attack | None, metrics: Sequence[Metric]
) -> dict[str, Scalar]:
    """Claim above, attack between, bound below; None where one of them is not known."""
    claim, bound, accounted = promise.claim, canaried.bound, promise.accounted or {}
    name = None if attack is None else attack.name
    of = {m.slice.get("fpr", "auc"): m for m in metrics if m.name in (AUC, TPR) and m.slice.get("attack") == name
          and set(m.slice) <= {"attack", "fpr"}}  # fmt: skip
    area = of.get("auc")
    low, high = (area.interval if area is not None and area.interval else None) or (None, None)
    return {
        "epsilon claimed": None if claim is None else claim.epsilon,
        "delta": None if claim is None else claim.delta,
        "epsilon by PRV": accounted.get("prv"),
        "epsilon by RDP": accounted.get("rdp"),
        "attack": name,
        "attack AUC": None if area is None else area.value,
        "AUC low": low,
        "AUC high": high,
        "TPR at 1% FPR": of["0.01"].value if "0.01" in of else None,
        "TPR at 0.1% FPR": of["0.001"].value if "0.001" in of else None,
        "epsilon at least (95%)": None if bound is None else bound.epsilon,
        "canaries": None if bound is None else bound.canaries,
    }


def sandwich_note(row: dict[str, Scalar]) -> str:
    """The same as one sentence."""

    def said(name: str) -> str:
        value = row[name]
        return "not measured" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)

    return (
        f"Claim above, attack between, bound below: epsilon claimed {said('epsilon claimed')} (PRV "
        f"{said('epsilon by PRV')}, RDP {said('epsilon by RDP')}); attack ({said('attack')}): AUC "
        f"{said('attack AUC')}, TPR {said('TPR at 0.1% FPR')} at 0.1% FPR; epsilon at least "
        f"{said('epsilon at least (95%)')} by {said('canaries')} canaries."
    )


def _accounted(promise: Promise) -> list[Metric]:
    assert promise.claim is not None  # noqa: S101 - the caller looked
    lines = []
    for name, source in ACCOUNTANTS.items():
        found = (promise.accounted or {}).get(name)
        estimate = (
            Estimate.absent("this accountant has no finite answer for these phases", n=promise.claim.steps)
            if found is None
            else Estimate(found, None, None, promise.claim.steps, "none", reason="an upper bound, no measurement")
        )
        lines.append(
            metric(
                ACCOUNTED, estimate, unit=UNIT, better="lower", slice={"accountant": name}, source=source,
                definition="Epsilon at the claim's delta, computed again here from the claim's phases.",
            )
        )  # fmt: skip
    return lines


def _below(promise: Promise, canaried: Canaried) -> list[Metric]:
    """The bound. It is held against the claim only where it could have refuted it."""
    bound, claim = canaried.bound, promise.claim
    against = None
    if bound is None:
        estimate, limit = Estimate.absent(canaried.trouble), None
    else:
        top = bound.epsilon if claim is None else max(bound.epsilon, claim.epsilon)
        method = (
            f"from below: one run, {bound.correct} of {bound.guesses} guesses right (one-sided 95%); from above: the "
            "claim, where it is not refuted"
        )
        able = claim is not None and canaried.most > claim.epsilon
        limit = Limit(claim.epsilon, "the claim in privacy.json") if claim is not None and able else None
        against = bound.p_value(limit.value) if limit is not None else None
        estimate = (
            Estimate(bound.epsilon, bound.epsilon, top, bound.canaries, method)
            if claim is not None
            else Estimate(bound.epsilon, None, None, bound.canaries, "none", reason="one-sided: it has no upper end")
        )
    lines = [
        metric(
            LOWER, estimate, unit=UNIT, better="lower", limit=limit, source=STEINKE, p_value=against,
            definition=f"The training is not more private than this, at 95% confidence ({canaried.attack} of the "
            "canaries). Above the claim it has found a bug; near 0 it proves little, for weak attacks give 0, too.",
        )
    ]  # fmt: skip
    if bound is not None:
        most = Estimate(canaried.most, None, None, bound.canaries, "none", reason="it follows from the count alone")
        lines.append(
            metric(
                MOST, most, unit=UNIT, source=STEINKE,
                definition=f"What {bound.canaries:,} canaries would prove if every guess were right: no claim above it "
                "can be refuted by them.",
            )
        )  # fmt: skip
    return lines
