"""Infidelity and sensitivity of spans and of written answers are Captum's, by forwards that are not this suite's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max

from core_model.attribution import EVEN_STEPS, integrated_gradients
from core_model.attribution_answers_path import BEGINS, ENDS, WHOLE, AnswerPath
from core_model.attribution_trials import infidelity, max_sensitivity
from core_model.attribution_writing_path import WritingPath, written_answers
from core_model.prediction import Predictor
from tests.core_model import test_attribution_answers as spans
from tests.core_model import test_attribution_writing as writing
from tests.core_model.prediction_models import open_reader, open_writer

RADIUS, NEAR, SETS, SEED = 0.1, 4, 6, 3


def of_a_span(folder, family):
    """The path, and apart from it: from embeddings to the log-probability of both ends, and embeddings."""
    checkpoint = open_reader(folder, family)
    path = AnswerPath(Predictor(checkpoint, device="cpu"), spans.QUESTIONS[:1], spans.CONTEXTS[:1])
    asked = (checkpoint, spans.QUESTIONS[0], spans.CONTEXTS[0], path.answers[0])
    (begins, text, blank), (ends, _, _) = (spans.embedded(*asked, which) for which in (BEGINS, ENDS))
    return path, lambda vectors: begins(vectors) + ends(vectors), text, blank


def of_an_answer(folder, family):
    """The same of a model that writes, and the log-probability of what it wrote."""
    checkpoint, text = open_writer(folder, family), writing.TEXTS[1]
    answers = written_answers(Predictor(checkpoint), [text], max_new_tokens=3)
    return WritingPath(Predictor(checkpoint), [text], answers), *writing.embedded(checkpoint, text, answers[0])


MODELS = [(of_a_span, "bert"), (of_a_span, "gpt2"), (of_an_answer, "gpt2"), (of_an_answer, "bart")]


@pytest.mark.parametrize(("made", "family"), MODELS)
def test_infidelity_is_captums(tmp_path, made, family):
    path, score, text, blank = made(tmp_path, family)
    [found] = integrated_gradients(path, np.array([WHOLE]))
    belongs = words_of(path, text)
    count = len(found.worded)
    [child] = np.random.default_rng(SEED).spawn(1)
    gone = torch.zeros(SETS, count)
    for line in gone:
        line[child.permutation(count)[: max(1, count // 2)]] = 1

    def without(left):
        share = left @ belongs.T + (1 - belongs.sum(dim=1))  # tokens of no word stay
        return score(blank + share[:, :, None] * (text - blank))

    expected = captum_infidelity(
        without, lambda left: (gone, left - gone), torch.ones(1, count), torch.from_numpy(found.scores).float()[None],
        n_perturb_samples=SETS, max_examples_per_batch=SETS,
    )  # fmt: skip
    [ours] = infidelity(path, [found], perturbations=SETS, random=np.random.default_rng(SEED))
    assert expected.item() > 1e-5 and ours == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize(("made", "family"), MODELS)
def test_max_sensitivity_is_captums(tmp_path, made, family):
    path, score, text, blank = made(tmp_path, family)
    [found] = integrated_gradients(path, np.array([WHOLE]), even_steps=EVEN_STEPS)
    belongs, every = words_of(path, text), path.embeddings(0)
    [child] = np.random.default_rng(SEED).spawn(1)
    size = RADIUS * float(np.sqrt(np.mean(np.square(every))))
    noise = torch.from_numpy(child.uniform(-size, size, (NEAR, *every.shape)).astype(np.float32))[:, : text.shape[1]]
    noise = noise * belongs.sum(dim=1)[None, :, None]  # only words move

    def explain(inputs):
        [inputs] = inputs
        with torch.enable_grad():
            method = IntegratedGradients(score, multiply_by_inputs=True)
            by_token = method.attribute(inputs, blank.expand_as(inputs), n_steps=EVEN_STEPS, method="gausslegendre")
        return (by_token.sum(dim=-1).detach() @ belongs,)

    expected = sensitivity_max(
        explain, text, perturb_func=lambda inputs: (inputs[0] + noise,), n_perturb_samples=NEAR,
        max_examples_per_batch=NEAR,
    )  # fmt: skip
    random = np.random.default_rng(SEED)
    [ours] = max_sensitivity(path, [found], radius=RADIUS, perturbations=NEAR, random=random)
    assert expected.item() > 1e-3 and ours == pytest.approx(expected.item(), rel=1e-3)


def words_of(path, text):
    """Which token belongs to which word, (tokens of the text, words) float."""
    of_token = path.of_token[0][: text.shape[1]]
    return torch.from_numpy((of_token[:, None] == np.arange(len(path.worded[0]))).astype(np.float32))
