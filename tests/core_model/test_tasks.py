"""Promises of the tasks: each trains a standard checkpoint, its loss is transformers' own, nonsense is refused."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import torch

from core_model.architectures import Architecture
from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.data import Table
from core_model.errors import ColumnMissing, DataDamaged, OptionUnfit, TaskUnfit
from core_model.tasks import Task
from core_model.tasks.question_answering import answers_of
from core_model.tasks.training_task import preparer
from core_model.training import train
from core_model.training_options import TrainingOptions
from tests.core_model.task_worlds import SHAPES, TINY, world
from tests.core_model.training_world import planted_table, tiny_base

WRITING = list(SHAPES)


def prepared(task: Task, *, data: Table | None = None, base: Checkpoint | None = None, **options):
    shape = None if base else options.pop("architecture", SHAPES[task])
    return preparer(task)(
        TrainingOptions(task=task, **options), base=base, architecture=shape, data=data or world(task), evaluation=None
    )


@lru_cache
def trained(task: Task) -> Path:
    out = Path(mkdtemp(prefix="aboveboard-task-")) / task.value
    train(
        TrainingOptions(task=task, epochs=12, batch_size=8, learning_rate=5e-3),
        data=world(task, 96), evaluation=world(task, 48, seed=1), architecture=SHAPES[task], out=out,
    )  # fmt: skip
    return out


@pytest.mark.parametrize("task", WRITING)
def test_a_task_learns_its_planted_rule_and_leaves_a_standard_checkpoint(task: Task):
    record = json.loads((trained(task) / "training_record.json").read_text())
    first, last = record["history"][0]["evaluation"], record["history"][-1]["evaluation"]
    assert last["loss"] < 0.6 * first["loss"]
    assert last["accuracy"] > first["accuracy"]
    checkpoint = open_checkpoint(trained(task))
    assert checkpoint.task is task
    assert checkpoint.load_model() is not None
    assert len(checkpoint.load_tokenizer()) <= TINY["vocabulary"]


@pytest.mark.parametrize("task", WRITING)
def test_the_result_is_a_base_for_more_training(task: Task, tmp_path: Path):
    record = train(
        TrainingOptions(task=task, epochs=1, batch_size=16, learning_rate=1e-5),
        data=world(task, 32), evaluation=world(task, 48, seed=1), base=open_checkpoint(trained(task)),
        out=tmp_path / "more",
    ).record  # fmt: skip
    before = json.loads((trained(task) / "training_record.json").read_text())["evaluation"]["loss"]
    assert record.base is not None and record.base["head"] == "kept"
    assert record.evaluation is not None and record.evaluation["loss"] == pytest.approx(before, rel=0.1)


@pytest.mark.parametrize("task", [Task.LANGUAGE_MODELING, Task.TRANSLATION, Task.SUMMARIZATION])
def test_the_loss_is_that_of_transformers_one_row_at_a_time(task: Task):
    ready = prepared(task)
    model = ready.model.eval()
    rows = np.arange(7)
    whole = float(ready.loss(model, ready.batch(ready.training, rows), 0.0))
    slow, units = 0.0, 0
    for row in rows:
        batch = ready.batch(ready.training, np.array([row]))
        labels = batch["input_ids"] if task is Task.LANGUAGE_MODELING else batch["targets"]
        terms = labels.shape[1] - (task is Task.LANGUAGE_MODELING)
        slow += float(model(input_ids=batch["input_ids"], labels=labels).loss) * terms
        units += terms
    assert whole == pytest.approx(slow, rel=1e-5)
    assert ready.training.units(rows) == units


def test_the_loss_of_a_reader_is_that_of_transformers():
    ready = prepared(Task.QUESTION_ANSWERING)
    model = ready.model.eval()
    batch = ready.batch(ready.training, np.array([3]))
    theirs = model(
        input_ids=batch["input_ids"], token_type_ids=batch["token_type_ids"], start_positions=batch["starts"],
        end_positions=batch["ends"],
    ).loss  # fmt: skip
    assert float(ready.loss(model, batch, 0.0)) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("task", WRITING)
def test_padding_does_not_move_the_loss(task: Task):
    ready = prepared(task)
    model = ready.model.eval()
    longest = int(ready.training.lengths.argmax())
    alone = sum(float(ready.loss(model, ready.batch(ready.training, np.array([r])), 0.1)) for r in (0, 1, longest))
    together = float(ready.loss(model, ready.batch(ready.training, np.array([0, 1, longest])), 0.1))
    assert together == pytest.approx(alone, rel=1e-5)


def test_every_token_but_a_texts_first_is_predicted_once():
    ready = prepared(Task.LANGUAGE_MODELING, max_length=5)
    tokenizer = ready.tokenizer
    texts = list(world(Task.LANGUAGE_MODELING).texts)
    wanted = [token for text in texts for token in [*tokenizer(text)["input_ids"][1:], tokenizer.eos_token_id]]
    batch = ready.batch(ready.training, np.arange(len(ready.training.lengths)))
    told = batch["targets"][batch["targets"] != -100]
    assert told.tolist() == wanted
    assert ready.training.lengths.max() == 5
    assert ready.training.cut == len(texts)


def test_the_span_learnt_is_the_answer_in_the_context():
    ready = prepared(Task.QUESTION_ANSWERING)
    table = world(Task.QUESTION_ANSWERING)
    assert table.references is not None
    for row in range(10):
        batch = ready.batch(ready.training, np.array([row]))
        ids = batch["input_ids"][0, int(batch["starts"][0]) : int(batch["ends"][0]) + 1]
        assert ready.tokenizer.decode(ids) == table.references[row]


def test_a_long_context_is_read_through_windows_that_hold_the_answer():
    filler = "the bird likes the fish " * 20
    data = Table.from_rows(
        name="long", texts=["who sees the cat ?"] * 2, pairs=[f"{filler} the dog sees the cat {filler}", "the dog"],
        references=["the dog", '["the horse", "the dog"]'],
    )  # fmt: skip
    ready = prepared(Task.QUESTION_ANSWERING, data=data, architecture=SHAPES[Task.QUESTION_ANSWERING])
    assert ready.training.cut == 1
    assert ready.training.lengths.max() <= 48
    for row in range(len(ready.training.lengths)):
        batch = ready.batch(ready.training, np.array([row]))
        ids = batch["input_ids"][0, int(batch["starts"][0]) : int(batch["ends"][0]) + 1]
        assert ready.tokenizer.decode(ids) == "the dog"


def test_yes_or_no_questions_train_a_classifier_of_pairs(tmp_path: Path):
    data = Table.from_rows(
        name="planted",
        texts=["is it good ?", "is it bad ?"] * 8,
        pairs=["it is good"] * 16,
        references=["yes", "no"] * 8,
    )
    options = TrainingOptions(task=Task.QUESTION_ANSWERING, epochs=1, batch_size=8)
    train(options, data=data, base=tiny_base(), out=tmp_path / "boolean")
    checkpoint = open_checkpoint(tmp_path / "boolean")
    assert (checkpoint.task, checkpoint.labels) == (Task.CLASSIFICATION, ("no", "yes"))


@pytest.mark.parametrize(
    ("reference", "answers"),
    [
        ("Ada", ("Ada",)),
        ('["Ada", "Ada Lovelace"]', ("Ada", "Ada Lovelace")),
        ("[sic]", ("[sic]",)),
        ("[1]", ("[1]",)),
    ],
)  # fmt: skip
def test_a_cell_holds_one_answer_or_a_list_of_them(reference: str, answers: tuple[str, ...]):
    assert answers_of(reference) == answers


@pytest.mark.parametrize(
    ("task", "what", "error", "letter"),
    [
        (Task.TRANSLATION, {"base": True}, TaskUnfit, r"no head for translation over Bert(.|\n)*--base"),
        (Task.LANGUAGE_MODELING, {"base": True}, TaskUnfit, r"no trained head for language-modeling"),
        (Task.TRANSLATION, {"architecture": Architecture(kind="decoder", **TINY)}, OptionUnfit, "'encoder-decoder'"),
        (Task.LANGUAGE_MODELING, {"architecture": Architecture(**TINY)}, OptionUnfit, "kind = 'decoder' in the file"),
        (Task.TRANSLATION, {"data": planted_table()}, ColumnMissing, "--target-column COLUMN"),
        (Task.TRANSLATION, {"max_length": 49}, OptionUnfit, "--max-length 48"),
        (Task.LANGUAGE_MODELING, {"reweigh": "sex"}, OptionUnfit, "leave --reweigh out"),
        (Task.QUESTION_ANSWERING, {"data": world(Task.TRANSLATION)}, ColumnMissing, "--context-column COLUMN"),
    ],
)  # fmt: skip
def test_what_a_task_cannot_do_gets_a_letter(task, what, error, letter):
    what = dict(what)
    if what.pop("base", False):
        what["base"] = tiny_base()
    with pytest.raises(error, match=letter):
        prepared(task, **what)


def test_a_target_longer_than_the_positions_is_refused_by_row_unless_cutting_was_asked_for():
    table = world(Task.TRANSLATION, 8)
    assert table.references is not None
    long = Table.from_rows(
        name="long.jsonl", texts=list(table.texts), references=[*table.references[:7], "Hund " * 60], synthetic=True
    )
    with pytest.raises(DataDamaged, match=r"more than the 48 tokens(.|\n)*in row 8(.|\n)*--max-length 48"):
        prepared(Task.TRANSLATION, data=long)
    assert prepared(Task.TRANSLATION, data=long, max_length=48).training.cut == 1


def test_an_answer_that_is_not_in_its_context_is_refused_by_row():
    good = world(Task.QUESTION_ANSWERING, 4)
    assert good.pairs is not None and good.references is not None
    data = Table.from_rows(
        name="bad", texts=list(good.texts), pairs=list(good.pairs), references=[*good.references[:3], "a unicorn"]
    )
    with pytest.raises(DataDamaged, match=r"does not stand in the context(.|\n)*in row 4"):
        prepared(Task.QUESTION_ANSWERING, data=data)


def test_label_smoothing_is_torchs_own():
    ready = prepared(Task.TRANSLATION)
    batch = ready.batch(ready.training, np.arange(4))
    model = ready.model.eval()
    logits = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
        decoder_input_ids=batch["decoder_input_ids"],
    ).logits  # fmt: skip
    theirs = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), batch["targets"], reduction="sum", label_smoothing=0.1, ignore_index=-100
    )
    assert float(ready.loss(model, batch, 0.1)) == pytest.approx(float(theirs), rel=1e-5)
