"""Texts are cut where the tokenizer cuts them, and a suffix counts when it is written word for word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core_model.checkpoint import open_checkpoint
from core_model.predictions import Generations
from core_model.tasks import Task
from privacy.attacks.extraction import cut_in_two, extracted
from tests.audit.task_checkpoints import write_task_checkpoint


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder: Path = write_task_checkpoint(tmp_path_factory.mktemp("writer"), Task.LANGUAGE_MODELING)
    return open_checkpoint(folder).load_tokenizer()


def written(*texts: str) -> Generations:
    return Generations(texts, np.ones(len(texts), np.int64), np.zeros(len(texts), bool), "planted")


def test_prefix_and_suffix_are_tokens_of_the_text_and_short_texts_are_passed_over(tokenizer):
    texts = ["the dog sees the cat", "the dog", "the cat hears the bird and the horse likes the fish"]
    cut = cut_in_two(texts, np.array([1, 2, 0]), tokenizer, tokens=2, most=5)
    assert cut.rows.tolist() == [2, 0]
    for row, prefix, suffix in zip(cut.rows, cut.prefixes, cut.suffixes, strict=True):
        ids = tokenizer(texts[row], add_special_tokens=False)["input_ids"]
        assert tokenizer(prefix, add_special_tokens=False)["input_ids"] == ids[:2]
        assert suffix == tokenizer.decode(ids[2:4])
    assert len(cut_in_two(texts, np.arange(3), tokenizer, tokens=2, most=1)) == 1


def test_only_the_whole_suffix_counts(tokenizer):
    cut = cut_in_two(["the dog sees the cat"] * 3, np.arange(3), tokenizer, tokens=2, most=3)
    right = cut.suffixes[0]
    assert extracted(cut, written(f" {right}", right.split()[0], "the horse")).tolist() == [True, False, False]
