"""Promises of input normalization: disguises come off, the rest stays, and the look-alike attack loses its power."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from transformers import AutoTokenizer

from core_model.attacks.lock_step import attack
from core_model.attacks.recipes import recipe
from core_model.checkpoint import open_checkpoint
from core_model.errors import OptionUnfit, OutputUnwritable
from core_model.input_normalization import normalize, normalizer, scripts_known
from core_model.look_alikes import LATIN_OF, LOOK_ALIKES
from core_model.prediction import Predictor
from core_model.predictions import Predictions
from tests.core_model.prediction_models import made_up_texts

DISGUISED = "the k\u0456ng w\u0430\u0455 g\u043e\u043ed, n\u200bot \uff46\uff49\uff4e\uff45"
PLAIN = "the king was good, not fine"


@pytest.fixture(scope="module")
def normalized(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("normalized") / "out"
    made = normalize(open_checkpoint(checkpoint), out=out)
    assert made.path == out and "CYRILLIC" in made.replaced_everywhere and made.replaced_in_latin_words == ()
    return open_checkpoint(out)


def test_disguised_texts_are_read_as_plain_ones_by_any_tool(normalized, checkpoint):
    before, after = AutoTokenizer.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(normalized.path)
    assert before(DISGUISED)["input_ids"] != before(PLAIN)["input_ids"]
    assert dict(after(DISGUISED)) == dict(before(PLAIN))


def test_every_listed_letter_is_read_as_the_latin_one():
    front = normalizer(frozenset({"LATIN"}))
    for latin, others in LOOK_ALIKES.items():
        assert {front.normalize_str(other) for other in others} == {latin}
    assert front.normalize_str("Stra\u00dfe, caf\u00e9 CASE case") == "Stra\u00dfe, caf\u00e9 CASE case"


def test_ordinary_texts_keep_their_answers_to_the_bit(normalized, checkpoint):
    texts = made_up_texts(30)
    plain, after = (Predictor(one, threads=1).predict(texts) for one in (open_checkpoint(checkpoint), normalized))
    np.testing.assert_array_equal(plain.logits, after.logits)


def test_where_words_of_a_script_are_known_only_latin_words_are_touched():
    front = normalizer(frozenset({"LATIN", "CYRILLIC"}))
    russian = "\u043a\u0430\u043a \u0440\u0443\u043a\u0430 \u0441\u043e\u043d"  # words of letters that look Latin
    assert front.normalize_str(russian) == russian
    assert front.normalize_str("g\u043e\u043ed \u0440\u0430in") == "good pain"
    pieces = ["##\u043c\u0438\u0440" + letter for letter in map(chr, range(0x430, 0x430 + 32))] * 7
    assert "CYRILLIC" in scripts_known(pieces) and "CYRILLIC" not in scripts_known(pieces[:50])


class Planted:
    """Positive as long as a tokenizer reads the word "good"."""

    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def predict(self, texts, pairs=None):
        has = [("good" in self.tokenizer.tokenize(text)) for text in texts]
        return Predictions(np.array([[0.0, 2.0] if here else [1.0, 0.0] for here in has], dtype=np.float32))


def test_the_look_alike_attack_turns_every_row_before_and_none_after(normalized, checkpoint):
    texts = [f"{text} good" for text in made_up_texts(12)]
    made = recipe("look-alikes", stop_words=frozenset())
    successes = []
    for folder in (checkpoint, normalized.path):
        found = attack(Planted(folder), texts, [1] * 12, made, random=np.random.default_rng(0))
        successes.append(sum(one.status == "succeeded" for one in found.rows))
    assert successes == [12, 0]


def test_it_is_not_done_twice_nor_over_something(normalized, checkpoint, tmp_path):
    with pytest.raises(OptionUnfit, match="already"):
        normalize(normalized, out=tmp_path / "again")
    (tmp_path / "full").mkdir()
    shutil.copy(checkpoint / "config.json", tmp_path / "full")
    with pytest.raises(OutputUnwritable, match="not an empty folder"):
        normalize(open_checkpoint(checkpoint), out=tmp_path / "full")
    assert len(LATIN_OF) == sum(len(others) for others in LOOK_ALIKES.values())  # no letter stands for two


def test_the_command_says_what_it_did_and_its_letters_go_to_stderr(checkpoint, tmp_path, capsys):
    from audit.main import run

    assert run(["normalize", str(checkpoint), "--out", str(tmp_path / "out")]) == 0
    assert "Cyrillic" in capsys.readouterr().out
    assert run(["normalize", str(tmp_path / "out"), "--out", str(tmp_path / "again")]) == 2
    assert "normalizes its input already" in capsys.readouterr().err
