"""Promises of the answers: the best span of a plain loop, cut out of the context as it stands there."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core_model import prediction_requests
from core_model.checkpoint import open_checkpoint
from core_model.errors import DataDamaged, TaskUnfit, TokenizerUnfit
from core_model.prediction import PredictionCache, Predictor
from core_model.prediction_answers import LONGEST_ANSWER, best_spans, read_windows
from core_model.prediction_cache import scope_of
from tests.core_model.prediction_models import made_up_texts, open_reader, open_writer
from tests.factories import WORDS

QUESTIONS = made_up_texts(40, longest=8)
CONTEXTS = made_up_texts(40, seed=1, longest=40)
FAMILIES = ("bert", "roberta", "distilbert", "electra")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return cache(lambda family="bert": open_reader(tmp_path_factory.mktemp(family), family))


def predictor_of(checkpoint, **options) -> Predictor:
    return Predictor(checkpoint, device="cpu", **{"token_budget": 128, "threads": 2, **options})


def slow_answer(checkpoint, question: str, context: str) -> tuple[str, float]:
    """Every span of one row, in two loops; no window, no padding."""
    found = checkpoint.load_tokenizer()(question, context, return_tensors="pt", return_offsets_mapping=True)
    offsets = found.pop("offset_mapping")[0].tolist()
    inside = [i for i, sequence in enumerate(found.sequence_ids(0)) if sequence == 1]
    with torch.no_grad():
        output = checkpoint.load_model()(**found)
    starts, ends = output.start_logits[0].double(), output.end_logits[0].double()
    spans = [(float(starts[i] + ends[j]), i, j) for i in inside for j in inside if i <= j < i + LONGEST_ANSWER]
    score, first, last = max(spans)
    total = starts[inside].logsumexp(0) + ends[inside].logsumexp(0)
    return context[offsets[first][0] : offsets[last][1]], score - float(total)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_those_of_a_plain_loop(reader, family):
    expected = [slow_answer(reader(family), q, c) for q, c in zip(QUESTIONS, CONTEXTS, strict=True)]
    assert len({text for text, _ in expected}) > 20
    predictor = predictor_of(reader(family))
    found = predictor.answer(QUESTIONS, CONTEXTS)
    assert list(found.texts) == [text for text, _ in expected]
    np.testing.assert_allclose(found.scores, [score for _, score in expected], atol=1e-4)
    assert found.scores.dtype == np.float64 and (found.scores <= 0).all()
    assert predictor.truncated == 0 and len(found) == 40


def test_the_answer_is_cut_out_as_it_stands_in_the_context(reader):
    """Case, spaces and accents of the original: the tokenizer sees none of them."""
    contexts = ["  The  OLD\tkíng   saw a Red   bird. ", "A Good\n\nBook!"]
    found = predictor_of(reader()).answer(["who saw it", "what is it"], contexts)
    for text, context in zip(found.texts, contexts, strict=True):
        assert text and text in context and text == text.strip()
    plain = predictor_of(reader()).answer(["who saw it"], ["the old king saw a red bird."])
    assert " ".join(found.texts[0].split()).lower().replace("í", "i") == plain.texts[0]


class PointsAt:
    """A model that knows the answer: its logits are highest at the first and the last token of a planted span."""

    def __init__(self, first: int, last: int, height: float = 9.0) -> None:
        self.first, self.last, self.height = first, last, height
        self.config = SimpleNamespace(
            pad_token_id=0, get_text_config=lambda: self.config, _attn_implementation="sdpa", is_encoder_decoder=False
        )

    def eval(self):
        return self

    def requires_grad_(self, on):
        return self

    def to(self, device):
        return self

    def __call__(self, input_ids, **others):
        return SimpleNamespace(
            start_logits=self.height * (input_ids == self.first).float(),
            end_logits=self.height * (input_ids == self.last).float(),
        )


class PlantedForQuestionAnswering(PointsAt):
    """Named as the heads that find spans are."""


def knowing(checkpoint, first: str, last: str):
    tokenizer = checkpoint.load_tokenizer()
    model = PlantedForQuestionAnswering(*(tokenizer.convert_tokens_to_ids(word) for word in (first, last)))
    return SimpleNamespace(sha256="0" * 64, max_length=64, load_model=lambda: model, load_tokenizer=lambda: tokenizer)


@pytest.mark.parametrize("before", [0, 1, 30, 57, 120, 300])
def test_a_planted_answer_is_found_wherever_it_stands_in_a_long_context(reader, before):
    """64 tokens a window; the answer's words stand nowhere else in the context, but in the question, too."""
    others = [word for word in WORDS if word not in ("cruel", "old", "king")]
    random = np.random.default_rng(before)
    words = [*random.choice(others, before), "CRUEL", "old", "King", *random.choice(others, 320 - before)]
    predictor = predictor_of(knowing(reader(), "cruel", "king"))
    found = predictor.answer(["who is cruel or a king"], ["  ".join(words)])
    assert found.texts == ("CRUEL  old  King",)
    assert predictor.forward_passes > 5 and predictor.truncated == 0
    assert found.scores[0] > predictor_of(knowing(reader(), "cruel", "king")).answer(["who"], ["a sad dog"]).scores[0]


def test_windows_hold_every_token_and_overlap(reader):
    tokenizer, context = reader().load_tokenizer(), " ".join(made_up_texts(30))
    parts = read_windows(tokenizer, ["a short question"], [context], 64, first_row=0)
    places = [offsets[:, 0].tolist() for offsets in parts.offsets]
    words = [found.start() for found in re.finditer(r"\S+", context)]  # every word is one token
    assert sorted(set().union(*places)) == words
    assert all(len(set(one) & set(two)) == 10 for one, two in pairwise(places))  # a third of the half: 31 tokens
    assert parts.ids.lengths.max() == 64 and len(parts) > 5 and parts.truncated == 0


def test_the_probability_is_shared_over_all_windows(reader):
    """By hand: two ends at height 9 among the tokens of all windows, the others at height 0."""
    context = " ".join(["dog"] * 100 + ["king"])
    checkpoint = knowing(reader(), "king", "king")
    found = predictor_of(checkpoint).answer(["who"], [context])
    parts = read_windows(checkpoint.load_tokenizer(), ["who"], [context], 64, first_row=0)
    tokens = int((parts.last - parts.first + 1).sum())
    assert len(parts) == 2 and tokens > 101
    assert found.scores[0] == pytest.approx(2 * (9 - np.log(np.exp(9) + tokens - 1)), abs=1e-5)


def test_spans_run_forward_stay_in_the_context_and_are_not_too_long():
    starts, ends = np.zeros((4, 60), dtype=np.float32), np.zeros((4, 60), dtype=np.float32)
    starts[0, 20], ends[0, 10], ends[0, 22] = 9, 9, 8  # the best end lies before the best start
    starts[1, 2], ends[1, 3] = 9, 9  # outside of the context
    starts[1, 7], ends[1, 8] = 1, 1
    starts[2, 10], ends[2, 40], ends[2, 12] = 9, 9, 1  # 31 tokens
    starts[3, 10], ends[3, 39], ends[3, 12] = 9, 9, 1  # 30 tokens
    found = best_spans(starts, ends, np.full(4, 5), np.full(4, 55))
    assert list(zip(found["start"], found["end"], strict=True)) == [(20, 22), (7, 8), (10, 12), (10, 39)]
    assert found["logit"].tolist() == [17, 2, 10, 18]


def test_of_equal_spans_the_shortest_then_the_first_is_taken():
    flat = np.zeros((1, 12), dtype=np.float32)
    [found] = best_spans(flat, flat, np.array([4]), np.array([9]))
    assert (found["start"], found["end"], found["logit"]) == (4, 4, 0)
    assert found["starts"] == pytest.approx(np.log(6))


def test_a_question_longer_than_half_of_the_positions_is_cut_and_counted(reader):
    predictor = predictor_of(reader())
    long = "who said that " * 30
    found = predictor.answer([long, "who"], ["the king said so", "the king said so"])
    kept = " ".join(long.split()[:30])  # (64 - 3 special tokens) // 2
    assert predictor.truncated == 1
    assert predictor_of(reader()).answer([kept], ["the king said so"]).scores[0] == found.scores[0]


def test_what_shares_the_batch_does_not_matter(reader):
    together = predictor_of(reader(), token_budget=100_000).answer(QUESTIONS, CONTEXTS)
    for row in (0, 7, 39):
        alone = predictor_of(reader()).answer([QUESTIONS[row]], [CONTEXTS[row]])
        assert alone.texts[0] == together.texts[row]
        assert alone.scores[0] == pytest.approx(together.scores[row], abs=1e-4)


def test_neither_threads_nor_the_order_of_rows_moves_a_bit(reader):
    shuffle = np.random.default_rng(0).permutation(40)
    one = predictor_of(reader(), threads=1).answer(QUESTIONS, CONTEXTS)
    four = predictor_of(reader(), threads=4).answer(QUESTIONS, CONTEXTS)
    shuffled = predictor_of(reader()).answer([QUESTIONS[i] for i in shuffle], [CONTEXTS[i] for i in shuffle])
    assert one.scores.tobytes() == four.scores.tobytes() and one.texts == four.texts
    assert one.scores[shuffle].tobytes() == shuffled.scores.tobytes()


def test_what_was_asked_is_paid_for_once_also_by_the_next_process(reader, tmp_path):
    opened = PredictionCache.open(tmp_path, scope_of(reader()))
    first = predictor_of(reader(), cache=opened)
    found = first.answer(QUESTIONS, CONTEXTS)
    paid = first.forward_passes
    first.answer(QUESTIONS, CONTEXTS)
    assert first.forward_passes == paid > 0
    opened.close()
    second = predictor_of(reader(), cache=PredictionCache.open(tmp_path, scope_of(reader())))
    again = second.answer(QUESTIONS, CONTEXTS)
    assert again.texts == found.texts and again.scores.tobytes() == found.scores.tobytes()
    assert second.forward_passes == 0


def test_many_rows_pass_in_windows(reader, monkeypatch):
    expected = predictor_of(reader()).answer(QUESTIONS, CONTEXTS)
    monkeypatch.setattr(prediction_requests, "WINDOW", 11)
    found = predictor_of(reader()).answer(QUESTIONS, CONTEXTS)
    assert found.texts == expected.texts
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    with pytest.raises(DataDamaged, match="context of row 35"):
        predictor_of(reader()).answer(QUESTIONS, [*CONTEXTS[:34], "", *CONTEXTS[35:]])


def test_it_asks_a_checkpoint_of_this_suite(reader, tmp_path):
    reader().load_model().save_pretrained(tmp_path)
    reader().load_tokenizer().save_pretrained(tmp_path)
    opened = open_checkpoint(tmp_path)
    expected = [slow_answer(opened, q, c)[0] for q, c in zip(QUESTIONS[:5], CONTEXTS[:5], strict=True)]
    assert list(predictor_of(opened).answer(QUESTIONS[:5], CONTEXTS[:5]).texts) == expected


@pytest.mark.parametrize("context", ["", "  "])
def test_a_context_without_a_token_is_named(reader, context):
    with pytest.raises(DataDamaged, match="context of row 2"):
        predictor_of(reader()).answer(["who", "who"], ["the king", context])


def test_an_empty_question_is_answered_all_the_same(reader):
    assert predictor_of(reader()).answer([""], ["the king said so"]).texts[0] in "the king said so"


def test_no_rows_are_no_answers(reader):
    assert len(predictor_of(reader()).answer([], [])) == 0


def test_a_model_that_finds_no_spans_is_refused(tmp_path):
    with pytest.raises(TaskUnfit, match=r"GPT2LMHeadModel writes text.*out of a context"):
        predictor_of(open_writer(tmp_path, "gpt2")).answer(["who"], ["the king"])


def test_questions_and_contexts_of_different_number_are_refused(reader):
    with pytest.raises(ValueError, match="2 texts, but 1 beside them"):
        predictor_of(reader()).answer(["who", "what"], ["the king"])


def test_a_tokenizer_that_does_not_say_where_tokens_stand_is_refused(reader):
    slow = SimpleNamespace(is_fast=False)
    with pytest.raises(TokenizerUnfit, match=r"tokenizer\.json"):
        read_windows(slow, ["who"], ["the king"], 64, first_row=0)
