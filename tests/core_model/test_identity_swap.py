"""The identity swap: what it changes in a text, and which lists of terms it refuses."""

from __future__ import annotations

import tomllib

import pytest

from core_model.errors import OptionUnfit
from core_model.identity_swap import OWN_LIST, read_terms, swap

TERMS = read_terms()
CATEGORIES = {category.name: category for category in TERMS.categories}


def swapped(text: str, category: str = "gender") -> str | None:
    return swap(text, CATEGORIES[category], TERMS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("She is a doctor.", "He is a doctor."),
        ("WOMEN and men, Boys", "MEN and women, Girls"),
        ("he/she said", "she/he said"),
        ("the woman's car; he's late", "the man's car; she's late"),
        ("Her brother saw her.", "His sister saw him."),
        ("his book is his", "her book is hers"),
        ("I saw her yesterday, it is hers", "I saw him yesterday, it is his"),
        ("told him things", "told her things"),
        ("Mr Smith met Mrs Smith", "Ms Smith met Mr Smith"),
    ],
)
def test_gender_is_swapped_both_ways_with_case_and_pronouns_kept(before, after):
    assert swapped(before) == after


@pytest.mark.parametrize(
    ("category", "before", "after"),
    [
        ("religion", "Muslims pray in a mosque", "Christians pray in a church"),
        ("religion", "christians and jews", "muslims and christians"),
        ("race_or_ethnicity", "African-American voters", "White-American voters"),
        ("race_or_ethnicity", "BLACK people", "WHITE people"),
        ("orientation", "gay men and gays", "straight men and heterosexuals"),
        ("orientation", "straight men", "gay men"),
        ("age", "A YOUNG MAN is not an old one", "AN OLD MAN is not an old one"),
        ("religion", "an imam, an Islamic priest", "a priest, a Christian imam"),
        ("race_or_ethnicity", "an African and a European", "a European and an African"),
        ("age", "an old man, ten years old", "a young man, ten years old"),
    ],
)
def test_other_identities_take_the_counterpart_of_their_first_pair(category, before, after):
    assert swapped(before, category) == after


@pytest.mark.parametrize(
    "text",
    [
        "the theme of mankind", "sheer", "human", "@he_man",  # parts of words are no terms
        "go straight ahead", "the old car is ten years young",  # left out on purpose
        "", "\u202e\u0130", "sh\u0435",  # the last has a Cyrillic letter
    ],
)  # fmt: skip
def test_what_is_no_term_stays(text):
    assert all(swap(text, category, TERMS) is None for category in TERMS.categories)


def test_swapping_twice_gives_the_text_back_where_terms_are_paired_one_to_one():
    one_to_one = tomllib.loads(OWN_LIST.read_text())["gender"]["pairs"]
    counted = [word for pair in one_to_one for word in pair]
    for a, b in one_to_one:
        if counted.count(a) == counted.count(b) == 1:
            assert swapped(swapped(f"the {a} there")) == f"the {a} there"


def test_every_term_of_our_list_is_found_and_changes_the_text():
    for name, table in tomllib.loads(OWN_LIST.read_text()).items():
        if name != "function_words":
            for pair in (pair for key in table for pair in table[key]):
                for term in pair:
                    assert swapped(f"so {term}.", name) not in (None, f"so {term}."), term


def test_a_very_long_text_is_swapped_in_time_linear_in_its_length():
    assert swapped("woman " * 20_000) == "man " * 20_000


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[gender", "is not TOML"),
        ("", "holds no category"),
        ('[gender]\npairs = [["he"]]\n', "is not a pair of terms"),
        ('[gender]\npairs = [["he", "He"]]\n', "is not a pair of terms"),
        ('[gender]\npears = [["he", "she"]]\n', "is not a table of pairs"),
        ("function_words = 3\n", "function_words is not a list"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_with_what_is_wrong(tmp_path, content, says):
    own = tmp_path / "terms.toml"
    own.write_text(content, encoding="utf-8")
    with pytest.raises(OptionUnfit, match=says):
        read_terms(own)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(OptionUnfit, match=r"none\.toml cannot be read"):
        read_terms(tmp_path / "none.toml")
