"""Promises of the gradients: those of torch.autograd, one text at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core_model.prediction import Predictor
from tests.core_model.prediction_models import FAMILIES, made_up_texts, open_tiny


def slow_gradient(checkpoint, text, pair, target, of):
    """One text, through `inputs_embeds` instead of a hook."""
    model = checkpoint.load_model()
    inputs = checkpoint.load_tokenizer()(text, pair, return_tensors="pt", truncation=True, max_length=64)
    ids = inputs.pop("input_ids")
    embeddings = model.get_input_embeddings()(ids).detach().requires_grad_(True)
    logits = model(inputs_embeds=embeddings, **inputs).logits
    score = (logits if of == "logit" else logits.softmax(-1))[0, target]
    return torch.autograd.grad(score, embeddings)[0][0].numpy(), score.item()


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in ("gpt2", "llama")])
@pytest.mark.parametrize("of", ["logit", "probability"])
def test_gradients_are_those_of_one_text_at_a_time(tmp_path, family, of):
    checkpoint = open_tiny(tmp_path, family, labels=3)
    texts, pairs = made_up_texts(25), made_up_texts(25, seed=1)
    targets = np.arange(25) % 3
    predictor = Predictor(checkpoint, device="cpu", token_budget=128, threads=2)
    for second in (None, pairs):
        found = predictor.embedding_gradients(texts, targets, second, of=of)
        for row, gradient in enumerate(found):
            expected, score = slow_gradient(checkpoint, texts[row], second and second[row], int(targets[row]), of)
            np.testing.assert_allclose(gradient.gradients, expected, atol=1e-5)
            assert gradient.score == pytest.approx(score, abs=1e-5)


def test_a_decoders_gradients_are_those_of_one_text_at_a_time(tmp_path):
    """Decoders look for padding in the token ids, so the slow way needs a hook, too."""
    checkpoint = open_tiny(tmp_path, "gpt2")
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    texts = made_up_texts(20)
    caught = []

    def catch(module, arguments, output):
        caught.append(output.detach().requires_grad_(True))
        return caught[-1]

    found = Predictor(checkpoint, token_budget=128).embedding_gradients(texts, [1] * 20)
    for text, gradient in zip(texts, found, strict=True):
        hook = model.get_input_embeddings().register_forward_hook(catch)
        score = model(**tokenizer(text, return_tensors="pt")).logits[0, 1]
        hook.remove()
        np.testing.assert_allclose(gradient.gradients, torch.autograd.grad(score, caught[-1])[0][0], atol=1e-5)


def test_tokens_come_with_their_place_in_the_text(tmp_path):
    [found] = Predictor(open_tiny(tmp_path)).embedding_gradients(["A good xylophone"], [0], ["bad film"])
    assert found.tokens[:3] == ("[CLS]", "a", "good") and found.tokens[-1] == "[SEP]"
    assert found.offsets[2].tolist() == [2, 6]
    assert found.sequence.tolist()[:2] == [-1, 0] and found.sequence[-2] == 1
    assert found.gradients.shape == found.embeddings.shape == (len(found.tokens), 32)


def test_parameters_stay_frozen_and_predictions_unmoved(tmp_path):
    checkpoint = open_tiny(tmp_path)
    predictor = Predictor(checkpoint)
    before = predictor.predict(["a good book"]).logits.tobytes()
    predictor.embedding_gradients(["a good book", "a bad film and a king"], [0, 1])
    assert all(p.grad is None and not p.requires_grad for p in predictor.forward.model.parameters())
    assert Predictor(checkpoint).predict(["a good book"]).logits.tobytes() == before
    assert not predictor.forward.model.get_input_embeddings()._forward_hooks


def test_no_texts_no_gradients_and_a_target_for_each_text(tmp_path):
    predictor = Predictor(open_tiny(tmp_path))
    assert predictor.embedding_gradients([], []) == []
    with pytest.raises(ValueError, match="1 texts, but 2 targets"):
        predictor.embedding_gradients(["a"], [0, 1])
