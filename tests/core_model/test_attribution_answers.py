"""Why a model found its answer there: Captum's numbers, and a model whose reason was planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core_model.attribution_answers import explain_answers, occlusion_of_spans
from core_model.attribution_answers_path import BEGINS, ENDS, WHOLE, AnswerPath
from core_model.attribution_words import merged
from core_model.errors import DataDamaged, OptionUnfit, TaskUnfit
from core_model.prediction import Predictor
from tests.core_model.prediction_models import made_up_texts, open_reader, open_tiny

QUESTIONS = ["who saw the bird", "what was awful, the king?", ""]
CONTEXTS = ["the good king was happy, not awful", "a dog saw the bird", "she likes it"]
FAMILIES = ("bert", "roberta", "distilbert", "electra", "gpt2", "bart")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_span_and_its_log_probability_are_what_the_model_answers(tmp_path, family):
    predictor = Predictor(open_reader(tmp_path, family), device="cpu")
    path, expected = AnswerPath(predictor, QUESTIONS, CONTEXTS), predictor.answer(QUESTIONS, CONTEXTS)
    assert [answer.text for answer in path.answers] == list(expected.texts)
    np.testing.assert_allclose(path.log_probabilities().sum(axis=1), expected.scores, atol=1e-4)
    rows, ones = np.arange(3), np.ones(3)
    for target, own in ((WHOLE, expected.scores), (BEGINS, path.log_probabilities()[:, 0])):
        found, _ = path.ask(rows, ones, np.full(3, target), gradients=False)
        np.testing.assert_allclose(found, own, atol=1e-4)
    assert path.truncated == path.windowed == 0


def embedded(checkpoint, question, context, answer, which):
    """By a forward of its own: a function from embeddings to log p of an end, the text's embeddings, the baseline's."""
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    found = tokenizer(question, context, return_tensors="pt")
    ids, others = found["input_ids"], {k: v for k, v in found.items() if k == "token_type_ids"}
    inside = torch.tensor([place == 1 for place in found.sequence_ids(0)])
    special = torch.tensor([place is None for place in found.sequence_ids(0)])[None]
    blank = torch.where(special, ids, torch.full_like(ids, tokenizer.pad_token_id))
    embed = model.get_input_embeddings()

    def score(vectors):
        given = {name: value.expand(len(vectors), -1) for name, value in others.items()}
        output = model(inputs_embeds=vectors, **given)
        logits = (output.start_logits, output.end_logits)[which].masked_fill(~inside, -torch.inf)
        return logits.log_softmax(-1)[:, (answer.first, answer.last)[which]]

    return score, embed(ids).detach(), embed(blank).detach()


@pytest.mark.parametrize("family", ["bert", "distilbert", "gpt2"])
def test_integrated_gradients_of_both_ends_are_captums(tmp_path, family):
    from captum.attr import IntegratedGradients

    checkpoint = open_reader(tmp_path, family)
    predictor = Predictor(checkpoint, device="cpu")
    [found] = explain_answers(predictor, QUESTIONS[:1], CONTEXTS[:1], tolerance=0.002)
    path = AnswerPath(predictor, QUESTIONS[:1], CONTEXTS[:1])
    expected = []
    for which in (BEGINS, ENDS):
        score, text, blank = embedded(checkpoint, QUESTIONS[0], CONTEXTS[0], found.answer, which)
        by_token = IntegratedGradients(score).attribute(text, blank, n_steps=400).sum(-1)[0].detach().numpy()
        expected.append(merged(by_token, path.of_token[0], len(found.words)))
    size = np.abs(expected).max()
    assert size > 0.05
    np.testing.assert_allclose(found.by_end.T, expected, atol=0.02 * size)
    np.testing.assert_allclose(found.whole.scores, np.sum(expected, axis=0), atol=0.04 * size)
    assert found.whole.completeness_error <= 0.004


def test_occlusion_is_captums_feature_ablation_of_words(tmp_path):
    from captum.attr import FeatureAblation

    checkpoint = open_reader(tmp_path)
    predictor = Predictor(checkpoint, device="cpu")
    path = AnswerPath(predictor, QUESTIONS[:2], CONTEXTS[:2])
    found = explain_answers(predictor, QUESTIONS[:2], CONTEXTS[:2], method="occlusion")
    for row, one in enumerate(found):
        words = torch.from_numpy(path.of_token[row])
        mask = torch.where(words < 0, len(one.words), words)[None, :, None]
        for which in (BEGINS, ENDS):
            score, text, blank = embedded(checkpoint, QUESTIONS[row], CONTEXTS[row], one.answer, which)
            theirs = FeatureAblation(score).attribute(text, blank, feature_mask=mask.expand_as(text))
            by_word = [float(theirs[0, int((words == word).nonzero()[0, 0]), 0]) for word in range(len(one.words))]
            np.testing.assert_allclose(one.by_end[:, which], by_word, atol=1e-4)
    for one, both in zip(found, occlusion_of_spans(path), strict=True):
        np.testing.assert_allclose(both.scores, one.whole.scores, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_add_up_to_what_the_text_changes_in_every_family(tmp_path, family):
    predictor = Predictor(open_reader(tmp_path, family), device="cpu")
    path = AnswerPath(predictor, QUESTIONS, CONTEXTS)
    base, _ = path.ask(np.arange(3), np.zeros(3), np.full(3, WHOLE), gradients=False)
    for one, before in zip(explain_answers(predictor, QUESTIONS, CONTEXTS), base, strict=True):
        total = one.whole.scores.sum() + one.whole.rest
        assert total == pytest.approx(one.whole.score - before, abs=one.whole.completeness_error + 1e-4)
        assert one.whole.completeness_error <= 0.04


def planted(checkpoint, *, cause, effect):
    """A reader that is sure of the word `effect` when `cause` stands before it, and knows nothing otherwise."""
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    cause, effect = tokenizer.convert_tokens_to_ids([cause, effect])

    class PlantedForQuestionAnswering(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = model.config
            self.words = torch.nn.Embedding(len(tokenizer), 4)
            with torch.no_grad():
                self.words.weight.mul_(0.01)
                self.words.weight[:, 0] = 0
                self.words.weight[cause, 0] = 1

        def get_input_embeddings(self):
            return self.words

        def forward(self, input_ids, **others):
            reason = self.words(input_ids)[:, :, 0].sum(dim=1)
            logits = 9.0 * reason[:, None] * (input_ids == effect) + 1e-3 * (input_ids == effect)
            return type("Output", (), {"start_logits": logits, "end_logits": logits})()

    checkpoint.load_model = lambda dtype="float32": PlantedForQuestionAnswering().eval()
    return checkpoint


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_the_word_that_was_planted_as_the_reason_is_found_and_no_other(tmp_path, method):
    predictor = Predictor(planted(open_reader(tmp_path), cause="bird", effect="king"), device="cpu")
    questions, contexts = ["who saw the bird", "who saw the dog"], ["it was the good king then"] * 2
    sick, healthy = explain_answers(predictor, questions, contexts, method=method)
    assert sick.answer.text == healthy.answer.text == "king"
    assert sick.words[int(sick.scores.argmax())] == "bird" and sick.scores.max() > 1
    assert np.abs(np.delete(sick.scores, sick.words.index("bird"))).max() < 1e-4
    assert np.abs(healthy.scores).max() < 1e-4  # nothing made it say so


def test_a_context_longer_than_the_model_is_explained_where_its_answer_stands(tmp_path):
    """64 tokens a window; each token is told the word that it is of, and the question keeps its own."""
    predictor = Predictor(planted(open_reader(tmp_path), cause="bird", effect="king"), device="cpu")
    filler = " ".join(
        word for word in made_up_texts(40, seed=3, longest=8) if "king" not in word and "bird" not in word
    )
    context = f"{filler} a  bird,  the  KING  {filler}"
    path = AnswerPath(predictor, ["who saw it"], [context])
    [worded], tokenizer = path.worded, predictor.forward.tokenizer
    assert path.windowed == path.truncated == 1 and path.answers[0].text == "KING"
    assert worded.text == "who saw it" and "KING" in worded.pair and len(worded.pair) < len(context)
    tokens = tokenizer.convert_ids_to_tokens(path.ids.row(0).tolist())
    assert len(tokens) == len(path.of_token[0]) <= 64
    for token, word in zip(tokens, path.of_token[0].tolist(), strict=True):
        assert (word < 0) == (token in ("[CLS]", "[SEP]"))
        assert word < 0 or token.removeprefix("##") in worded.words[word].lower()
    [found] = explain_answers(predictor, ["who saw it"], [context])
    assert found.words[int(found.scores.argmax())] == "bird"


def test_a_context_that_fits_is_shown_as_it_stands(tmp_path):
    predictor = Predictor(open_reader(tmp_path), device="cpu")
    path = AnswerPath(predictor, ["  who saw it "], ["  the  dog saw\tthe bird \n"])
    [worded] = path.worded
    assert (worded.text, worded.pair) == ("  who saw it ", "  the  dog saw\tthe bird \n") and path.truncated == 0
    assert worded.words == ("who", "saw", "it", "the", "dog", "saw", "the", "bird")
    of_token = path.of_token[0][path.of_token[0] >= 0].tolist()  # "who" and others are several tokens
    assert list(dict.fromkeys(of_token)) == list(range(8)) and of_token == sorted(of_token)


def test_a_question_longer_than_half_of_the_positions_is_cut_and_counted(tmp_path):
    predictor = Predictor(open_reader(tmp_path), device="cpu")
    path = AnswerPath(predictor, ["who saw the bird " * 20, "who"], ["a dog saw it"] * 2)
    assert path.truncated == 1 and path.windowed == 0
    assert len(path.worded[0].text.split()) < 40 and path.worded[0].pair == "a dog saw it"


def test_what_cannot_be_explained_is_a_letter_with_the_mend(tmp_path):
    predictor = Predictor(open_reader(tmp_path / "reader"), device="cpu")
    with pytest.raises(OptionUnfit, match="explains classes, and this model finds answers") as refused:
        explain_answers(predictor, ["who"], ["a dog"], method="attention-rollout")
    assert "occlusion" in refused.value.mend and refused.value.exit_code == 2
    with pytest.raises(OptionUnfit, match="not offered"):
        explain_answers(predictor, ["who"], ["a dog"], method="deeplift")
    with pytest.raises(DataDamaged, match="context of row 2"):
        explain_answers(predictor, ["who", "what"], ["a dog", " "])
    with pytest.raises(TaskUnfit):
        explain_answers(Predictor(open_tiny(tmp_path / "classifier"), device="cpu"), ["who"], ["a dog"])
    assert explain_answers(predictor, [], []) == []


def test_any_number_of_threads_and_any_company_give_the_same_scores(tmp_path):
    checkpoint = open_reader(tmp_path)
    one, two = (Predictor(checkpoint, device="cpu", threads=n, token_budget=64) for n in (1, 2))
    first, second = (explain_answers(p, QUESTIONS, CONTEXTS) for p in (one, two))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.by_end, b.by_end)
    [alone] = explain_answers(one, QUESTIONS[1:2], CONTEXTS[1:2])
    np.testing.assert_allclose(alone.by_end, first[1].by_end, atol=2e-3)
