"""Promises of `aboveboard smooth`: the smoothed classifier's own answers, for people, as rows and as an object."""

from __future__ import annotations

import json

import pytest

from audit.main import run
from core_model.checkpoint import open_checkpoint
from core_model.prediction import Predictor
from core_model.smoothing import SmoothedClassifier, Smoothing
from tests.factories import write_rows

TEXTS = ["a good day", "the king saw an awful film and the queen was not happy with it", "!"]


@pytest.fixture(scope="module")
def certificates(checkpoint):
    opened = open_checkpoint(checkpoint)
    smoothed = SmoothedClassifier(Predictor(opened, threads=1), Smoothing(keep=0.5, looks=30), seed=4)
    return [(one, None if one.answer is None else opened.labels[one.answer]) for one in smoothed.certify(TEXTS)]


HOW = ["--keep", "0.5", "--looks", "30", "--seed", "4"]


def test_texts_are_answered_as_the_smoothed_classifier_answers_them(checkpoint, certificates, capsys):
    asked = [word for text in TEXTS for word in ("--text", text)]
    assert run(["smooth", str(checkpoint), *asked, *HOW, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["smoothing"]["looks"] == 30 and said["checkpoint"]["sha256"] == open_checkpoint(checkpoint).sha256
    for answer, (one, label) in zip(said["answers"], certificates, strict=True):
        assert (answer["answer"], answer["radius"], answer["words"]) == (label, one.radius, one.words)
        assert (answer["share_of_votes"], answer["share_at_least"]) == (one.share, one.limit)
    assert [answer["all_parts_seen"] for answer in said["answers"]] == [True, False, True]


def test_rows_of_a_file_become_rows_of_a_file(checkpoint, certificates, tmp_path, capsys):
    data = write_rows(tmp_path / "new.jsonl", [{"text": text} for text in TEXTS])
    out = tmp_path / "answers.jsonl"
    assert run(["smooth", str(checkpoint), "--data", str(data), *HOW, "--out", str(out)]) == 0
    answered = sum(one.answer is not None for one, _ in certificates)
    assert f"3 texts: {answered} answered" in capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == TEXTS and [row["row"] for row in rows] == [0, 1, 2]
    assert [row["answer"] for row in rows] == [label for _, label in certificates]


def test_a_mask_stands_for_hidden_words(checkpoint, capsys):
    masked = Smoothing(keep=0.5, looks=30, mask="[MASK]")
    own = SmoothedClassifier(Predictor(open_checkpoint(checkpoint), threads=1), masked, seed=4).certify(TEXTS)
    asked = [word for text in TEXTS for word in ("--text", text)]
    assert run(["smooth", str(checkpoint), *asked, *HOW, "--mask", "[MASK]", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["smoothing"]["mask"] == "[MASK]"
    assert [answer["share_of_votes"] for answer in said["answers"]] == [one.share for one in own]


def test_a_persons_lines_name_answer_radius_and_votes_and_are_inert(checkpoint, capsys):
    assert run(["smooth", str(checkpoint), "--text", "a \x1b[31m good day"]) == 0
    said = capsys.readouterr().out
    assert "of the votes, surely" in said and "\x1b" not in said


@pytest.mark.parametrize(
    ("words", "letter"),
    [
        ([], "neither --text nor --data"),
        (["--text", "a", "--data", "rows.jsonl"], "both --text and --data"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--text", "a", "--keep", "0"], "--keep"),
        (["--text", "a", "--looks", "0"], "--looks"),
        (["--text", "a", "--mask", "two words"], "one word stands in the place of one word"),
    ],
)
def test_what_cannot_be_is_a_letter(checkpoint, capsys, words, letter):
    assert run(["smooth", str(checkpoint), *words]) == 2
    assert letter in capsys.readouterr().err
