"""Promises of further pretraining: BERT's masking, a loss that falls on texts held out, weights that are handed on."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.errors import OptionUnfit, TokenizerUnfit
from core_model.further_pretraining import FurtherPretraining, further_pretrain, held_out
from core_model.masking import IGNORED, Masking, chosen_count
from core_model.tasks import Task
from core_model.tasks.masked_language_modeling import MaskedLanguageModeling, prepare
from core_model.training import TrainingResult, train
from core_model.training_loop import Loop
from core_model.training_options import TrainingOptions
from tests.core_model.task_worlds import SHAPES, world
from tests.core_model.training_world import planted_table, tiny_base

FAST = TrainingOptions(batch_size=16, learning_rate=3e-3)


class Vocabulary:
    """A tokenizer's face: [PAD] 0, [CLS] 1, [SEP] 2, [MASK] 3, [UNK] 4, then 995 words."""

    all_special_ids, mask_token_id, unk_token_id = [0, 1, 2, 3, 4], 3, 4

    def __len__(self) -> int:
        return 1000


# Masking


def test_fifteen_percent_are_hidden_eighty_ten_ten():
    """Oracle: binomial counts, six standard deviations."""
    masking, ids = Masking(Vocabulary(), seed=0), np.arange(5, 405)  # type: ignore[arg-type]
    masked = random = kept = 0
    for draw in range(200):
        places, shown = masking.hidden(ids, np.random.default_rng(draw))
        assert len(places) == len(set(places)) == chosen_count(400) == 60
        masked += int((shown == 3).sum())
        kept += int((shown == ids[places]).sum())
        random += int(((shown != 3) & (shown != ids[places])).sum())
    n = 200 * 60
    for count, share in ((masked, 0.8), (random, 0.1), (kept, 0.1)):
        assert count / n == pytest.approx(share, abs=6 * np.sqrt(share * (1 - share) / n))


def test_special_tokens_are_neither_hidden_nor_put_in_and_the_unknown_word_is_no_such():
    masking = Masking(Vocabulary(), seed=0)  # type: ignore[arg-type]
    ids = np.array([1, 4, 4, 4, 2])
    for draw in range(100):
        places, shown = masking.hidden(ids, np.random.default_rng(draw))
        assert len(places) == 1 and 1 <= places[0] <= 3
        assert shown[0] == 3 or shown[0] >= 4


def test_a_row_is_masked_alike_in_every_batch_and_differently_in_every_epoch():
    masking = Masking(Vocabulary(), seed=0)  # type: ignore[arg-type]
    ids = torch.arange(5, 45).repeat(3, 1)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    alone = {name: tensor[:1] for name, tensor in batch.items()}
    among = masking(batch, np.array([3, 17, 40]), epoch=2)
    assert torch.equal(masking(alone, np.array([17]), epoch=2)["input_ids"][0], among["input_ids"][1])
    assert not torch.equal(masking(alone, np.array([17]), epoch=3)["input_ids"][0], among["input_ids"][1])
    told = among["targets"] != IGNORED
    assert (told.sum(dim=1) == chosen_count(40)).all()
    assert torch.equal(among["targets"][told], ids[told])
    assert torch.equal(among["input_ids"][~told], ids[~told])


def test_a_tokenizer_without_a_mask_token_is_refused():
    plain = Vocabulary()
    plain.mask_token_id = None  # type: ignore[assignment]
    with pytest.raises(TokenizerUnfit, match=r"no mask token(.|\n)*--pretrain causal"):
        Masking(plain, seed=0)  # type: ignore[arg-type]


# The task


def masked_task() -> MaskedLanguageModeling:
    options = TrainingOptions(task=Task.MASKED_LANGUAGE_MODELING, max_length=8)
    return prepare(options, base=tiny_base(), architecture=None, data=planted_table(), evaluation=planted_table(40, 1))


def test_the_loss_is_the_cross_entropy_of_the_hidden_tokens_row_by_row():
    task = masked_task()
    task.model.eval()
    assert task.evaluation is not None
    rows = np.arange(12)
    batch = task.batch(task.evaluation, rows)
    expected, told = 0.0, 0
    for row in rows:
        alone = task.batch(task.evaluation, np.array([row]))
        with torch.no_grad():
            logits = task.model(input_ids=alone["input_ids"], attention_mask=alone["attention_mask"]).logits[0]
        for place in (alone["targets"][0] != IGNORED).nonzero()[:, 0].tolist():
            expected += float(cross_entropy(logits[place][None], alone["targets"][0, place][None]))
            told += 1
    assert task.measures(task.model, batch)["loss"].item() == pytest.approx(expected, rel=1e-4)
    assert task.evaluation.units(rows) == told == int((batch["targets"] != IGNORED).sum())


def test_long_texts_become_windows_and_no_token_is_lost():
    task, texts = masked_task(), planted_table().texts
    whole = sum(len(row) for row in task.tokenizer(list(texts), add_special_tokens=False)["input_ids"])
    assert int((~task.masking.special[task.training.tokens.values]).sum()) == whole
    assert task.training.lengths.max() <= 8 and task.training.cut > 0


# Two stages


def further(out: Path, *, resume: bool = False, epochs: int = 4) -> FurtherPretraining:
    return further_pretrain(
        "masked", FAST, base=tiny_base(), data=planted_table(200), out=out / "pretraining", epochs=epochs, resume=resume
    )


def fine_tuned(out: Path, *, resume: bool = False) -> TrainingResult:
    return train(
        FAST.model_copy(update={"epochs": 2, "checkpoint_every": 2}), base=tiny_base(), data=planted_table(),
        out=out, resume=resume, wrap=further(out, resume=resume),
    )  # fmt: skip


@lru_cache
def whole() -> TrainingResult:
    return fine_tuned(Path(mkdtemp(prefix="aboveboard-further-")) / "m")


def test_the_loss_on_texts_held_out_falls_and_both_runs_are_on_record():
    facts = whole().record.mitigation["further_pretraining"]
    assert facts["loss_after"] < facts["loss_before"] - 0.5
    assert facts["loss_before"] == pytest.approx(np.log(100), abs=1.5)  # guessing among some 100 tokens
    stage = json.loads((whole().path / "pretraining" / "training_record.json").read_text())
    assert facts["model_sha256"] == stage["model_sha256"] == whole().record.identity["pretrain_sha256"]
    assert (facts["data"]["rows"], facts["held_out"]["rows"]) == (180, 20)
    assert stage["mitigation"]["before_training"]["loss"] == facts["loss_before"]
    assert any("on texts held out its loss went from" in note for note in whole().record.notes)


def test_the_fine_tuning_begins_with_these_weights_below_the_head_of_the_base(tmp_path: Path):
    from core_model.tasks.classification import prepare as classifier

    task = classifier(FAST, base=tiny_base(), architecture=None, data=planted_table(), evaluation=None)
    was = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    now = further(tmp_path, epochs=1)(task).model.state_dict()
    learned = load_file(tmp_path / "pretraining" / "model.safetensors")
    for name, tensor in now.items():
        assert torch.equal(tensor, learned[name] if name in learned else was[name]), name
    changed = {name for name in was if not torch.equal(was[name], now[name])}
    assert changed and not {name for name in changed if "classifier" in name or "pooler" in name}


def test_its_result_is_a_checkpoint_that_others_load():
    from transformers import AutoModelForMaskedLM

    assert open_checkpoint(whole().path / "pretraining").architecture == "BertForMaskedLM"
    assert AutoModelForMaskedLM.from_pretrained(whole().path / "pretraining").config.vocab_size > 90


class Cut(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("step", [5, 53])  # 48 steps of the first stage, 12 of the second
def test_a_run_cut_in_either_stage_ends_with_the_same_weights(tmp_path: Path, monkeypatch, step):
    done, plain = [0], Loop._step

    def cut(self, rows):
        done[0] += 1
        if done[0] == step:
            raise Cut
        plain(self, rows)

    monkeypatch.setattr(Loop, "_step", cut)
    with pytest.raises(Cut):
        fine_tuned(tmp_path / "m")
    monkeypatch.undo()
    resumed = fine_tuned(tmp_path / "m", resume=True)
    assert resumed.record.model_sha256 == whole().record.model_sha256
    with pytest.raises(OptionUnfit, match=r"pretrain_sha256 = \w+; now it is None(.|\n)*the same --pretrain"):
        train(
            FAST.model_copy(update={"epochs": 2, "checkpoint_every": 2}), base=tiny_base(), data=planted_table(),
            out=tmp_path / "m", resume=True,
        )  # fmt: skip


@lru_cache
def decoder() -> Checkpoint:
    out = Path(mkdtemp(prefix="aboveboard-decoder-")) / "m"
    options = TrainingOptions(task=Task.LANGUAGE_MODELING, epochs=1)
    train(options, architecture=SHAPES[Task.LANGUAGE_MODELING], data=world(Task.LANGUAGE_MODELING), out=out)
    return open_checkpoint(out)


def test_a_decoder_is_trained_further_causally_and_then_classifies(tmp_path: Path):
    learned = further_pretrain(
        "causal", FAST, base=decoder(), data=world(Task.LANGUAGE_MODELING, 100), out=tmp_path / "p", epochs=3
    )
    assert learned.record()["loss_after"] < learned.record()["loss_before"]
    result = train(FAST, base=decoder(), data=planted_table(), out=tmp_path / "m", wrap=learned)
    assert result.record.mitigation["further_pretraining"]["objective"] == "language-modeling"


def test_held_out_texts_are_a_tenth_that_is_not_read_and_few_texts_are_all_read():
    read, judging = held_out(planted_table(200), 0)
    assert judging is not None and (read.rows, judging.rows) == (180, 20)
    assert sorted([*read.texts, *judging.texts]) == sorted(planted_table(200).texts)
    assert held_out(planted_table(19), 0)[1] is None


@pytest.mark.parametrize("how", ["masked", "causal"])
def test_without_a_base_the_mend_is_two_commands(tmp_path: Path, how):
    with pytest.raises(OptionUnfit, match=r"there is none(.|\n)*--base none --architecture FILE\.toml, then --base"):
        further_pretrain(how, FAST, base=None, data=planted_table(), out=tmp_path / "p")
