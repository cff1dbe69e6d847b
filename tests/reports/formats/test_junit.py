"""Promises about JUnit XML. The reader is junitparser; the parser is libxml2."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from lxml import etree

from reports.formats.junit import junit_xml
from reports.record import Record, Status, Verdict
from tests.reports.factories import record, sealed_record
from tests.reports.formats.hostile_records import hostile_records
from tests.reports.hostile import hostile_record

junitparser = pytest.importorskip("junitparser")


def cases(document: Record) -> dict[tuple[str, str], list[str]]:
    """Class name and name of each case, with the kinds of its outcomes, as junitparser reads them."""
    suites = junitparser.JUnitXml.fromstring(junit_xml(document).encode("utf-8"))
    return {(c.classname, c.name): [type(r).__name__ for r in c.result] for suite in suites for c in suite}


def test_each_verdict_becomes_the_outcome_that_a_build_shows():
    found = cases(sealed_record())
    assert found["aboveboard.evaluability", "accuracy"] == []
    assert found["aboveboard.generalization", "train_test_gap"] == ["Failure"]
    assert found["aboveboard.generalization", "expected_calibration_error"] == ["Skipped"]
    assert found["aboveboard.privacy", "measured"] == ["Skipped"]
    assert found["aboveboard.explainability", "measured"] == ["Error"]
    assert found["aboveboard", "verdict"] == ["Failure"]
    assert found["aboveboard", "content hash"] == []


def test_a_case_says_its_n_interval_limit_and_what_would_supply_a_number():
    text = junit_xml(sealed_record())
    assert "0.0520 (95% interval 0.0429 to 0.0611, Wilson), n=2,293" in text
    assert "limit: at most 0.05 (audit default); about 3,412 rows would decide" in text
    assert "Supply: --train-data FILE" in text


def test_names_hold_no_value_so_that_a_history_can_follow_them():
    better = record(audits=[a.model_copy(update={"metrics": [
        m.model_copy(update={"value": 0.5, "interval": (0.4, 0.6), "verdict": Verdict.INFORMATIVE})
        for m in a.metrics if m.value is not None]}) for a in record().audits])  # fmt: skip
    kept = {name for name in cases(record()) if "impact_ratio" not in name[1]}
    assert set(cases(better)) == kept


def test_an_edited_record_fails_and_its_pass_is_not_repeated():
    edited = sealed_record().model_copy(update={"verdict": "pass"})
    found = cases(edited)
    assert found["aboveboard", "content hash"] == ["Failure"]
    assert found["aboveboard", "verdict"] == ["Skipped"]


def test_a_run_that_did_not_end_is_no_pass():
    assert cases(record(verdict="pass", complete=False))["aboveboard", "verdict"] == ["Skipped"]
    assert cases(record(verdict="pass"))["aboveboard", "verdict"] == []


def test_the_counts_are_those_of_the_cases():
    root = etree.fromstring(junit_xml(sealed_record()).encode())
    for kind, element in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        assert int(root.get(kind)) == len(root.findall(f".//{element}"))
    assert sum(int(suite.get("skipped")) for suite in root) == len(root.findall(".//skipped"))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(hostile_records())
def test_whatever_is_written_in_a_record_the_xml_is_whole_and_passes_nothing_unmeasured(hostile):
    text = junit_xml(hostile)
    root = etree.fromstring(text.encode("utf-8"))  # libxml2 refuses what XML 1.0 does not allow
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "error", "skipped", "system-out"
    }  # fmt: skip
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]", text
    )
    passed = [case for case in root.iter("testcase") if not {c.tag for c in case} & {"failure", "error", "skipped"}]
    held = sum(m.verdict is Verdict.PASS for a in hostile.audits for m in a.metrics)
    assert len([case for case in passed if case.get("classname") != "aboveboard"]) == held
    unmeasured = sum(a.status is not Status.MEASURED for a in hostile.audits)
    assert len([case for case in root.iter("testcase") if case.get("name") == "measured"]) >= unmeasured


def test_the_hostile_record_is_read_by_others():
    assert len(cases(hostile_record())) > 5
