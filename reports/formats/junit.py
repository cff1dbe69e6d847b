"""JUnit XML: each limit as a test case, for whatever shows the tests of a build.

A suite is an audit, a case is a number that has a limit. A broken limit is a failure, an audit that crashed an error;
what is inconclusive or was not measured is skipped with the reason, and never passes. Numbers without a limit stand in
the suite's output. Names hold no value, so that a history can follow them.

The format has no standard; this is what Jenkins' xunit plug-in, GitLab and junitparser read.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from reports.document import states
from reports.document.states import State
from reports.formats.checks import SEAL_WORDS, Check, by_audit, run_state, seal
from reports.formats.names import Names, said
from reports.formats.times import moment
from reports.record import Record

Case = tuple[str, State, str]  # name, state, sentence


def junit_xml(record: Record) -> str:
    """The record as JUnit XML."""
    names = Names()
    root = ET.Element("testsuites", name="aboveboard")
    _suite(root, "aboveboard", _run_cases(record), properties=_properties(record), started=moment(record))
    for audit, found in by_audit(record):
        cases = [(_case_name(check, names), check.state, check.sentence) for check in found if check.limited]
        others = [f"{_case_name(c, names)}: {c.sentence}" for c in found if not c.limited]
        seconds = audit.cost.seconds if audit.cost.seconds >= 0 else None
        _suite(root, f"aboveboard.{names.of(audit.id)}", cases, output=others, seconds=seconds)
    for kind in ("tests", "failures", "errors"):
        root.set(kind, str(sum(int(suite.get(kind, "0")) for suite in root)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _run_cases(record: Record) -> list[Case]:
    """The verdict that `--gate` answers with, and whether the record is the one that the run wrote."""
    sealed, verdict = seal(record), run_state(record)
    whole = "" if record.complete else "; the run did not end"
    return [
        ("verdict", verdict, f"{record.verdict}: {said(record.verdict_reason)}{whole}"),
        ("content hash", sealed, SEAL_WORDS[sealed]),
    ]


def _properties(record: Record) -> dict[str, str]:
    subject, data = record.subject, record.data
    found = {
        "tool": f"{record.tool.name} {record.tool.version}",
        "model": subject.called,
        "model sha256": subject.sha256,
        "task": subject.task,
        "data": f"{data.name}{' (synthetic)' if data.synthetic else ''}",
        "data sha256": data.sha256,
        "rows": str(data.rows),
        "policy": record.policy.name if record.policy else "none: the audits' own limits",
        "policy sha256": (record.policy.sha256 if record.policy else None) or "none",
        "record content sha256": record.content_sha256 or "none",
    }
    return {name: said(value) for name, value in found.items()}


def _case_name(check: Check, names: Names) -> str:
    return names.of(check.metric.key, check.audit.id) if check.metric else "measured"


def _suite(
    root: ET.Element,
    name: str,
    cases: list[Case],
    *,
    properties: dict[str, str] | None = None,
    output: list[str] | None = None,
    started: str | None = None,
    seconds: float | None = None,
) -> None:
    suite = ET.SubElement(root, "testsuite", name=name, tests=str(len(cases)))
    if started:
        suite.set("timestamp", started)
    if seconds is not None:
        suite.set("time", f"{seconds:.3f}")
    if properties:
        within = ET.SubElement(suite, "properties")
        for key, value in properties.items():
            ET.SubElement(within, "property", name=key, value=value)
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for case in cases:
        outcome = _case(suite, name, *case)
        if outcome:
            counts[outcome] += 1
    if output:
        ET.SubElement(suite, "system-out").text = "\n".join(output)
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.set("skipped", str(counts["skipped"]))


def _case(suite: ET.Element, classname: str, name: str, state: State, sentence: str) -> str | None:
    """Add a case; returns the element that stands for its outcome, None where it passed."""
    case = ET.SubElement(suite, "testcase", name=name, classname=classname)
    outcome = {states.PASS: None, states.FAIL: "failure", states.ERRORED: "error"}.get(state, "skipped")
    if outcome is None:
        ET.SubElement(case, "system-out").text = sentence
    else:
        ET.SubElement(case, outcome, type=state.word, message=sentence)
    return outcome
