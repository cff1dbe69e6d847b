"""Exact match and token F1: the official SQuAD script's numbers."""

from __future__ import annotations

import collections
import re
import string

import pytest

from core_model.metrics_text_answers import answer_f1, exact_match, normalised_answer, token_f1


def official_normalize(s):
    """`normalize_answer` of the official evaluate-v1.1.py, word for word."""

    def remove_articles(text):
        return re.sub(r"\b(a|an|the)\b", " ", text)

    def white_space_fix(text):
        return " ".join(text.split())

    def remove_punc(text):
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    return white_space_fix(remove_articles(remove_punc(s.lower())))


def official_f1(a_gold, a_pred):
    """`compute_f1` of the official evaluate-v2.0.py, word for word."""
    gold_toks, pred_toks = official_normalize(a_gold).split(), official_normalize(a_pred).split()
    common = collections.Counter(gold_toks) & collections.Counter(pred_toks)
    num_same = sum(common.values())
    if len(gold_toks) == 0 or len(pred_toks) == 0:
        return int(gold_toks == pred_toks)
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(pred_toks)
    recall = 1.0 * num_same / len(gold_toks)
    return (2 * precision * recall) / (precision + recall)


# The answers of SQuAD's development set on Super Bowl 50, and what models say.
QUESTIONS = [
    ("Denver Broncos", ("Denver Broncos", "Denver Broncos", "Denver Broncos")),
    ("the Denver Broncos.", ("Denver Broncos",)),
    ("Santa Clara", ("Santa Clara, California", "Levi's Stadium", "Levi's Stadium in Santa Clara")),
    ("gold", ('"golden anniversary"', "gold-themed", "gold")),
    ("A the an", ("the",)),
    ("", ("February 7, 2016",)),
    ("the the game game", ("the game",)),
]


@pytest.mark.parametrize(("said", "answers"), QUESTIONS)
def test_a_row_scores_as_the_official_script_says(said, answers):
    assert normalised_answer(said) == official_normalize(said)
    best = max(official_f1(answer, said) for answer in answers)
    assert token_f1([said], [answers]).score == pytest.approx(best, abs=1e-12)
    hit = any(official_normalize(answer) == official_normalize(said) for answer in answers)
    assert exact_match([said], [answers]).score == float(hit)


def test_words_count_as_often_as_both_have_them():
    assert answer_f1("new york new york", "new york") == pytest.approx(2 / 3)


def test_the_corpus_is_the_mean_of_its_rows():
    said, answers = zip(*QUESTIONS, strict=True)
    assert exact_match(said, answers).score == pytest.approx(4 / 7)
    assert token_f1(said, answers).form == "mean"
