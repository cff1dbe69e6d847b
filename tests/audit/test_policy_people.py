"""What a policy asks for beyond limits: requirements, findings, waivers; its two spellings, starters, and the gate."""

from __future__ import annotations

import json
from datetime import date

import pytest

from audit.evidence import Limit, metric
from audit.main import run
from audit.metric_names import MetricNames, metric_names
from audit.policies import starters
from audit.policy import read_policy, refuse_unknown, rejudged
from audit.registry import installed
from audit.session import open_policy
from audit.statistics.estimate import Estimate
from audit.verdict import judge_run
from core_model.errors import OptionUnfit
from reports.document.build import report_html
from reports.formats import render
from reports.policy_outcome import outcome
from reports.record import AuditResult, Finding, Severity, Status, Verdict
from tests.reports.factories import record

TODAY = date(2026, 11, 20)
WAIVED = """
name = "screening"
[[limits]]
metric = "gap"
limit = 0.05
[[waivers]]
metric = "gap"
slice = {by = "sex"}
person = "M. Kaya"
role = "product owner"
reason = "new labels arrive in January"
expires = 2027-02-01
"""


def policy_of(tmp_path, text, name="policy.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_policy(path, today=TODAY)


def fairness(*columns, low=0.1, high=0.3, findings=()):
    metrics = [
        metric("gap", Estimate((low + high) / 2, low, high, 500, "planted"), unit="share", better="lower",
               slice={"by": by}, limit=Limit(0.2, "own"))
        for by in columns
    ]  # fmt: skip
    return AuditResult(
        id="fairness", concern="fairness", status=Status.MEASURED, metrics=metrics, findings=list(findings)
    )


def unmeasured(name="privacy"):
    return AuditResult(id=name, concern=name, status=Status.NOT_MEASURED, reason="no training data was given")


def judged(policy, *audits):
    """A record as a run would leave it under this policy."""
    applied = [policy.applied(audit) for audit in audits]
    asked = [limit.metric for limit in policy.unmatched(applied)]
    found = judge_run(applied, asked=asked, policy=policy.facts)
    return record(audits=found.audits, verdict=found.verdict, verdict_reason=found.reason, policy=policy.facts).sealed()


# waivers


def test_a_waived_failure_is_no_failure_of_the_run_and_never_a_pass(tmp_path):
    policy = policy_of(tmp_path, WAIVED)
    done = judged(policy, fairness("sex"))
    [held] = done.audits[0].metrics
    assert held.verdict is Verdict.FAIL  # the number says what it said
    assert held.waiver.person == "M. Kaya"
    assert done.verdict == "inconclusive"
    assert "waived by M. Kaya (product owner) until 2027-02-01" in done.verdict_reason
    assert outcome(done).shuts(strict=True) == []
    assert len(outcome(done).waived) == 1


def test_what_the_waiver_does_not_cover_still_fails(tmp_path):
    done = judged(policy_of(tmp_path, WAIVED), fairness("sex", "age"))
    assert done.verdict == "fail"
    assert outcome(done).shuts(strict=False) == ["fairness: gap[by=age] breaks its limit"]


def test_a_limit_that_holds_needs_no_waiver(tmp_path):
    done = judged(policy_of(tmp_path, WAIVED), fairness("sex", low=0.0, high=0.01))
    assert done.audits[0].metrics[0].waiver is None
    assert done.verdict == "pass"


def test_an_expired_waiver_is_bad_input_that_names_who_and_when(tmp_path):
    text = WAIVED.replace("2027-02-01", "2026-11-19")
    with pytest.raises(OptionUnfit, match=r"gap\[by=sex\] by M. Kaya expired on 2026-11-19"):
        policy_of(tmp_path, text)
    policy_of(tmp_path, WAIVED.replace("2027-02-01", "2026-11-20"))  # its last day still counts


@pytest.mark.parametrize("missing", ["person", "reason", "expires"])
def test_a_waiver_has_a_person_a_reason_and_an_end(tmp_path, missing):
    text = "\n".join(line for line in WAIVED.splitlines() if not line.startswith(missing))
    with pytest.raises(OptionUnfit, match=rf"waivers.0.{missing}"):
        policy_of(tmp_path, text)


def test_every_format_shows_who_waived_and_until_when(tmp_path):
    done = judged(policy_of(tmp_path, WAIVED), fairness("sex"))
    for name in ("html", "junit", "sarif", "model-card", "cyclonedx"):
        text = render(done, name).decode()
        assert "M. Kaya" in text and "2027-02-01" in text, name
    [result] = json.loads(render(done, "sarif"))["runs"][0]["results"]
    assert result["kind"] == "fail"
    assert result["suppressions"][0]["status"] == "accepted"
    assert 'skipped type="waived"' in render(done, "junit").decode()
    assert "A waiver changes no number and is never a pass" in report_html(done)


def test_a_waived_audit_that_was_not_measured_opens_the_gate_and_passes_nothing(tmp_path):
    text = '[required]\naudits = ["privacy"]\n'
    waiver = '[[waivers]]\naudit = "privacy"\nperson = "R. Oduya"\nreason = "no training data"\nexpires = 2027-01-01\n'
    shut = judged(policy_of(tmp_path, text), fairness("sex", high=0.15), unmeasured())
    assert outcome(shut).shuts(strict=False) == ["required, not measured: privacy (no training data was given)"]
    waived = judged(policy_of(tmp_path, text + waiver), fairness("sex", high=0.15), unmeasured())
    assert outcome(waived).shuts(strict=True) == []
    assert waived.verdict == "inconclusive"


# requirements and findings


def test_what_is_required_and_missing_shuts_the_gate_and_fails_nothing(tmp_path):
    policy = policy_of(tmp_path, '[required]\nmetrics = ["epsilon"]\n')
    done = judged(policy, fairness("sex", low=0.0, high=0.01))
    assert done.verdict == "inconclusive"
    assert outcome(done).shuts(strict=False) == ["required, not measured: epsilon (no audit of this run gave it)"]


@pytest.mark.parametrize(("most", "verdict"), [(0, "fail"), (1, "pass")])
def test_findings_of_a_severity_are_counted(tmp_path, most, verdict):
    finding = Finding(id="gap-by-sex", severity=Severity.HIGH, statement="A gap.")
    policy = policy_of(tmp_path, f"[findings]\nhigh = {most}\n")
    done = judged(policy, fairness("sex", low=0.0, high=0.01, findings=[finding]))
    assert done.verdict == verdict
    assert bool(outcome(done).too_many) == (verdict == "fail")


def test_a_finding_that_rests_on_waived_limits_alone_is_not_counted(tmp_path):
    finding = Finding(id="gap", severity=Severity.HIGH, statement="A gap.", metrics=["gap[by=sex]"])
    done = judged(policy_of(tmp_path, WAIVED + "[findings]\nhigh = 0\n"), fairness("sex", findings=[finding]))
    assert outcome(done).too_many == []


def test_strict_is_shut_by_what_is_undecided(tmp_path):
    policy = policy_of(tmp_path, '[[limits]]\nmetric = "gap"\nlimit = 0.25\n')
    done = judged(policy, fairness("sex"))
    assert outcome(done).shuts(strict=False) == []
    assert outcome(done).shuts(strict=True) == ["fairness: gap[by=sex] is undecided; about 2,000 rows would decide"]
    assert done.audits[0].metrics[0].rows_needed == 2000  # twice the arm: four times the rows


def test_a_number_without_a_direction_takes_the_policys(tmp_path):
    one = metric("selection_rate", Estimate(0.2, 0.1, 0.3, 50, "planted"), unit="share")
    result = AuditResult(id="fairness", concern="fairness", status=Status.MEASURED, metrics=[one])
    plain = policy_of(tmp_path, '[[limits]]\nmetric = "selection_rate"\nlimit = 0.05\n')
    assert plain.applied(result).metrics[0].limit is None
    directed = policy_of(tmp_path, '[[limits]]\nmetric = "selection_rate"\nlimit = 0.05\nbetter = "lower"\n')
    assert directed.applied(result).metrics[0].verdict is Verdict.FAIL


# spellings, names and starters


def test_yaml_says_the_same_as_toml(tmp_path):
    yaml = """
name: screening
limits:
  - {metric: gap, limit: 0.05}
waivers:
  - metric: gap
    slice: {by: sex}
    person: M. Kaya
    role: product owner
    reason: new labels arrive in January
    expires: 2027-02-01
"""
    assert policy_of(tmp_path, yaml, "policy.yaml").document == policy_of(tmp_path, WAIVED).document


@pytest.mark.parametrize(
    ("text", "words"),
    [("name: a\nname: b\n", "line 2: 'name' stands there twice"), ("name: &x a\n", "anchors"), ("- 1\n", "no keys"),
     ("name: !!python/object:os.system x\n", "tags"), ("limits: [\n", "line")],
)  # fmt: skip
def test_broken_yaml_is_answered_with_its_line(tmp_path, text, words):
    with pytest.raises(OptionUnfit, match=words):
        policy_of(tmp_path, text, "policy.yaml")


def test_an_unknown_metric_is_refused_with_the_nearest_names(tmp_path, capsys):
    path = tmp_path / "policy.toml"
    path.write_text('[[limits]]\nmetric = "equalised_odds_difference"\nlimit = 0.1\n', encoding="utf-8")
    assert run(["policy", "check", str(path)]) == 2
    error = capsys.readouterr().err
    assert "limits.0.metric" in error
    assert 'Try: metric = "equalized_odds_difference"' in error


def test_an_unknown_audit_is_refused_too(tmp_path):
    policy = policy_of(tmp_path, '[required]\naudits = ["fairnes"]\n')
    with pytest.raises(OptionUnfit, match="nearest: fairness"):
        refuse_unknown(policy, metrics=MetricNames(frozenset(), ()), audits={"fairness", "privacy"})


def test_names_with_a_part_that_is_filled_in_are_known():
    names = metric_names(installed())
    assert all(map(names.knows, ["equalized_odds_difference", "accuracy", "train_test_accuracy_gap", "bleu"]))
    assert not names.knows("acuracy")
    assert MetricNames(frozenset(), (), complete=False).knows("anything")


@pytest.mark.parametrize("name", sorted(starters()))
def test_starters_hold_names_that_some_audit_writes(name):
    policy = open_policy(name)
    assert policy.facts.modified == "2026-11-25"
    assert policy.limits


# a finished run held against another policy


def test_a_finished_run_is_held_against_another_policy(tmp_path):
    before = judged(policy_of(tmp_path, WAIVED), fairness("sex"))
    after = rejudged(before, policy_of(tmp_path, '[[limits]]\nmetric = "gap"\nlimit = 0.4\n', "lax.toml"))
    assert (before.verdict, after.verdict) == ("inconclusive", "pass")
    without = rejudged(before, policy_of(tmp_path, 'name = "none"\n', "none.toml"))
    assert without.audits[0].metrics[0].limit is None  # the other policy's limit went with it


def test_the_check_says_that_a_policy_is_younger_than_the_run(tmp_path, capsys):
    path, source = tmp_path / "policy.toml", tmp_path / "audit.json"
    path.write_text('[[limits]]\nmetric = "accuracy"\nlimit = 0.99\n', encoding="utf-8")
    source.write_text(record().sealed().to_json(), encoding="utf-8")
    assert run(["policy", "check", str(path), "--from", str(source), "--gate", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["policy_younger_than_run"] is True
    assert answer["gate"]["open"] is False
