"""Promises of the reproducibility audit: what is unsteady is found, what is steady passes. All rows are synthetic."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from audit.concerns.reproducibility import ReproducibilityOptions, reproducibility, trained_again
from audit.concerns.reproducibility.trained_again import deviation
from audit.plugin import Evidence, plugin_of
from audit.subject import Subject
from core_model.checkpoint import open_checkpoint
from core_model.prediction import Predictor
from core_model.retraining import FACTS, missing_facts, other_versions, retrain, why_not
from core_model.training import train
from core_model.training_options import TrainingOptions
from reports.record import Finding, Metric, Verdict
from tests.core_model.training_world import planted_table, tiny_base, trained_checkpoint
from tests.factories import stub_subject

ROWS = 40


def trained() -> Path:
    """A checkpoint of eight steps, with its record."""
    return trained_checkpoint(epochs=1, learning_rate=1e-3)


@pytest.fixture
def copied(tmp_path) -> Path:
    shutil.copytree(trained(), tmp_path / "copy")
    return tmp_path / "copy"


def subject_of(folder: Path, *, training=None, reference=None) -> Subject:
    opened = open_checkpoint(folder)
    return Subject(
        checkpoint=opened,
        data=planted_table(48, seed=7),
        predictor=Predictor(opened),
        training=training,
        reference=reference,
    )


def run(subject: Subject, **options) -> Evidence:
    options = ReproducibilityOptions(**{"rows": ROWS, "alone_rows": 10, "retraining_steps": 0, **options})
    return reproducibility(subject.narrowed(plugin_of(reproducibility)), options, np.random.default_rng(0))


def one(evidence: Evidence, name: str, **part: str) -> Metric:
    [found] = [line for line in evidence.metrics if line.name == name and line.slice == part]
    return found


def found(evidence: Evidence) -> dict[str, Finding]:
    return {finding.id.removeprefix("reproducibility-"): finding for finding in evidence.findings}


def test_a_sound_model_answers_the_same_and_is_made_again_bit_by_bit():
    evidence = run(
        subject_of(trained(), training=planted_table(), reference=tiny_base()), retraining_steps=3, retrain_whole=True
    )
    same = one(evidence, "rows_with_same_bits", asked="same request")
    assert (same.value, same.n) == (1.0, ROWS)
    assert one(evidence, "answers_turned", asked="same request").value == 0
    for part in ("some steps, twice", "whole, against this checkpoint"):
        line = one(evidence, "retraining_same_weights", trained=part)
        assert line.value == 1 and line.n == len(load_file(trained() / "model.safetensors"))
    assert one(evidence, "retraining_same_weights", trained="some steps, twice").verdict is Verdict.PASS
    assert one(evidence, "training_facts_recorded").value == 1
    assert one(evidence, "files_other_than_recorded").verdict is Verdict.PASS
    assert not set(found(evidence)) - {"bfloat16"}


def test_a_model_that_answers_by_chance_is_found():
    """Planted: every tenth row or so is answered by the throw of a coin, also within the same request."""
    random = np.random.default_rng(1)
    texts = [f"row {number}" for number in range(300)]
    evidence = run(
        stub_subject(texts=texts, answer=lambda text: [0.9, 0.1] if random.random() > 0.1 else [0.1, 0.9]), rows=300
    )
    line = one(evidence, "answers_turned", asked="same request")
    assert 0.1 < line.value < 0.26  # 2 x 0.1 x 0.9 = 0.18 expected
    assert line.verdict is Verdict.FAIL
    assert found(evidence)["same-request"].severity == "high"
    alone = one(evidence, "answers_turned", asked="each row alone")
    assert alone.value is None and "asked through a wrapper" in alone.reason
    steady = run(stub_subject(texts=texts, answer=lambda text: [0.9, 0.1]), rows=300)
    assert "same-request" not in found(steady)


def test_bfloat16_is_torchs_own_and_leaves_the_model_on_trial_as_it_was():
    subject = subject_of(trained())
    shift = one(run(subject, rows=ROWS, alone_rows=ROWS), "score_shift", asked="bfloat16")
    data = subject.data.select(np.random.default_rng(0).spawn(3)[0].permutation(subject.data.rows)[:ROWS])
    short = open_checkpoint(trained()).load_model("bfloat16")
    tokenizer = subject.checkpoint.load_tokenizer()
    moved = []
    for text in data.texts:
        batch = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            ours = subject.predictor.forward.model(**batch).logits.float().softmax(-1)[0]
            theirs = short(**batch).logits.float().softmax(-1)[0]
        moved.append(abs(float(ours.max() - theirs[ours.argmax()])))
    assert shift.value == pytest.approx(np.mean(moved), abs=0.1 * np.mean(moved) + 1e-6)
    assert subject.predictor.forward.model.dtype == torch.float32


def test_weights_that_the_record_does_not_speak_of_are_found(copied):
    weights = load_file(copied / "model.safetensors")
    name = next(name for name in weights if name.endswith("dense.weight"))
    weights[name] = weights[name] + 0.01
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    evidence = run(
        subject_of(copied, training=planted_table(), reference=tiny_base()), retrain_whole=True, retraining_steps=0
    )
    assert one(evidence, "files_other_than_recorded").value == 1
    assert "model.safetensors" in found(evidence)["other-files"].statement
    whole = one(evidence, "retraining_same_weights", trained="whole, against this checkpoint")
    assert whole.value == (len(weights) - 1) / len(weights)
    assert "retrained-whole" in found(evidence)


def test_a_training_that_chance_has_a_part_in_is_found(monkeypatch):
    """Planted: each training draws its seed anew."""
    seeds = iter(range(100))
    monkeypatch.setattr(trained_again, "retrain", lambda *a, **k: retrain(*a, **{**k, "seed": next(seeds)}))
    subject = subject_of(trained(), training=planted_table(), reference=tiny_base())
    evidence = run(subject, retraining_steps=2)
    line = one(evidence, "retraining_same_weights", trained="some steps, twice")
    assert line.value < 1 and line.verdict is Verdict.FAIL
    assert "retrained-twice" in found(evidence)


def test_the_spread_of_seeds_is_that_of_trainings_by_hand(tmp_path):
    evidence = run(subject_of(trained(), training=planted_table(), reference=tiny_base()), seeds=2)
    test, answers = planted_table(48, seed=7), []
    for seed in (3, 4, 5):
        options = TrainingOptions(epochs=1, batch_size=12, learning_rate=1e-3, seed=seed)
        train(options, data=planted_table(), base=tiny_base(), out=tmp_path / str(seed))
        answers.append(Predictor(open_checkpoint(tmp_path / str(seed))).predict(test.texts).predicted)
    accuracies = [float(np.mean(one == test.targets)) for one in answers]
    assert one(evidence, "seed_spread").value == pytest.approx(np.std(accuracies, ddof=1))
    churn = np.mean([np.mean(answers[a] != answers[b]) for a, b in ((0, 1), (0, 2), (1, 2))])
    assert one(evidence, "seed_churn").value == pytest.approx(churn)


def test_the_interval_of_a_spread_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    held = np.mean([deviation(random.normal(0.8, 0.02, 5)).covers(0.02) for _ in range(2000)])
    assert 0.935 < held < 0.965


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "the training rows are not given"),
        ({"training": planted_table(40, seed=9)}, "not those of the record"),
        ({"training": planted_table()}, "the base is not given"),
    ],
)
def test_what_is_not_at_hand_is_said_and_nothing_is_trained(given, why):
    line = one(
        run(subject_of(trained(), **given), retraining_steps=2),
        "retraining_same_weights", trained="some steps, twice",
    )  # fmt: skip
    assert line.value is None and why in line.reason


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"privacy": {"epsilon": 8}}, "private"),
        ({"hardware": {"processes": 4}}, "several processes"),
        ({"identity": {"teacher_sha256": "0" * 64}}, "teacher"),
        ({"base": None, "architecture": None}, "neither base nor shape"),
        ({"options": {"epochs": 1, "of_another_version": 2}}, "not those of this version"),
        ({"base": {"name": "other", "sha256": "1" * 64}}, "not the base of the record"),
    ],
)
def test_a_training_that_a_record_cannot_bring_back_is_said_to_be_one(change, why):
    record = {**open_checkpoint(trained()).training_record, **change}
    assert why_not(open_checkpoint(trained()).training_record, data=planted_table(), base=tiny_base()) is None
    problem = why_not(record, data=planted_table(), base=tiny_base())
    assert why in problem[0]


def test_a_model_from_scratch_is_made_again_without_a_base(tmp_path):
    from core_model.architectures import Architecture

    shape = Architecture(layers=1, hidden=16, heads=2, vocabulary=80, max_length=32)
    options = TrainingOptions(max_steps=3, batch_size=12)
    train(options, data=planted_table(), architecture=shape, out=tmp_path / "scratch")
    evidence = run(subject_of(tmp_path / "scratch", training=planted_table()), retrain_whole=True)
    assert one(evidence, "retraining_same_weights", trained="whole, against this checkpoint").value == 1


def test_each_fact_that_a_record_leaves_out_is_named(copied):
    record = json.loads((copied / "training_record.json").read_text())
    assert not missing_facts(record)
    for name, (first, *rest) in FACTS.items():
        part = {**record, first: {k: v for k, v in record[first].items() if k not in rest} if rest else None}
        assert missing_facts(part) == [name]
    assert len(missing_facts({})) == len(FACTS)


def test_another_version_is_told_with_what_installs_the_recorded_one(copied):
    path = copied / "training_record.json"
    record = json.loads(path.read_text())
    assert not other_versions(record)
    record["versions"] |= {"torch": "2.0.0+cpu", "peft": None}
    path.write_text(json.dumps(record))
    evidence = run(subject_of(copied))
    assert one(evidence, "packages_other_than_recorded").value == 1
    finding = found(evidence)["versions"]
    assert "torch 2.0.0+cpu" in finding.statement and finding.mitigation.command.endswith("torch==2.0.0")


def test_without_a_record_it_says_what_leaves_one(copied):
    (copied / "training_record.json").unlink()
    evidence = run(subject_of(copied), retraining_steps=2)
    for name in ("training_facts_recorded", "files_other_than_recorded", "packages_other_than_recorded", "seed_spread"):
        line = one(evidence, name)
        assert line.value is None and "training_record.json" in line.reason
    assert found(evidence)["no-record"].mitigation.command.startswith("aboveboard train")
