"""Attention maps are the model's own, rollout is its paper's recurrence, and what has no maps is refused by name."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core_model.attention_maps import attention_maps, attention_of, refuse_without_maps, rollout, where_head_reads
from core_model.attention_writing import attention_of_writing
from core_model.attribution import attribute
from core_model.attribution_answers_path import AnswerPath
from core_model.attribution_writing_path import WritingPath, written_answers
from core_model.errors import TaskUnfit
from core_model.prediction import Predictor
from tests.core_model.prediction_models import open_reader, open_tiny, open_writer

TEXTS = ["the good king was happy", "not awful", "a dog and the good king was happy not awful"]


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2", "llama"])
def test_maps_are_those_of_the_model_one_text_at_a_time(tmp_path, family):
    checkpoint = open_tiny(tmp_path, family)
    found = attention_maps(Predictor(checkpoint), TEXTS)
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    model.set_attn_implementation("eager")
    for text, one in zip(TEXTS, found, strict=True):
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            own = model(input_ids=inputs["input_ids"], output_attentions=True).attentions
        assert np.allclose(one.weights, torch.stack(own, dim=1)[0].numpy(), atol=1e-6)
        assert one.weights.shape[2] == len(one.tokens) == len(one.of_token)
        assert one.weights.sum(axis=-1) == pytest.approx(1, abs=1e-5)


def test_the_model_computes_attention_as_before_afterwards(tmp_path):
    predictor = Predictor(open_tiny(tmp_path))
    before = predictor.forward.model.config._attn_implementation
    attention_maps(predictor, TEXTS)
    assert predictor.forward.model.config._attn_implementation == before


def test_rollout_is_the_papers_recurrence():
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.ones(5), size=(3, 2, 5))
    expected = np.eye(5)
    for layer in range(3):
        mean = (weights[layer, 0] + weights[layer, 1]) / 2
        blended = 0.5 * mean + 0.5 * np.eye(5)
        slow = np.zeros((5, 5))
        for i in range(5):
            for j in range(5):
                slow[i, j] = sum(blended[i, k] * expected[k, j] for k in range(5))
        expected = slow
    assert rollout(weights) == pytest.approx(expected)
    assert rollout(weights).sum(axis=1) == pytest.approx(1)


def test_heads_that_look_only_at_themselves_roll_out_to_themselves():
    assert rollout(np.tile(np.eye(4), (2, 3, 1, 1))) == pytest.approx(np.eye(4))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_rollout_shares_are_the_same_for_every_class_and_sum_to_one(tmp_path, family):
    predictor = Predictor(open_tiny(tmp_path, family))
    for_one = attribute(predictor, TEXTS, [0, 0, 0], method="attention-rollout")
    for_other = attribute(predictor, TEXTS, [1, 1, 1], method="attention-rollout")
    for a, b in zip(for_one, for_other, strict=True):
        assert np.array_equal(a.scores, b.scores) and (a.scores >= 0).all()
        assert a.scores.sum() + a.rest == pytest.approx(1)
        assert a.score + b.score == pytest.approx(1)


def test_encoders_read_their_first_token_and_decoders_their_last(tmp_path):
    encoder, decoder = open_tiny(tmp_path / "e", "bert"), open_tiny(tmp_path / "d", "gpt2")
    assert where_head_reads(encoder.load_model(), 3).tolist() == [1, 0, 0]
    assert where_head_reads(decoder.load_model(), 3).tolist() == [0, 0, 1]
    mean = SimpleNamespace(config=SimpleNamespace(classifier_pooling="mean", model_type="modernbert"))
    assert where_head_reads(mean, 4).tolist() == [0.25] * 4


def test_words_share_of_attention_is_a_slow_sum(tmp_path):
    [one] = attention_maps(Predictor(open_tiny(tmp_path)), TEXTS[:1])
    words = [place for place, of in enumerate(one.of_token) if of >= 0]
    layer, head = 1, 2
    slow = np.mean([sum(one.weights[layer, head, i, j] for j in words) for i in words])
    assert one.to_words[layer, head] == pytest.approx(slow)


def test_encoder_decoders_are_refused_with_a_method_that_works():
    class BartForSequenceClassification:
        config = SimpleNamespace(is_encoder_decoder=True)

    with pytest.raises(TaskUnfit, match="encoder and a decoder") as caught:
        refuse_without_maps(BartForSequenceClassification())
    assert "occlusion" in caught.value.mend


@pytest.mark.parametrize("family", ["marian", "bart", "t5"])
def test_an_answers_cross_attention_is_the_models_own_one_text_at_a_time(tmp_path, family):
    checkpoint = open_writer(tmp_path, family)
    predictor = Predictor(checkpoint)
    path = WritingPath(predictor, TEXTS, written_answers(predictor, TEXTS, max_new_tokens=3))
    found = attention_of_writing(path)
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    model.set_attn_implementation("eager")
    for text, one, answer in zip(TEXTS, found, path.answers, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            output = model(
                input_ids=ids, decoder_input_ids=torch.from_numpy(answer.reads)[None], output_attentions=True
            )
        assert np.allclose(one.weights, torch.stack(output.cross_attentions, dim=1)[0].numpy(), atol=1e-5)
        assert one.asks == answer.tokens and one.weights.shape[2:] == (len(one.asks), len(one.tokens))
        words = [place for place, of in enumerate(one.of_token) if of >= 0]
        slow = one.weights[0, 1][:, words].sum(axis=1).mean()
        assert one.to_words[0, 1] == pytest.approx(slow, abs=1e-5)


def test_a_language_models_answer_is_no_word_of_its_prompt_and_the_first_token_is_left_out(tmp_path):
    predictor = Predictor(open_writer(tmp_path, "gpt2"))
    path = WritingPath(predictor, TEXTS[:1], written_answers(predictor, TEXTS[:1], max_new_tokens=3))
    [one] = attention_of_writing(path)
    prompt = len(one.tokens) - one.answer
    assert one.answer == len(path.answers[0].ids) - 1 > 0 and (one.of_token[prompt:] < 0).all()
    slow = one.weights[1, 2][:prompt, 1:prompt].sum(axis=1).mean()
    assert one.to_words[1, 2] == pytest.approx(slow, abs=1e-5)


def test_a_reader_of_questions_shows_where_question_and_context_look(tmp_path):
    path = AnswerPath(Predictor(open_reader(tmp_path)), ["who was happy"], TEXTS[:1])
    [one] = attention_of(path)
    assert one.weights.shape[2] == len(one.tokens) == int(path.lengths[0])
    assert one.weights.sum(axis=-1) == pytest.approx(1, abs=1e-5) and (one.of_token < 0).sum() == 3  # [CLS], two [SEP]
