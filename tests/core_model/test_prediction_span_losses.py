"""Promises of the losses of true answers: a plain loop's numbers, whatever the windows, on the scores' own scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core_model.prediction_span_losses import RECORD, true_spans
from tests.core_model.prediction_models import open_reader, open_writer
from tests.core_model.test_prediction_answers import CONTEXTS, FAMILIES, QUESTIONS, predictor_of


def words_of(context: str) -> tuple[int, int]:
    """The third word of a context, or its last."""
    word = context.split()[min(2, len(context.split()) - 1)]
    start = context.find(word)
    return start, start + len(word)


TRUTHS = [words_of(context) for context in CONTEXTS]


def slow_loss(checkpoint, question: str, context: str, truth: tuple[int, int]) -> float:
    """Of one row without windows or padding, by torch's cross-entropy over the context's tokens."""
    found = checkpoint.load_tokenizer()(question, context, return_tensors="pt", return_offsets_mapping=True)
    offsets = found.pop("offset_mapping")[0].tolist()
    inside = [i for i, sequence in enumerate(found.sequence_ids(0)) if sequence == 1]
    covered = [n for n, i in enumerate(inside) if offsets[i][0] < truth[1] and offsets[i][1] > truth[0]]
    with torch.no_grad():
        output = checkpoint.load_model()(**found)
    ends = ((output.start_logits, covered[0]), (output.end_logits, covered[-1]))
    return sum(
        float(torch.nn.functional.cross_entropy(logits[0, inside].double()[None], torch.tensor([place])))
        for logits, place in ends
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_those_of_a_plain_loop(tmp_path, family):
    reader = open_reader(tmp_path, family)
    found = predictor_of(reader).span_losses(QUESTIONS, CONTEXTS, TRUTHS)
    expected = [slow_loss(reader, *row) for row in zip(QUESTIONS, CONTEXTS, TRUTHS, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(set(found.round(3))) > 20


def test_the_loss_of_the_models_own_answer_is_minus_its_score(tmp_path):
    """Long contexts, too: windows overlap, and both look over all of them."""
    predictor = predictor_of(open_reader(tmp_path))
    contexts = [" ".join(CONTEXTS[row : row + 12]) for row in range(20)]
    questions = QUESTIONS[:20]
    answers = predictor.answer(questions, contexts)
    assert predictor.forward_passes > 20  # several windows a row
    places = [context.find(text) for context, text in zip(contexts, answers.texts, strict=True)]
    once = [row for row, text in enumerate(answers.texts) if contexts[row].count(text) == 1]
    assert len(once) >= 5
    truths = [(place, place + len(text)) for place, text in zip(places, answers.texts, strict=True)]
    losses = predictor.span_losses(questions, contexts, truths)
    np.testing.assert_allclose(losses[once], -answers.scores[once], atol=1e-4)


def test_an_answer_that_no_window_holds_has_no_loss(tmp_path):
    predictor = predictor_of(open_reader(tmp_path))
    context = " ".join(CONTEXTS[:12])
    whole = (0, len(context))
    losses = predictor.span_losses(["who is it"] * 3, [context] * 3, [whole, None, words_of(context)])
    assert np.isnan(losses[:2]).all() and np.isfinite(losses[2])


def test_losses_are_asked_for_once(tmp_path):
    predictor = predictor_of(open_reader(tmp_path))
    first = predictor.span_losses(QUESTIONS, CONTEXTS, TRUTHS)
    paid = predictor.forward_passes
    again = predictor.span_losses(QUESTIONS[::-1], CONTEXTS[::-1], TRUTHS[::-1])
    assert predictor.forward_passes == paid and (again == first[::-1]).all()
    moved = predictor.span_losses(QUESTIONS[:1], CONTEXTS[:1], [words_of(CONTEXTS[0].rsplit(" ", 1)[1])])
    assert predictor.forward_passes == paid + 1 and moved[0] != first[0]


def test_a_sure_model_pays_nothing_and_a_wrong_one_pays_the_height():
    starts = ends = np.array([[0.0, 50.0, 0.0, 0.0]], dtype=np.float32)
    first, last = np.array([0]), np.array([3])
    record = true_spans(starts, ends, first, last, np.array([[1, 1]]))
    assert record.dtype == RECORD
    assert float(record["starts"][0] + record["ends"][0] - record["logit"][0]) == pytest.approx(0, abs=1e-5)
    record = true_spans(starts, ends, first, last, np.array([[2, 3]]))
    assert float(record["starts"][0] + record["ends"][0] - record["logit"][0]) == pytest.approx(100, abs=1e-3)


def test_what_cannot_be_asked(tmp_path):
    from core_model.errors import TaskUnfit

    with pytest.raises(ValueError, match="1 answers for 2 questions"):
        predictor_of(open_reader(tmp_path / "reader")).span_losses(QUESTIONS[:2], CONTEXTS[:2], [None])
    with pytest.raises(TaskUnfit):
        predictor_of(open_writer(tmp_path / "writer", "gpt2")).span_losses(QUESTIONS[:1], CONTEXTS[:1], [None])
