"""Planted worlds for every task but classification: small rules that a small model can learn. Synthetic."""

from __future__ import annotations

import numpy as np

from core_model.architectures import Architecture
from core_model.data import Table
from core_model.tasks import Task

ANIMALS = {"dog": "Hund", "cat": "Katze", "bird": "Vogel", "fish": "Fisch", "horse": "Pferd"}
VERBS = {"sees": "sieht", "hears": "hört", "likes": "mag", "follows": "verfolgt"}
TINY = {"layers": 1, "hidden": 32, "heads": 2, "feed_forward": 64, "vocabulary": 300, "max_length": 48, "dropout": 0.0}
SHAPES = {
    Task.LANGUAGE_MODELING: Architecture(kind="decoder", **TINY),
    Task.TRANSLATION: Architecture(kind="encoder-decoder", **TINY),
    Task.SUMMARIZATION: Architecture(kind="encoder-decoder", family="t5", **TINY),
    Task.QUESTION_ANSWERING: Architecture(kind="encoder", **TINY),
}


def world(task: Task, rows: int = 64, seed: int = 0) -> Table:
    """Sentences of "the dog sees the cat": translated word by word, cut to their subject, or asked for it."""
    random = np.random.default_rng(seed)
    chosen = [
        (str(random.choice(list(ANIMALS))), str(random.choice(list(VERBS))), str(random.choice(list(ANIMALS))))
        for _ in range(rows)
    ]
    english = [f"the {who} {does} the {whom}" for who, does, whom in chosen]
    if task is Task.LANGUAGE_MODELING:
        return Table.from_rows(name="planted", texts=english, synthetic=True)
    if task is Task.QUESTION_ANSWERING:
        contexts = ["so " * int(random.integers(4)) + sentence for sentence in english]  # the answer's place varies
        return Table.from_rows(
            name="planted", texts=[f"who {does} the {whom} ?" for _, does, whom in chosen], pairs=contexts,
            references=[f"the {who}" for who, _, _ in chosen], text_column="question", pair_column="context",
            reference_column="answer", synthetic=True,
        )  # fmt: skip
    german = [f"{ANIMALS[who]} {VERBS[does]} {ANIMALS[whom]}" for who, does, whom in chosen]
    references = german if task is Task.TRANSLATION else [who for who, _, _ in chosen]
    return Table.from_rows(name="planted", texts=english, references=references, text_column="en", synthetic=True)
