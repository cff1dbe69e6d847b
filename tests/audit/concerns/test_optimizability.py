"""Promises of the optimizability audit: what can be saved is told, what cannot learn is found. Rows are synthetic."""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from audit.concerns.optimizability import OptimizabilityOptions, optimizability
from audit.concerns.optimizability.compressed import INT8, PRUNED, Remade, _prune
from audit.concerns.optimizability.gradients import layer_of
from audit.concerns.optimizability.noise_scale import jackknife_error, left_out, noise_scale, signal_and_noise, student
from audit.plugin import Evidence, plugin_of
from audit.subject import Subject
from core_model.checkpoint import open_checkpoint
from core_model.compression.compress import compress
from core_model.compression.options import PruneHeads, Quantize
from core_model.data import Table
from core_model.prediction import Predictor
from reports.record import Finding, Metric, Verdict
from tests.core_model.compression_world import SENTENCES, logits, writer
from tests.core_model.training_world import planted_table, tiny_base, trained_checkpoint
from tests.factories import stub_subject

SMALL = {"rows": 60, "timed_rows": 4, "timed_rounds": 2, "gradient_batches": 6, "gradient_rows": 8}
LAYER = "bert.encoder.layer.0."


def trained() -> Path:
    """A checkpoint that has begun to learn, with its record."""
    return trained_checkpoint(epochs=3, learning_rate=2e-3)


@pytest.fixture
def copied(tmp_path) -> Path:
    shutil.copytree(trained(), tmp_path / "copy")
    return tmp_path / "copy"


def subject_of(folder: Path, *, rows: int = 60, training: Table | None = None) -> Subject:
    opened = open_checkpoint(folder)
    data = planted_table(rows, seed=7)
    return Subject(checkpoint=opened, data=data, predictor=Predictor(opened), training=training)


def run(subject: Subject, **options) -> Evidence:
    chosen = OptimizabilityOptions(**{**SMALL, **options})
    return optimizability(subject.narrowed(plugin_of(optimizability)), chosen, np.random.default_rng(0))


def one(evidence: Evidence, name: str, **part: str) -> Metric:
    [found] = [line for line in evidence.metrics if line.name == name and part.items() <= line.slice.items()]
    return found


def found(evidence: Evidence) -> dict[str, Finding]:
    return {finding.id.removeprefix("optimizability-"): finding for finding in evidence.findings}


@lru_cache
def sound() -> Evidence:
    return run(subject_of(trained(), training=planted_table()))


def test_a_sound_model_is_accused_of_nothing():
    evidence = sound()
    assert not set(found(evidence)) - {"int8", "never-tuned"}
    for name in ("matrices_without_gradient", "smallest_over_largest_layer_gradient", "batches_with_infinite_gradient"):
        assert one(evidence, name).verdict is Verdict.PASS
    assert {f.id for f in evidence.figures} == {"optimizability-compression", "optimizability-layers"}
    assert evidence.forward_passes == sum(
        plugin_of(optimizability).forward_passes(size_of(60, 96), OptimizabilityOptions(**SMALL)).values()
    )


def size_of(rows: int, training: int):
    from audit.plugin import Size

    return Size(rows=rows, training_rows=training, classes=2)


def changed(folder: Path, change) -> Path:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_feed_forward_layer_that_is_shut_is_found_by_its_two_matrices(copied):
    """Planted: GELU of numbers far below 0 is 0, and so is its slope."""
    changed(copied, lambda weights: weights[LAYER + "intermediate.dense.bias"].fill_(-1e4))
    evidence = run(subject_of(copied, training=planted_table()))
    dead = one(evidence, "matrices_without_gradient")
    assert dead.value == pytest.approx(2 / dead.n) and dead.verdict is Verdict.FAIL
    statement = found(evidence)["dead"].statement
    assert LAYER + "intermediate.dense.weight" in statement and LAYER + "output.dense.weight" in statement
    assert one(evidence, "smallest_over_largest_layer_gradient").verdict is Verdict.FAIL  # against a bias of 1e4
    assert "vanishing" in found(evidence)


def test_a_gradient_that_is_not_finite_is_found(copied):
    changed(copied, lambda weights: weights["classifier.weight"].mul_(1e36))
    evidence = run(subject_of(copied, training=planted_table()), rows=8)
    assert one(evidence, "batches_with_infinite_gradient").value > 0
    assert found(evidence)["infinite"].severity == "high"
    assert one(evidence, "gradient_noise_scale").value is None


def test_int8_is_what_compress_writes(tmp_path):
    evidence = sound()
    data = planted_table(60, seed=7)
    (tmp_path / "int8").mkdir()
    compress(open_checkpoint(trained()), Quantize(), tmp_path / "int8")
    rounded = Predictor(open_checkpoint(tmp_path / "int8")).predict(data.texts)
    before = Predictor(open_checkpoint(trained())).predict(data.texts)
    changed_rows = one(evidence, "compressed_answers_changed", compression=INT8)
    assert (changed_rows.value, changed_rows.n) == (float(np.mean(rounded.predicted != before.predicted)), 60)
    gain = np.mean(rounded.predicted == data.targets) - np.mean(before.predicted == data.targets)
    assert one(evidence, "compressed_quality_difference", compression=INT8).value == pytest.approx(gain)
    sizes = [
        sum(t.numel() * t.element_size() for t in load_file(folder / "model.safetensors").values())
        for folder in (tmp_path / "int8", trained())
    ]
    assert one(evidence, "compressed_bytes_ratio", compression=INT8).value == pytest.approx(sizes[0] / sizes[1])
    speed = one(evidence, "compressed_speed_ratio", compression=INT8)
    assert speed.value > 0 and speed.volatile


def test_a_saving_is_told_only_where_bytes_and_answers_surely_allow_it():
    subject = subject_of(trained(), rows=600)
    told = run(subject, rows=600, min_bytes_saved=0.4, max_quality_loss=0.02)
    assert "--method quantize" in found(told)["int8"].mitigation.command
    assert "int8" not in found(run(subject, rows=20, min_bytes_saved=0.4, max_quality_loss=0.02))
    assert "int8" not in found(run(subject, rows=600, min_bytes_saved=0.9, max_quality_loss=0.02))


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_heads_that_are_cut_out_give_the_answers_of_the_checkpoint_that_is_written(family, tmp_path):
    original = writer(family)
    (model, bytes_before, _), cut = _prune(original)
    assert cut
    folder = tmp_path / family
    folder.mkdir()
    compress(original, PruneHeads(share=0.25), folder)
    torch.testing.assert_close(logits(original, Remade(original, model).load_model()), logits(open_checkpoint(folder)))
    assert len(SENTENCES) and sum(t.numel() * 4 for t in model.parameters()) < bytes_before


def test_heads_that_are_silenced_save_nothing_and_it_says_so():
    evidence = sound()
    assert one(evidence, "compressed_bytes_ratio", compression=PRUNED).value == 1
    assert "silenced" in one(evidence, "compressed_speed_ratio", compression=PRUNED).reason


def test_the_model_that_others_ask_is_not_touched():
    subject = subject_of(trained(), training=planted_table())
    model = subject.predictor.forward.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run(subject, rows=10, one_step=True)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def mostly_good(seed: int, *, flipped: bool = False) -> Table:
    """Rows of which nine in ten are of one label: how often it comes is what an untrained model can learn at once."""
    whole = planted_table(400, seed=seed)
    kept = [row for row, target in enumerate(whole.targets) if target or row % 10 == 0]
    targets = whole.targets[kept]
    return Table.from_rows(
        name="mostly good", texts=[whole.texts[row] for row in kept], targets=1 - targets if flipped else targets,
        label_names=whole.label_names, synthetic=True,
    )  # fmt: skip


def test_a_step_along_true_labels_lowers_the_loss_elsewhere_and_along_wrong_ones_raises_it():
    steps = []
    for flipped in (False, True):
        opened = tiny_base()
        subject = Subject(
            checkpoint=opened, data=mostly_good(8), predictor=Predictor(opened),
            training=mostly_good(9, flipped=flipped),
        )  # fmt: skip
        evidence = run(subject, rows=100, one_step=True)
        steps.append(one(evidence, "held_out_loss_change_of_one_step"))
    assert steps[0].interval[1] < 0 < steps[1].interval[0] and steps[0].n == 100
    assert "one_step=true" in one(sound(), "held_out_loss_change_of_one_step").reason
    without = one(run(subject_of(trained()), rows=8, one_step=True), "held_out_loss_change_of_one_step")
    assert "--train-data" in without.reason


def gradients_drawn(random, mean, deviations, batches, rows) -> tuple[np.ndarray, np.ndarray]:
    """|g_i|^2 and g_i . G of Gaussian gradients: each row's has this mean and these deviations."""
    drawn = mean + random.normal(size=(batches, len(mean))) * deviations / np.sqrt(rows)
    return (drawn**2).sum(axis=1), drawn @ drawn.mean(axis=0)


def test_the_noise_scale_is_that_of_gradients_drawn_with_a_known_one():
    random = np.random.default_rng(0)
    mean, deviations = random.normal(size=300) / 10, random.uniform(0.2, 1.0, 300)
    truth, batches, rows = float((deviations**2).sum() / (mean**2).sum()), 16, 8
    signals, noises, held, told = [], [], [], 0
    for _ in range(600):
        squares, dots = gradients_drawn(random, mean, deviations, batches, rows)
        signal, noise = signal_and_noise(squares.mean(), dots.mean(), rows, batches)
        signals.append(signal)
        noises.append(noise)
        estimate = noise_scale(squares, dots, rows)
        if estimate.value is not None:
            told += 1
            held.append(estimate.covers(truth))
    assert np.mean(signals) == pytest.approx((mean**2).sum(), rel=0.02)
    assert np.mean(noises) == pytest.approx((deviations**2).sum(), rel=0.01)
    assert told > 590
    assert 0.92 < np.mean(held) <= 1


def test_without_a_true_gradient_hardly_any_noise_scale_is_told():
    random = np.random.default_rng(1)
    told = [
        noise_scale(*gradients_drawn(random, np.zeros(200), np.ones(200), 12, 8), 8).value is not None
        for _ in range(400)
    ]
    assert np.mean(told) < 0.05
    assert "cannot be told from none" in noise_scale(np.ones(4), np.full(4, 0.25), 8).reason


def test_batches_left_out_are_those_of_a_slow_loop():
    random = np.random.default_rng(2)
    drawn = random.normal(1, 2, (7, 20))
    squares, dots = (drawn**2).sum(axis=1), drawn @ drawn.mean(axis=0)
    slow = [float((np.delete(drawn, i, axis=0).mean(axis=0) ** 2).sum()) for i in range(7)]
    assert left_out(squares, dots) == pytest.approx(slow)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(3).normal(size=9)
    without = (values.sum() - values) / 8
    assert jackknife_error(without) == pytest.approx(values.std(ddof=1) / 3)
    assert student(9) == pytest.approx(2.306, abs=1e-3)  # of a table, 8 degrees of freedom


def test_the_recorded_batch_stands_beside_the_noise_scale():
    evidence = run(subject_of(trained(), training=planted_table()), rows=8, gradient_batches=12)
    scale, over = one(evidence, "gradient_noise_scale"), one(evidence, "batch_size_over_noise_scale")
    if scale.value is None:
        assert over.value is None and over.reason == scale.reason
    else:
        assert over.value == pytest.approx(12 / scale.value)


def with_record(folder: Path, change) -> Path:
    record = json.loads((folder / "training_record.json").read_text())
    change(record)
    (folder / "training_record.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(("losses", "sick"), [((0.5, 0.4, 0.6), True), ((0.6, 0.5, 0.4), False)])
def test_a_training_that_went_past_its_best_is_found(copied, losses, sick):
    def planted(record):
        for entry, loss in zip(record["history"], losses, strict=True):
            entry["evaluation"]["loss"], entry["train_loss"] = loss, loss

    evidence = run(subject_of(with_record(copied, planted)), rows=8)
    assert one(evidence, "last_evaluation_loss_over_lowest").value == pytest.approx(losses[-1] / min(losses))
    assert one(evidence, "chosen_evaluation_loss_over_lowest").value == pytest.approx(losses[-1] / min(losses))
    assert one(evidence, "training_loss_still_falling").value == pytest.approx(1 - losses[2] / losses[1])
    assert ("past-its-best" in found(evidence)) == sick


def test_without_a_record_its_numbers_are_absent_with_what_leaves_one(copied):
    (copied / "training_record.json").unlink()
    evidence = run(subject_of(copied), rows=8)
    for name in ("chosen_evaluation_loss_over_lowest", "training_loss_still_falling", "batch_size_over_noise_scale"):
        assert "training_record.json" in one(evidence, name).reason


@pytest.mark.parametrize(
    "part",
    [
        {"history": "none", "chosen": 3, "options": [], "hardware": None},
        {"history": [1, {"evaluation": [2], "train_loss": "low"}], "options": {"batch_size": "12"}},
        {"history": [{"evaluation": {"loss": 0.0}, "train_loss": 0}] * 2, "options": {"batch_size": 0}},
    ],
)
def test_a_record_that_holds_something_else_gives_no_number_and_no_error(copied, part):
    evidence = run(subject_of(with_record(copied, lambda record: record.update(part))), rows=8)
    for name in ("chosen_evaluation_loss_over_lowest", "training_loss_still_falling", "batch_size_over_noise_scale"):
        line = one(evidence, name)
        assert line.value is None and "record" in line.reason


def tuning_record(model_sha256: str) -> str:
    trial = {"parameters": {}, "curve": [], "n": 9, "seconds": 1.0, "seed": 0}
    names = ("objective", "data", "evaluation_data", "space", "options", "privacy", "tool", "versions")
    made: dict = {name: {} for name in names}
    trials = [
        {**trial, "number": i, "ending": end, "value": 0.5} for i, end in enumerate(("complete", "pruned", "failed"))
    ]
    return json.dumps(
        {**made, "task": "classification", "base": None, "architecture": None, "seed": 0, "sampler": "", "pruner": "",
         "trials_asked": 3, "trials": trials, "best": {"model_sha256": model_sha256}, "usual": None, "seconds": 3.0,
         "notes": [], "importance": {"method": "", "shares": {}, "intervals": {}, "n": 0, "reason": None, "caveat": ""}}
    )  # fmt: skip


def test_the_search_is_found_beside_the_checkpoint_that_it_chose_and_beside_no_other(copied):
    own = open_checkpoint(copied).files["model.safetensors"]
    (copied.parent / "tuning.json").write_text(tuning_record(own))
    evidence = run(subject_of(copied), rows=8)
    trials = one(evidence, "tuning_trials")
    assert (trials.value, trials.n) == (2, 3) and "never-tuned" not in found(evidence)
    (copied.parent / "tuning.json").write_text(tuning_record("0" * 64))
    evidence = run(subject_of(copied), rows=8)
    assert one(evidence, "tuning_trials").value is None
    assert found(evidence)["never-tuned"].mitigation.command.startswith("aboveboard tune --task classification --base ")
    assert one(run(subject_of(copied), rows=8, tuning_record=str(copied.parent)), "tuning_trials").value == 2


def test_a_study_that_was_named_and_is_none_is_refused_by_name(copied):
    with pytest.raises(ValidationError, match=r"holds no tuning\.json"):
        OptimizabilityOptions(tuning_record=str(copied))


def test_a_model_that_is_not_asked_through_torch_is_told_so():
    evidence = run(stub_subject(texts=["a", "b"], answer=lambda text: [0.5, 0.5], targets=[0, 1]))
    for name in ("compressed_bytes_ratio", "compressed_quality_difference"):
        assert "through torch" in one(evidence, name, compression=INT8).reason
    assert "through torch" in one(evidence, "matrices_without_gradient").reason


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("bert.encoder.layer.0.output.dense.weight", "bert.encoder.layer.0"),
        ("bert.embeddings.word_embeddings.weight", "bert.embeddings"),
        ("classifier.weight", "classifier"),
        ("model.layers.11.mlp.up_proj.weight", "model.layers.11"),
    ],
)
def test_a_parameter_belongs_to_its_layer(name, layer):
    assert layer_of(name) == layer
