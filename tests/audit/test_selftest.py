"""Promises of the selftest: an audit that is broken on purpose is caught, and what was done once is not done again."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest
from scipy.stats import binomtest

from audit.plugin import Evidence, Need
from audit.registry import Broken, Registry, installed
from audit.selftest.control import Control, Sign
from audit.selftest.registry import Controls, controls_of
from audit.selftest.results import Selftest
from audit.selftest.table import fewest_repetitions, table
from audit.selftest.trials import PROFILES, Plan, run_selftest
from core_model.errors import BrokenPlugin
from reports.record import Finding, Severity
from tests.audit import selftest_toys as toys

PLAN = Plan(profile="quick", repetitions=6)


def tried(*controls: Control, registry: Registry = toys.REGISTRY, plan: Plan = PLAN, **more) -> Selftest:
    found = Controls({registry.plugins[0].id: controls}, {})
    return run_selftest(registry, plan, controls=found, **more)


def broken(said: list[Finding]) -> Registry:
    """The toy audit, which now says the same of every subject."""
    return Registry((replace(toys.PLUGIN, run=lambda subject, options, random: Evidence(metrics=[], findings=said)),))


def without_clock(state: Selftest) -> dict:
    document = state.model_dump(mode="json", exclude={"started", "finished", "seconds"})
    for control in document["controls"]:
        control.pop("seconds")
    return document


def test_a_sound_audit_finds_every_sick_one_and_accuses_no_healthy_one():
    state = tried(*toys.CONTROLS)
    assert state.verdict == "pass" and state.complete
    for control in state.controls:
        assert (control.power.value, control.false_alarms.value, control.power.n) == (1.0, 0.0, 6)


def test_the_intervals_are_those_of_scipy():
    """Clopper and Pearson's, from another implementation than ours."""
    hits = iter([True, True, False, True, True, True, True, False, True, True] * 2)
    registry = Registry((
        replace(toys.PLUGIN, run=lambda *_: Evidence(
            metrics=[], findings=[Finding(id="testability-too-sure", severity=Severity.HIGH, statement="x")]
            if next(hits) else [])),
    ))  # fmt: skip
    [control] = tried(toys.TOO_SURE, registry=registry, plan=Plan(repetitions=10)).controls
    found, accused = control.sick.count("yes"), control.healthy.count("yes")
    assert found + accused == 16
    for share, count in ((control.power, found), (control.false_alarms, accused)):
        exact = binomtest(count, 10).proportion_ci(method="exact")
        assert share.interval == pytest.approx((exact.low, exact.high))


def test_an_audit_that_never_speaks_has_power_0_and_fails():
    state = tried(toys.TOO_SURE, registry=broken([]))
    [control] = state.controls
    assert control.power.value == 0 and control.power.verdict == "fail"
    assert control.false_alarms.verdict == "pass" and state.verdict == "fail"
    assert "0 of 6 sick checkpoints were found (the model is sure of everything" in "\n".join(table(state))


def test_an_audit_that_always_accuses_has_false_alarms_1_and_fails():
    accusation = Finding(id="testability-too-sure", severity=Severity.HIGH, statement="It is too sure.")
    state = tried(toys.TOO_SURE, registry=broken([accusation]))
    [control] = state.controls
    assert control.power.value == 1 and control.false_alarms.value == 1
    assert control.false_alarms.verdict == "fail" and state.verdict == "fail"
    assert "6 of 6 healthy twins were accused" in "\n".join(table(state))


def test_a_twin_may_be_accused_by_other_findings_than_the_sign():
    beside = Finding(id="testability-something-else", severity=Severity.LOW, statement="It is odd.")
    narrow = toys.TOO_SURE
    wide = replace(narrow, name="wide", sign=Sign(finding="testability-too-sure", accusation="testability-"))
    state = tried(narrow, wide, registry=broken([beside]))
    assert [control.false_alarms.value for control in state.controls] == [0, 1]


@pytest.mark.parametrize("audit", ["fairness", "evaluability"])
def test_a_real_audit_that_is_made_to_pass_everything_is_caught_by_each_of_its_controls(audit):
    registry = installed().only([audit])
    silent = Registry(tuple(replace(p, run=lambda *_: Evidence(metrics=[])) for p in registry.plugins))
    state = run_selftest(silent, Plan(profile="quick"))
    assert len(state.controls) >= 3
    assert all(control.power.value == 0 and control.verdict == "fail" for control in state.controls)


def test_the_real_audits_pass_the_quick_profile():
    state = run_selftest(installed().only(["evaluability", "fairness"]), Plan(profile="quick"))
    assert state.verdict == "pass", "\n".join(table(state))
    assert len(state.controls) >= 6


def test_an_error_is_neither_found_nor_accused_and_fails():
    state = tried(replace(toys.TOO_SURE, make=toys.make_crash))
    [control] = state.controls
    assert control.sick == ["error"] * 6 and control.errors == 6
    assert control.power.value is None and control.false_alarms.n == 6
    assert state.verdict == "fail" and control.reason == "the sick one: RuntimeError: the planted crash"


def test_a_subject_that_lacks_what_the_audit_needs_is_an_error_that_says_so():
    registry = Registry((replace(toys.PLUGIN, needs=frozenset({Need.TRAINING_DATA})),))
    [control] = tried(toys.TOO_SURE, registry=registry).controls
    assert control.errors == 12 and "needs training data" in control.reason


def test_a_control_whose_package_is_missing_is_not_run_and_says_what_installs_it():
    state = tried(replace(toys.TOO_SURE, packages=("no_such_package",), extra="security"), toys.BY_LIMIT)
    missing, there = state.controls
    assert missing.verdict is None and missing.power is None
    assert missing.reason == "not run: needs no_such_package; pip install 'aboveboard[security]'"
    assert there.verdict == "pass" and state.verdict == "pass"


def test_both_twins_are_made_of_the_same_random_numbers_and_each_repetition_of_others():
    toys.SEEN.clear()
    tried(toys.TOO_SURE)
    sick, healthy = ([number for is_sick, number in toys.SEEN if is_sick is which] for which in (True, False))
    assert sick == healthy and len(set(sick)) == 6


def test_the_same_seed_gives_the_same_numbers_whatever_else_is_run():
    toys.SEEN.clear()
    tried(toys.BY_LIMIT)
    alone = list(toys.SEEN)
    toys.SEEN.clear()
    tried(toys.TOO_SURE, toys.BY_LIMIT)
    assert toys.SEEN[12:] == alone
    toys.SEEN.clear()
    tried(toys.BY_LIMIT, plan=replace(PLAN, seed=1))
    assert alone != toys.SEEN


@pytest.mark.parametrize("after", [0, 4, 6, 9])
def test_interrupted_and_resumed_gives_the_same_table_and_runs_nothing_twice(after):
    saved: list[Selftest] = []

    def interrupt(step) -> None:
        if not step.done and sum(len(control.sick) for control in saved[-1].controls) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tried(*toys.CONTROLS, save=saved.append, tell=interrupt)
    left = Selftest.model_validate_json(saved[-1].to_json())
    assert not left.complete and left.verdict == "inconclusive"
    toys.SEEN.clear()
    resumed = tried(*toys.CONTROLS, previous=left)
    assert len(toys.SEEN) == 2 * (12 - after)
    assert without_clock(resumed) == without_clock(tried(*toys.CONTROLS))


def test_nothing_is_kept_of_another_seed_or_of_a_selftest_that_had_ended_or_of_another_control():
    def runs(previous: Selftest, *controls: Control, plan: Plan = PLAN) -> int:
        toys.SEEN.clear()
        tried(*controls, previous=previous, plan=plan)
        return len(toys.SEEN)

    ended = tried(toys.TOO_SURE)
    left = ended.model_copy(update={"complete": False})
    assert runs(left, toys.TOO_SURE) == 0
    assert runs(ended, toys.TOO_SURE) == 12
    assert runs(left, toys.TOO_SURE, plan=replace(PLAN, seed=3)) == 12
    assert runs(left, replace(toys.TOO_SURE, options={"limit": 0.7})) == 12
    assert runs(left, toys.TOO_SURE, plan=replace(PLAN, repetitions=8)) == 4


def test_each_profile_can_hold_its_own_limits_and_says_how_many_repetitions_that_takes():
    for repetitions, limits in PROFILES.values():
        fewest = fewest_repetitions(limits.min_power, limits.max_false_alarms)
        assert fewest <= repetitions
        for n, holds in ((fewest, True), (fewest - 1, False)):
            assert (binomtest(n, n).proportion_ci(method="exact").low >= limits.min_power) is holds
    [control] = (state := tried(toys.TOO_SURE, plan=Plan(profile="quick", repetitions=3))).controls
    assert control.verdict == "inconclusive" and state.verdict == "inconclusive"
    assert "6 repetitions at least can hold these limits" in "\n".join(table(state))


def point(value: str, name: str = "testability") -> EntryPoint:
    return EntryPoint(name=name, value=f"tests.audit.selftest_toys:{value}", group="aboveboard.controls")


def test_another_package_brings_controls_by_an_entry_point_named_after_the_audit():
    found = controls_of(toys.REGISTRY, [point("CONTROLS"), point("CONTROLS", name="other")])
    assert found.of == {"testability": toys.CONTROLS} and not found.broken and not found.without
    assert run_selftest(toys.REGISTRY, PLAN, controls=found).verdict == "pass"


def test_an_audit_without_controls_is_told_so_and_is_no_pass():
    found = controls_of(toys.REGISTRY, [])
    assert found.without == ["testability"]
    state = run_selftest(toys.REGISTRY, PLAN, controls=found)
    assert state.verdict == "inconclusive" and state.without_controls == ["testability"]
    assert any(line.split() == ["testability", "no", "control"] for line in table(state))


@pytest.mark.parametrize(("value", "says"), [
    ("NO_CONTROLS", "no sequence of controls"),
    ("MISSING", "has no attribute 'MISSING'"),
])  # fmt: skip
def test_controls_that_do_not_load_fail_the_selftest_by_name(value, says):
    found = controls_of(toys.REGISTRY, [point(value)])
    assert says in found.broken["testability"]
    state = run_selftest(toys.REGISTRY, PLAN, controls=found)
    assert state.verdict == "fail" and says in "\n".join(table(state))


def test_two_controls_of_one_name_and_an_audit_that_does_not_load_are_told():
    twice = controls_of(toys.REGISTRY, [point("CONTROLS"), point("CONTROLS")])
    assert "two controls are called 'by-its-limit'" in twice.broken["testability"]
    unloaded = controls_of(Registry((), (Broken("odd", "odd-package", "ImportError: no"),)), [])
    assert "odd-package does not load" in unloaded.broken["odd"]


def test_every_audit_of_ours_has_controls():
    ours = Registry(tuple(p for p in installed().plugins if p.distribution == "aboveboard"))
    found = controls_of(ours, [])
    assert not found.without and not found.broken
    assert all(control.defect and control.sign.words for some in found.of.values() for control in some)


def test_a_sign_is_a_finding_or_a_metric():
    for wrong in ({}, {"finding": "a", "metric": "b"}):
        with pytest.raises(BrokenPlugin, match="a sign is a finding or a metric"):
            Sign(**wrong)
