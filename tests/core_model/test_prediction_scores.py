"""Promises of the scores: those of a plain loop, whatever shares the batch; bytes of what is scored; each paid once."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from transformers import ByT5Tokenizer

from core_model import prediction_requests, prediction_scores
from core_model.errors import DataDamaged, TaskUnfit
from core_model.prediction import PredictionCache, Predictor
from core_model.prediction_cache import scope_of
from tests.core_model.prediction_models import (
    DECODERS,
    SCORED_ONLY,
    WRITERS,
    made_up_texts,
    open_reader,
    open_tiny,
    open_writer,
    tiny_tokenizer,
)

TEXTS = ["", "good", *made_up_texts(40), "a good film " * 40]
TARGETS = ["", "bad film", *made_up_texts(40, seed=1), "the king said " * 40]


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return cache(lambda family: open_writer(tmp_path_factory.mktemp(family), family))


def predictor_of(checkpoint, **options) -> Predictor:
    return Predictor(checkpoint, device="cpu", **{"token_budget": 128, "threads": 2, **options})


def targets_of(family, targets=TARGETS):
    return None if family in DECODERS else targets


def slow_log_probabilities(checkpoint, text: str, target: str | None) -> np.ndarray:
    """(tokens, vocabulary) float64 for what is scored, and that; one row, no padding, no cache."""
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    ids = torch.tensor(tokenizer(text, truncation=True, max_length=64)["input_ids"], dtype=torch.long)[None]
    with torch.no_grad():
        if target is None:
            if ids.shape[1] < 2:
                return np.zeros((0, 1)), np.zeros(0, dtype=int)
            wanted, logits = ids[0, 1:], model(input_ids=ids).logits[0, :-1]
        else:
            wanted = torch.tensor(tokenizer(text_target=target, truncation=True, max_length=64)["input_ids"])
            logits = model(input_ids=ids, labels=wanted[None]).logits[0]
    return logits.double().log_softmax(dim=-1).numpy(), wanted.numpy()


def slow_scores(checkpoint, texts, targets):
    found = []
    for row, text in enumerate(texts):
        log_p, wanted = slow_log_probabilities(checkpoint, text, None if targets is None else targets[row])
        found.append((-log_p[np.arange(len(wanted)), wanted].sum(), len(wanted)))
    return np.array(found).T


@pytest.mark.parametrize("family", [*WRITERS, *SCORED_ONLY])
def test_scores_are_those_of_a_plain_loop(writer, family):
    checkpoint, targets = writer(family), targets_of(family)
    nll, tokens = slow_scores(checkpoint, TEXTS, targets)
    assert (nll[tokens > 0] / tokens[tokens > 0]).std() > 0.1
    predictor = predictor_of(checkpoint)
    found = predictor.score(TEXTS, targets)
    np.testing.assert_allclose(found.nll, nll, atol=1e-4)
    assert found.tokens.tolist() == tokens.tolist()
    assert found.nll.dtype == np.float64 and found.tokens.dtype == found.bytes.dtype == np.int64
    assert predictor.truncated == 1


@pytest.mark.parametrize("family", [*WRITERS, *SCORED_ONLY])
def test_the_mean_over_tokens_is_the_loss_of_transformers(writer, family):
    checkpoint = writer(family)
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    text, target = "the old man saw a red bird", "she hates it"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    labels = ids if family in DECODERS else tokenizer(text_target=target, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        loss = model(input_ids=ids, labels=labels).loss.item()
    found = predictor_of(checkpoint).score([text], targets_of(family, [target]))
    assert found.nll[0] / found.tokens[0] == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_without_a_padding_token_scores_as_a_plain_loop_does(tmp_path, family):
    checkpoint = open_writer(tmp_path, family, pad=False)
    np.testing.assert_allclose(
        predictor_of(checkpoint).score(TEXTS).nll, slow_scores(checkpoint, TEXTS, None)[0], atol=1e-4
    )


@pytest.mark.parametrize("family", WRITERS)
def test_what_shares_the_batch_does_not_matter(writer, family):
    text, target = TEXTS[5], TARGETS[5]
    alone = predictor_of(writer(family)).score([text], targets_of(family, [target]))
    # A budget that takes all rows at once: the short one is padded beside the longest.
    together = predictor_of(writer(family), token_budget=100_000).score(
        [*TEXTS, text], targets_of(family, [*TARGETS, target])
    )
    assert alone.nll[0] == pytest.approx(together.nll[-1], abs=1e-4)


@pytest.mark.parametrize("family", WRITERS)
@pytest.mark.parametrize("piece", [1, 7, 30])
def test_a_row_in_pieces_has_the_same_score_and_holds_few_logits(writer, family, piece, monkeypatch):
    checkpoint, targets = writer(family), targets_of(family, TARGETS[-4:])
    vocabulary = checkpoint.load_model().config.vocab_size
    monkeypatch.setattr(prediction_scores, "LOGITS", piece * vocabulary + 5)
    held = []
    read = prediction_scores._read

    def watch(logits, wanted, moments):
        held.append(logits.numel())
        return read(logits, wanted, moments)

    monkeypatch.setattr(prediction_scores, "_read", watch)
    predictor = predictor_of(checkpoint)
    found = predictor.score(TEXTS[-4:], targets)
    assert max(held) <= piece * vocabulary and len(held) > 4
    assert predictor.forward_passes == 4  # a row in pieces is still one row
    np.testing.assert_allclose(found.nll, slow_scores(checkpoint, TEXTS[-4:], targets)[0], atol=1e-4)


@pytest.mark.parametrize("family", WRITERS)
def test_token_scores_are_those_of_a_plain_loop_and_add_up(writer, family):
    """Mean and deviation by numpy over the whole vocabulary: E[log p] and sqrt(E[(log p - E)^2]) under p."""
    checkpoint = writer(family)
    texts, targets = TEXTS[:12], targets_of(family, TARGETS[:12])
    found = predictor_of(checkpoint).token_scores(texts, targets)
    whole = predictor_of(checkpoint).score(texts, targets)
    assert np.diff(found.starts).tolist() == whole.tokens.tolist() and len(found) == 12
    for row, text in enumerate(texts):
        log_p, wanted = slow_log_probabilities(checkpoint, text, None if targets is None else targets[row])
        mine = slice(found.starts[row], found.starts[row + 1])
        mean = (np.exp(log_p) * log_p).sum(axis=1)
        deviation = np.sqrt((np.exp(log_p) * (log_p - mean[:, None]) ** 2).sum(axis=1))
        chosen = log_p[np.arange(len(wanted)), wanted]
        np.testing.assert_allclose(found.log_probabilities[mine], chosen, atol=1e-4)
        np.testing.assert_allclose(found.means[mine], mean, atol=1e-4)
        np.testing.assert_allclose(found.deviations[mine], deviation, atol=1e-4)
        assert -found.log_probabilities[mine].sum() == pytest.approx(whole.nll[row], abs=1e-4)


def test_a_token_that_cannot_come_leaves_the_moments_alone():
    logits = torch.tensor([[[0.0, 0.0, -torch.inf]]])
    [[[chosen, mean, deviation]]] = prediction_scores._read(logits, torch.tensor([[1]]), True).tolist()
    assert (chosen, mean, deviation) == pytest.approx((-np.log(2), -np.log(2), 0), abs=1e-6)


def test_bytes_are_those_of_what_is_scored(writer):
    texts = ["", "good", "a good film", "naïve film ❤ good", "a good film " * 40]
    first_is_given = predictor_of(writer("gpt2")).score(texts)
    assert first_is_given.bytes.tolist()[:4] == [0, 0, len(" good film"), len("aïve film ❤ good".encode())]
    assert first_is_given.bytes[4] == len(" good film" + " a good film" * 20 + " a")  # 64 tokens of 120
    after_a_mark = predictor_of(writer("llama")).score(texts)
    assert after_a_mark.bytes.tolist()[:4] == [0, 4, 11, len("naïve film ❤ good".encode())]
    assert after_a_mark.bytes[4] == len("a good film" + " a good film" * 20)  # 63 tokens and the mark
    targets = predictor_of(writer("t5")).score(["a"] * 5, texts)
    assert targets.bytes.tolist()[:4] == [0, 4, 11, len("naïve film ❤ good".encode())]
    assert targets.tokens.tolist()[:3] == [1, 2, 4]  # the end mark is scored, too


def test_a_tokenizer_written_in_python_gives_bytes_too(tmp_path):
    """ByT5's tokens are bytes: a target of n bytes has n tokens and the end mark; 64 positions hold 63 bytes."""
    checkpoint = open_writer(tmp_path, "t5")
    in_python = ByT5Tokenizer(extra_ids=0)
    checkpoint.load_tokenizer = lambda: in_python
    ids = checkpoint.load_model().config.vocab_size
    texts = ["naif", "", "x" * 100]
    assert max(max(row) for row in in_python(texts).input_ids) < ids
    found = predictor_of(checkpoint).score(["good"] * 3, texts)
    assert found.bytes.tolist() == [4, 0, 63] and found.tokens.tolist() == [5, 1, 64]
    decoder = open_writer(tmp_path / "decoder", "gpt2")
    decoder.load_tokenizer = lambda: in_python
    found = predictor_of(decoder).score(texts)  # the first byte is given
    assert found.bytes.tolist() == [3, 0, 62] and found.tokens.tolist() == [4, 0, 63]


def test_an_empty_text_has_no_score_and_costs_nothing(writer):
    predictor = predictor_of(writer("gpt2"))
    found = predictor.score(["", "good", ""])
    assert found.nll.tolist() == [0, 0, 0] and found.tokens.tolist() == [0, 0, 0]
    assert predictor.forward_passes == 0
    assert len(predictor.token_scores(["", "good"]).log_probabilities) == 0


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_many_rows_pass_in_windows(writer, family, monkeypatch):
    expected = predictor_of(writer(family)).score(TEXTS, targets_of(family))
    whole = predictor_of(writer(family)).token_scores(TEXTS, targets_of(family))
    monkeypatch.setattr(prediction_requests, "WINDOW", 10)
    found = predictor_of(writer(family)).score(TEXTS, targets_of(family))
    np.testing.assert_allclose(found.nll, expected.nll, atol=1e-4)
    assert found.tokens.tolist() == expected.tokens.tolist() and found.bytes.tolist() == expected.bytes.tolist()
    tokens = predictor_of(writer(family)).token_scores(TEXTS, targets_of(family))
    assert tokens.starts.tolist() == whole.starts.tolist()
    np.testing.assert_allclose(tokens.means, whole.means, atol=1e-4)


def test_no_rows_are_no_scores(writer):
    assert len(predictor_of(writer("gpt2")).score([])) == len(predictor_of(writer("t5")).score([], [])) == 0
    assert len(predictor_of(writer("gpt2")).token_scores([])) == 0


@pytest.mark.parametrize("family", ["gpt2", "marian"])
def test_neither_threads_nor_the_order_of_rows_moves_a_bit(writer, family):
    texts, others = made_up_texts(200), made_up_texts(200, seed=4)
    shuffle = np.random.default_rng(0).permutation(200)
    one = predictor_of(writer(family), threads=1).score(texts, targets_of(family, others)).nll
    four = predictor_of(writer(family), threads=4).score(texts, targets_of(family, others)).nll
    shuffled = predictor_of(writer(family)).score(
        [texts[i] for i in shuffle], targets_of(family, [others[i] for i in shuffle])
    )
    assert one.tobytes() == four.tobytes()
    assert one[shuffle].tobytes() == shuffled.nll.tobytes()


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_what_was_asked_is_paid_for_once_also_by_the_next_process(writer, family, tmp_path):
    checkpoint, targets = writer(family), targets_of(family)
    opened = PredictionCache.open(tmp_path, scope_of(checkpoint))
    first = predictor_of(checkpoint, cache=opened)
    found, tokens = first.score(TEXTS, targets), first.token_scores(TEXTS, targets)
    paid = first.forward_passes
    assert first.score(TEXTS, targets).nll.tobytes() == found.nll.tobytes() and first.forward_passes == paid > 0
    opened.close()
    second = predictor_of(checkpoint, cache=PredictionCache.open(tmp_path, scope_of(checkpoint)))
    assert second.score(TEXTS, targets).nll.tobytes() == found.nll.tobytes()
    assert second.token_scores(TEXTS, targets).means.tobytes() == tokens.means.tobytes()
    assert second.forward_passes == 0


def test_an_interrupted_and_resumed_request_equals_an_uninterrupted_one_bit_for_bit(writer, tmp_path):
    checkpoint, texts = writer("gpt2"), made_up_texts(200)
    expected = predictor_of(checkpoint).score(texts).nll
    broken = predictor_of(checkpoint, cache=PredictionCache.open(tmp_path, scope_of(checkpoint)))

    def interrupt(done, total):
        if broken.forward_passes > 60:
            raise KeyboardInterrupt

    broken.progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        broken.score(texts)
    resumed = predictor_of(checkpoint, cache=PredictionCache.open(tmp_path, scope_of(checkpoint)))
    assert resumed.score(texts).nll.tobytes() == expected.tobytes()
    assert 0 < resumed.forward_passes < len(set(texts))


def test_the_same_target_for_another_text_is_another_question(writer):
    predictor = predictor_of(writer("marian"))
    found = predictor.score(["a good book", "a sad king"], ["bad film", "bad film"])
    assert predictor.forward_passes == 2 and abs(found.nll[0] - found.nll[1]) > 1e-3


@pytest.mark.parametrize("opened", [open_tiny, open_reader])
def test_a_model_that_does_not_write_is_refused(tmp_path, opened):
    with pytest.raises(TaskUnfit, match="needs a model that writes text"):
        predictor_of(opened(tmp_path)).score(["good"])


def test_a_model_that_writes_chooses_no_class(writer):
    with pytest.raises(TaskUnfit, match=r"GPT2LMHeadModel writes text.*chooses a class"):
        predictor_of(writer("gpt2")).predict(["good"])
    with pytest.raises(TaskUnfit, match="writes text"):
        predictor_of(writer("gpt2")).embedding_gradients(["good"], [0])


def test_targets_belong_to_encoder_decoders_and_one_to_each_text(writer):
    with pytest.raises(ValueError, match="targets given texts"):
        predictor_of(writer("t5")).score(["good"])
    with pytest.raises(ValueError, match="a decoder the texts themselves"):
        predictor_of(writer("gpt2")).score(["good"], ["bad"])
    with pytest.raises(ValueError, match="2 texts, but 1"):
        predictor_of(writer("t5")).score(["good", "a"], ["bad"])


def test_a_text_of_which_an_encoder_reads_nothing_is_named(tmp_path):
    checkpoint = open_writer(tmp_path, "t5")
    bare = tiny_tokenizer(tmp_path, "$A")
    checkpoint.load_tokenizer = lambda: bare
    with pytest.raises(DataDamaged, match="row 2"):
        predictor_of(checkpoint).score(["good", ""], ["bad", "bad"])
