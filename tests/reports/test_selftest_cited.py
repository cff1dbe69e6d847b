"""Promises of what a report says of the audits themselves: power and false alarms, of which version, and no more."""

from __future__ import annotations

from reports.document.build import report_html
from reports.frameworks.clauses import FOUND, MISSING, clause_views
from reports.frameworks.framework import read_framework
from reports.record import Record
from reports.selftest import ControlFacts, SelftestFacts, TrialShare
from tests.reports.factories import record, sealed_record
from tests.reports.hostile import ATTACKS
from tests.reports.pages import Page


def share(value: float, low: float, high: float, limit: float, verdict: str) -> TrialShare:
    return TrialShare(value=value, interval=(low, high), n=20, limit=limit, verdict=verdict)


FOUND_ALL, ACCUSED_NONE = share(1.0, 0.832, 1.0, 0.75, "pass"), share(0.0, 0.0, 0.168, 0.25, "pass")
FOUND_NONE = share(0.0, 0.0, 0.168, 0.75, "fail")


def facts(**changes) -> SelftestFacts:
    fields = {
        "version": record().tool.version, "measured": "2026-11-25T10:00:00+00:00", "profile": "standard", "seed": 0,
        "complete": True, "interval_method": "Clopper-Pearson, 95%, two-sided", "file": "selftest.json",
        "sha256": "a" * 64, "without_controls": ["full_stop_sensitivity"],
        "controls": [
            ControlFacts(audit="fairness", control="bias", defect="a word counts against a group", sign="finding",
                         power=FOUND_ALL, false_alarms=ACCUSED_NONE),
            ControlFacts(audit="privacy", control="heart", defect="rows are known by heart", sign="finding",
                         power=FOUND_NONE, false_alarms=ACCUSED_NONE),
            ControlFacts(audit="security", control="pickle", defect="a pickle among the files", sign="finding",
                         reason="not run: needs picklescan"),
        ],
    }  # fmt: skip
    return SelftestFacts(**{**fields, **changes})


def trial(of: Record) -> str:
    page = report_html(of)
    return Page(page[page.index('id="selftest"') :]).text


def clause(of: Record):
    framework = read_framework("nist-ai-rmf")
    [found] = [view for view in clause_views(framework, of) if view.clause.id.endswith("2.13")]
    return found


def test_the_method_part_shows_power_and_false_alarms_of_each_control_with_version_and_date():
    text = trial(sealed_record(selftest=facts()))
    assert "Measured with version 0.1.0 on 2026-11-25T10:00:00+00:00" in text
    assert "a word counts against a group100% (83% to 100%), limit 75%0% (0% to 17%), limit 25%20pass" in text
    assert "rows are known by heart0% (0% to 17%), limit 75%0% (0% to 17%), limit 25%20fail" in text
    assert "not measured: not run: needs picklescan" in text and "full_stop_sensitivityno control" in text
    assert "of its audits this selftest says nothing" not in text


def test_a_record_of_another_version_says_so():
    text = trial(sealed_record(selftest=facts(version="0.0.9")))
    assert "Measured with version 0.0.9" in text
    assert "This record was made with version 0.1.0: of its audits this selftest says nothing." in text


def test_a_selftest_that_was_interrupted_says_so():
    assert "The selftest was interrupted" in trial(sealed_record(selftest=facts(complete=False)))


def test_a_record_without_one_names_the_command():
    text = trial(sealed_record())
    assert "cites no selftest" in text and "aboveboard selftest --out selftest-out" in text


def test_it_stands_outside_the_content_hash():
    assert sealed_record(selftest=facts()).content_sha256 == sealed_record().content_sha256


def test_text_of_a_control_is_inert():
    hostile = [
        ControlFacts(audit=attack, control=attack, defect=attack, sign=attack, power=FOUND_ALL,
                     false_alarms=ACCUSED_NONE, reason=attack)
        for attack in ATTACKS
    ]  # fmt: skip
    page = report_html(
        sealed_record(selftest=facts(controls=hostile, version=ATTACKS[0], measured=ATTACKS[1], file=ATTACKS[2]))
    )
    part = page[page.index('id="selftest"') : page.index('id="appendix"')]
    assert "<script" not in part and "<img" not in part and "<svg onload" not in part
    assert "\u202e" not in part and "\x1b" not in part


def test_measure_2_13_shows_the_evidence_or_names_the_command():
    shown = clause(sealed_record(selftest=facts()))
    assert shown.state is FOUND
    [evidence] = shown.found
    pairs = dict(evidence.pairs)
    assert pairs["fairness"].startswith("controls: 1; power where it is lowest: 83% to 100%")
    assert pairs["privacy"].startswith("controls: 1; power where it is lowest: 0% to 17%")
    assert "security" not in pairs and pairs["full_stop_sensitivity"] == "no control"
    for lacking in (sealed_record(), sealed_record(selftest=facts(version="0.0.9"))):
        view = clause(lacking)
        assert view.state is MISSING
        assert view.missing[0].command.startswith("aboveboard selftest && aboveboard report --from")
