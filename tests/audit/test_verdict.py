"""The verdict of a run: many limits do not fail by chance, and what is not measured never passes."""

from __future__ import annotations

import numpy as np
import pytest

from audit.evidence import Limit, metric
from audit.statistics.estimate import Estimate
from audit.verdict import judge_run
from reports.record import AuditResult, Status


def result(*values: float, half_width: float = 0.05, audit_id: str = "fairness") -> AuditResult:
    metrics = [
        metric(
            f"gap_{place}",
            Estimate(value, value - half_width, value + half_width, 100, "planted"),
            unit="share",
            better="lower",
            limit=Limit(0.1, "test"),
        )
        for place, value in enumerate(values)
    ]
    return AuditResult(id=audit_id, concern=audit_id, status=Status.MEASURED, metrics=metrics)


def test_a_clearly_broken_limit_fails_the_run():
    judged = judge_run([result(0.3, 0.02)])
    assert judged.verdict == "fail"
    assert "gap_0" in judged.reason and "gap_1" not in judged.reason


def test_all_limits_held_pass_the_run():
    assert judge_run([result(0.01, 0.02)]).verdict == "pass"


def test_a_limit_broken_among_many_only_by_chance_is_inconclusive():
    just_broken = 0.1 + 0.0501  # its own interval lies just beyond the limit: one-sided p just under 0.025
    assert judge_run([result(just_broken)]).verdict == "fail"
    among_many = judge_run([result(just_broken, *[0.01] * 19)])
    assert among_many.verdict == "inconclusive"
    assert "not after Holm" in among_many.reason


def test_a_failed_run_names_what_is_broken_only_by_its_own_interval_too():
    """The list of what failed holds both: the sentence above it must not count fewer."""
    judged = judge_run([result(0.3, 0.1 + 0.0501, *[0.01] * 19)])
    surely, alone = judged.reason.split("; ")
    assert judged.verdict == "fail"
    assert surely == "1 limit is broken: gap_0"
    assert alone == "1 limit is broken, but not after Holm's correction: gap_1"


def test_twenty_limits_that_all_hold_exactly_fail_a_run_in_at_most_one_of_twenty():
    # Truth on the limit everywhere is the worst case that still holds it: 2.5% over the whole run is promised.
    random = np.random.default_rng(0)
    standard_error = 0.05 / 1.959964
    fails = sum(
        judge_run([result(*(0.1 + random.normal(0, standard_error, 20)))]).verdict == "fail" for _ in range(400)
    )
    assert fails <= 20  # 10 expected; 20 is beyond the 99.5th percentile of Binomial(400, 0.025)


def test_without_any_limit_a_run_is_inconclusive():
    plain = AuditResult(id="emissions", concern="emissions", status=Status.MEASURED)
    judged = judge_run([plain])
    assert (judged.verdict, judged.reason) == ("inconclusive", "no limit was set")


def test_an_errored_audit_leaves_the_run_inconclusive():
    errored = AuditResult(id="privacy", concern="privacy", status=Status.ERRORED, reason="planted")
    judged = judge_run([result(0.01), errored])
    assert judged.verdict == "inconclusive" and "privacy" in judged.reason


def test_a_policy_limit_that_nothing_measured_leaves_the_run_inconclusive():
    assert judge_run([result(0.01)], asked=["epsilon"]).verdict == "inconclusive"


def test_each_limit_carries_its_adjusted_p_value():
    metrics = judge_run([result(0.3, 0.02)]).audits[0].metrics
    assert metrics[0].p_adjusted < 0.025 < metrics[1].p_adjusted <= 1


def test_a_method_with_a_p_value_of_its_own_is_believed_and_a_policys_limit_asks_anew():
    """A one-sided bound has no arm towards its limit: read off the interval its p-value would be 0."""
    broken = result(0.3)
    [line] = broken.metrics
    bound = line.model_copy(update={"interval": (0.3, 0.4), "p_value": 0.02})
    judged = judge_run([broken.model_copy(update={"metrics": [bound]}), result(0.01)])
    assert judged.audits[0].metrics[0].p_value == 0.02
    assert judged.audits[0].metrics[0].p_adjusted == pytest.approx(0.04)
    assert judged.verdict == "inconclusive"  # broken alone, not after two looks
    alone = judge_run([broken.model_copy(update={"metrics": [bound]})])
    assert alone.verdict == "fail"
