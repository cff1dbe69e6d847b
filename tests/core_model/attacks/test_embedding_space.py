"""Promises of the attacks in embedding space and of triggers: exact where the truth is known, monotone everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core_model.attacks.embedding_space import NORMS, EmbeddedTexts, fgsm, onto_ball, pgd
from core_model.attacks.triggers import find_trigger, random_trigger, vocabulary_of
from core_model.errors import OptionUnfit
from core_model.prediction import Predictor
from tests.core_model.prediction_models import FAMILIES, TWO_STACKS, made_up_texts, open_tiny
from tests.core_model.test_attribution import linear

RADII = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
TEXTS = made_up_texts(20)


@pytest.fixture(scope="module")
def predictors(tmp_path_factory):
    """Family -> a predictor of a tiny model with random weights, opened once."""
    made = {}

    def predictor(family):
        if family not in made:
            checkpoint = open_tiny(tmp_path_factory.mktemp(family), family)
            made[family] = Predictor(checkpoint, token_budget=256, threads=2)
        return made[family]

    return predictor


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("family", ["bert", "gpt2", "bart"])
def test_radius_0_is_the_text_itself_and_accuracy_never_rises_with_the_radius(predictors, family, norm):
    predictor = predictors(family)
    said = predictor.predict(TEXTS).predicted
    targets = said.copy()
    targets[:5] = 1 - targets[:5]  # five rows are wrong before
    texts = EmbeddedTexts(predictor, TEXTS)
    for fallen in (fgsm(texts, targets, RADII, norm=norm), pgd(texts, targets, RADII, norm=norm, steps=3)):
        np.testing.assert_array_equal(fallen.right[0], said == targets)
        assert (np.diff(fallen.right.astype(int), axis=0) <= 0).all()
        assert fallen.right[-1].sum() < fallen.right[0].sum()  # a whole norm away some fall


def loss_at(texts, row, step, target):
    """Cross-entropy of one shifted text, read off the model itself."""
    caught: list[torch.Tensor] = []
    hook = texts.predictor.forward.model.register_forward_hook(lambda *given: caught.append(given[2].logits.detach()))
    texts.ask(np.array([row]), [step], np.array([target]), gradients=False)
    hook.remove()
    return float(-caught[0].float().log_softmax(-1)[0, target])


@pytest.mark.parametrize("family", sorted({**FAMILIES, **TWO_STACKS}))
def test_every_family_is_moved_as_the_gradient_says(predictors, family):
    """To first order: a small step along the gradient raises the loss by its length times the gradient's."""
    predictor = predictors(family)
    texts = EmbeddedTexts(predictor, TEXTS[:4])
    rows, targets = np.arange(4), predictor.predict(TEXTS[:4]).predicted
    _, slopes, bases = texts.ask(rows, [None] * 4, targets, gradients=True)
    plain = -np.log(predictor.predict(TEXTS[:4]).probabilities[rows, targets])
    for row in rows:
        length = float(np.linalg.norm(slopes[row]))
        assert length > 0 and slopes[row].shape == bases[row].shape
        step = 1e-3 * slopes[row] / length
        loss = loss_at(texts, row, step, int(targets[row]))
        assert loss - plain[row] == pytest.approx(1e-3 * length, rel=0.2, abs=2e-6)


def test_special_tokens_do_not_move(predictors):
    texts = EmbeddedTexts(predictors("bert"), ["a good film"])
    _, [slope], [base] = texts.ask(np.array([0]), [None], np.array([0]), gradients=True)
    assert not slope[[0, -1]].any() and not base[[0, -1]].any() and slope[1:-1].any(axis=1).all()


@pytest.mark.parametrize("norm", NORMS)
def test_on_a_linear_model_a_row_falls_at_the_radius_where_its_margin_is_spent(tmp_path, norm):
    checkpoint, bag = linear(open_tiny(tmp_path))
    predictor = Predictor(checkpoint, threads=1)
    said = predictor.predict(TEXTS)
    texts = EmbeddedTexts(predictor, TEXTS)
    margin = np.abs(said.logits[:, 0] - said.logits[:, 1])
    direction = (bag.weight[0] - bag.weight[1]).numpy()
    tokenizer = predictor.forward.tokenizer
    least = []
    for text, spare in zip(TEXTS, margin, strict=True):
        vectors = bag.words.weight[tokenizer(text, add_special_tokens=False)["input_ids"]].numpy()
        n = len(vectors)
        if norm == "L2":  # every token moves along the same direction, by the same length
            least.append(spare / (np.linalg.norm(vectors) * np.linalg.norm(direction) * np.sqrt(n)))
        else:
            least.append(spare / (np.sqrt((vectors**2).mean()) * np.abs(direction).sum() * n))
    least = np.array(least)
    radii = tuple(float(r) for r in np.quantile(least, [0.2, 0.5, 0.8]) * 1.0001)
    for fallen in (
        fgsm(texts, said.predicted, radii, norm=norm),
        pgd(texts, said.predicted, radii, norm=norm, steps=4),
    ):
        for radius, right in zip(radii, fallen.right, strict=True):
            np.testing.assert_array_equal(right, least > radius)


def test_a_model_that_says_the_same_of_everything_does_not_fall(tmp_path):
    checkpoint, bag = linear(open_tiny(tmp_path))
    with torch.no_grad():
        bag.weight.zero_()
    texts = EmbeddedTexts(Predictor(checkpoint, threads=1), TEXTS)
    fallen = pgd(texts, np.zeros(len(TEXTS), dtype=int), RADII, norm="L2", steps=2)
    assert fallen.right.all() and fallen.flat  # the first class wins every tie, as before


@pytest.mark.parametrize("norm", NORMS)
def test_what_lies_outside_of_the_ball_comes_back_onto_it(norm):
    random = np.random.default_rng(0)
    for shift in random.normal(size=(20, 3, 4)).astype(np.float32):
        back = onto_ball(shift, 0.5, norm)
        size = np.linalg.norm(back) if norm == "L2" else np.abs(back).max()
        assert size <= 0.5 + 1e-6
        np.testing.assert_array_equal(onto_ball(back * 0.9, 0.5, norm), back * np.float32(0.9))


@pytest.mark.parametrize("radii", [(0.1, 0.05), (-0.1,), (0.1, 0.1)])
def test_radii_that_do_not_ascend_are_refused(predictors, radii):
    with pytest.raises(OptionUnfit, match="do not ascend"):
        fgsm(EmbeddedTexts(predictors("bert"), TEXTS[:1]), np.zeros(1), radii, norm="L2")


# ---- triggers


def test_the_planted_word_is_found_and_turns_rows_that_the_search_did_not_see(tmp_path):
    checkpoint, bag = linear(open_tiny(tmp_path))
    tokenizer = checkpoint.load_tokenizer()
    with torch.no_grad():
        bag.words.weight.mul_(0.05)
        planted = tokenizer.convert_tokens_to_ids("queen")
        bag.words.weight[planted] = 0.1 * (bag.weight[1] - bag.weight[0])  # against class 0
    predictor = Predictor(checkpoint, threads=1)
    texts = [text for text in made_up_texts(60) if "queen" not in text.lower()]
    rows = [text for text, label in zip(texts, predictor.predict(texts).predicted, strict=True) if label == 0]
    half = len(rows) // 2
    vocabulary = vocabulary_of(predictor)
    trigger = find_trigger(predictor, rows[:half], 0, vocabulary, length=2, candidates=3)
    assert trigger.words == ("queen", "queen") and trigger.loss > trigger.before
    turned = predictor.predict([trigger.put_before(text) for text in rows[half:]]).predicted
    assert half >= 5 and (turned != 0).all()
    random = np.random.default_rng(1)
    others = [" ".join((*random_trigger(vocabulary, 2, random), text)) for text in rows[half:]]
    assert (predictor.predict(others).predicted != 0).mean() < 0.5


def test_the_vocabulary_holds_whole_words_alone_and_none_that_is_forbidden(predictors):
    vocabulary = vocabulary_of(predictors("bert"), forbidden=frozenset({"good"}))
    assert "king" in vocabulary.words and not {"good", "[PAD]", "##a", "a", "."} & set(vocabulary.words)
    assert vocabulary.vectors.shape == (len(vocabulary.words), 32)
