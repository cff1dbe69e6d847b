"""Records of many runs with known truth: answers are planted, accuracy is counted, the evidence rows are written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audit.evidence import Limit, metric
from audit.history import Kept
from audit.statistics import proportion
from reports.record import AuditResult, Evidence, Metric, Record, Status
from tests.reports import factories

ROWS = 600
TARGETS = np.random.default_rng(0).integers(0, 2, ROWS)
BASE_WRONG = np.random.default_rng(1).random(ROWS) < 0.3


def wrong_by(mended: float, *, seed: int) -> np.ndarray:
    """Which rows a model gets wrong that mends this share of the first model's errors and makes no new ones."""
    return BASE_WRONG & (np.random.default_rng(seed).random(ROWS) >= mended)


def accuracy(wrong: np.ndarray, *, limit: float | None = None) -> Metric:
    right = int((~wrong).sum())
    bound = None if limit is None else Limit(limit, "policy planted")
    return metric("accuracy", proportion(right, ROWS), unit="share of rows", better="higher", limit=bound)


def audit_of(*metrics: Metric, id: str = "evaluability", **more: Any) -> AuditResult:
    return AuditResult(id=id, concern=id, status=Status.MEASURED, metrics=list(metrics), **more)


def kept_run(
    folder: Path, name: str, wrong: np.ndarray, *, day: int, metrics: list[Metric] | None = None, **changes: Any
) -> Kept:
    """A record of one run with its evidence file beside it; `metrics` instead of the accuracy of its answers."""
    folder = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    predicted = np.where(wrong, 1 - TARGETS, TARGETS)
    share = np.where(predicted == 1, 0.9, 0.1)
    frame = pd.DataFrame(
        {
            "row": [f"{row:016x}" for row in range(ROWS)], "target": TARGETS, "predicted": predicted,
            "probability of no": 1 - share, "probability of yes": share,
        }
    )  # fmt: skip
    frame.to_parquet(folder / "evidence.parquet")
    digest = hashlib.sha256((folder / "evidence.parquet").read_bytes()).hexdigest()
    record = factories.record(audits=[audit_of(*(metrics if metrics is not None else [accuracy(wrong)]))])
    update: dict[str, Any] = {
        "subject": record.subject.model_copy(
            update={"name": name, "sha256": factories.sha256(name), "labels": ["no", "yes"]}
        ),
        "run": record.run.model_copy(update={"started": f"2026-11-{day:02d}T10:00:00+00:00"}),
        "evidence": Evidence(file="evidence.parquet", sha256=digest, rows=ROWS),
    }
    sealed = record.model_copy(update=update | changes).sealed()
    (folder / "audit.json").write_text(sealed.to_json(), encoding="utf-8")
    return Kept(sealed, name, folder)


def line_of(found: Any, name: str = "accuracy") -> Any:
    [line] = [line for line in found.lines if line.name == name]
    return line


def changed(kept: Kept, **changes: Any) -> Kept:
    """The same run with another content, sealed anew."""
    record: Record = kept.record.model_copy(update=changes).sealed()
    return Kept(record, kept.name, kept.folder)
