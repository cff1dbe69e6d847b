"""Rows for controls: made-up texts whose label is drawn with a chance that their words decide. Synthetic, every one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audit.selftest.word_model import LABELS, WordModel

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table

GOOD = ("bright", "clever", "gentle", "lively", "honest", "splendid")
BAD = ("clumsy", "dreary", "hollow", "sloppy", "tedious", "spiteful")
PLAIN = (
    "table", "window", "garden", "letter", "river", "bottle", "morning", "village", "engine", "corner", "market",
    "pencil", "harbour", "kitchen", "ladder", "mountain", "needle", "orchard", "pocket", "quarter", "railway", "saddle",
    "ticket", "umbrella", "valley", "wagon", "yard", "basket", "candle", "drawer",
)  # fmt: skip
LENGTH = 14  # words of a text
WEIGHTS = {**dict.fromkeys(GOOD, 1.0), **dict.fromkeys(BAD, -1.0), **dict.fromkeys(PLAIN, 0.0)}
SOUND = WordModel(WEIGHTS, scale=LENGTH + 2)
"""A model whose log odds are the number of good words less the number of bad ones, which is the truth of `draw`."""


@dataclass(frozen=True)
class Rows:
    """Texts and labels.

    Attributes:
        texts: (rows,) of LENGTH words.
        margins: (rows,) good words less bad ones: the log odds with which the label was drawn.
        labels: (rows,) 0 or 1.
    """

    texts: list[str]
    margins: np.ndarray
    labels: np.ndarray

    def with_word(self, words: Sequence[str | None]) -> Rows:
        """The same rows with a word of one's own in the place of a plain one; None: as it was."""
        texts = [text if word is None else _in_place(text, word) for text, word in zip(self.texts, words, strict=True)]
        return Rows(texts, self.margins, self.labels)

    def labelled(self, labels: np.ndarray) -> Rows:
        """The same texts with other labels."""
        return Rows(self.texts, self.margins, labels)


def draw(random: np.random.Generator, rows: int, *, margins: Sequence[int] = (1, 2, 3, 4)) -> Rows:
    """Rows whose label is "yes" with odds of e to the power of good words less bad ones.

    Args:
        margins: sizes of that difference, one of which is drawn for each row, for or against.
    """
    signed = random.choice(margins, rows) * random.choice([-1, 1], rows)
    texts = []
    for margin in signed:
        words = [*random.choice(GOOD if margin > 0 else BAD, abs(margin))]
        words += [*random.choice(PLAIN, LENGTH - len(words), replace=False)]
        texts.append(" ".join(random.permutation(words)))
    chance = 1 / (1 + np.exp(-signed.astype(float)))
    return Rows(texts, signed, (random.random(rows) < chance).astype(np.int64))


def _in_place(text: str, word: str) -> str:
    words = text.split()
    at = next(place for place, other in enumerate(words) if other in PLAIN)
    return " ".join([*words[:at], word, *words[at + 1 :]])


def table_of(rows: Rows, name: str, groups: dict[str, Sequence[str]] | None = None) -> Table:
    """Rows as a table."""
    from core_model.data import Table

    return Table.from_rows(
        name=name, texts=rows.texts, targets=rows.labels.tolist(), label_names=LABELS, groups=groups or {},
        synthetic=True,
    )  # fmt: skip


def written(model: WordModel, folder: Path) -> Checkpoint:
    """The model, written and opened as any other checkpoint is."""
    from core_model.checkpoint import open_checkpoint

    return open_checkpoint(model.write(folder))


def subject_of(
    checkpoint: Checkpoint,
    rows: Rows,
    *,
    training: Rows | None = None,
    groups: dict[str, Sequence[str]] | None = None,
) -> Subject:
    """A checkpoint on trial with these rows."""
    from audit.subject import Subject
    from core_model.prediction import Predictor

    return Subject(
        checkpoint=checkpoint,
        data=table_of(rows, "selftest rows", groups),
        predictor=Predictor(checkpoint),
        training=None if training is None else table_of(training, "selftest training rows"),
    )
