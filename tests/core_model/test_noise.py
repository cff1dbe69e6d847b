"""Promises of noise: the named change and no other, as much of it as asked, the same for the same text and seed."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_model.noise import NOISES, keeps_meaning, noisy
from core_model.noise.words import NEIGHBOURS, typo

TEXT = "I don't think the café's 3 colours cost 3.5 or 2,000; you're right, my Neighbor!"
FORMS = [(noise, rate) for noise in NOISES.values() for rate in noise.rates]


def edits(a: str, b: str) -> int:
    """Damerau-Levenshtein distance (optimal string alignment), the slow way: the oracle for slips."""
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    table[:, 0], table[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            best = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                best = min(best, table[i - 2, j - 2] + 1)
            table[i, j] = best
    return int(table[-1, -1])


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyzABC", min_size=2, max_size=9), st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_a_typo_is_one_edit_of_the_word(word, seed):
    assert edits(word, typo(word, np.random.default_rng(seed))) == 1


def test_neighbours_are_the_keys_that_touch():
    """Read off a keyboard: the six keys around G, the four around A."""
    assert set(NEIGHBOURS["g"]) == set("ftyhvb")
    assert set(NEIGHBOURS["a"]) == set("qwsz")
    assert all(letter in NEIGHBOURS[other] for letter, near in NEIGHBOURS.items() for other in near)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_so_many_words_have_a_typo_as_the_rate_says(rate):
    text = " ".join(["some", "words", "that", "stand", "here"] * 20)
    after = noisy(text, NOISES["typos"], rate, seed=1).split()
    assert sum(a != b for a, b in zip(text.split(), after, strict=True)) == round(100 * rate)


EXPECTED = {
    "lower_case": "i don't think the café's 3 colours cost 3.5 or 2,000; you're right, my neighbor!",
    "upper_case": "I DON'T THINK THE CAFÉ'S 3 COLOURS COST 3.5 OR 2,000; YOU'RE RIGHT, MY NEIGHBOR!",
    "no_punctuation": "I don't think the café's 3 colours cost 3.5 or 2,000 you're right my Neighbor",
    "no_accents": "I don't think the cafe's 3 colours cost 3.5 or 2,000; you're right, my Neighbor!",
    "contractions": "I do not think the café's 3 colours cost 3.5 or 2,000; you are right, my Neighbor!",
    "number_words": "I don't think the café's three colours cost 3.5 or 2,000; you're right, my Neighbor!",
    "spelling": "I don't think the café's 3 colors cost 3.5 or 2,000; you're right, my Neighbour!",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_noise_without_degrees_does_what_it_is_called(name):
    assert noisy(TEXT, NOISES[name], 1.0, seed=0) == EXPECTED[name]


@pytest.mark.parametrize("name", ["contractions", "number_words", "spelling"])
@pytest.mark.parametrize("text", ["Du bist 300 Jahre alt", "it's 3:30 on 2.3.2020", "one of us", "the cantor", "", "'"])
def test_rules_of_wording_leave_alone_what_they_are_not_for(name, text):
    assert noisy(text, NOISES[name], 1.0, seed=0) == text


def test_unicode_noise_is_undone_by_its_normal_form_or_looks_alike():
    assert unicodedata.normalize("NFC", noisy(TEXT, NOISES["decomposed"], 1.0, seed=0)) == TEXT
    wide = noisy(TEXT, NOISES["full_width"], 0.3, seed=0)
    assert wide != TEXT and unicodedata.normalize("NFKC", wide) == TEXT
    twins = noisy(TEXT, NOISES["look_alikes"], 0.3, seed=0)
    names = [unicodedata.name(b) for a, b in zip(TEXT, twins, strict=True) if a != b]
    assert len(names) >= 3 and all(name.startswith("CYRILLIC") for name in names)


def test_spaces_change_and_nothing_else_does():
    longer = noisy(TEXT, NOISES["spaces_added"], 0.3, seed=0)
    assert longer != TEXT and longer.split() == TEXT.split()
    lost = noisy(TEXT, NOISES["spaces_lost"], 0.3, seed=0)
    assert lost.replace(" ", "") == TEXT.replace(" ", "") and len(lost.split()) == len(TEXT.split()) - 4


def test_truncation_cuts_the_end_and_leaves_a_word():
    assert noisy("a b c d", NOISES["truncated"], 0.25, seed=0) == "a b c"
    assert noisy("word", NOISES["truncated"], 0.5, seed=0) == "word"
    assert not keeps_meaning(NOISES["truncated"], 0.25) and not keeps_meaning(NOISES["typos"], 0.6)


@given(st.text(max_size=30), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_any_text_is_taken_and_the_same_seed_gives_the_same_text(text, seed):
    for noise, rate in FORMS:
        assert noisy(text, noise, rate, seed=seed) == noisy(text, noise, rate, seed=seed)


def test_other_seeds_give_other_typos():
    assert len({noisy(TEXT, NOISES["typos"], 0.3, seed=seed) for seed in range(10)}) > 5
