"""Made-up rows with planted faults for the tests of preparation. All of it is synthetic."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.factories import write_rows

WORDS = [f"{a}{b}{c}" for a in ("ka", "lo", "mi", "su", "te") for b in ("ra", "ne", "do", "vi") for c in "xyzwq"]


def sentence(chance: random.Random, words: int) -> list[str]:
    return [chance.choice(WORDS) for _ in range(words)]


def families(seed: int, count: int, *, variants: int = 4) -> list[str]:
    """Texts of which many are variants of one another: one word changed, one added, one left out; shuffled."""
    chance = random.Random(seed)
    texts = []
    for _ in range(count):
        words = sentence(chance, chance.randint(24, 40))
        texts.append(" ".join(words))
        for _ in range(chance.randint(0, variants)):
            changed = list(words)
            place = chance.choice([0, 1, len(words) - 2, len(words) - 1])  # at the ends few shingles change
            kind = chance.choice(["change", "add", "leave out"])
            if kind == "change":
                changed[place] = chance.choice(WORDS)
            elif kind == "add":
                changed.insert(place, chance.choice(WORDS))
            else:
                del changed[place]
            texts.append(" ".join(changed))
    chance.shuffle(texts)
    return texts


def runs(text: str) -> set[tuple[str, ...]]:
    """Its runs of three words."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def similarity(a: str, b: str) -> float:
    """Jaccard similarity of three-word shingles, written down once more: the tests' oracle."""
    return len(runs(a) & runs(b)) / len(runs(a) | runs(b))


def near_pairs(texts: Sequence[str], threshold: float) -> set[tuple[int, int]]:
    """All pairs (a, b), a < b, at least so similar: every pair is looked at."""
    sets = [runs(text) for text in texts]
    return {
        (a, b)
        for a, b in itertools.combinations(range(len(texts)), 2)
        if len(sets[a] & sets[b]) >= threshold * len(sets[a] | sets[b])
    }


def write(folder: Path, rows: Iterable[dict[str, Any]], name: str = "rows.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return write_rows(folder / name, list(rows))


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def parts(prepared: Any) -> dict[str, list[dict[str, Any]]]:
    return {part: read(file) for part, file in prepared.files.items()}


def step(prepared: Any, name: str) -> dict[str, Any]:
    [found] = [step for step in prepared.card["steps"] if step["name"] == name]
    return found


def dropped(prepared: Any, name: str) -> dict[str, list[int]]:
    """Why -> the first rows that a step dropped."""
    return {entry["reason"]: entry["examples"] for entry in step(prepared, name)["dropped"]}
