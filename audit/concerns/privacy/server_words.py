"""Which words did a client write? Tokens guessed from the embeddings that moved, against those that it really wrote.

An attacker names the tokens whose embedding moved. Noise moves all of them: then it names those that moved farthest, as
many as that many held-out rows would hold. Beside it stands an attacker who sees no update and names as many of the
most frequent tokens of the held-out rows: most words of any text are common words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.tasks import Task

if TYPE_CHECKING:
    from federated.update_attacks import TokenScores
    from federated.workbench import Workbench

HELD_OUT = -1
NEARLY_ALL = 0.99  # of the tokens moved: noise, or an output layer that shares the embedding, moves every one
CHUNK = 256  # rows that are looked at together


@dataclass(frozen=True)
class Words:
    """What was written.

    Attributes:
        wrote: by client, (vocabulary,) bool, its tokens without the special ones.
        common: (vocabulary,) how many held-out rows hold each token; -1 for special ones, which nobody guesses.
        expected: by client, how many different tokens that many held-out rows hold.
    """

    wrote: Mapping[int, np.ndarray]
    common: np.ndarray
    expected: Mapping[int, int]

    def everybody(self) -> np.ndarray:
        """What any of them wrote, (vocabulary,) bool."""
        return np.any(list(self.wrote.values()), axis=0)

    def guessed(self, found: TokenScores, *, expected: int) -> np.ndarray:
        """Tokens that an attacker names who saw the embeddings move, (vocabulary,) bool."""
        ordinary = self.common >= 0
        seen: np.ndarray = found.seen & ordinary
        if seen[ordinary].mean() < NEARLY_ALL:
            return seen
        return _largest(np.where(ordinary, found.moved, -1.0), expected)

    def without_updates(self, count: int) -> np.ndarray:
        """So many of the most frequent tokens of the held-out rows, (vocabulary,) bool."""
        return _largest(self.common, count)


def words_of(bench: Workbench, task: Task, of_row: np.ndarray) -> Words | None:
    """What every client wrote, and the held-out rows; None where the model has no embedding of tokens.

    Args:
        of_row: (rows of the bench,) whose row it is; HELD_OUT for one that nobody has.
    """
    size = int(getattr(bench.task.model.config, "vocab_size", 0))
    if not size:
        return None
    ordinary = np.ones(size, dtype=bool)
    ordinary[[number for number in bench.task.tokenizer.all_special_ids if number < size]] = False
    rows = {int(client): np.flatnonzero(of_row == client) for client in np.unique(of_row)}
    common, growth = np.zeros(size, np.int64), [0]
    for row in rows.pop(HELD_OUT, ()):
        common += _tokens(bench, task, np.array([row]), size)
        growth.append(int((common[ordinary] > 0).sum()))
    wrote = {client: _tokens(bench, task, own, size) & ordinary for client, own in rows.items()}
    expected = {client: growth[min(len(own), len(growth) - 1)] for client, own in rows.items()}
    return Words(wrote, np.where(ordinary, common, -1), expected)


def _tokens(bench: Workbench, task: Task, rows: np.ndarray, size: int) -> np.ndarray:
    """(vocabulary,) bool, the tokens of these rows; of what is to be written, too."""
    examples: Any = bench.task.training
    origins = getattr(examples, "origins", None)
    places = rows if origins is None else np.flatnonzero(np.isin(origins, rows))
    there = np.zeros(size, dtype=bool)
    for begin in range(0, len(places), CHUNK):
        batch = bench.task.batch(examples, places[begin : begin + CHUNK])
        ids = batch["input_ids"][batch["attention_mask"].bool()].numpy()
        there[ids] = True
        if task in (Task.TRANSLATION, Task.SUMMARIZATION):
            written = batch["labels"].numpy()
            there[written[written >= 0]] = True
    return there


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    chosen = np.zeros(len(values), dtype=bool)
    chosen[np.argsort(-values, kind="stable")[: max(count, 0)]] = True
    return chosen
