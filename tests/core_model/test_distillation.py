"""A student: layers copied, losses by a slow formula, and a teacher that helps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from core_model.checkpoint import open_checkpoint
from core_model.compression.distillation import Distilled, Teacher, write_student
from core_model.compression.options import Distill
from core_model.errors import OptionUnfit
from core_model.tasks import Task
from core_model.tasks.training_task import preparer
from core_model.training import train
from core_model.training_options import TrainingOptions
from tests.core_model.compression_world import classifier, writer
from tests.core_model.task_worlds import SHAPES, world

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "decoder_input_ids")


@pytest.mark.parametrize(
    ("family", "writes"), [("bert", False), ("distilbert", False), ("gpt2", True), ("llama", True), ("t5", True),
                           ("marian", True)],
)  # fmt: skip
def test_the_student_is_every_second_layer_of_the_teacher(tmp_path, family, writes):
    teacher = (writer if writes else classifier)(family)
    kept = write_student(teacher, 1, tmp_path / "student")
    assert set(map(tuple, kept.values())) == {(0,)}
    student = open_checkpoint(tmp_path / "student")
    mine, theirs = student.load_model().state_dict(), teacher.load_model().state_dict()
    assert set(mine) < set(theirs)
    for name, tensor in mine.items():  # the first layer has its own number in both
        assert torch.equal(tensor, theirs[name]), name
    assert student.task is teacher.task
    assert student.parameters < teacher.parameters


def test_layers_are_taken_evenly_and_renumbered(tmp_path):
    from tests.factories import write_checkpoint

    teacher = open_checkpoint(write_checkpoint(tmp_path / "teacher", layers=6))
    assert list(write_student(teacher, 4, tmp_path / "student").values()) == [[0, 1, 3, 4]]
    mine = open_checkpoint(tmp_path / "student").load_model().bert.encoder.layer
    theirs = teacher.load_model().bert.encoder.layer
    for place, layer in enumerate((0, 1, 3, 4)):
        assert torch.equal(mine[place].output.dense.weight, theirs[layer].output.dense.weight)


def test_no_fewer_layers_is_no_student(tmp_path):
    with pytest.raises(OptionUnfit, match=r"layers = 2, but bert.encoder.layer .* has 2\n.*--layers 1"):
        write_student(classifier("bert"), 2, tmp_path / "student")


def tasks(task: Task):
    """A student's task, another model as its teacher, and a batch of it."""
    made = [
        preparer(task)(
            TrainingOptions(task=task, seed=seed), base=None, architecture=SHAPES[task], data=world(task, 12),
            evaluation=None,
        )
        for seed in (0, 1)
    ]  # fmt: skip
    student, teacher = made
    return student, teacher.model, student.batch(student.training, np.arange(5))


@pytest.mark.parametrize("task", list(SHAPES))
def test_the_loss_is_the_formula(task):
    student, teacher, batch = tasks(task)
    temperature, share = 3.0, 0.7
    wrapped = Distilled(student, teacher, temperature=temperature, soft_weight=share)
    student.model.eval()
    found = wrapped.loss(student.model, batch, 0.0)

    given = {name: batch[name] for name in INPUTS if name in batch}
    with torch.no_grad():
        own = float(student.loss(student.model, batch, 0.0))
        sides = [model(**given) for model in (teacher.eval(), student.model)]
    names = ("start_logits", "end_logits") if task is Task.QUESTION_ANSWERING else ("logits",)
    soft = 0.0
    for name in names:
        said, answered = (getattr(side, name).numpy().astype(np.float64) for side in sides)
        for row in range(5):
            if task is Task.QUESTION_ANSWERING:
                length = int(batch["attention_mask"][row].sum())
                pairs = [(said[row, :length], answered[row, :length])]
            else:
                pairs = [
                    (said[row, i], answered[row, i]) for i in range(said.shape[1]) if batch["targets"][row, i] != -100
                ]
            for p, q in pairs:
                log_p, log_q = log_softmax(p / temperature), log_softmax(q / temperature)
                soft += temperature**2 * float((np.exp(log_p) * (log_p - log_q)).sum()) / len(names)
    assert found.item() == pytest.approx(share * soft + (1 - share) * own, rel=1e-4)
    assert soft > 0


def test_a_teacher_that_agrees_adds_nothing():
    student, _, batch = tasks(Task.LANGUAGE_MODELING)
    student.model.eval()
    same = Distilled(student, student.model, temperature=2.0, soft_weight=1.0)
    assert same.loss(student.model, batch, 0.0).item() == pytest.approx(0.0, abs=1e-3)


def test_training_brings_the_student_to_its_teacher(tmp_path):
    """With the teacher's word alone, what the student learns is the teacher: labels are shuffled, and do not matter."""
    from core_model.data import Table
    from core_model.prediction import Predictor
    from tests.factories import WORDS

    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, 6)) for _ in range(192)]
    table = Table.from_rows(
        name="planted", texts=texts, targets=random.integers(0, 2, 192), label_names=("LABEL_0", "LABEL_1"),
        synthetic=True,
    )  # fmt: skip
    teacher = classifier("bert")
    settings = Distill(layers=1, soft_weight=1.0)
    write_student(teacher, 1, tmp_path / "untaught")
    untaught = open_checkpoint(tmp_path / "untaught")
    options = TrainingOptions(epochs=6, learning_rate=3e-3, batch_size=16)
    result = train(options, data=table, base=untaught, out=tmp_path / "student", wrap=Teacher(teacher, settings))

    def distance(checkpoint):
        said = [Predictor(one).predict(texts).probabilities for one in (teacher, checkpoint)]
        return float(np.abs(said[0] - said[1]).mean())

    taught = open_checkpoint(result.path)
    assert distance(taught) < 0.5 * distance(untaught)
    assert result.record.identity["teacher_sha256"] == teacher.sha256
    assert any(teacher.sha256 in note for note in result.record.notes)
    again = train(
        options, data=table, base=untaught, out=tmp_path / "student", resume=True, wrap=Teacher(teacher, settings)
    )
    assert again.record == result.record  # done already
    with pytest.raises(OptionUnfit, match="temperature"):
        train(
            options, data=table, base=untaught, out=tmp_path / "student", resume=True,
            wrap=Teacher(teacher, Distill(layers=1, soft_weight=1.0, temperature=5)),
        )  # fmt: skip
