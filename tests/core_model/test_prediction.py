"""Promises of the Predictor: the numbers of a plain loop, each paid for once, bit for bit the same when resumed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from core_model import prediction_requests
from core_model.checkpoint import open_checkpoint
from core_model.errors import DataDamaged
from core_model.prediction import PredictionCache, Predictor
from core_model.prediction_cache import scope_of
from tests.core_model.prediction_models import FAMILIES, made_up_texts, open_tiny, slow_logits


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return open_tiny(tmp_path_factory.mktemp("bert"))


def predictor_of(checkpoint, **options) -> Predictor:
    return Predictor(checkpoint, device="cpu", **{"token_budget": 128, "threads": 2, **options})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("paired", [False, True])
def test_numbers_are_those_of_a_plain_loop(tmp_path, family, paired):
    checkpoint = open_tiny(tmp_path, family, labels=3)
    texts = made_up_texts(60)
    pairs = made_up_texts(60, seed=1) if paired else None
    expected = slow_logits(checkpoint, texts, pairs)
    assert expected.std() > 0.01
    found = predictor_of(checkpoint).predict(texts, pairs)
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    assert found.logits.dtype == np.float32


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_decoder_without_a_padding_token_answers_as_a_plain_loop_does(tmp_path, family):
    checkpoint = open_tiny(tmp_path, family, pad=False)
    texts = made_up_texts(40)
    expected = slow_logits(checkpoint, texts)
    np.testing.assert_allclose(predictor_of(checkpoint).predict(texts).logits, expected, atol=1e-5)


def test_a_decoder_reads_a_padding_token_in_the_text_as_a_plain_loop_does(tmp_path):
    checkpoint = open_tiny(tmp_path, "gpt2")
    texts = ["a good [PAD] book", "a good book [PAD]", "a good book", "bad [PAD] [PAD]"]
    np.testing.assert_allclose(
        predictor_of(checkpoint).predict(texts).logits, slow_logits(checkpoint, texts), atol=1e-5
    )


def test_a_pair_is_not_the_text_that_spells_its_tokens(bert):
    predictor = predictor_of(bert)
    pair = predictor.predict(["a good book"], ["a bad meal"])
    text = predictor.predict(["a good book [SEP] a bad meal"])
    assert predictor.forward_passes == 2
    assert not np.allclose(pair.logits, text.logits, atol=1e-3)
    np.testing.assert_allclose(text.logits, slow_logits(bert, ["a good book [SEP] a bad meal"]), atol=1e-5)


def test_what_was_asked_is_paid_for_once(bert):
    predictor = predictor_of(bert)
    texts = made_up_texts(50)
    distinct = len(set(texts))
    first = predictor.predict(texts)
    assert predictor.forward_passes == distinct < 50
    assert predictor.predict(texts[::-1]).logits.tobytes() == first.logits[::-1].tobytes()
    assert predictor.forward_passes == distinct


def test_a_request_that_overlaps_an_earlier_one_pays_for_what_is_new(bert):
    predictor = predictor_of(bert)
    predictor.predict(made_up_texts(50))
    before, new = predictor.forward_passes, ["a very sad old king", "one dog and two cat"]
    predictor.predict([*made_up_texts(50), *new])
    assert predictor.forward_passes == before + len(new)


def test_texts_that_the_tokenizer_does_not_tell_apart_are_one_input(bert):
    predictor = predictor_of(bert)
    logits = predictor.predict(["A good book", "a  GOOD book", "a good book"]).logits
    assert predictor.forward_passes == 1
    assert logits[0].tobytes() == logits[1].tobytes() == logits[2].tobytes()


def test_without_a_cache_every_call_runs_the_model(bert):
    predictor = predictor_of(bert, cache=None)
    predictor.predict(["a good book", "a good book"])
    predictor.predict(["a good book"])
    assert predictor.forward_passes == 2


def test_neither_threads_nor_the_order_of_rows_moves_a_bit(bert):
    texts = made_up_texts(300)
    one = predictor_of(bert, threads=1).predict(texts).logits
    four = predictor_of(bert, threads=4).predict(texts).logits
    shuffle = np.random.default_rng(0).permutation(300)
    shuffled = predictor_of(bert).predict([texts[i] for i in shuffle]).logits
    assert one.tobytes() == four.tobytes()
    assert one[shuffle].tobytes() == shuffled.tobytes()


def disk_cache(folder, checkpoint) -> PredictionCache:
    return PredictionCache.open(folder, scope_of(checkpoint))


REQUESTS = (made_up_texts(120), made_up_texts(150, seed=1) + made_up_texts(120)[:40], made_up_texts(80, seed=2))


@pytest.mark.parametrize("stop_after_rows", [1, 60, 130, 200])
def test_an_interrupted_and_resumed_sequence_equals_an_uninterrupted_one_bit_for_bit(bert, tmp_path, stop_after_rows):
    whole = predictor_of(bert, threads=1)
    expected = [whole.predict(texts).logits for texts in REQUESTS]

    broken = predictor_of(bert, threads=1, cache=disk_cache(tmp_path, bert))

    def interrupt(done: int, total: int) -> None:
        if broken.forward_passes >= stop_after_rows:
            raise KeyboardInterrupt

    broken.progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        for texts in REQUESTS:
            broken.predict(texts)

    resumed = predictor_of(bert, threads=1, cache=disk_cache(tmp_path, bert))
    found = [resumed.predict(texts).logits for texts in REQUESTS]
    assert [f.tobytes() for f in found] == [e.tobytes() for e in expected]
    assert 0 < resumed.forward_passes < whole.forward_passes
    assert broken.forward_passes + resumed.forward_passes == whole.forward_passes


KILLED = """
import os, signal, sys
from pathlib import Path
from core_model.prediction import PredictionCache
from core_model.prediction_cache import scope_of
from tests.core_model.prediction_models import open_tiny
from tests.core_model.test_prediction import REQUESTS, disk_cache, predictor_of
import core_model.prediction_cache
core_model.prediction_cache.SECONDS_BETWEEN_COMMITS = 0
checkpoint = open_tiny(Path(sys.argv[1]) / "model")
predictor = predictor_of(checkpoint, cache=disk_cache(sys.argv[1] + "/cache", checkpoint))
def kill(done, total):
    if predictor.forward_passes > 150:
        os.kill(os.getpid(), signal.SIGKILL)
predictor.progress = kill
for texts in REQUESTS:
    predictor.predict(texts)
"""


def test_a_killed_run_resumes_to_the_same_bits(bert, tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    expected = predictor_of(bert)
    resumed = predictor_of(bert, cache=disk_cache(tmp_path / "cache", bert))
    for texts in REQUESTS:
        assert resumed.predict(texts).logits.tobytes() == expected.predict(texts).logits.tobytes()
    assert expected.forward_passes - 200 < resumed.forward_passes < expected.forward_passes - 100


def test_a_second_run_is_served_from_disk(bert, tmp_path):
    first = predictor_of(bert, cache=disk_cache(tmp_path, bert)).predict(made_up_texts(50))
    second = predictor_of(bert, cache=disk_cache(tmp_path, bert))
    assert second.predict(made_up_texts(50)).logits.tobytes() == first.logits.tobytes()
    assert second.forward_passes == 0


def test_a_cache_of_another_checkpoint_is_refused(bert, tmp_path):
    cache = PredictionCache.open(tmp_path, {**scope_of(bert), "checkpoint": "e" * 64})
    with pytest.raises(ValueError, match="another scope"):
        Predictor(bert, cache=cache)


def test_long_texts_are_cut_and_counted(bert):
    predictor = predictor_of(bert)
    long, exact = "good " * 200, "good " * 62  # with two special tokens, 62 words fill the 64 positions
    found = predictor.predict([long, exact, "good", long])
    assert predictor.truncated == 2
    np.testing.assert_allclose(found.logits, slow_logits(bert, [long, exact, "good", long]), atol=1e-5)
    predictor.predict(["good " * 40], ["bad " * 40])
    assert predictor.truncated == 3


class Lazy(Sequence[str]):
    """Rows that are made when they are read, and no slices."""

    def __init__(self, rows: int) -> None:
        self.rows, self.read = rows, 0

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index):
        if index >= self.rows:
            raise IndexError
        self.read += 1
        return " ".join(["good", "bad", "film", "king"][: index % 4 + 1])


def test_many_rows_pass_in_windows_and_are_read_once(bert, monkeypatch):
    monkeypatch.setattr(prediction_requests, "WINDOW", 100)
    texts, predictor = Lazy(1_050), predictor_of(bert)
    found = predictor.predict(texts)
    assert texts.read == 1_050 and len(found) == 1_050
    assert predictor.forward_passes == 4  # equal inputs are one, also across windows
    np.testing.assert_allclose(
        found.logits[1_040:], slow_logits(bert, [texts[i] for i in range(1_040, 1_050)]), atol=1e-5
    )


def test_windows_are_resumed_bit_for_bit(bert, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_requests, "WINDOW", 70)
    texts = made_up_texts(300)
    expected = predictor_of(bert).predict(texts).logits
    broken = predictor_of(bert, cache=disk_cache(tmp_path, bert))

    def interrupt(done: int, total: int) -> None:
        if broken.forward_passes > 90:
            raise KeyboardInterrupt

    broken.progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        broken.predict(texts)
    resumed = predictor_of(bert, cache=disk_cache(tmp_path, bert))
    assert resumed.predict(texts).logits.tobytes() == expected.tobytes()


def test_progress_counts_rows_up_to_all(bert):
    told: list[tuple[int, int]] = []
    predictor_of(bert, progress=lambda done, total: told.append((done, total))).predict(made_up_texts(100))
    assert told[-1] == (100, 100) and len(told) > 3
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_predictor_like_another_shares_its_model_and_begins_at_zero(bert):
    first = predictor_of(bert)
    first.predict(["a good book"])
    second = Predictor.like(first)
    assert second.forward is first.forward and second.forward_passes == 0 and second.cache is None
    second.predict(["a good book"])
    assert (first.forward_passes, second.forward_passes) == (1, 1)


def test_no_rows_are_no_predictions(bert):
    assert predictor_of(bert).predict([]).logits.shape == (0, 2)


def test_a_text_without_a_token_is_named(tmp_path):
    checkpoint = open_tiny(tmp_path, "gpt2")
    bare = checkpoint.load_tokenizer()
    bare.backend_tokenizer.post_processor = None
    with pytest.raises(DataDamaged, match="row 2"):
        predictor_of(checkpoint).predict(["good", ""])


def test_texts_and_pairs_of_different_number_are_refused(bert):
    with pytest.raises(ValueError, match="2 texts, but 1"):
        predictor_of(bert).predict(["a", "b"], ["c"])


def test_the_number_of_torch_threads_is_left_as_it_was_also_by_an_interruption(bert):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        predictor = predictor_of(bert, threads=3)
        predictor.predict(made_up_texts(30))
        assert torch.get_num_threads() == 2

        def interrupt(done: int, total: int) -> None:
            raise KeyboardInterrupt

        predictor.progress = interrupt
        with pytest.raises(KeyboardInterrupt) as kept:  # the traceback lives on, and with it every frame
            predictor.predict(made_up_texts(60, seed=5))
        assert torch.get_num_threads() == 2 and kept.tb
    finally:
        torch.set_num_threads(before)


def test_it_asks_a_checkpoint_of_this_suite(checkpoint, tmp_path):
    opened = open_checkpoint(checkpoint)
    texts = made_up_texts(30)
    first = Predictor(opened, cache=PredictionCache.default(opened)).predict(texts)
    np.testing.assert_allclose(first.logits, slow_logits(opened, texts), atol=1e-5)
    again = Predictor(opened, cache=PredictionCache.default(opened))
    assert again.predict(texts).logits.tobytes() == first.logits.tobytes()
    assert again.forward_passes == 0
