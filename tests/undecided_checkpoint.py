"""A tiny classifier that answers texts differently without having learned anything: for tests of votes. Synthetic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.factories import write_checkpoint


def write_undecided_checkpoint(folder: Path, texts: Sequence[str]) -> Path:
    """Random weights, one layer of 16, and a bias that puts half of the texts (rows,) into either of two classes."""
    import torch
    from safetensors.torch import load_file, save_file

    from core_model.checkpoint import open_checkpoint
    from core_model.prediction import Predictor

    write_checkpoint(folder, hidden=16, layers=1)
    random = torch.Generator().manual_seed(0)
    weights = load_file(folder / "model.safetensors")
    weights = {name: value + 0.2 * torch.randn(value.shape, generator=random) for name, value in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    logits = Predictor(open_checkpoint(folder), cache=None).predict(texts).logits
    weights["classifier.bias"][1] -= float(np.median(logits[:, 1] - logits[:, 0]))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
