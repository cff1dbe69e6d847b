"""A policy's limits replace the audits' own, and stand in the record with the file's hash."""

from __future__ import annotations

import hashlib

import pytest

from audit.evidence import Limit, metric
from audit.policy import read_policy
from audit.statistics.estimate import Estimate
from core_model.errors import OptionUnfit
from reports.record import AuditResult, Status, Verdict

POLICY = """
name = "screening tool"
[[limits]]
metric = "gap"
limit = 0.5
[[limits]]
metric = "gap"
slice = {by = "sex"}
limit = 0.05
"""


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text(POLICY, encoding="utf-8")
    return read_policy(path)


def result() -> AuditResult:
    metrics = [
        metric("gap", Estimate(0.2, 0.1, 0.3, 50, "planted"), unit="share", better="lower", slice={"by": by},
               limit=Limit(0.2, "own"))
        for by in ("sex", "age")
    ]  # fmt: skip
    return AuditResult(id="fairness", concern="fairness", status=Status.MEASURED, metrics=metrics)


def test_the_narrower_limit_given_later_wins(policy):
    sex, age = policy.applied(result()).metrics
    assert (sex.limit, sex.verdict) == (0.05, Verdict.FAIL)
    assert (age.limit, age.verdict) == (0.5, Verdict.PASS)
    assert sex.limit_source == "policy screening tool"


def test_the_file_is_named_by_its_hash(policy):
    assert policy.facts.sha256 == hashlib.sha256(POLICY.encode()).hexdigest()


def test_a_limit_that_meets_no_metric_is_found(policy):
    assert [limit.metric for limit in policy.unmatched([])] == ["gap", "gap"]
    assert policy.unmatched([result()]) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [("[[limits]\n", "line 1"), ('[[limits]]\nmetric = "x"\n', "limits.0.limit"), ("limit = 3\n", "limit")],
)
def test_a_broken_policy_is_answered_with_its_place(tmp_path, text, words):
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OptionUnfit, match=words):
        read_policy(path)
