"""Audit a Transformer checkpoint: `audit.run("checkpoint", data="test.jsonl")` returns the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from reports.record import Record


def run(checkpoint: str | Path, *, data: str | Path, out: str | Path = "audit-out", **options: Any) -> Record:
    """Audit a checkpoint from Python; the same as `aboveboard audit`.

    Args:
        checkpoint: a Hugging Face folder or a hub id.
        data: rows to audit on: a file or a hub name.
        out: folder that audit.json and report.html are written into.
        options: any field of `audit.configuration.Configuration`: train_data, text_column, label_column,
            reference_column (what a model should write), group_columns, task, beams, only, profile, policy, seed,
            audits={"fairness": {...}}, ...
    Returns: the record, which shows itself in a notebook.
    Raises: BadInput, with the file, the field and the mend.
    """
    from audit.configuration import configuration
    from audit.session import prepare

    flags = {**options, "data": str(data), "out": str(out)}
    return prepare(checkpoint, configuration(file=None, flags=flags)).run()
