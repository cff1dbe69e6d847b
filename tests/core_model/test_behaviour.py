"""Promises of behavioural tests: what passes, the file they travel in, edits that keep what they must."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from audit.session import as_csv
from core_model.behaviour import Case, judge, questions, read_suite
from core_model.behaviour_edits import EVERYWHERE, NAMES, WHERE_HELD
from core_model.errors import BadInput
from core_model.label_words import decisive_part, label_words
from core_model.predictions import Predictions, SpanAnswers

LABELS = ("no", "yes")


def answers(chances: list[float]) -> Predictions:
    """Predictions whose second class has these probabilities."""
    p = np.array(chances)
    return Predictions(np.log(np.stack([1 - p, p], axis=1)).astype(np.float32))


@pytest.mark.parametrize(
    ("kind", "expectation", "label", "after", "before", "passes"),
    [
        ("MFT", "is", "yes", 0.6, 0.6, True),
        ("MFT", "is", "no", 0.6, 0.6, False),
        ("INV", "same", None, 0.6, 0.9, True),
        ("INV", "same", None, 0.4, 0.6, False),
        ("DIR", "not above", "yes", 0.69, 0.6, True),
        ("DIR", "not above", "yes", 0.71, 0.6, False),
        ("DIR", "not above", "no", 0.71, 0.6, True),
        ("DIR", "not below", "yes", 0.51, 0.6, True),
        ("DIR", "not below", "yes", 0.49, 0.6, False),
    ],
)
def test_each_expectation_by_hand(kind, expectation, label, after, before, passes):
    case = Case(kind, "planted", 0, "a text", expectation, base=None if kind == "MFT" else "another", label=label)
    assert questions([case])[0] == ["a text", "a text" if kind == "MFT" else "another"]
    assert judge([case], answers([after, before]), LABELS).passed.tolist() == [passes]


def test_spans_must_be_the_same_words():
    cases = [Case("INV", "planted", i, "who?", "same", pair="the king", base="Who?") for i in range(2)]
    found = judge(cases, SpanAnswers(("king", "the king", "king", "king"), np.zeros(4)))
    assert found.passed.tolist() == [True, False]


def test_a_suite_is_read_as_it_was_written_whatever_its_texts_begin_with(tmp_path):
    cases = [
        Case("INV", "handle added", 3, '@reader said, "well"', "same", base="=SUM(A1)"),
        Case("MFT", "decisive part", 900, "- great", "is", label="yes"),
        Case("DIR", "own words repeated", 4, "'tis a\nline", "not below", base=" leading", label="no"),
        Case("INV", "white space", 5, " two  gaps ", "same", pair="context", base="two gaps"),
    ]
    sheet, lines = tmp_path / "suite.csv", tmp_path / "suite.jsonl"
    sheet.write_text(as_csv([case.row() for case in cases]), encoding="utf-8")
    lines.write_text("\n".join(json.dumps(case.row()) for case in cases), encoding="utf-8")
    assert read_suite(sheet) == cases and read_suite(lines) == cases


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"kind": "XYZ", "expectation": "is", "text": "a"}, "row 1: kind 'XYZ'"),
        ({"kind": "INV", "expectation": "is", "text": "a"}, "is no test"),
        ({"kind": "INV", "expectation": "same", "text": "a", "made_of": 1}, "needs 'base'"),
        ({"kind": "MFT", "expectation": "is", "text": "a", "made_of": 1}, "needs 'label'"),
        ({"kind": "MFT", "expectation": "is", "text": "a", "label": "yes", "made_of": "x"}, "made_of is 'x'"),
    ],
)
def test_a_row_that_is_no_test_is_named(tmp_path, row, says):
    file = tmp_path / "suite.jsonl"
    file.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(BadInput, match=re.escape(says)):
        read_suite(file)


def test_a_label_that_the_model_does_not_have_is_named():
    with pytest.raises(BadInput, match="'maybe'"):
        judge([Case("MFT", "planted", 0, "a", "is", label="maybe")], answers([0.5, 0.5]), LABELS)


TEXT = "Mary met James in Paris, and paid 20 of 1,000."


@pytest.mark.parametrize("name", [*EVERYWHERE, *WHERE_HELD])
def test_an_edit_changes_what_it_names_and_keeps_the_rest(name):
    edited = {**EVERYWHERE, **WHERE_HELD}[name](TEXT, np.random.default_rng(2))
    assert edited and edited != TEXT
    rest = {
        "white space": edited.split() == TEXT.split(),
        "end punctuation": edited == TEXT[:-1],
        "first capital": edited == "m" + TEXT[1:],
        "link added": edited.startswith(TEXT),
        "handle added": edited.startswith(TEXT),
        "another name": re.fullmatch(r"([A-Z]\w+) met ([A-Z]\w+) in Paris, and paid 20 of 1,000\.", edited),
        "another place": re.fullmatch(r"Mary met James in (?!Paris)[A-Z]\w+, and paid 20 of 1,000\.", edited),
        "another number": re.fullmatch(r"Mary met James in Paris, and paid (?!20)\d\d of 1,000\.", edited),
    }[name]
    assert rest
    if name == "another name":
        assert rest[1].lower() in NAMES[1] and rest[2].lower() in NAMES[0]


def test_nothing_to_edit_is_no_test():
    assert all(edit("nothing here", np.random.default_rng(0)) is None for edit in WHERE_HELD.values())


def test_label_words_are_those_planted_and_the_z_is_a_slow_loops():
    random = np.random.default_rng(0)
    texts, targets = [], []
    for _ in range(300):
        good = int(random.integers(2))
        texts.append(" ".join([*random.choice(["sun", "rain", "road", "tree"], 3), ("bad", "good")[good]]))
        targets.append(good)
    found = label_words(texts, np.array(targets), 2)
    assert max(found[1], key=found[1].get) == "good" and max(found[0], key=found[0].get) == "bad"
    assert all(abs(found[1][word]) < 3 for word in ("sun", "rain", "road", "tree"))
    rows = {
        w: [sum(w in t.split() and y == k for t, y in zip(texts, targets, strict=True)) for k in (0, 1)]
        for w in found[1]
    }
    prior = {w: 500 * sum(counts) / sum(map(sum, rows.values())) for w, counts in rows.items()}
    for word in rows:
        logs, variances = [], []
        for k in (1, 0):
            weight = rows[word][k] + prior[word]
            everything = sum(rows[other][k] + prior[other] for other in rows)
            logs.append(np.log(weight / (everything - weight)))
            variances.append(1 / weight)
        assert found[1][word] == pytest.approx((logs[0] - logs[1]) / np.sqrt(sum(variances)))


def test_the_decisive_part_is_the_best_of_all_runs():
    evidence = {"good": 4.0, "great": 3.0, "bad": -9.0}
    text = "A bad start, but good food -- great wine, and then home"
    words = re.findall(r"\w+", text.lower())
    best = max(sum(evidence.get(w, 0) for w in words[i : i + 4]) for i in range(len(words) - 3))
    part, total = decisive_part(text, evidence, 4)
    assert total == best == 7 and part in text and {"good", "great"} <= set(re.findall(r"\w+", part))
