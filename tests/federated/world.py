"""A small federation in a planted world: the word "good" or "bad" decides, at four sites. Synthetic."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from federated.options import FederationOptions
from federated.result import FederatedResult
from federated.run_settings import RunSettings
from federated.simulation import simulate
from tests.core_model.training_world import planted_rows
from tests.factories import write_checkpoint, write_rows

LABELS = ("negative", "positive")
FAST = {"clients": 4, "rounds": 2, "learning_rate": 1e-3, "batch_size": 8, "seed": 3}


@lru_cache
def folder() -> Path:
    """The base and the rows, once for all tests of a process."""
    made = Path(mkdtemp(prefix="aboveboard-federation-"))
    write_checkpoint(made / "base", hidden=16, layers=1)
    for name, rows, seed in (("train", 64, 0), ("test", 24, 1)):
        write_rows(
            made / f"{name}.jsonl",
            [
                {"text": text, "label": LABELS[label], "site": f"site {place % 4}", "one": "same"}
                for place, (text, label) in enumerate(planted_rows(rows, seed))
            ],
        )
    return made


def settings(labels: tuple[str, ...] = (), data: Path | None = None, **options: Any) -> RunSettings:
    return RunSettings(
        federation=FederationOptions(**{**FAST, **options}),
        base=str(folder() / "base"),
        data=str(data or folder() / "train.jsonl"),
        labels=labels,
    )


def run(out: Path, *, resume: bool = False, tell: Any = None, **options: Any) -> FederatedResult:
    return simulate(
        settings(**options), out=out, evaluation=str(folder() / "test.jsonl"), resume=resume, tell=tell
    )  # fmt: skip
