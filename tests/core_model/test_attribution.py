"""Promises of the attributions: Captum's numbers, exactness where the truth is known, refusals with their reason."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from core_model.attribution import (
    METHODS,
    attribute,
    input_x_gradient,
    integrated_gradients,
    shapley_sampling,
    variants_as_texts,
)
from core_model.attribution_bisection import FIRST, OVER_THE_ROOT, Way
from core_model.attribution_path import EmbeddingPath
from core_model.attribution_words import merged
from core_model.errors import OptionUnfit
from core_model.prediction import Predictor
from tests.core_model.prediction_models import FAMILIES, TWO_STACKS, made_up_texts, open_tiny, slow_logits

TEXT = "the good king was happy, not awful and a dog xylophone"


def open_loud(folder, family="bert"):
    """A tiny model whose answer words move by some hundredths; at birth they move it by less than a thousandth."""
    checkpoint = open_tiny(folder, family)
    head = getattr(checkpoint.load_model(), "classifier", None)
    if head is not None:
        last = list(head.modules())[-1] if not hasattr(head, "out_proj") else head.out_proj
        with torch.no_grad():
            last.weight.mul_(40)
            last.bias.sub_(torch.tensor(slow_logits(checkpoint, [TEXT])[0]))  # an even chance at TEXT
    return checkpoint


def captum_integrated_gradients(checkpoint, text, target, *, steps):
    """LayerIntegratedGradients of one text, summed over the embedding, (tokens,); the baseline is [PAD] but for [CLS]
    and [SEP]."""
    from captum.attr import LayerIntegratedGradients

    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    inputs = tokenizer(text, return_tensors="pt")
    ids = inputs["input_ids"]
    special = torch.tensor(tokenizer.get_special_tokens_mask(ids[0], already_has_special_tokens=True)).bool()[None]
    baseline = torch.where(special, ids, torch.full_like(ids, tokenizer.pad_token_id))

    def score(ids):
        mask = torch.ones_like(ids)
        return model(input_ids=ids, attention_mask=mask).logits.softmax(-1)[:, target]

    method = LayerIntegratedGradients(score, model.get_input_embeddings())
    found = method.attribute(ids, baselines=baseline, n_steps=steps, internal_batch_size=64)
    return found.sum(-1)[0].detach().numpy()


@pytest.mark.parametrize("family", ["bert", "electra", "distilbert"])
def test_integrated_gradients_are_captums(tmp_path, family):
    checkpoint = open_loud(tmp_path, family)
    [found] = integrated_gradients(EmbeddingPath(Predictor(checkpoint), [TEXT]), np.array([1]), even_steps=200)
    expected = captum_integrated_gradients(checkpoint, TEXT, 1, steps=500)
    path = EmbeddingPath(Predictor(checkpoint), [TEXT])
    by_word = [expected[path.of_token[0] == place].sum() for place in range(len(found.words))]
    assert np.abs(found.scores).max() > 0.01  # there is something to compare
    np.testing.assert_allclose(found.scores, by_word, atol=2e-4)
    assert found.completeness_error < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_scores_add_up_to_what_the_text_changes_in_every_family(tmp_path, family):
    texts = made_up_texts(12)
    found = attribute(Predictor(open_loud(tmp_path, family), token_budget=256, threads=2), texts, [1] * 12)
    assert all(one.completeness_error <= 0.02 for one in found)
    assert [one.worded.text for one in found] == texts


def test_only_texts_that_are_in_doubt_get_more_steps(tmp_path):
    path = EmbeddingPath(Predictor(open_loud(tmp_path)), made_up_texts(30))
    targets = np.ones(30, dtype=np.int64)
    rough, fine = (integrated_gradients(path, targets, tolerance=tolerance) for tolerance in (0.5, 1e-4))
    assert {one.steps for one in rough} == {FIRST}
    assert len({one.steps for one in fine}) > 2  # calm texts end earlier
    assert max(one.completeness_error for one in fine) < max(one.completeness_error for one in rough)
    each = integrated_gradients(path, targets, tolerance=np.where(np.arange(30) < 15, 0.5, 1e-4))
    assert [one.steps for one in each[:15]] == [one.steps for one in rough[:15]]
    assert sum(one.steps for one in each[15:]) > 15 * FIRST
    assert all(one.completeness_error <= 1e-4 for one in (*fine, *each[15:]))


def test_single_words_are_as_near_the_truth_as_captums_defaults(tmp_path):
    """A sum that holds may hide words that do not: every word is held against Captum's own at 400 nodes."""
    checkpoint = open_loud(tmp_path)
    texts = made_up_texts(5, seed=5)
    path = EmbeddingPath(Predictor(checkpoint), texts)
    worst = []
    for row, one in enumerate(integrated_gradients(path, np.ones(5, dtype=np.int64))):
        true, theirs = (
            merged(captum_integrated_gradients(checkpoint, texts[row], 1, steps=n), path.of_token[row], len(one.words))
            for n in (400, 50)
        )
        worst.append([np.abs(found - true).max() for found in (one.scores, theirs)])
    ours, theirs = np.mean(worst, axis=0)
    assert ours <= max(theirs, 0.005)


def test_a_spline_is_exact_on_a_cubic_and_doubts_a_jump_where_it_stands():
    shares = np.array([0, 0.1, 0.25, 0.5, 0.8, 1.0])
    powers = np.stack([shares**k for k in range(4)], axis=1)
    way = Way(shares, powers @ (1 / np.arange(1, 5)) * shares, powers)
    np.testing.assert_allclose(way.parts.sum(axis=0), 1 / np.arange(1, 5))
    jumped = Way(shares, np.where(shares > 0.6, 1.0, 0.0), np.zeros((6, 2)))
    assert jumped.doubts(np.eye(2)).tolist() == [0, 0, 0, 1, 0]
    assert jumped.doubt(jumped.doubts(np.eye(2))) == OVER_THE_ROOT


def test_doubts_to_either_side_add_as_a_root_and_errors_to_one_side_as_they_are():
    """Slopes of 0 miss all that the score does: once up and down, once always up."""
    shares, slopes = np.linspace(0, 1, 17), np.zeros((17, 2))
    up_and_down, always_up = 0.01 * (np.arange(17) % 2), 0.01 * np.arange(17)
    either, one_side = (Way(shares, scores, slopes) for scores in (up_and_down, always_up))
    assert either.doubt(either.doubts(np.eye(2))) == pytest.approx(OVER_THE_ROOT * 0.04)
    assert one_side.doubt(one_side.doubts(np.eye(2))) == pytest.approx(0.16)  # the completeness error


def test_a_probability_whose_log_odds_go_straight_is_known_from_five_points():
    """The planted one: log-odds of 20 (share - 1/2), of which one token adds 15, the other 5."""
    shares, of_tokens = np.linspace(0, 1, FIRST), np.array([15.0, 5.0])
    chance = 1 / (1 + np.exp(-20 * (shares - 0.5)))
    slopes = (chance * (1 - chance))[:, None] * of_tokens
    exact = of_tokens / 20 * (chance[-1] - chance[0])
    way = Way(shares, chance, slopes, "probability")
    np.testing.assert_allclose(way.parts.sum(axis=0), exact, atol=1e-4)
    assert way.doubts(np.eye(2)).sum() < 1e-3
    assert Way(shares, chance, slopes).doubts(np.eye(2)).sum() > 0.1  # as a score it would be in doubt


def linear(checkpoint):
    """A planted model whose logit is a sum over its tokens, so that every attribution is known exactly."""
    model = checkpoint.load_model()

    class Bag(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = model.config
            self.words = model.get_input_embeddings()
            torch.manual_seed(3)
            self.weight = torch.nn.Parameter(torch.randn(2, 32))

        def get_input_embeddings(self):
            return self.words

        def forward(self, input_ids, attention_mask=None, token_type_ids=None):
            embedded = self.words(input_ids)
            if attention_mask is not None:
                embedded = embedded * attention_mask[:, :, None]
            return type("Output", (), {"logits": embedded.sum(1) @ self.weight.T})()

    bag = Bag().eval().requires_grad_(False)
    checkpoint.load_model = lambda dtype="float32": bag
    return checkpoint, bag


def test_on_a_linear_model_integrated_gradients_are_exact_at_one_step(tmp_path):
    checkpoint, bag = linear(open_loud(tmp_path))
    path = EmbeddingPath(Predictor(checkpoint), ["good bad king", "a dog"], of="logit")
    found = integrated_gradients(path, np.array([1, 0]), even_steps=1)
    tokenizer = checkpoint.load_tokenizer()
    for one, target in zip(found, (1, 0), strict=True):
        ids = tokenizer.convert_tokens_to_ids(list(one.words))
        table = bag.words.weight
        expected = (table[ids] - table[tokenizer.pad_token_id]) @ bag.weight[target]
        np.testing.assert_allclose(one.scores, expected, atol=1e-4)
        assert one.completeness_error < 1e-4
    by_gradient = input_x_gradient(path, np.array([1, 0]))
    ids = tokenizer.convert_tokens_to_ids(list(by_gradient[0].words))
    np.testing.assert_allclose(by_gradient[0].scores, bag.words.weight[ids] @ bag.weight[1], atol=1e-4)


def test_input_x_gradient_is_captums(tmp_path):
    from captum.attr import LayerGradientXActivation

    checkpoint = open_loud(tmp_path)
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    path = EmbeddingPath(Predictor(checkpoint), [TEXT])
    [found] = input_x_gradient(path, np.array([1]))
    method = LayerGradientXActivation(
        lambda ids: model(input_ids=ids).logits.softmax(-1)[:, 1], model.bert.embeddings.word_embeddings
    )
    expected = method.attribute(tokenizer(TEXT, return_tensors="pt")["input_ids"]).sum(-1)[0].detach().numpy()
    by_word = [expected[path.of_token[0] == place].sum() for place in range(len(found.words))]
    np.testing.assert_allclose(found.scores, by_word, atol=1e-5)


def test_occlusion_is_the_probability_lost_without_the_word(tmp_path):
    predictor = Predictor(open_loud(tmp_path))
    [found] = attribute(predictor, ["the good king was sad"], [1], method="occlusion")
    without = ["good king was sad", "the king was sad", "the good was sad", "the good king sad", "the good king was"]
    whole = predictor.predict(["the good king was sad"]).probabilities[0, 1]
    np.testing.assert_allclose(found.scores, whole - predictor.predict(without).probabilities[:, 1], atol=1e-6)
    assert found.completeness_error is None and found.steps is None


def by_words_kept(predictor, worded, target):
    """The probability of a text of which some words stay: a function of rows of ones and zeros, as Captum asks."""

    def probability(kept):
        texts = [worded.only(np.flatnonzero(row))[0] for row in kept.numpy() > 0.5]
        return torch.from_numpy(predictor.predict(texts).probabilities[:, target])

    return probability


def test_occlusion_and_shapley_sampling_are_captums_over_words(tmp_path):
    from captum.attr import FeatureAblation, ShapleyValues, ShapleyValueSampling

    predictor, text = Predictor(open_loud(tmp_path)), "she likes the good king"
    path, everything = EmbeddingPath(predictor, [text]), torch.ones(1, 5)
    asked = by_words_kept(predictor, path.worded[0], 1)
    [found] = attribute(predictor, [text], [1], method="occlusion")
    np.testing.assert_allclose(found.scores, FeatureAblation(asked).attribute(everything)[0].numpy(), atol=1e-6)
    exact = ShapleyValues(asked).attribute(everything)[0].numpy()
    torch.manual_seed(0)
    theirs = ShapleyValueSampling(asked).attribute(everything, n_samples=100)[0].numpy()
    [ours] = attribute(
        predictor, [text], [1], method="shapley-sampling", permutations=100, random=np.random.default_rng(0)
    )
    size = np.abs(exact).max()
    assert size > 0.01
    np.testing.assert_allclose(ours.scores, exact, atol=0.15 * size)
    np.testing.assert_allclose(theirs, exact, atol=0.15 * size)


def test_sampled_shapley_values_approach_the_exact_ones_and_always_add_up(tmp_path):
    predictor = Predictor(open_loud(tmp_path))
    path = EmbeddingPath(predictor, ["good awful king sad"])
    worded = path.worded[0]
    value = {}
    for size in range(5):
        for chosen in itertools.combinations(range(4), size):
            value[chosen] = predictor.predict([worded.only(chosen)[0]]).probabilities[0, 1]
    exact = np.zeros(4)
    for order in itertools.permutations(range(4)):
        for place, word in enumerate(order):
            before, after = tuple(sorted(order[:place])), tuple(sorted(order[: place + 1]))
            exact[word] += (value[after] - value[before]) / 24
    [few] = shapley_sampling(predictor, [worded], np.array([1]), permutations=2, random=np.random.default_rng(0))
    [many] = shapley_sampling(predictor, [worded], np.array([1]), permutations=400, random=np.random.default_rng(0))
    for found in (few, many):
        assert found.scores.sum() == pytest.approx(value[0, 1, 2, 3] - value[()], abs=1e-6)
    assert np.abs(exact).max() > 0.01
    np.testing.assert_allclose(many.scores, exact, atol=0.1 * np.abs(exact).max())


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_scores_on_any_number_of_threads(tmp_path, method):
    checkpoint, texts = open_loud(tmp_path), made_up_texts(20)
    found = [
        attribute(
            Predictor(checkpoint, threads=threads, token_budget=128), texts, [0] * 20,
            method=method, random=np.random.default_rng(5),
        )
        for threads in (1, 2)
    ]  # fmt: skip
    assert all((a.scores == b.scores).all() for a, b in zip(*found, strict=True))


@pytest.mark.parametrize(
    ("method", "reason"),
    [("DeepLift", "normalization"), ("LayerGradCam", "sums over the tokens"), ("LRP", "no rule for embeddings")],
)
def test_methods_that_are_wrong_on_transformers_are_refused_with_the_reason(method, reason):
    with pytest.raises(OptionUnfit, match=reason) as refused:
        attribute(None, ["a"], [0], method=method)
    assert "integrated-gradients" in refused.value.mend


def test_an_unknown_method_is_refused_with_those_that_there_are():
    with pytest.raises(OptionUnfit, match="no attribution method 'magic'") as refused:
        attribute(None, ["a"], [0], method="magic")
    assert "occlusion" in refused.value.mend


def test_deeplift_really_is_wrong_here(tmp_path):
    """The reason given for the refusal: it runs, and its scores miss their own sum."""
    import warnings

    from captum.attr import DeepLift

    checkpoint = open_loud(tmp_path)
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()

    class FromEmbeddings(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, embedded):
            return self.model(inputs_embeds=embedded).logits.softmax(-1)[:, 1]

    ids = tokenizer(TEXT, return_tensors="pt")["input_ids"]
    embedded = model.get_input_embeddings()(ids).detach()
    baseline = model.get_input_embeddings()(torch.full_like(ids, tokenizer.pad_token_id)).detach()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, delta = DeepLift(FromEmbeddings()).attribute(embedded, baseline, return_convergence_delta=True)
    [ours] = attribute(Predictor(checkpoint), [TEXT], [1])
    assert abs(delta.item()) > 5 * max(ours.completeness_error, 0.001)


def test_gradcam_really_gives_no_token_a_score_and_lrp_really_has_no_rule(tmp_path):
    """The reasons given for two more refusals."""
    from captum.attr import LRP, LayerGradCam

    checkpoint = open_loud(tmp_path)
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    ids = tokenizer(TEXT, return_tensors="pt")["input_ids"]

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, ids):
            return self.model(input_ids=ids).logits

    logits = Logits()
    found = LayerGradCam(lambda ids: logits(ids)[:, 1], model.bert.encoder.layer[-1].output).attribute(ids)
    assert found.shape[1] == 1 and found.shape[-1] == model.config.hidden_size and ids.shape[1] > 1
    with pytest.raises(TypeError, match="rule"):
        LRP(logits).attribute(ids, target=1)


def test_pairs_are_explained_as_one_list_of_words(tmp_path):
    predictor = Predictor(open_loud(tmp_path))
    for method in METHODS:
        [found] = attribute(
            predictor, ["a good film"], [1], ["not bad"], method=method, random=np.random.default_rng(0)
        )
        assert found.words == ("a", "good", "film", "not", "bad") and len(found.scores) == 5
    assert found.worded.without([0, 4]) == ("good film", "not")


def test_a_text_longer_than_the_model_is_cut_and_counted(tmp_path):
    path = EmbeddingPath(Predictor(open_loud(tmp_path)), ["good " * 100, "good"])
    assert path.truncated == 1 and len(path.worded[0]) == 62 and path.worded[0].text.endswith("good")


def test_a_text_of_one_word_or_of_none_is_explained_too(tmp_path):
    predictor = Predictor(open_loud(tmp_path))
    for method in METHODS:
        found = attribute(predictor, ["good", ""], [1, 1], method=method, random=np.random.default_rng(0))
        assert [len(one.scores) for one in found] == [1, 0]
        assert np.isfinite(found[0].scores).all()


def test_a_decoder_without_special_tokens_can_lose_every_word(tmp_path):
    predictor = Predictor(open_loud(tmp_path))
    predictor.forward.tokenizer.backend_tokenizer.post_processor = None
    texts, pairs = variants_as_texts(predictor, [("", None), ("a", None)])
    assert texts == ["[PAD]", "a"] and pairs is None


def test_the_model_is_left_as_it_was_and_its_passes_are_counted(tmp_path):
    checkpoint = open_loud(tmp_path)
    predictor = Predictor(checkpoint)
    before = predictor.predict(["a good book"]).logits.tobytes()
    passes = predictor.forward_passes
    [found] = attribute(predictor, ["a good book"], [0])
    assert predictor.forward_passes == passes + found.steps
    assert not predictor.forward.model.get_input_embeddings()._forward_hooks
    assert Predictor(checkpoint).predict(["a good book"]).logits.tobytes() == before


def test_targets_fit_texts(tmp_path):
    with pytest.raises(ValueError, match="1 texts, but 2 targets"):
        attribute(None, ["a"], [0, 1])
    assert attribute(None, [], []) == []


@pytest.mark.parametrize("family", list(TWO_STACKS))
def test_a_decoder_that_reads_the_text_again_gets_the_point_too(tmp_path, family):
    """At the baseline the score is that of the model on ids where every word is padding, on both sides."""
    checkpoint = open_tiny(tmp_path, family)
    path = EmbeddingPath(Predictor(checkpoint), [TEXT])
    at_baseline, _ = path.ask(np.array([0]), np.array([0.0]), np.array([1]), gradients=False)
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    ids = tokenizer(TEXT, return_tensors="pt")["input_ids"]
    special = torch.tensor(tokenizer.get_special_tokens_mask(ids[0].tolist(), already_has_special_tokens=True)).bool()
    blank = torch.where(special[None], ids, torch.full_like(ids, tokenizer.pad_token_id))
    with torch.no_grad():
        expected = model(input_ids=blank, attention_mask=torch.ones_like(ids)).logits.softmax(-1)[0, 1]
        whole = model(input_ids=ids).logits.softmax(-1)[0, 1]
    assert at_baseline[0] == pytest.approx(float(expected), abs=1e-6)
    if family == "bart":  # the tiny T5's norms leap where every vector is nearly 0: no 50 nodes see that
        [found] = integrated_gradients(path, np.array([1]), even_steps=50)
        assert found.scores.sum() + found.rest == pytest.approx(float(whole - expected), abs=1e-3)


@pytest.mark.parametrize("family", list(TWO_STACKS))
def test_one_gradient_of_two_stacks_is_what_a_small_step_says(tmp_path, family):
    path = EmbeddingPath(Predictor(open_tiny(tmp_path, family)), [TEXT])
    [gradient] = path.predictor.embedding_gradients([TEXT], np.array([1]), of="probability")
    noise = np.random.default_rng(0).normal(size=gradient.gradients.shape).astype(np.float32)
    step = 1e-3
    ends = [
        path.ask(np.array([0]), np.array([1.0]), np.array([1]), gradients=False, noise=[sign * step * noise])[0][0]
        for sign in (1, -1)
    ]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float((gradient.gradients * noise).sum()), rel=0.05)


def test_a_jump_between_two_steps_is_found_by_halving(tmp_path):
    """A sharp model misses its sum by even steps; by halves it adds up, at the cost of that text alone."""
    checkpoint = open_loud(tmp_path)
    predictor, head = Predictor(checkpoint), checkpoint.load_model().classifier
    with torch.no_grad():  # 0 a good third of the way to the text, and steep
        head.weight.mul_(80)
        head.bias.mul_(80)
        there = [
            EmbeddingPath(predictor, [TEXT], of="logit").ask(
                np.array([0]), np.array([0.37]), np.array([label]), gradients=False
            )[0][0]
            for label in (0, 1)
        ]
        head.bias.sub_(torch.tensor(there, dtype=torch.float32))
    path = EmbeddingPath(predictor, [TEXT, "the good king was happy"])
    targets = path.predictor.predict([w.text for w in path.worded]).predicted
    even = integrated_gradients(path, targets, even_steps=8)
    halved = integrated_gradients(path, targets)
    assert max(one.completeness_error for one in even) > 0.02
    for one, other in zip(halved, even, strict=True):
        assert one.completeness_error <= 0.02
        assert one.completeness_error <= other.completeness_error
    slow = captum_integrated_gradients(checkpoint, TEXT, int(targets[0]), steps=600)
    assert halved[0].scores == pytest.approx(merged(slow, path.of_token[0], len(path.worded[0])), abs=0.01)
