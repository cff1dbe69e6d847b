"""Why a model wrote what it wrote: Captum's numbers, a plain loop, and a model whose reason was planted."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from core_model.attribution import integrated_gradients
from core_model.attribution_words import merged
from core_model.attribution_writing import explain_writing
from core_model.attribution_writing_path import WHOLE, WritingPath, given_answers, written_answers
from core_model.errors import DataDamaged, OptionUnfit, TaskUnfit
from core_model.prediction import Predictor
from tests.core_model.prediction_models import DECODERS, open_tiny, open_writer

TEXTS = ["the good king was happy, not awful", "a dog saw the bird", "she likes it"]
FAMILIES = ("gpt2", "llama", "t5", "marian", "bart")


def slow_log_probabilities(checkpoint, text, answer):
    """One row at a time, no padding, the model's own logits: (tokens of the answer,)."""
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    wanted = torch.from_numpy(answer.ids)
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            begin = torch.tensor([[model.config.decoder_start_token_id, *answer.ids[:-1].tolist()]])
            logits = model(input_ids=ids, decoder_input_ids=begin).logits[0]
        else:
            logits = model(input_ids=torch.cat([ids, wanted[None, :-1]], dim=1)).logits[0, ids.shape[1] - 1 :]
    return logits.log_softmax(-1).gather(1, wanted[:, None])[:, 0].numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_score_is_the_log_probability_of_what_the_model_wrote(tmp_path, family):
    checkpoint = open_writer(tmp_path, family)
    predictor = Predictor(checkpoint)
    answers = written_answers(predictor, TEXTS, max_new_tokens=4)
    assert [answer.text for answer in answers] == list(predictor.generate(TEXTS, max_new_tokens=4).texts)
    path = WritingPath(predictor, TEXTS, answers)
    found = path.log_probabilities()
    for text, answer, own in zip(TEXTS, answers, found, strict=True):
        np.testing.assert_allclose(own, slow_log_probabilities(checkpoint, text, answer), atol=1e-4)
    rows, ones = np.arange(3), np.ones(3)
    whole, _ = path.ask(rows, ones, np.full(3, WHOLE), gradients=False)
    np.testing.assert_allclose(whole, [own.sum() for own in found], atol=1e-4)
    last, _ = path.ask(rows, ones, np.array([len(own) - 1 for own in found]), gradients=False)
    np.testing.assert_allclose(last, [own[-1] for own in found], atol=1e-4)


def embedded(checkpoint, text, answer, token=None):
    """By a forward of its own: from embeddings of the prompt or source to log p, and those of text and baseline."""
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    both = model.config.is_encoder_decoder
    embed = (model.get_encoder() if both else model).get_input_embeddings()
    scale = getattr(model.get_encoder(), "embed_scale", 1.0) if both and model.config.model_type == "marian" else 1.0
    special = torch.tensor(tokenizer.get_special_tokens_mask(ids[0], already_has_special_tokens=True)).bool()[None]
    blank = torch.where(special, ids, torch.full_like(ids, tokenizer.pad_token_id))
    wanted = torch.from_numpy(answer.ids)
    reads = torch.tensor([[model.config.decoder_start_token_id, *answer.ids[:-1].tolist()]]) if both else None

    def score(embedded):
        rows = len(embedded)
        if both:
            logits = model(inputs_embeds=embedded, decoder_input_ids=reads.expand(rows, -1)).logits
        else:
            rest = embed(wanted[None, :-1]).expand(rows, -1, -1)
            logits = model(inputs_embeds=torch.cat([embedded, rest], dim=1)).logits[:, ids.shape[1] - 1 :]
        each = logits.log_softmax(-1).gather(2, wanted[None, :, None].expand(rows, -1, -1)).squeeze(2)
        return each.sum(1) if token is None else each[:, token]

    return score, embed(ids).detach() * scale, embed(blank).detach() * scale


def captums(checkpoint, text, answer, token=None):
    """IntegratedGradients over the embeddings of the prompt or source; (its tokens,)."""
    from captum.attr import IntegratedGradients

    score, end, start = embedded(checkpoint, text, answer, token)
    return IntegratedGradients(score).attribute(end, start, n_steps=300).sum(-1)[0].detach().numpy()


@pytest.mark.parametrize("family", ["gpt2", "llama", "marian", "bart"])  # the tiny T5 leaps where vectors are nearly 0
def test_integrated_gradients_of_an_answer_and_of_its_tokens_are_captums(tmp_path, family):
    checkpoint = open_writer(tmp_path, family)
    predictor, text = Predictor(checkpoint), TEXTS[1]
    [answer] = written_answers(predictor, [text], max_new_tokens=3)
    [found] = explain_writing(predictor, [text], [answer], tolerance=0.002)
    path = WritingPath(predictor, [text], [answer])

    def by_word(tokens):
        return merged(tokens, path.of_token[0][: len(tokens)], len(path.worded[0]))

    expected = by_word(captums(checkpoint, text, answer))
    size = np.abs(expected).max()
    assert size > 0.05
    np.testing.assert_allclose(found.whole.scores, expected, atol=0.02 * size)
    [at_once] = integrated_gradients(path, np.array([WHOLE]), tolerance=0.002)
    np.testing.assert_allclose(at_once.scores, expected, atol=0.02 * size)
    for token in range(len(answer.ids)):
        one = by_word(captums(checkpoint, text, answer, token))
        np.testing.assert_allclose(found.by_token[:, token], one, atol=0.02 * size)
    assert found.whole.completeness_error <= 0.002 * len(answer.ids)


def test_a_decoders_scores_are_those_of_captum_for_language_models(tmp_path):
    from captum.attr import LayerIntegratedGradients, LLMGradientAttribution, TextTokenInput

    checkpoint = open_writer(tmp_path, "gpt2")
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    text = "a dog saw the bird"
    [answer] = given_answers(Predictor(checkpoint), [text], ["the good king"])
    [found] = explain_writing(Predictor(checkpoint), [text], [answer], tolerance=0.002)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        method = LLMGradientAttribution(LayerIntegratedGradients(model, model.transformer.wte), tokenizer)
        theirs = method.attribute(
            TextTokenInput(text, tokenizer, baselines="[PAD]"), target=torch.from_numpy(answer.ids), n_steps=200
        )
    expected = theirs.token_attr.double().numpy()  # (tokens of the answer, tokens of the prompt)
    np.testing.assert_allclose(found.by_token.T, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_occlusion_is_the_log_probability_lost_without_the_word(tmp_path, family):
    checkpoint = open_writer(tmp_path, family)
    predictor = Predictor(checkpoint)
    [answer] = written_answers(predictor, TEXTS[2:], max_new_tokens=3)
    [found] = explain_writing(predictor, TEXTS[2:], [answer], method="occlusion")
    whole = slow_log_probabilities(checkpoint, "she likes it", answer)
    without = [slow_log_probabilities(checkpoint, some, answer) for some in ("likes it", "she it", "she likes")]
    np.testing.assert_allclose(found.by_token, whole - np.stack(without), atol=2e-4)
    assert found.whole.score == pytest.approx(whole.sum(), abs=1e-4) and found.whole.completeness_error is None


def planted(checkpoint, *, cause, effect):
    """A decoder whose next word depends on nothing but whether `cause` stood before: then it is `effect`."""
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    cause, effect = tokenizer.convert_tokens_to_ids([cause, effect])

    class Planted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = model.config
            self.generation_config = model.generation_config
            self.words = torch.nn.Embedding(len(tokenizer), 4)
            with torch.no_grad():
                self.words.weight.mul_(0.01)
                self.words.weight[:, 0] = 0
                self.words.weight[cause, 0] = 1

        def can_generate(self):
            return True

        def get_input_embeddings(self):
            return self.words

        def forward(self, input_ids, attention_mask=None, use_cache=None):
            reason = self.words(input_ids)[:, :, 0].cumsum(1)
            logits = torch.zeros(*input_ids.shape, len(tokenizer)).index_add(
                2, torch.tensor([effect]), 9.0 * reason[:, :, None]
            )
            return type("Output", (), {"logits": logits})()

    checkpoint.load_model = lambda dtype="float32": Planted().eval()
    return checkpoint


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_the_word_that_was_planted_as_the_reason_is_found_and_no_other(tmp_path, method):
    predictor = Predictor(planted(open_writer(tmp_path, "gpt2"), cause="bird", effect="king"))
    texts = ["a bird saw the dog", "the man likes a bird", "the man likes a cat"]
    answers = given_answers(predictor, texts, ["king"] * 3)
    found = explain_writing(predictor, texts, answers, method=method)
    for one in found[:2]:
        others = np.delete(one.whole.scores, one.whole.words.index("bird"))
        assert one.whole.words[one.whole.ranking[0]] == "bird" and one.whole.scores.max() > 3
        assert np.abs(others).max(initial=0.0) < 1e-5
    assert np.abs(found[2].whole.scores).max() < 1e-5  # the healthy twin: nothing that made it say so


def test_a_given_target_is_what_the_prompt_goes_on_with(tmp_path):
    predictor = Predictor(open_writer(tmp_path, "llama"))
    [answer] = given_answers(predictor, ["the good king"], ["was happy"])
    assert answer.text == "was happy" and len(answer.ids) == 2
    whole = predictor.score(["the good king was happy", "the good king"]).nll
    [own] = WritingPath(predictor, ["the good king"], [answer]).log_probabilities()
    assert -own.sum() == pytest.approx(whole[0] - whole[1], abs=1e-4)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_given_target_of_two_stacks_is_scored_as_training_scores_it(tmp_path, family):
    predictor = Predictor(open_writer(tmp_path, family))
    answers = given_answers(predictor, TEXTS, ["was happy", "the dog", "it"])
    own = WritingPath(predictor, TEXTS, answers).log_probabilities()
    expected = predictor.score(TEXTS, ["was happy", "the dog", "it"]).nll
    np.testing.assert_allclose([-one.sum() for one in own], expected, atol=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "llama", "bart"])
def test_a_text_longer_than_the_model_is_cut_where_writing_cuts_it_and_counted(tmp_path, family):
    checkpoint = open_writer(tmp_path, family)
    predictor, text = Predictor(checkpoint), " ".join(["good"] * 50 + ["king"] * 50)
    [answer] = written_answers(predictor, [text], max_new_tokens=4)
    path = WritingPath(predictor, [text], [answer])
    words = path.worded[0].words
    assert path.truncated == 1 and len(words) == len(path.worded[0].text.split())
    if family in DECODERS:  # what stands last says how to go on
        begin = family == "llama"
        assert len(words) == 60 - begin and words[-50:] == ("king",) * 50
    else:
        assert len(words) == 62 and words[:50] == ("good",) * 50
    [own] = path.log_probabilities()
    tokenizer = checkpoint.load_tokenizer()
    assert len(tokenizer(path.worded[0].text)["input_ids"]) == (
        len(words) + 2 * (family == "bart") + (family == "llama")
    )
    np.testing.assert_allclose(own, slow_log_probabilities(checkpoint, path.worded[0].text, answer), atol=1e-4)


def test_a_prompt_of_one_word_or_of_none_is_explained_too(tmp_path):
    predictor = Predictor(open_writer(tmp_path, "gpt2"))
    for method in ("integrated-gradients", "occlusion"):
        found = explain_writing(predictor, ["good", ""], method=method, max_new_tokens=3)
        assert [len(one.whole.scores) for one in found] == [1, 0]
        assert all(np.isfinite(one.whole.scores).all() for one in found)


def test_what_cannot_be_explained_is_a_letter_with_the_mend(tmp_path):
    predictor = Predictor(open_writer(tmp_path / "writer", "gpt2"))
    with pytest.raises(OptionUnfit, match="explains classes") as refused:
        explain_writing(predictor, ["a"], method="attention-rollout")
    assert "occlusion" in refused.value.mend
    with pytest.raises(OptionUnfit, match="0 tokens"):
        given_answers(predictor, ["a"], [""])
    with pytest.raises(OptionUnfit, match="100 tokens"):
        given_answers(predictor, ["a"], ["good " * 100])
    silent = written_answers(predictor, ["a"], max_new_tokens=1)[0]
    nothing = type(silent)(text="", ids=silent.ids[:0], reads=silent.reads, room=silent.room, tokens=())
    with pytest.raises(DataDamaged, match="row 1"):
        explain_writing(predictor, ["a"], [nothing])
    with pytest.raises(TaskUnfit, match="writes text"):
        explain_writing(Predictor(open_tiny(tmp_path / "classifier")), ["a"])


def test_any_number_of_threads_and_any_company_give_the_same_scores(tmp_path):
    checkpoint = open_writer(tmp_path, "bart")
    answers = written_answers(Predictor(checkpoint), TEXTS, max_new_tokens=3)
    one, two = (
        explain_writing(Predictor(checkpoint, threads=threads, token_budget=64), TEXTS, answers) for threads in (1, 2)
    )
    assert all((a.by_token == b.by_token).all() for a, b in zip(one, two, strict=True))
    [alone] = explain_writing(Predictor(checkpoint), TEXTS[:1], answers[:1])
    np.testing.assert_allclose(alone.by_token, one[0].by_token, atol=1e-4)
