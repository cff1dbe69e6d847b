"""How a request is paid for once: what the cache knows is read, the rest is planned into batches and computed.

Every kind of question (logits, scores, generations, answers) goes this way, so that the promise of equal bits is kept
in one place. A batch's composition follows from the request and from what earlier requests left open, never from how
far this request had come before it was interrupted: the cache remembers which request computed a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice

import numpy as np

from core_model.length_buckets import BATCH_COST, plan_batches
from core_model.prediction_cache import REQUEST_BYTES, PredictionCache
from core_model.prediction_forward import Forward

WINDOW = 65_536  # rows tokenized and planned at a time: a million rows take no more memory than these


@dataclass(frozen=True)
class Place:
    """Where some rows stand in a request: rows `before` them, `rows` of them, rows `in_all`."""

    before: int
    rows: int
    in_all: int


def windows(
    texts: Sequence[str], others: Sequence[str] | None = None
) -> Iterator[tuple[Place, list[str], list[str] | None]]:
    """Some rows at a time, read once from front to back; `others` (pairs, targets, contexts) beside their texts.

    Raises: ValueError when texts and others differ in number.
    """
    if others is not None and len(others) != len(texts):
        raise ValueError(f"{len(texts)} texts, but {len(others)} beside them")
    first = iter(texts)
    second = iter(others) if others is not None else None
    before = 0
    while some := list(islice(first, WINDOW)):
        yield Place(before, len(some), len(texts)), some, None if second is None else list(islice(second, WINDOW))
        before += len(some)


@dataclass(frozen=True)
class Work:
    """Distinct inputs of one kind, and how a batch of them is computed.

    Attributes:
        keys: the name of each input, 16 bytes, ascending; it says all that the record depends on.
        lengths: (inputs,) int64, what each input takes of a batch's budget, in tokens.
        run: indices of some inputs -> their records, and how many rows went through the model for them.
        budget: tokens in a batch, padding included.
        padding: whether inputs of different lengths may share a batch.
        batch_cost: what a batch costs beyond its tokens, in tokens.
    """

    keys: Sequence[bytes]
    lengths: np.ndarray
    run: Callable[[np.ndarray], tuple[Sequence[bytes], int]]
    budget: int
    padding: bool = True
    batch_cost: int = BATCH_COST


def paid_once(
    work: Work,
    *,
    forward: Forward,
    cache: PredictionCache | None,
    threads: int,
    told: Callable[[int, int], None],
) -> list[bytes]:
    """The record of each input, from the cache or from the model.

    Args:
        told: called as batches end with (rows that went through the model for it, inputs answered so far).
    """
    request = blake2b(b"".join(work.keys), digest_size=REQUEST_BYTES, salt=str(work.budget).encode()).digest()
    held = cache.lookup(work.keys) if cache is not None else {}
    plan = _plan(work, held, request)
    answers = {key: record[REQUEST_BYTES:] for key, record in held.items()}
    to_do = [batch for batch in plan if any(work.keys[row] not in held for row in batch)]
    try:
        with closing(forward.each(to_do, work.run, threads)) as results:
            for batch, (records, passes) in results:
                keys = [work.keys[row] for row in batch]
                for key, record in zip(keys, records, strict=True):
                    answers.setdefault(key, record)  # the first answer stays
                if cache is not None:
                    cache.store(keys, records, request)
                    cache.flush(force=False)
                told(passes, len(answers))
    finally:  # an interrupted request keeps what it has
        theirs = cache.flush() if cache is not None else {}
    answers.update({key: record[REQUEST_BYTES:] for key, record in theirs.items() if key in answers})
    told(0, len(answers))
    return [answers[key] for key in work.keys]


def _plan(work: Work, held: dict[bytes, bytes], request: bytes) -> list[np.ndarray]:
    """Batches over what earlier requests left open, as if this one had not begun."""
    open_rows = np.array(
        [row for row, key in enumerate(work.keys) if key not in held or held[key].startswith(request)], dtype=np.int64
    )
    batches = plan_batches(work.lengths[open_rows], work.budget, padding=work.padding, batch_cost=work.batch_cost)
    return [open_rows[batch] for batch in batches]


def distinct(keys: Sequence[bytes]) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    """Each key once.

    Returns: the keys, ascending, so that the order of rows does not matter; for each the first row that has it, and
        for each row the place of its key, both int64.
    """
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    names = sorted(first)
    place = {key: number for number, key in enumerate(names)}
    rows = np.array([first[key] for key in names], dtype=np.int64)
    return names, rows, np.array([place[key] for key in keys], dtype=np.int64)


def name_of(kind: str, *parts: np.ndarray, device: str) -> bytes:
    """A key of 16 bytes for token ids.

    Args:
        kind: what is asked, with every setting that could change the record.
        parts: one or more arrays of ids.
        device: kind of device; its last bits differ from another's.
    """
    salt = blake2b(kind.encode(), digest_size=16).digest()
    hashed = blake2b(digest_size=16, salt=salt, person=device.encode())
    for part in parts:
        hashed.update(np.int32(len(part)).tobytes() + part.astype(np.int32).tobytes())
    return hashed.digest()
