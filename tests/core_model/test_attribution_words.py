"""Words: where they stand, what they are made of, and the text without them."""

from __future__ import annotations

import numpy as np
import pytest

from core_model.attribution_path import EmbeddingPath
from core_model.attribution_words import Worded, merged, split_words
from core_model.prediction import Predictor
from tests.core_model.prediction_models import open_tiny


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's a good-ish film.", ["It's", "a", "good", "-", "ish", "film", "."]),
        ("  two\u00a0spaces\n", ["two", "spaces"]),
        ("\u6211\u7231\u4f60", ["\u6211", "\u7231", "\u4f60"]),
        ("\u00e9t\u00e9 \u0434\u0430", ["\u00e9t\u00e9", "\u0434\u0430"]),
        ("", []),
        ("   ", []),
    ],
)
def test_a_text_is_split_into_words_and_marks(text, words):
    assert [text[start:end] for start, end in split_words(text)] == words


def worded(text: str, pair: str | None = None) -> Worded:
    spans = [(0, *span) for span in split_words(text)] + [(1, *span) for span in split_words(pair or "")]
    return Worded(text, pair, tuple(spans))


def test_deleting_words_keeps_the_others_in_order():
    text = worded("a  good film, said she")
    assert text.without([]) == ("a  good film, said she", None)
    assert text.without([1]) == ("a film, said she", None)
    assert text.only([1, 2]) == ("good film", None)
    assert text.without(range(6)) == ("", None)
    assert worded("a b", "c d").without([1, 2]) == ("a", "d")


def test_scores_of_sub_words_are_summed():
    scores = merged(np.array([9.0, 1.0, 2.0, 3.0, 9.0]), np.array([-1, 0, 0, 1, -1]), 3)
    assert scores.tolist() == [3.0, 3.0, 0.0]


def test_every_sub_word_finds_its_word(tmp_path):
    predictor = Predictor(open_tiny(tmp_path))
    path = EmbeddingPath(predictor, ["The xylophone, isn't good"])
    tokens = predictor.forward.tokenizer.tokenize("The xylophone, isn't good")
    found = [path.worded[0].words[place] for place in path.of_token[0][1:-1]]
    assert path.of_token[0][[0, -1]].tolist() == [-1, -1]
    for token, word in zip(tokens, found, strict=True):
        assert token.removeprefix("##") in word.lower()
    assert set(found) == set(path.worded[0].words)
