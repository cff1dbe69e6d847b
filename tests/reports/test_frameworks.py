"""Frameworks and dossiers: data that can be relied on, evidence found and missing, and never a conclusion."""

from __future__ import annotations

import re

import pytest

from audit.main import run
from audit.metric_names import metric_names
from audit.plugin import Concern
from audit.registry import installed
from reports.document.build import report_html
from reports.errors import FrameworkUnfit, FrameworkUnknown
from reports.frameworks.clauses import FOUND, IN_PART, MISSING, PERSON, clause_views
from reports.frameworks.dossier import dossier_html
from reports.frameworks.framework import framework_names, parse_framework, read_framework
from reports.parts import Attestation, EvidenceFile, People, Waiver
from reports.reading import extract_record
from tests.reports.factories import fairness, privacy, record, sealed_record
from tests.reports.hostile import ATTACKS, hostile_record
from tests.reports.pages import Page

NAMES = framework_names()
SMALL = """
id = "own"
title = "Own rules"
edition = "1"
status = "ours"
as_of = "2026-11"
[[clauses]]
id = "a"
clause = "Rule A"
asks = "Be fair."
checked = "2026-11"
evidence = [{audit = "fairness", metrics = ["equalized_odds_difference"]}, {audit = "privacy"}]
attest = [{id = "who", asks = "Who says so?"}]
[[clauses]]
id = "b"
clause = "Rule B"
asks = "Be kind."
evidence = []
"""


def test_the_frameworks_that_the_suite_promises_are_there():
    assert {"eu-ai-act", "nist-ai-rmf", "iso-42001", "iso-25059", "nyc-ll144", "gdpr-35", "edpb-28-2024", "ai-verify",
            "uk-atrs"} <= set(NAMES)  # fmt: skip
    assert len(read_framework("ai-verify").clauses) == 11


@pytest.mark.parametrize("name", NAMES)
def test_a_framework_names_audits_and_metrics_that_exist(name):
    known = metric_names(installed())
    framework = read_framework(name)
    for clause in framework.clauses:
        for evidence in clause.evidence:
            assert evidence.audit is None or evidence.audit in set(Concern)
            assert all(map(known.knows, evidence.metrics)), (clause.id, evidence.metrics)
        assert clause.evidence or clause.attest
        assert re.fullmatch(r"20\d\d-\d\d", clause.checked or framework.as_of)


@pytest.mark.parametrize("name", NAMES)
def test_no_page_ever_says_compliant(name):
    html = dossier_html(sealed_record(), read_framework(name))
    words = Page(html).text.lower()
    assert "complian" not in words
    assert "complies" not in words
    assert extract_record(html) == sealed_record()
    assert dossier_html(sealed_record(), read_framework(name)) == html


def views(of, text=SMALL, **more):
    return clause_views(parse_framework(text, where="own"), of, **more)


def test_evidence_is_found_in_part_missing_or_a_persons_alone():
    a, b = views(sealed_record(), installed={"fairness", "privacy"})
    assert (a.state, b.state) == (IN_PART, PERSON)
    [number] = a.found[0].rows
    assert (number.value, number.interval, number.state.word) == ("0.162", "0.147 to 0.177", "fail")
    [missing] = a.missing
    assert "no training data was given" in missing.missing
    assert missing.command.endswith("--train-data FILE --only privacy")
    assert "--group-column target_group" in missing.command
    assert views(record(audits=[fairness(), fairness().model_copy(update={"id": "privacy"})]))[0].state is FOUND
    assert views(record(audits=[privacy()]))[0].state is MISSING


def test_no_command_is_shown_for_an_audit_that_is_not_installed():
    [missing] = views(record(audits=[fairness()]), installed={"fairness"})[0].missing
    assert (missing.missing, missing.command) == ("no audit of this name is installed", "")


def test_what_is_from_memory_is_shown_as_unchecked():
    text = Page(dossier_html(sealed_record(), parse_framework(SMALL, where="own"))).text
    assert "1 of 2 clauses are unchecked" in text
    assert text.count("unchecked: from memory") == 1


def test_an_edited_record_is_called_edited():
    edited = sealed_record().model_copy(update={"verdict": "pass"})
    assert "This record was edited" in Page(dossier_html(edited, read_framework("gdpr-35"))).text


def test_hostile_text_stays_text():
    page = Page(dossier_html(hostile_record(), read_framework("eu-ai-act")))
    assert page.ways_out() == []
    assert sum(tag == "script" for tag, _ in page.tags) == 2  # the record as data, and our own


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [('id = "b"', 'id = "a"', "has the clause 'a' twice"), ('{id = "who", asks = "Who says so?"}',
      '{id = "w", asks = "?"}, {id = "w", asks = "!"}', "question 'a/w' twice"), ("[[clauses]]", "[[clauses", "line"),
     ('audit = "privacy"', 'audits = "privacy"', "clauses.0.evidence.1"), ('id = "own"', 'id = "Own Rules"', "id")],
)  # fmt: skip
def test_a_broken_framework_is_answered_with_its_place(old, new, words):
    with pytest.raises(FrameworkUnfit, match=words):
        parse_framework(SMALL.replace(old, new, 1), where="own.toml")


def test_an_unknown_framework_is_answered_with_the_nearest_name():
    with pytest.raises(FrameworkUnknown) as caught:
        read_framework("eu-aiact")
    assert caught.value.mend == "--framework eu-ai-act"


def test_the_command_writes_a_dossier_of_a_framework_of_ones_own(tmp_path, capsys):
    (tmp_path / "audit.json").write_text(sealed_record().to_json(), encoding="utf-8")
    (tmp_path / "own.toml").write_text(SMALL, encoding="utf-8")
    command = ["report", "--from", str(tmp_path / "audit.json"), "--framework"]
    assert run([*command, str(tmp_path / "own.toml")]) == 0
    assert "Rule A" in (tmp_path / "dossier-own.html").read_text(encoding="utf-8")
    (tmp_path / "own.toml").write_text(SMALL.replace('id = "b"', 'id = "a"'), encoding="utf-8")
    assert run([*command, str(tmp_path / "own.toml")]) == 2
    assert "twice" in capsys.readouterr().err


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_people_wrote_stays_text_too(attack):
    said = Attestation(question=attack, asked=attack, answer="yes", statement=attack, name=attack, role=attack,
                       date="2026-11-20", valid_until=attack, evidence=[EvidenceFile(file=attack, note=attack)],
                       left_out={attack: [attack]}, stale=[attack])  # fmt: skip
    own = said.model_copy(update={"question": "own/a/who"})
    waiver = Waiver(person=attack, role=attack, reason=attack, expires=attack)
    audits = [
        a.model_copy(update={"metrics": [m.model_copy(update={"waiver": waiver}) for m in a.metrics]})
        for a in record().audits
    ]
    told = record(audits=audits).sealed().model_copy(update={"people": People(attestations=[said, own])})
    for html in (report_html(told), dossier_html(told, parse_framework(SMALL, where="own"))):
        page = Page(html)
        assert page.ways_out() == []
        assert sum(tag == "script" for tag, _ in page.tags) == 2
        assert "\u202e" not in page.text
        assert extract_record(html) == told
