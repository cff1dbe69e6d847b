"""Quartiles of length, and rows whose end the model does not see."""

from __future__ import annotations

import numpy as np
import pytest

from audit.concerns.robustness import RobustnessOptions, robustness
from audit.concerns.security import SecurityOptions
from audit.concerns.security.attacks import attack_answers
from audit.subject import Subject
from audit.text_length import cut_note, length_quartiles
from core_model.checkpoint import open_checkpoint
from core_model.data import Table
from core_model.prediction import Predictor
from tests.factories import stub_subject


def test_length_quartiles_hold_about_a_quarter_each_and_bear_ties() -> None:
    words = np.random.default_rng(5).integers(1, 100, size=400)
    names, counts = np.unique(length_quartiles(["w " * n for n in words]), return_counts=True)
    assert len(names) == 4 and counts.min() > 80
    assert set(length_quartiles(["same length"] * 50)) == {"2 to 2 words"}


@pytest.fixture
def subject(checkpoint):
    """Twelve rows, three of them longer than the model's 64 tokens."""
    texts = ["a good king", "an awful day", "the dog was kind"] * 3 + [
        "good day " * 32,
        "good " * 63,
        "sad meal " * 300,
    ]
    opened = open_checkpoint(checkpoint)
    predictor = Predictor(opened, threads=1)
    data = Table.from_rows(
        name="planted", texts=texts, targets=predictor.predict(texts).predicted, label_names=opened.labels, groups={},
        synthetic=True,
    )  # fmt: skip
    return Subject(checkpoint=opened, data=data, predictor=predictor)


def test_rows_that_are_cut_are_counted_in_the_notes_of_security_and_robustness(subject):
    options = SecurityOptions(
        attack_rows=12, recipes=("deepwordbug",), gradient_rows=2, radii=(0.1,), pgd_steps=1, trigger_rows=0,
        resamples=200, query_budget=5,
    )  # fmt: skip
    said = "3 of these 12 rows are longer than the 64 tokens that the model reads: "
    attacked = attack_answers(subject, options, np.random.default_rng(0))
    assert [note for note in attacked.notes if note.startswith(said)] == [said + "edits beyond change nothing."]
    noisy = robustness(subject, RobustnessOptions(smoothed_rows=0), np.random.default_rng(0))
    assert any(note.startswith(said) for note in noisy.notes)


def test_rows_that_are_read_whole_have_no_such_note(subject):
    assert cut_note(subject, np.arange(9), "edits") == []
    assert cut_note(subject, np.arange(10), "edits") == [
        "1 of these 10 rows are longer than the 64 tokens that the model reads: edits beyond change nothing."
    ]
    assert cut_note(stub_subject(texts=["a " * 999], answer=lambda text: (1, 0)), np.arange(1), "edits") == []
