"""The training that a record tells of, run again: what it needs, what is missing, and what comes out.

    facts = missing_facts(record)                                   # what the record does not say
    problem = why_not(record, data, base)                           # what is not at hand
    again = retrain(record, data=data, base=base, out=folder, steps=4)

The options, the seed and the number of threads are the record's. Evaluations on the way are left out: they change no
weight, unless early stopping chooses by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from core_model.prediction_forward import torch_threads
from core_model.training_options import TrainingOptions

if TYPE_CHECKING:
    from core_model.architectures import Architecture
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.training_result import TrainingResult

# What a training run follows from, and where a record says it.
FACTS: Mapping[str, tuple[str, ...]] = {
    "hash of the training rows": ("data", "sha256"),
    "column of the text": ("data", "text_column"),
    "hash of the base, or the shape of a model from scratch": ("base", "sha256"),
    "every option": ("options",),
    "seed": ("seed",),
    "device": ("hardware", "device"),
    "number format": ("hardware", "dtype"),
    "threads": ("hardware", "threads"),
    "processes": ("hardware", "processes"),
    "version of Python": ("versions", "python"),
    "version of torch": ("versions", "torch"),
    "version of transformers": ("versions", "transformers"),
    "version of the program that trained": ("tool", "version"),
    "hash of the weights": ("model_sha256",),
}

OTHER_PARTS = ("teacher_", "distill_", "pretrain_")  # in a record's identity: what else had a part in the training


def missing_facts(record: Mapping[str, Any]) -> list[str]:
    """Which of `FACTS` a training record does not say; none of them, where it says all."""
    return [name for name, path in FACTS.items() if not _said(record, path)]


def _said(record: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    if path[0] == "base" and record.get("base") is None:
        return record.get("architecture") is not None
    found: Any = record
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found is not None and found not in ("", {})


def other_versions(record: Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Packages whose version here is not the recorded one: (recorded, here); here None where it is not installed."""
    from core_model.training_record import versions

    recorded, here = record.get("versions"), versions()
    if not isinstance(recorded, Mapping):
        return {}
    return {
        str(name): (str(then), here.get(name))
        for name, then in recorded.items()
        if then is not None and here.get(name) != then
    }


Problem = tuple[str, str | None]


def why_not(record: Mapping[str, Any], *, data: Table | None, base: Checkpoint | None) -> Problem | None:
    """Why this training cannot be run again here, and what supplies it; None where it can."""
    problems = chain(_beyond_a_record(record), _not_at_hand(record, data, base))
    return next(problems, None)


def _beyond_a_record(record: Mapping[str, Any]) -> Iterator[Problem]:
    """What no record brings back."""
    if record.get("privacy"):
        yield "the training was private: its noise comes from no seed, and must not", None
    if any(name.startswith(OTHER_PARTS) for name in record.get("identity") or {}):
        yield "a teacher or a pre-training had a part in it, which the record alone does not bring back", None
    if (record.get("hardware") or {}).get("processes") != 1:
        yield "the training ran in several processes, or the record does not say in how many", None
    if record.get("base") is None and record.get("architecture") is None:
        yield "the record says neither base nor shape", None
    if recorded_options(record) is None:
        yield "the options of the record are not those of this version", None


def _not_at_hand(record: Mapping[str, Any], data: Table | None, base: Checkpoint | None) -> Iterator[Problem]:
    recorded = record.get("base")
    if data is None:
        yield "the training rows are not given", "--train-data FILE"
    elif data.sha256 != (record.get("data") or {}).get("sha256"):
        yield "the training rows given are not those of the record", "--train-data with the very file"
    if recorded is not None and base is None:
        yield "the base is not given", f"--reference with the base, sha256 {str(recorded.get('sha256'))[:12]}"
    elif recorded is not None and base is not None and base.sha256 != recorded.get("sha256"):
        yield "the reference given is not the base of the record", f"--reference with {recorded.get('name')!r}"


def recorded_options(record: Mapping[str, Any]) -> TrainingOptions | None:
    """The options that a record holds; None where they are not such as this version knows."""
    try:
        return TrainingOptions.model_validate(record.get("options"))
    except ValidationError:
        return None


def retrain(
    record: Mapping[str, Any],
    *,
    data: Table,
    base: Checkpoint | None,
    out: Path,
    steps: int | None = None,
    seed: int | None = None,
    evaluation: Table | None = None,
) -> TrainingResult:
    """Train again as a record says.

    Args:
        record: of which `why_not` found nothing.
        data: its training rows; base: its base, None from scratch.
        out: an empty folder.
        steps: end after so many; None: where the recorded run was meant to end.
        seed: in the place of the recorded one.
        evaluation: its evaluation rows; without them nothing is evaluated, and early stopping is left out.
    Raises: as `core_model.training.train`; ValueError where the record holds no options of this version.
    """
    from core_model.training import train

    options = recorded_options(record)
    if options is None:
        raise ValueError("the record holds no options of this version")
    changed: dict[str, Any] = {}
    if evaluation is None:
        changed = {"evaluate_every": None, "early_stopping": None}
    if steps is not None:
        changed |= {"max_steps": steps, "max_minutes": None}
    if seed is not None:
        changed["seed"] = seed
    threads = (record.get("hardware") or {}).get("threads")
    with torch_threads(threads) if isinstance(threads, int) and threads > 0 else nullcontext():
        return train(
            options.model_copy(update=changed),
            data=data,
            out=out,
            base=base,
            architecture=None if base is not None else _architecture(record),
            evaluation=evaluation,
        )


def _architecture(record: Mapping[str, Any]) -> Architecture:
    from core_model.architectures import Architecture

    return Architecture.model_validate(record["architecture"])
