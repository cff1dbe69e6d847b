"""Federations whose truth is known: four sites of a planted world, one of which may have its labels the wrong way."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from audit.main import run as command
from core_model.checkpoint import open_checkpoint
from core_model.data import open_table
from core_model.training import train
from core_model.training_options import TrainingOptions
from reports.reading import read_record
from reports.record import AuditResult
from tests.core_model.training_world import planted_rows
from tests.factories import write_rows
from tests.federated.world import LABELS
from tests.federated.world import folder as world

FLIPPED = "site 3"
SITES = 4
LEARNS = ("--rounds", "2", "--local-epochs", "4", "--learning-rate", "3e-2", "--batch-size", "30", "--seed", "3")
WIDER = 12.0  # times the spread of a large model's first weights: so small a one then learns in a few steps
COMPARED = ("--keep-updates", "--with-solo", "--with-pooled")


@lru_cache
def rows(name: str, *, count: int, seed: int, flipped: bool) -> Path:
    """A file of rows, a site each; with `flipped` the last site's labels are the wrong way."""
    made = Path(mkdtemp(prefix="aboveboard-collaboration-")) / f"{name}.jsonl"
    planted = [(text, label, f"site {place % SITES}") for place, (text, label) in enumerate(planted_rows(count, seed))]
    return write_rows(
        made,
        [
            {"text": text, "label": LABELS[1 - label if flipped and site == FLIPPED else label], "site": site}
            for text, label, site in planted
        ],
    )


def training_rows(*, flipped: bool) -> Path:
    return rows("train", count=120, seed=0, flipped=flipped)


def test_rows(*, flipped: bool = False) -> Path:
    return rows("test", count=160, seed=1, flipped=flipped)


test_rows.__test__ = False  # type: ignore[attr-defined]  # rows of a test, no test of rows


@lru_cache
def base() -> Path:
    """A classifier that knows the planted rule: three clients keep it, and one may have to unlearn it."""
    from safetensors.torch import load_file, save_file

    made = Path(mkdtemp(prefix="aboveboard-collaboration-"))
    shutil.copytree(world() / "base", made / "wide")
    weights = load_file(made / "wide" / "model.safetensors")
    for tensor in weights.values():
        if tensor.dim() == 2:
            tensor.mul_(WIDER)
    save_file(weights, made / "wide" / "model.safetensors", {"format": "pt"})
    options = TrainingOptions(epochs=5, batch_size=25, learning_rate=3e-2, warmup_steps=0)
    learnt = opened(rows("base", count=200, seed=7, flipped=False))
    return train(options, base=open_checkpoint(made / "wide"), data=learnt, out=made / "base").path


def federate(out: Path, *flags: str, flipped: bool) -> Path:
    """Federate four sites by the command line; the folder of the checkpoint."""
    asked = ["federate", "--base", str(base()), "--data", str(training_rows(flipped=flipped)), *LEARNS]
    if "--partition" not in flags:
        asked += ["--partition", "column:site"]
    assert command([*asked, *flags, "--out", str(out)]) == 0
    return out


@lru_cache
def federation(*, flipped: bool) -> Path:
    """One with everything that it can be held against, once for all tests of a process."""
    return federate(Path(mkdtemp(prefix="aboveboard-collaboration-")) / "m", *COMPARED, flipped=flipped)


def audited(checkpoint: Path, out: Path, data: Path, *, groups: bool = True, **options: Any) -> AuditResult:
    """The collaboration audit of a checkpoint."""
    import audit

    audit.run(
        checkpoint, data=data, out=out, only=("collaboration",), group_columns=("site",) if groups else (),
        audits={"collaboration": options},
    )  # fmt: skip
    [result] = read_record(out / "audit.json").audits
    return result


def opened(data: Path) -> Any:
    return open_table(str(data), group_columns=["site"], label_names=LABELS)
