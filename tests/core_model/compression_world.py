"""Tiny checkpoints of several families as folders, for tests that write them again. Random weights, synthetic."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from core_model.checkpoint import Checkpoint, open_checkpoint
from tests.core_model.prediction_models import DECODERS, open_tiny, open_writer

SENTENCES = ["a good book", "the king said that this is a bad meal in the city", "he", "two old friend people saw it"]


@cache
def classifier(family: str = "bert") -> Checkpoint:
    """A classifier whose logits spread. Tests do not change its folder."""
    return _written(open_tiny(Path(mkdtemp()), family), f"{family}-classifier")


@cache
def writer(family: str) -> Checkpoint:
    """A causal language model, or an encoder-decoder."""
    return _written(open_writer(Path(mkdtemp()), family), family)


def _written(opened: Any, name: str) -> Checkpoint:
    folder = Path(mkdtemp()) / name
    opened.load_model().save_pretrained(folder)
    opened.load_tokenizer().save_pretrained(folder)
    return open_checkpoint(folder)


def logits(checkpoint: Checkpoint, model: Any = None) -> Any:
    """What transformers' own forward says of the sentences, padding left out: a list of (..., width) tensors."""
    import torch

    model = model if model is not None else checkpoint.load_model()
    tokens = checkpoint.load_tokenizer()(SENTENCES, padding=True, return_tensors="pt")
    tokens = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    if model.config.is_encoder_decoder:
        tokens["decoder_input_ids"] = torch.tensor([[2, 30, 40, 50]] * len(SENTENCES))
    with torch.inference_mode():
        found = model(**tokens).logits
    if model.config.is_encoder_decoder or found.dim() == 2:
        return found
    return found[tokens["attention_mask"].bool()]


__all__ = ["DECODERS", "SENTENCES", "classifier", "logits", "writer"]
