"""Made-up rows and systems for the audits of tasks that write: every one synthetic, every fault planted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from audit.subject import Subject
from core_model.tasks import Task
from tests.factories import stub_writing_subject

LEXICON = {
    "the": "der", "a": "ein", "red": "rot", "blue": "blau", "old": "alt", "new": "neu", "book": "Buch", "page": "Seite",
    "cell": "Zelle", "sheet": "Blatt", "table": "Tabelle", "word": "Wort", "reads": "liest", "holds": "hält",
    "opens": "öffnet", "closes": "schließt", "one": "eins", "two": "zwei", "three": "drei", "first": "zuerst",
}  # fmt: skip
ENGLISH, GERMAN = list(LEXICON), list(LEXICON.values())


def sentences(count: int, *, seed: int, shortest: int = 4, longest: int = 14) -> list[str]:
    """Sentences of English words."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(ENGLISH, int(random.integers(shortest, longest + 1)))) for _ in range(count)]


def translated(text: str) -> str:
    """Word for word."""
    return " ".join(LEXICON[word] for word in text.split())


def spoiled(text: str, share: float) -> str:
    """The translation with about this share of its words wrong; the same text is spoiled in the same way."""
    random = np.random.default_rng(sum(map(ord, text)) + len(text))
    words = translated(text).split()
    return " ".join(str(random.choice(GERMAN)) if random.random() < share else word for word in words)


def translation(
    write: Callable[[str], str] = lambda text: spoiled(text, 0.2),
    *,
    rows: int = 150,
    training: int = 0,
    leaked: int = 0,
) -> Subject:
    """English to German; the first `leaked` test rows stand in the training rows."""
    texts, more = sentences(rows, seed=0), sentences(training, seed=1)
    known = [*more, *texts[:leaked]]
    return stub_writing_subject(
        Task.TRANSLATION, texts=texts, references=[translated(t) for t in texts], write=write,
        training={"texts": known, "references": [translated(t) for t in known]} if known else None,
    )  # fmt: skip


def summarization(write: Callable[[str], str], *, rows: int = 150, training: int = 0) -> Subject:
    """The summary is the last three words."""
    texts, more = sentences(rows, seed=2, shortest=8), sentences(training, seed=3, shortest=8)

    def columns(some: list[str]) -> dict[str, Any]:
        return {"texts": some, "references": [" ".join(text.split()[-3:]) for text in some]}

    return stub_writing_subject(
        Task.SUMMARIZATION, write=write, training=columns(more) if more else None, **columns(texts)
    )


def questions(write: Callable[[str, str], str], *, rows: int = 150) -> Subject:
    """What colour? The second sentence of the context says it."""
    random = np.random.default_rng(4)
    colours = [str(c) for c in random.choice(["red", "blue", "green"], rows)]
    contexts = [f"There is a book {i}. It is {colour} all over. It lies there." for i, colour in enumerate(colours)]
    return stub_writing_subject(
        Task.QUESTION_ANSWERING, texts=[f"Which colour is book {i}?" for i in range(rows)], pairs=contexts,
        references=[json.dumps([colour, f"It is {colour}"]) for colour in colours], write=write,
    )  # fmt: skip


def language(nats: Callable[[str], float], *, rows: int = 150, training: int = 0) -> Subject:
    """Sentences that a model foresees, or not."""
    return stub_writing_subject(
        Task.LANGUAGE_MODELING, texts=sentences(rows, seed=5), nats=nats,
        training={"texts": sentences(training, seed=6)} if training else None,
    )  # fmt: skip
