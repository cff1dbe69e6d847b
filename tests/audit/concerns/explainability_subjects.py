"""Checkpoints with a known reason: one that learned a single word, and one that learned nothing. Synthetic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audit.subject import Subject
from core_model.checkpoint import open_checkpoint
from core_model.data import Table
from core_model.prediction import Predictor
from reports.catalogue import language
from reports.document.vocabulary import fixed_words
from reports.language import speaking
from tests.factories import WORDS, write_checkpoint

SHORTCUT = "bird"


def texts_with_shortcut(rows: int, *, seed: int, word: str = SHORTCUT) -> tuple[list[str], np.ndarray]:
    """Random words; every second row holds the shortcut, once, somewhere."""
    others, random = [other for other in WORDS if other != word], np.random.default_rng(seed)
    texts, holds = [], np.arange(rows) % 2 == 1
    for has in holds:
        words = list(random.choice(others, size=int(random.integers(5, 14))))
        if has:
            words.insert(int(random.integers(len(words) + 1)), word)
        texts.append(" ".join(words))
    return texts, holds.astype(np.int64)


def write_shortcut_checkpoint(folder: Path, *, steps: int = 60, word: str = SHORTCUT) -> Path:
    """The tiny classifier, trained until one word decides everything."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    write_checkpoint(folder, layers=1)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for step in range(steps):
        texts, labels = texts_with_shortcut(32, seed=1000 + step, word=word)
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        loss = model(**inputs, labels=torch.from_numpy(labels)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    return folder


def subject_of(
    folder: Path,
    texts: Sequence[str],
    targets: Sequence[int] | np.ndarray | None,
    groups: dict[str, Sequence[str]] | None = None,
    **predictor: Any,
) -> Subject:
    """A checkpoint on planted rows."""
    opened = open_checkpoint(folder)
    table = Table.from_rows(
        name="planted", texts=list(texts), targets=None if targets is None else list(targets),
        label_names=opened.labels, groups=groups or {}, synthetic=True,
    )  # fmt: skip
    return Subject(checkpoint=opened, data=table, predictor=Predictor(opened, **predictor))


def english_only(evidence: Any, name: str) -> set[str]:
    """Units, names, reasons and words of charts of which a language's catalogue knows nothing."""
    texts = {one for figure in evidence.figures for one in (figure.title, figure.x_label, figure.y_label)}
    for line in evidence.metrics:
        texts |= {line.unit, line.name.replace("_", " "), line.reason}
    with speaking(language(name)):
        return {text for text in texts if text and fixed_words(text) is None}
