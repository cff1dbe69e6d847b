"""Controls of the optimizability audit: a layer that is shut, and a training that went past its best."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, draw, subject_of, written

ROWS = 96
SPREAD = 0.05  # of what is added to every weight, so that each gets a gradient
SHUT = -1e4  # so far below 0 GELU is 0, and so is its slope
LAYER = "bert.encoder.layer.0.intermediate.dense.bias"
SMALL = {"rows": 8, "timed_rows": 2, "timed_rounds": 2, "gradient_batches": 6}


def _shut_layer(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    import torch
    from safetensors.torch import load_file, save_file

    from core_model.checkpoint import open_checkpoint

    file = SOUND.write(folder) / "model.safetensors"
    weights = load_file(file)
    for name, weight in weights.items():
        noise = random.normal(scale=SPREAD, size=tuple(weight.shape)).astype(np.float32)
        weights[name] = weight + torch.from_numpy(noise)
    if sick:
        weights[LAYER] = torch.full_like(weights[LAYER], SHUT)
    save_file(weights, file, metadata={"format": "pt"})
    return Case(subject_of(open_checkpoint(folder), draw(random, ROWS)))


def _past_its_best(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    losses = sorted(random.uniform(0.3, 0.6, 4), reverse=not sick)
    history = [
        {"step": step, "epoch": step, "train_loss": 0.6 - 0.1 * step, "evaluation": {"loss": loss, "n": ROWS}}
        for step, loss in enumerate(losses, start=1)
    ]
    written(SOUND, folder)
    record = {"history": history, "chosen": {"step": 4, "because": "the last epoch"}}
    (folder / "training_record.json").write_text(json.dumps(record), encoding="utf-8")
    from core_model.checkpoint import open_checkpoint

    return Case(subject_of(open_checkpoint(folder), draw(random, ROWS)))


CONTROLS = (
    Control(
        "shut-layer", "a feed-forward layer is shut, so that no gradient comes through",
        Sign(finding="optimizability-dead"), _shut_layer, SMALL,
    ),
    Control(
        "past-its-best", "the weights of the last evaluation were kept, though an earlier one was better",
        Sign(finding="optimizability-past-its-best"), _past_its_best, SMALL,
    ),
)  # fmt: skip
