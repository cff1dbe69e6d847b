"""Promises of words from a masked language model: they are the model's own, they flip what was planted, or a letter."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from audit.concerns.security import SecurityOptions
from audit.concerns.security.attacks import attack_answers
from core_model.attacks.constraints import OnlyOnce
from core_model.attacks.lock_step import attack
from core_model.attacks.masked_words import MaskedWords
from core_model.attacks.recipes import Recipe, recipe
from core_model.attacks.search import GreedyByImportance
from core_model.attacks.sentence import Sentence
from core_model.checkpoint import open_checkpoint
from core_model.errors import BadInput, CheckpointMissing, OptionUnfit, TaskUnfit
from tests.factories import WORDS, StubPredictor, stub_subject, write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny masked language model with random weights, over the words of the other tiny models."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    path = write_checkpoint(tmp_path_factory.mktemp("models") / "masked")
    config = BertConfig.from_pretrained(path)
    torch.manual_seed(5)
    model = BertForMaskedLM(config)
    torch.nn.init.normal_(model.cls.predictions.bias, std=3.0)  # so that no two words are as probable
    model.save_pretrained(path)
    AutoTokenizer.from_pretrained(path).save_pretrained(path)
    return path


def test_the_words_are_those_of_transformers_own_pipeline(folder):
    from transformers import pipeline

    filled = pipeline("fill-mask", model=str(folder), tokenizer=str(folder), device="cpu")
    ask = MaskedWords(open_checkpoint(folder), most=8)
    texts, places = ["the king saw a good film", "Good day", "she went to the city, not very happy"], [4, 0, 7]
    found = ask([(Sentence.of(text), place) for text, place in zip(texts, places, strict=True)])
    for text, place, ours in zip(texts, places, found, strict=True):
        word = Sentence.of(text).words[place]
        theirs = [said["token_str"] for said in filled(text.replace(word, "[MASK]"), top_k=140)]
        theirs = [other for other in theirs if other in WORDS and len(other) > 1 and other != word.lower()][:8]
        assert list(ours) == ([other.capitalize() for other in theirs] if word.istitle() else theirs)
    assert ask.forward_passes == 3
    assert ask([(Sentence.of(texts[1]), 0)])[0] == found[1] and ask.forward_passes == 3  # it is asked once


def test_a_planted_word_is_replaced_by_what_the_model_would_write(folder):
    def answer(text):
        return (0.1, 0.9) if "good" in text.split() else (0.8, 0.2)

    ask = MaskedWords(open_checkpoint(folder))
    made = Recipe("planted", None, (OnlyOnce(),), GreedyByImportance("deletion"), in_place=ask)
    texts = ["the king saw a good film", "a good day it was"]
    how = {"random": np.random.default_rng(0)}
    found = attack(StubPredictor(answer), texts, [1, 1], made, **how)
    for one in found.rows:
        assert one.status == "succeeded" and one.words_changed == 1
        place = one.original.words.index("good")
        assert one.final.words[place] in ask([(one.original, place)])[0]
    stuck = attack(StubPredictor(lambda text: (0.1, 0.9)), texts, [1, 1], made, **how)
    assert {one.status for one in stuck.rows} == {"failed"}


@pytest.mark.parametrize("text", [" ".join(["good"] * 100), "a [MASK] film of good day"])
def test_a_place_that_the_model_does_not_see_has_no_words(folder, text):
    sentence = Sentence.of(text)
    assert MaskedWords(open_checkpoint(folder))([(sentence, len(sentence) - 1)]) == [()]


def test_a_model_without_the_head_is_a_letter(folder, tmp_path, checkpoint):
    with pytest.raises(TaskUnfit, match="no head that tells hidden words"):
        MaskedWords(open_checkpoint(checkpoint))
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if ".transform." not in k}, tmp_path / "model.safetensors")
    with pytest.raises(TaskUnfit, match="weights of the head that tells words are missing"):
        MaskedWords(open_checkpoint(tmp_path))([(Sentence.of("a good film"), 1)])


def test_without_one_it_is_not_measured_and_the_flag_is_named(folder):
    with pytest.raises(OptionUnfit, match=r"--set security\.masked_model=FOLDER"):
        recipe("bae-like")
    subject = stub_subject(texts=["a good day"] * 12, answer=lambda text: (0.2, 0.8), targets=[1] * 12)
    options = SecurityOptions(attack_rows=4, recipes=("bae-like",), resamples=200)
    found = attack_answers(subject, options, np.random.default_rng(0))
    [success, *_] = [m for m in found.metrics if m.name == "attack_success_rate"]
    assert success.value is None and "--set security.masked_model=FOLDER" in success.reason
    assert found.settings["masked_model_sha256"] is None
    named = SecurityOptions(masked_model=str(folder), recipes=("bae-like",))
    assert named.masked_model == str(folder)


def test_a_folder_that_is_none_is_refused_before_anything_is_measured(folder, tmp_path, checkpoint):
    with pytest.raises(CheckpointMissing):
        SecurityOptions(masked_model=str(tmp_path / "nowhere"))
    with pytest.raises(TaskUnfit):
        SecurityOptions(masked_model=str(checkpoint))
    (tmp_path / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text())))
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(BadInput, match="pickle"):
        SecurityOptions(masked_model=str(tmp_path))
