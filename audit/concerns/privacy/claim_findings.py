"""What a reader should act on about the promise that the checkpoint makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.concerns.privacy.findings import BASE, private_training
from audit.concerns.privacy.sandwich import Canaried, Promise
from audit.concerns.privacy.sandwich_lines import ACCOUNTED, CLAIMED, CONTRADICTIONS, LOWER, MOST
from reports.record import Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject

SHOWN = 5


def claim_findings(metrics: Sequence[Metric], subject: Subject, promise: Promise, canaried: Canaried) -> list[Finding]:
    """A refuted claim first, then one that its record does not bear out, then reservations."""
    return [
        *_refuted(metrics, subject, promise, canaried),
        *_unreadable(subject, promise),
        *_unsupported(subject, promise),
        *_faults(subject, promise),
        *_powerless(subject, promise, canaried),
    ]


def _refuted(metrics: Sequence[Metric], subject: Subject, promise: Promise, canaried: Canaried) -> list[Finding]:
    broken = any(m.name == LOWER and m.verdict is Verdict.FAIL for m in metrics)
    if not broken or promise.claim is None or canaried.bound is None:
        return []
    claim, bound = promise.claim, canaried.bound
    return [
        Finding(
            id="privacy-claim-refuted", severity=Severity.HIGH,
            statement=f"A bug was found: epsilon {claim.epsilon:.3g} is claimed, and the training gives away at least "
            f"{bound.epsilon:.3g} ({bound.correct} of {bound.guesses} guesses about canaries were right). The noise, "
            "the clipping or the accounting is not what privacy.json says.",
            metrics=[LOWER, CLAIMED],
            mitigation=Mitigation(
                command=private_training(
                    subject, f"--epsilon {claim.epsilon:.4g}", f"--canaries {bound.canaries}", "--grad-sample hooks"
                ),
                why="trains again by Opacus' own hooks, the slow reference: if its bound stays below the claim, the "
                f"fault is in the trainer that made this checkpoint. {BASE}. Until then rely on no epsilon",
            ),
        )
    ]  # fmt: skip


def _unreadable(subject: Subject, promise: Promise) -> list[Finding]:
    if not promise.damaged:
        return []
    return [
        Finding(
            id="privacy-claim-unreadable", severity=Severity.HIGH,
            statement=f"The checkpoint carries a privacy.json that says nothing: {promise.trouble}.",
            metrics=[CLAIMED],
            mitigation=Mitigation(command=private_training(subject), why=f"writes a claim that can be checked. {BASE}"),
        )
    ]  # fmt: skip


def _unsupported(subject: Subject, promise: Promise) -> list[Finding]:
    if not promise.contradictions:
        return []
    said = "; ".join(each.statement for each in promise.contradictions[:SHOWN])
    more = len(promise.contradictions) - SHOWN
    return [
        Finding(
            id="privacy-claim-not-supported", severity=Severity.HIGH,
            statement=f"The privacy claim is not borne out: {said}{f'; and {more} more' if more > 0 else ''}.",
            metrics=[CONTRADICTIONS, CLAIMED],
            mitigation=Mitigation(
                command=private_training(subject),
                why="put back the privacy.json and training_record.json that were written with these weights, or train "
                f"again. {BASE}",
            ),
            examples=[
                {"field": each.field, "claimed": str(each.claimed), "found": None if each.found is None else
                 str(each.found)} for each in promise.contradictions
            ],
            examples_total=len(promise.contradictions),
        )
    ]  # fmt: skip


def _faults(subject: Subject, promise: Promise) -> list[Finding]:
    return [
        Finding(
            id=f"privacy-accounting-{fault.id}",
            severity=Severity.HIGH if fault.severity == "refuse" else Severity.LOW,
            statement=f"{fault.statement[:1].upper()}{fault.statement[1:]} ({fault.source}).",
            metrics=[CLAIMED, f"{ACCOUNTED}[accountant=prv]"],
            mitigation=Mitigation(command=private_training(subject), why=f"{fault.mend}. {BASE}"),
        )
        for fault in promise.faults
    ]  # fmt: skip


def _powerless(subject: Subject, promise: Promise, canaried: Canaried) -> list[Finding]:
    """Canaries that could not refute the claim whatever they showed."""
    claim, bound = promise.claim, canaried.bound
    if claim is None or bound is None or canaried.most > claim.epsilon:
        return []
    return [
        Finding(
            id="privacy-too-few-canaries", severity=Severity.LOW,
            statement=f"{bound.canaries:,} canaries can prove epsilon {canaried.most:.2f} at most, and "
            f"{claim.epsilon:.3g} is claimed: the claim was not put to the test.",
            metrics=[LOWER, MOST, CLAIMED],
            mitigation=Mitigation(
                command=private_training(subject, "--epsilon 2", f"--canaries {max(1000, 2 * bound.canaries)}"),
                why="a smaller promise can be refuted by fewer canaries: docs/privacy.md has the table. The bound "
                "grows with the logarithm of their number",
            ),
        )
    ]  # fmt: skip
