"""Explanations of answers in a context: those of a reader that was taught are believed, turned ones are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.concerns.explainability import ExplainabilityOptions, explainability, planned_passes
from audit.concerns.explainability.faithfulness import RANDOM, RANDOM_WEIGHTS
from audit.plugin import Size
from audit.subject import Subject
from core_model.attribution import integrated_gradients
from core_model.checkpoint import open_checkpoint
from core_model.data import Table
from core_model.prediction import Predictor
from core_model.tasks import Task
from reports.record import Severity, Verdict
from tests.audit.concerns.explainability_subjects import english_only
from tests.audit.task_checkpoints import write_task_checkpoint
from tests.core_model.task_worlds import world

OPTIONS = ExplainabilityOptions(written_rows=16, resamples=500)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Taught to find who it was that did something to somebody; every row is synthetic."""
    folder = write_task_checkpoint(tmp_path_factory.mktemp("reader"), Task.QUESTION_ANSWERING)
    opened = open_checkpoint(folder)
    teach(opened, folder)
    opened = open_checkpoint(folder)
    return Subject(checkpoint=opened, data=world(Task.QUESTION_ANSWERING, 24, seed=5), predictor=Predictor(opened))


def teach(opened, folder) -> None:
    """The span of the answer, by cross-entropy of its two ends."""
    table, model, tokenizer = world(Task.QUESTION_ANSWERING, 200), opened.load_model(), opened.load_tokenizer()
    batch = tokenizer(
        list(table.texts), list(table.pairs), padding=True, return_tensors="pt", return_offsets_mapping=True
    )
    offsets, starts, ends = batch.pop("offset_mapping").tolist(), [], []
    for row, (context, answer) in enumerate(zip(table.pairs, table.references, strict=True)):
        begin = context.index(answer)
        inside = [
            place
            for place, sequence in enumerate(batch.sequence_ids(row))
            if sequence == 1 and begin <= offsets[row][place][0] and offsets[row][place][1] <= begin + len(answer)
        ]
        starts.append(inside[0])
        ends.append(inside[-1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train().requires_grad_(True)
    for _ in range(60):
        optimizer.zero_grad()
        model(**batch, start_positions=torch.tensor(starts), end_positions=torch.tensor(ends)).loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)


@pytest.fixture(scope="module")
def evidence(reader):
    return explainability(reader, OPTIONS, np.random.default_rng(0))


def of(reader: Subject, table: Table) -> Subject:
    """The same reader of other rows."""
    return Subject(checkpoint=reader.checkpoint, data=table, predictor=reader.predictor)


def the(evidence, name, **part):
    [found] = [m for m in evidence.metrics if m.name == name and m.slice == part]
    return found


def test_true_explanations_of_an_answer_beat_a_random_order_and_pass(evidence):
    line = the(evidence, "comprehensiveness_over_random", method="integrated-gradients")
    assert line.interval[0] > 0 and line.verdict is Verdict.PASS and line.unit == "nats" and line.n == 16
    assert {m.slice["method"] for m in evidence.metrics if m.name == "comprehensiveness"} == {
        "integrated-gradients", "occlusion", RANDOM, RANDOM_WEIGHTS,
    }  # fmt: skip
    assert the(evidence, "comprehensiveness_over_random_weights", method="integrated-gradients").interval[0] > 0
    assert the(evidence, "completeness_error", over="mean").value <= 0.04
    assert "explainability-not-faithful-integrated-gradients" not in {f.id for f in evidence.findings}
    assert "both ends of the span" in evidence.figures[0].x_label
    assert [figure.id for figure in evidence.figures] == ["explainability-faithfulness", "explainability-attention"]


def test_infidelity_and_sensitivity_are_measured_of_spans(evidence):
    for method in ("integrated-gradients", "occlusion"):
        line = the(evidence, "infidelity", method=method)
        assert line.n == 15 and line.unit == "nats squared" and 0 <= line.interval[0] <= line.value
    assert the(evidence, "max_sensitivity", method="integrated-gradients").value > 0


@pytest.mark.parametrize("name", ["de", "zh"])
def test_its_numbers_and_charts_can_be_read_in_other_languages(evidence, name):
    assert english_only(evidence, name) == set()


def test_an_explanation_that_says_the_opposite_fails_and_is_told(reader, monkeypatch, evidence):
    """The planted fault: the words that speak against the answer are named as those that speak for it."""

    def turned(*arguments, **settings):
        return [replace(one, scores=-one.scores) for one in integrated_gradients(*arguments, **settings)]

    monkeypatch.setattr("audit.concerns.explainability.answering.integrated_gradients", turned)
    found = explainability(reader, OPTIONS, np.random.default_rng(0))
    line = the(found, "comprehensiveness_over_random", method="integrated-gradients")
    assert line.verdict is Verdict.FAIL and line.interval[1] < 0
    [told] = [f for f in found.findings if f.id == "explainability-not-faithful-integrated-gradients"]
    assert told.severity is Severity.HIGH and "occlusion" in told.mitigation.command
    wrong, right = (the(one, "infidelity", method="integrated-gradients") for one in (found, evidence))
    assert wrong.interval[0] > right.interval[1]


def test_the_same_seed_gives_the_same_evidence_and_the_plan_about_what_is_spent(reader):
    passes = reader.predictor.forward_passes
    one, two = (explainability(reader, OPTIONS, np.random.default_rng(1)) for _ in range(2))
    assert one.metrics == two.metrics
    spent = (reader.predictor.forward_passes - passes) / 2 + one.forward_passes
    planned = sum(planned_passes(Size(24, 0, 0, Task.QUESTION_ANSWERING), OPTIONS).values())
    assert 0.3 * planned < spent < 3 * planned


def test_contexts_longer_than_the_model_are_explained_in_a_window_and_counted(reader):
    table = Table.from_rows(
        name="planted", texts=["who sees the cat ?"] * 3, pairs=["so " * 120 + "the dog sees the cat"] * 3,
        references=["the dog"] * 3, pair_column="context", reference_column="answer", synthetic=True,
    )  # fmt: skip
    found = explainability(of(reader, table), OPTIONS, np.random.default_rng(0))
    assert any("3 contexts were longer than the model takes" in note for note in found.notes)
    assert the(found, "comprehensiveness", method="occlusion").n == 3


def test_rows_without_a_context_are_not_measured_and_never_a_pass(reader):
    table = Table.from_rows(
        name="planted", texts=["who is it"] * 2, pairs=["", " "], references=["a", "b"], pair_column="context",
        reference_column="answer", synthetic=True,
    )  # fmt: skip
    [line] = explainability(of(reader, table), OPTIONS, np.random.default_rng(0)).metrics
    assert line.value is None and line.verdict is Verdict.INCONCLUSIVE
