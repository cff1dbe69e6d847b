"""OSCAL assessment results, held to compliance-trestle's model, and to what that model does not check."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings

from reports.formats import render
from reports.parts import Attestation, People, Waiver
from reports.record import AuditResult, Record, Verdict
from tests.reports.factories import record, sealed_record
from tests.reports.formats.hostile_records import hostile_records
from tests.reports.hostile import hostile_record

pytest.importorskip("trestle", reason="the extra oscal")


def written(of: Record) -> dict:
    """The document, after trestle has read it."""
    from trestle.oscal.assessment_results import AssessmentResults

    document = json.loads(render(of, "oscal"))["assessment-results"]
    AssessmentResults.model_validate(document)
    return document


def told() -> Record:
    answer = Attestation(question="eu-ai-act/art-14.4/stop", answer="yes", name="M. Kaya", date="2026-11-18",
                         statement="It was tried.", stale=["its evidence has changed"])  # fmt: skip
    return sealed_record().model_copy(update={"people": People(attestations=[answer])})


def with_waiver() -> Record:
    waiver = Waiver(person="M. Kaya", reason="new labels", expires="2027-02-01", metric="train_test_gap")

    def let(audit: AuditResult) -> AuditResult:
        metrics = [m.model_copy(update={"waiver": waiver}) if m.name == "train_test_gap" else m for m in audit.metrics]
        return audit.model_copy(update={"metrics": metrics})

    return record(audits=[let(audit) for audit in record().audits]).sealed()


@pytest.mark.parametrize("of", [sealed_record(), told(), with_waiver(), hostile_record()])
def test_trestle_reads_it(of):
    written(of)


def test_trestle_would_refuse_a_broken_one():
    from pydantic import ValidationError
    from trestle.oscal.assessment_results import AssessmentResults

    document = written(sealed_record())
    document["results"][0]["findings"][0]["target"]["status"]["state"] = "compliant"
    with pytest.raises(ValidationError):
        AssessmentResults.model_validate(document)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(hostile_records())
def test_hostile_records_are_read_too(of):
    written(of)


@pytest.mark.parametrize("of", [sealed_record(), told(), with_waiver()])
def test_every_reference_points_to_something(of):
    # trestle's model takes a reference that leads nowhere
    text = json.dumps(written(of))
    ids = set(re.findall(r'"uuid": "([0-9a-f-]{36})"', text))
    pointed = set(re.findall(r'"(?:observation|risk)-uuid": "([0-9a-f-]{36})"', text))
    pointed |= set(re.findall(r'"href": "#([0-9a-f-]{36})"', text))
    for group in re.findall(r'"party-uuids": \[([^\]]*)\]', text):
        pointed |= set(re.findall(r"[0-9a-f-]{36}", group))
    assert pointed and pointed <= ids


def states_of(of: Record) -> dict[str, dict]:
    return {f["title"]: f["target"]["status"] for f in written(of)["results"][0]["findings"]}


def test_only_a_limit_that_holds_is_satisfied():
    states = states_of(sealed_record())
    limited = {
        f"{a.id}: {m.key}": m.verdict
        for a in record().audits
        for m in a.metrics
        if m.limit is not None and m.value is not None
    }
    assert set(states) == set(limited)
    assert {title for title, status in states.items() if status["state"] == "satisfied"} == {
        title for title, verdict in limited.items() if verdict is Verdict.PASS
    }
    undecided = [states[title] for title, verdict in limited.items() if verdict is Verdict.INCONCLUSIVE]
    assert undecided and all(status["reason"] == "other" for status in undecided)


def test_what_was_not_measured_is_seen_and_has_no_finding():
    result = written(sealed_record())["results"][0]
    titles = [one["title"] for one in result["observations"]]
    assert "privacy: measured" in titles
    assert not any(finding["title"].startswith("privacy") for finding in result["findings"])


def test_a_waiver_is_an_approved_deviation_and_satisfies_nothing():
    status = states_of(with_waiver())["generalization: train_test_gap"]
    assert (status["state"], status["reason"]) == ("not-satisfied", "fail")
    risks = {risk["title"]: risk for risk in written(with_waiver())["results"][0]["risks"]}
    assert risks["Waiver: generalization: train_test_gap"]["status"] == "deviation-approved"


def test_attestations_name_who_and_say_that_they_are_stale():
    document = written(told())
    [one] = document["results"][0]["attestations"]
    assert document["metadata"]["parties"][0]["name"] == "M. Kaya"
    assert {"stale", "answer", "date"} <= {prop["name"] for prop in one["parts"][0]["props"]}
