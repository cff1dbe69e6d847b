"""Promises of text noise: the papers' words and distances, the same for every process and every resumed run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core_model.augmentation import TextNoise, text_noise
from core_model.errors import OptionUnfit
from core_model.settings import checked
from core_model.tasks import Task
from core_model.training import train
from core_model.training_options import TrainingOptions
from tests.core_model.task_worlds import SHAPES, world
from tests.core_model.training_world import planted_table, tiny_base

TEXTS = ["the film was good and the day was very bad", "good meal", "the city book film day said went saw"]


class Vocabulary:
    """A tokenizer's face: ids of these tokens; [CLS] 0, [SEP] 1, [PAD] 2, [UNK] 3."""

    all_special_ids, pad_token_id, unk_token_id = [0, 1, 2, 3], 2, 3

    def __init__(self, *tokens: str) -> None:
        self.tokens = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", *tokens]

    def __len__(self) -> int:
        return len(self.tokens)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.tokens[i] for i in ids]


PIECES = Vocabulary(*(name for i in range(200) for name in (f"w{i}", f"##e{i}")))  # word i is tokens 4 + 2i, 5 + 2i


def noise(**changes) -> TextNoise:
    options = TrainingOptions(**{"augment": ("token-dropout", "word-order"), **changes})
    return TextNoise(PIECES, options)  # type: ignore[arg-type]


def row_of(words: range) -> np.ndarray:
    return np.array([0, *(token for i in words for token in (4 + 2 * i, 5 + 2 * i)), 1])


def words_of(ids: np.ndarray) -> list[int]:
    """The words of a row, each of whose tokens must stand together."""
    inner = ids[1:-1].reshape(-1, 2)
    assert (inner[:, 1] == inner[:, 0] + 1).all()
    return ((inner[:, 0] - 4) // 2).tolist()


def test_the_share_of_words_left_out_is_the_rate():
    """Oracle: the binomial distribution; 40,000 words at 0.3, six standard deviations."""
    dropping, ids = noise(augment="token-dropout", token_dropout_rate=0.3), row_of(range(200))
    kept = [len(words_of(ids[dropping.order(ids, np.random.default_rng(i))])) for i in range(200)]
    assert 1 - sum(kept) / 40_000 == pytest.approx(0.3, abs=6 * np.sqrt(0.3 * 0.7 / 40_000))


@pytest.mark.parametrize("distance", [1, 3])
def test_no_word_moves_further_than_the_distance_and_all_stay(distance):
    """Lample et al. 2018: |sigma(i) - i| <= k."""
    shuffling, ids = noise(augment="word-order", word_order_distance=distance), row_of(range(200))
    furthest = 0
    for seed in range(50):
        words = np.array(words_of(ids[shuffling.order(ids, np.random.default_rng(seed))]))
        assert sorted(words) == list(range(200))
        furthest = max(furthest, int(np.abs(words - np.arange(200)).max()))
    assert furthest == distance


def test_the_order_is_that_of_the_papers_sorted_keys():
    """Oracle: the paper's recipe in plain Python, with the same numbers drawn."""
    shuffling, ids = noise(augment="word-order"), row_of(range(50))
    drawn = np.random.default_rng(5).uniform(0, 4, 52)[1:-1]  # the special tokens draw, too, and stay
    expected = sorted(range(50), key=lambda i: i + drawn[i])
    assert words_of(ids[shuffling.order(ids, np.random.default_rng(5))]) == expected


def test_special_tokens_stay_and_the_parts_of_a_pair_do_not_mix():
    pair = np.concatenate([row_of(range(0, 30)), row_of(range(100, 130))[1:]])
    for seed in range(50):
        ids = pair[noise(token_dropout_rate=0.5).order(pair, np.random.default_rng(seed))]
        assert ids[0] == 0 and ids[-1] == 1 and (ids == 1).sum() == 2
        first, second = np.split(ids[1:-1], np.flatnonzero(ids[1:-1] == 1))
        assert first.max() < 4 + 2 * 30 and (second[1:] >= 4 + 2 * 100).all()


def test_of_every_part_a_word_stays():
    pair = np.concatenate([row_of(range(0, 2)), row_of(range(100, 101))[1:]])
    for seed in range(50):
        ids = pair[noise(augment="token-dropout", token_dropout_rate=0.95).order(pair, np.random.default_rng(seed))]
        assert (ids >= 4 + 200).any() and ((ids >= 4) & (ids < 10)).any()


def test_words_are_told_by_the_mark_of_the_space_too():
    spaced = Vocabulary("▁the", "▁fi", "lm", "▁was", "s")
    ids = np.array([0, 4, 5, 6, 7, 8, 1])
    for seed in range(20):
        disturbed = TextNoise(spaced, TrainingOptions(augment="word-order")).order(ids, np.random.default_rng(seed))  # type: ignore[arg-type]
        text = " ".join(map(str, disturbed))
        assert "2 3" in text and "4 5" in text


def batch_and_noise(**changes):
    from core_model.tasks.classification import prepare

    options = TrainingOptions(augment=("token-dropout", "word-order"), token_dropout_rate=0.4, **changes)
    task = prepare(options, base=tiny_base(), architecture=None, data=planted_table(), evaluation=None)
    disturb = text_noise(task.tokenizer, options)
    assert disturb is not None
    return task, disturb


def test_a_row_is_disturbed_alike_in_every_batch_and_differently_in_every_epoch():
    task, disturb = batch_and_noise()

    def row(rows: list[int], place: int, epoch: int) -> list[int]:
        made = disturb(task.batch(task.training, np.array(rows)), np.array(rows), epoch=epoch)
        return made["input_ids"][place][made["attention_mask"][place].bool()].tolist()

    alone, among, later = row([17], 0, 2), row([3, 17, 40], 1, 2), row([17], 0, 3)
    assert alone == among != later


def test_padding_is_padding_and_targets_stay():
    task, disturb = batch_and_noise()
    rows = np.arange(20)
    plain = task.batch(task.training, rows)
    made = disturb(plain, rows, epoch=0)
    assert torch.equal(made["targets"], plain["targets"])
    assert (made["input_ids"][made["attention_mask"] == 0] == task.tokenizer.pad_token_id).all()
    assert made["attention_mask"].sum() < plain["attention_mask"].sum()
    assert made["attention_mask"].sum(dim=1).max() == made["input_ids"].shape[1]


@pytest.mark.parametrize("task", [Task.TRANSLATION, Task.SUMMARIZATION])
def test_of_an_encoder_decoder_the_source_alone_is_disturbed(task):
    from core_model.tasks.training_task import preparer

    options = TrainingOptions(task=task, augment=("token-dropout", "word-order"), token_dropout_rate=0.5)
    made = preparer(task)(options, base=None, architecture=SHAPES[task], data=world(task), evaluation=None)
    rows, disturb = np.arange(16), text_noise(made.tokenizer, options)
    plain = made.batch(made.training, rows)
    assert disturb is not None
    noisy = disturb(plain, rows, epoch=0)
    assert not torch.equal(noisy["input_ids"], plain["input_ids"])
    assert set(noisy) == set(plain)
    for name in set(plain) - {"input_ids", "attention_mask"}:
        assert torch.equal(noisy[name], plain[name])
    for before, after in zip(plain["input_ids"].tolist(), noisy["input_ids"].tolist(), strict=True):
        assert set(after) <= set(before) | {made.tokenizer.pad_token_id}


def trained(out: Path, **changes) -> str:
    options = TrainingOptions(**{"epochs": 2, "batch_size": 32, "learning_rate": 1e-3, **changes})
    return train(options, base=tiny_base(), data=planted_table(), out=out).record.model_sha256


def test_training_heeds_the_noise_repeatably_and_records_it(tmp_path: Path):
    noisy = {"augment": ("token-dropout", "word-order"), "word_order_distance": 2}
    plain, once, again = trained(tmp_path / "p"), trained(tmp_path / "a", **noisy), trained(tmp_path / "b", **noisy)
    assert once == again != plain
    options = TrainingOptions(epochs=2, batch_size=32, learning_rate=1e-3, **noisy)
    record = train(options, base=tiny_base(), data=planted_table(), out=tmp_path / "a", resume=True).record
    assert record.mitigation["token_dropout"]["share_of_words_left_out"] == 0.1
    assert record.mitigation["word_order"]["distance"] == 2


@pytest.mark.parametrize(
    ("task", "why"), [(Task.LANGUAGE_MODELING, "also the text that it must write"), (Task.QUESTION_ANSWERING, "place")]
)
def test_noise_that_would_spoil_the_task_is_refused_with_the_reason(task, why):
    with pytest.raises(OptionUnfit, match=rf"word-order cannot be had for {task.value}: (.|\n)*{why}"):
        checked(TrainingOptions, {"task": task, "augment": "word-order"}, where="here")
    with pytest.raises(OptionUnfit, match=rf"identity-swap cannot be had for {task.value}"):
        checked(TrainingOptions, {"task": task, "augment": "identity-swap"}, where="here")
