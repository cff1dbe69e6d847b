"""Canaries: made-up rows that are put into a training by fair coins, so that its privacy can be audited in one run.

They are made to be rememberable: rare words in an order that nobody writes, and what is to be learnt from them drawn by
lot, so that only who has seen a canary can know it. Half of them, on average, enter the training; the others are held
back. `canaries.json` beside the checkpoint holds all of them with their coins: the auditor scores them without looking
at the coins, and the scores and coins together bound epsilon from below (`privacy.one_run`).

Source: Steinke, Nasr and Jagielski 2023, arXiv:2305.08846; Carlini et al. 2019, arXiv:1802.08232 (canaries).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from core_model.data_table import Table, frozen
from core_model.errors import CheckpointDamaged, CheckpointMissing, OptionUnfit
from core_model.files import write_atomically
from core_model.tasks import Task

NAME = "canaries.json"
WORDS = 8  # of a canary: few enough to be learnt whole, enough to be unlike everything else
LEAST = 2


class Canary(BaseModel):
    """One made-up row and its coin.

    Attributes:
        text: what the model reads. pair: the second text, where the task has one.
        wanted: the label, or the text to write; None where a text alone is learnt.
        included: whether the coin put it into the training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    pair: str | None = None
    wanted: str | None = None
    included: bool


class Canaries(BaseModel):
    """What `canaries.json` holds.

    Attributes:
        task: whose rows these are.
        synthetic: always true: nobody wrote these texts.
        data_sha256: of the training rows without canaries.
        canaries: in the order in which they were made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal["1.0"] = "1.0"
    task: Task
    synthetic: Literal[True] = True
    data_sha256: str
    canaries: tuple[Canary, ...]

    @model_validator(mode="after")
    def _enough(self) -> Canaries:
        if len(self.canaries) < LEAST:
            raise ValueError(f"{len(self.canaries)} canaries; a bound needs {LEAST} at least")
        return self

    @property
    def included(self) -> np.ndarray:
        """The coins, (canaries,) bool."""
        return np.array([canary.included for canary in self.canaries], dtype=bool)


def make_canaries(table: Table, task: Task, count: int, *, random: np.random.Generator) -> Canaries:
    """Canaries for a table of training rows.

    Args:
        table: whose words are used, and whose labels; its rows are not copied.
        count: how many are made; about half of them will be trained on.
        random: draws words, labels and coins. For a real audit: from the operating system's entropy.
    Raises: OptionUnfit for fewer than two canaries, or a table without enough words.
    """
    if count < LEAST:
        raise OptionUnfit(f"{count} canaries", mend="--canaries 1000, or another number of 2 or more")
    words = _rare_words(table)

    def made_up(length: int) -> str:
        return " ".join(str(word) for word in random.choice(words, length))

    def wanted() -> str | None:
        if table.has_labels:
            return str(random.choice(table.label_names))
        return None if table.references is None else made_up(WORDS)

    coins = random.random(count) < 0.5
    made = tuple(
        Canary(
            text=made_up(WORDS),
            pair=None if table.pairs is None else made_up(WORDS),
            wanted=wanted(),
            included=bool(coin),
        )
        for coin in coins
    )
    if task is Task.QUESTION_ANSWERING and table.references is not None:  # an answer is a part of its context
        made = tuple(c.model_copy(update={"wanted": " ".join(str(c.pair).split()[2:4])}) for c in made)
    return Canaries(task=task, data_sha256=table.sha256, canaries=made)


def with_canaries(table: Table, canaries: Canaries) -> Table:
    """The training rows and, behind them, the canaries that their coins included."""
    chosen = [canary for canary in canaries.canaries if canary.included]
    extra = as_table(canaries, table).select(canaries.included)
    # Each is a group, and so a unit of privacy, of its own.
    names = np.array([f"(canary {place})" for place in range(len(chosen))], dtype=object)
    groups = {column: frozen(np.concatenate([values, names])) for column, values in table.groups.items()}
    return replace(
        table,
        texts=Chained(table.texts, extra.texts),
        pairs=None if table.pairs is None or extra.pairs is None else Chained(table.pairs, extra.pairs),
        references=(
            None
            if table.references is None or extra.references is None
            else Chained(table.references, extra.references)
        ),
        target_indices=frozen(np.concatenate([table.targets, extra.targets])) if table.has_labels else None,
        groups=groups,
        file_sha256=None,
        taken_from=None,
    )


def as_table(canaries: Canaries, like: Table) -> Table:
    """All canaries, in and out, as rows like those of a table."""
    made = canaries.canaries
    place = {name: i for i, name in enumerate(like.label_names)}
    return Table.from_rows(
        name=NAME,
        texts=[canary.text for canary in made],
        pairs=None if like.pairs is None else [canary.pair or "" for canary in made],
        references=None if like.references is None else [canary.wanted or "" for canary in made],
        targets=[place[str(canary.wanted)] for canary in made] if like.has_labels else None,
        label_names=like.label_names,
        synthetic=True,
    )


def write_canaries(folder: Path, canaries: Canaries) -> Path:
    """Write `canaries.json`, whole or not at all.

    Raises: OutputUnwritable.
    """
    text = json.dumps(canaries.model_dump(mode="json"), indent=1, ensure_ascii=False)
    return write_atomically(folder / NAME, text + "\n")


def read_canaries(folder: Path) -> Canaries:
    """The canaries of a checkpoint.

    Raises: CheckpointMissing without the file; CheckpointDamaged when it does not fit, with the first field.
    """
    file = folder / NAME
    try:
        return Canaries.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointMissing(
            f"{file}: this checkpoint was trained without canaries", mend="aboveboard train --private --canaries 1000"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointDamaged(f"{file} cannot be read ({error})", mend="the file that the training wrote") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise CheckpointDamaged(
            f"{file} holds no canaries: {where}: {first['msg']}", mend="the file that the training wrote"
        ) from error


class Chained(Sequence[str]):
    """Two columns of texts, one behind the other, as lazy as they are."""

    def __init__(self, first: Sequence[str], second: Sequence[str]) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        return self.first[place] if place < len(self.first) else self.second[place - len(self.first)]

    def __iter__(self) -> Iterator[str]:
        return chain(self.first, self.second)


def _rare_words(table: Table) -> np.ndarray:
    """Words of the table that occur seldom, so that the model knows them and nobody writes them side by side."""
    from collections import Counter
    from itertools import islice

    counts = Counter(word for text in islice(table.texts, 20_000) for word in set(text.lower().split()))
    plain = [word for word in counts if word.isalpha()]
    plain.sort(key=lambda word: (counts[word], word))
    rare: list[Any] = plain[: max(len(plain) // 2, 50)]
    if len(rare) < WORDS:
        raise OptionUnfit(
            f"{table.name} has {len(rare)} words of letters; canaries are made of {WORDS} and more",
            mend="leave --canaries out",
        )
    return np.array(rare, dtype=object)
