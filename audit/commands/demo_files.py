"""What the demos share: fewer rows for a quick look, and the checkpoint of an earlier demo where it fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from core_model.data import Table


def earlier_checkpoint(folder: Path, table: Table) -> bool:
    """Whether a checkpoint that was trained on these very rows lies in the folder."""
    from core_model.checkpoint import open_checkpoint
    from core_model.errors import BadInput

    if not (folder / "config.json").exists():
        return False
    try:
        record = open_checkpoint(folder).training_record or {}
    except BadInput as error:
        click.echo(f"the earlier demo's checkpoint cannot be used, training again ({error.found})", err=True)
        record = {}
    if record.get("data", {}).get("sha256") != table.sha256:
        return False
    click.echo(f"keeping the checkpoint of an earlier demo: {folder}", err=True)
    return True


def thinned(file: Path, rows: int) -> Path:
    """Every so-many-th line of a file, as a file beside it: about `rows` lines that keep the shares of the groups."""
    from core_model.files import write_atomically

    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    step = max(1, len(lines) // rows)
    thin = write_atomically(file.with_name(f"{file.stem}-{rows}.jsonl"), "".join(lines[::step]))
    about = file.with_name(f"{file.stem}.about.toml").read_text(encoding="utf-8")
    write_atomically(thin.with_name(f"{thin.stem}.about.toml"), about)
    return thin
