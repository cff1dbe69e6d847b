"""Made-up people who said something of the made-up record: answers fresh and stale, a waiver, decisions."""

from __future__ import annotations

from reports.parts import Attestation, EvidenceFile, People, Review, ReviewFile, Waiver
from reports.record import Record
from tests.reports.factories import record, sha256

WAIVER = Waiver(
    person="M. Kaya", role="Product owner", reason="new labels arrive in January", expires="2027-02-01",
    audit="generalization", metric="train_test_gap",
)  # fmt: skip


def told_record(of: Record | None = None) -> Record:
    """The record with a waived limit, attestations and a counted review."""
    of = of or record()
    audits = [
        a.model_copy(
            update={
                "metrics": [
                    m.model_copy(update={"waiver": WAIVER}) if m.name == "train_test_gap" else m for m in a.metrics
                ]
            }
        )
        for a in of.audits
    ]
    answers = [
        Attestation(question="gdpr-35/35.1/needed", answer="yes", name="R. Oduya", role="Data protection officer",
                    independence="same organisation", date="2026-11-18", statement="Special categories are processed.",
                    asked="Is an impact assessment needed, and why (not)?",
                    evidence=[EvidenceFile(file="evidence/dpia.pdf", sha256=sha256("dpia"), note="signed")]),
        Attestation(question="gdpr-35/35.2/dpo-advice", answer="partly", name="R. Oduya", date="2026-11-01",
                    statement="Advice on logging is open.", stale=["its evidence minutes.pdf has changed"]),
    ]  # fmt: skip
    review = Review(
        files=[ReviewFile(file="queue_kaya.csv", sha256=sha256("k"), decisions=41)], rows=41, rows_queued=50,
        reviewers=["Kaya", "Oduya"], decisions={"biased": 30, "unclear": 11}, confirms_label=24, confirms_model=20,
        rows_by_several=18, alpha=0.61, interval=(0.40, 0.79), interval_method="percentile bootstrap over rows, 2,000",
    )  # fmt: skip
    people = People(attestations=answers, attestations_file="attestations.yaml", attestations_sha256=sha256("a"),
                    review=review)  # fmt: skip
    return of.model_copy(update={"audits": audits}).sealed().model_copy(update={"people": people})
