"""A planted world in which votes of many looks help: one unknown word turns the model, and few looks hold it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from audit.concerns.robustness import RobustnessOptions, robustness
from audit.concerns.security.attack_options import AttackOptions
from audit.concerns.security.attacks import attack_answers
from audit.subject import Subject
from core_model.smoothed_prediction import LOOKS, SmoothedPredictor
from core_model.smoothing import Smoothing
from tests.factories import stub_subject

GOOD = "good great fine happy kind warm bright calm clever funny gentle honest lively lovely".split()
BAD = "bad awful poor sad cruel cold dark rude stupid boring harsh false dull ugly".split()
RANDOM = np.random.default_rng(0)
TARGETS = [row % 2 for row in range(30)]
TEXTS = [" ".join(RANDOM.permutation(GOOD if positive else BAD)[:12]) for positive in TARGETS]
SUCCESS, LEFT = "attack_success_rate[attack=deepwordbug]", "accuracy_under_attack[attack=deepwordbug]"
TYPOS, AS_THEY_ARE = "accuracy[noise=typos, rate=0.1]", "accuracy[noise=none]"
PROVEN, PLAIN = "certified_accuracy[radius=1]", "plain_accuracy"
KEEP = 2 / 12  # a look holds a given word in a sixth of the cases: of four replaced words the majority is turned


def steady(text: str) -> tuple[float, float]:
    """The healthy twin: the mood of most words, whatever the others are."""
    words = text.split()
    positive = 0.9 if sum(word in GOOD for word in words) > sum(word in BAD for word in words) else 0.1
    return 1 - positive, positive


def brittle(text: str) -> tuple[float, float]:
    """Sick: a word that it does not know turns the answer."""
    negative, positive = steady(text)
    known = all(word in GOOD or word in BAD for word in text.split())
    return (negative, positive) if known else (positive, negative)


def found(answer, smoothing: Smoothing | None) -> dict[str, float | None]:
    subject = stub_subject(texts=TEXTS, answer=answer, targets=TARGETS)
    if smoothing is not None:
        subject.predictor.forward = SimpleNamespace(tokenizer=SimpleNamespace(unk_token="[UNK]"))
        wrapper = SmoothedPredictor(subject.predictor, smoothing)
        subject = Subject(checkpoint=subject.checkpoint, data=subject.data, predictor=wrapper)
    attacks = AttackOptions(
        attack_rows=30, recipes=("deepwordbug",), resamples=200, trigger_rows=0, query_budget=25
    )  # it spends half of the budget on finding out which words matter
    noise = RobustnessOptions(rows=None, smoothed_rows=10, smoothing_keep=KEEP)
    parts = (
        attack_answers(subject, attacks, np.random.default_rng(0)),
        robustness(subject, noise, np.random.default_rng(0)),
    )
    return {line.key: line.value for part in parts for line in part.metrics}


@pytest.fixture(scope="module")
def numbers() -> dict[str, dict[str, float | None]]:
    votes = Smoothing(keep=KEEP, looks=LOOKS)
    return {
        "brittle": found(brittle, None), "brittle, smoothed": found(brittle, votes),
        "steady": found(steady, None), "steady, smoothed": found(steady, votes),
    }  # fmt: skip


def test_votes_withstand_what_turns_the_model_and_nothing_is_paid_here(numbers):
    alone, votes = numbers["brittle"], numbers["brittle, smoothed"]
    assert alone[SUCCESS] == 1 and alone[TYPOS] == 0
    assert votes[SUCCESS] < 0.7 and votes[LEFT] > 0.3 and votes[TYPOS] > 0.9
    assert alone[AS_THEY_ARE] == votes[AS_THEY_ARE] == 1


def test_the_healthy_twin_gains_nothing(numbers):
    alone, votes = numbers["steady"], numbers["steady, smoothed"]
    assert alone[LEFT] == votes[LEFT] == 1
    assert alone[TYPOS] == votes[TYPOS] == 1


def test_the_certificate_is_of_the_same_wrapper_in_both_records(numbers):
    assert numbers["brittle"][PROVEN] == numbers["brittle, smoothed"][PROVEN] == 1
    assert numbers["brittle, smoothed"][PLAIN] == 1
