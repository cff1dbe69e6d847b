"""Attestations: added without loss, held against the checkpoint, and marked where they may no longer hold."""

from __future__ import annotations

import json

import pytest

from audit.main import run
from reports.attestations import carried_over, header, parse_attestations, read_attestations, with_answer
from reports.document.build import report_html
from reports.errors import AttestationsUnfit
from reports.frameworks.dossier import dossier_html
from reports.frameworks.framework import read_framework
from reports.parts import Attestation
from reports.reading import extract_record, hash_matches
from tests.reports.factories import record, sealed_record, sha256
from tests.reports.pages import Page

STOP = "eu-ai-act/art-14.4/stop"


def answer(**changes):
    fields = {
        "question": STOP,
        "answer": "yes",
        "name": "M. Kaya",
        "date": "2026-11-18",
        "statement": "Tried: it stops.",
    }
    return Attestation(**(fields | changes))


def file_with(tmp_path, *answers, of=None):
    text = header(of or sealed_record())
    for one in answers:
        text = with_answer(text, one, where="attestations.yaml")
    path = tmp_path / "attestations.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def made(day):
    subject = record().subject.model_copy(update={"made": day})
    return record(subject=subject).sealed()


def test_answers_are_added_and_comments_stay(tmp_path):
    path = file_with(tmp_path, answer())
    text = path.read_text(encoding="utf-8") + "# asked in the meeting of Friday\n"
    text = with_answer(text, answer(answer="no", date="2026-11-19"), where="f")
    assert "# asked in the meeting of Friday" in text
    assert [a.answer for a in parse_attestations(text, where="f").answers] == ["yes", "no"]


@pytest.mark.parametrize("statement", ["yes", "no: 'quoted' # hash", "- a\n- b", "2026-11-20", "{x}", "☃ *&!"])
def test_what_people_write_comes_back_as_they_wrote_it(tmp_path, statement):
    path = file_with(tmp_path, answer(statement=statement))
    assert read_attestations(path, sealed_record()).attestations[0].statement == statement


def test_a_fresh_answer_is_not_stale_and_an_older_one_than_the_checkpoint_is(tmp_path):
    path = file_with(tmp_path, answer())
    [fresh] = read_attestations(path, made("2026-11-18T09:00:00+00:00")).attestations
    [stale] = read_attestations(path, made("2026-11-19T09:00:00+00:00")).attestations
    assert fresh.stale == []
    assert "before this copy of the weights was written (2026-11-19)" in stale.stale[0]


def test_an_answer_that_ran_out_or_whose_evidence_changed_is_stale(tmp_path):
    protocol = tmp_path / "protocol.txt"
    protocol.write_text("12 cases", encoding="utf-8")
    from reports.attestations import evidence_of

    shown = evidence_of(protocol, beside=tmp_path)
    path = file_with(tmp_path, answer(evidence=[shown]), answer(valid_until="2026-11-19"))
    first, second = read_attestations(path, sealed_record()).attestations
    assert (first.stale, shown.file) == ([], "protocol.txt")
    assert "valid until 2026-11-19" in second.stale[0]
    protocol.write_text("13 cases", encoding="utf-8")
    assert "has changed" in read_attestations(path, sealed_record()).attestations[0].stale[0]
    protocol.unlink()
    assert "is not there" in read_attestations(path, sealed_record()).attestations[0].stale[0]


def test_another_checkpoint_is_bad_input_and_can_be_carried_over(tmp_path):
    path = file_with(tmp_path, answer(checkpoint=sealed_record().subject.sha256))
    other = record(subject=record().subject.model_copy(update={"sha256": sha256("other")})).sealed()
    with pytest.raises(AttestationsUnfit, match="for another checkpoint"):
        read_attestations(path, other)
    path.write_text(carried_over(path.read_text(encoding="utf-8"), other, where="f"), encoding="utf-8")
    [kept] = read_attestations(path, other).attestations
    assert kept.answer == "yes"
    assert "given for another checkpoint" in kept.stale[0]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [('answer: "yes"', "answer: true", "answers.0.answer"), ('  name: "M', '  nome: "M', "answers.0"),
     ('"2026-11-18"', '"18.11.2026"', "not a day"), ("attestations/1", "attestations/9", "schema"),
     ("answers:", "answers: &a", "anchors")],
)  # fmt: skip
def test_a_broken_file_is_answered_with_its_place(tmp_path, old, new, words):
    path = file_with(tmp_path, answer())
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(AttestationsUnfit, match=words):
        read_attestations(path, sealed_record())


def test_something_behind_the_answers_is_not_written_over(tmp_path):
    text = header(sealed_record()).replace("schema:", "checkpoint_note:")  # no schema, so it does not fit
    with pytest.raises(AttestationsUnfit):
        with_answer(text, answer(), where="f")


def test_report_and_dossier_show_who_and_when_and_the_seal_stays_whole(tmp_path):
    path = file_with(tmp_path, answer(role="Product owner", valid_until="2026-11-19"))
    done = sealed_record()
    told = done.model_copy(update={"people": read_attestations(path, done)})
    assert hash_matches(told)
    for html in (report_html(told), dossier_html(told, read_framework("eu-ai-act"))):
        text = Page(html).text
        assert "attested by M. Kaya, Product owner on 2026-11-18" in text
        assert "stale: valid until 2026-11-19" in text
        assert "claimed: no evidence is named" in text
        assert extract_record(html) == told


# the command


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audit.json").write_text(sealed_record().to_json(), encoding="utf-8")
    return tmp_path


GIVEN = ["attest", "--from", "audit.json", "--answer", "yes", "--name", "M. Kaya", "--date", "2026-11-20"]


def test_one_question_is_answered_without_asking(place, capsys):
    (place / "proof.txt").write_text("x", encoding="utf-8")
    assert run([*GIVEN, "--question", STOP, "--evidence", "proof.txt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answered"] == [STOP]
    [one] = read_attestations(place / "attestations.yaml", sealed_record()).attestations
    assert one.asked == "Can they stop it, and was that tried?"
    assert one.evidence[0].sha256 == sha256("x")
    assert run(["attest", "--from", "audit.json", "--status"]) == 0
    assert f"attested  {STOP} by M. Kaya on 2026-11-20" in capsys.readouterr().out


def test_open_questions_are_asked_and_can_be_left_open(place, monkeypatch, capsys):
    import io
    import sys

    lines = ["yes", "It is in register 7.", "M. Kaya", "", ""] + [""] * 40
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
    assert run(["attest", "--from", "audit.json", "--framework", "eu-ai-act"]) == 0
    assert "1 answered" in capsys.readouterr().out
    [one] = read_attestations(place / "attestations.yaml", sealed_record()).attestations
    assert (one.question, one.statement) == ("eu-ai-act/art-9.2/risk-register", "It is in register 7.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([*GIVEN, "--question", "eu-ai-act/art-14.4/stopp"], "--question eu-ai-act/art-14.4/stop"),
     (["attest", "--from", "audit.json", "--question", STOP, "--answer", "yes"], "has no name"),
     ([*GIVEN, "--question", STOP, "--evidence", "nowhere.pdf"], "nowhere.pdf cannot be read"),
     ([*GIVEN, "--question", STOP, "--date", "today"], "'today', not a day"),
     (["report", "--from", "audit.json", "--attestations", "none.yaml"], "none.yaml cannot be read")],
)  # fmt: skip
def test_bad_input_is_a_letter_and_nothing_is_written(place, arguments, words, capsys):
    assert run(arguments) == 2
    assert words in capsys.readouterr().err
    assert not (place / "attestations.yaml").exists()


def test_attestations_of_another_checkpoint_are_refused_by_the_report(place, capsys):
    other = record(subject=record().subject.model_copy(update={"sha256": sha256("other")})).sealed()
    file_with(place, answer(), of=other)
    assert run(["report", "--from", "audit.json", "--attestations", "attestations.yaml"]) == 2
    assert "for another checkpoint" in capsys.readouterr().err
