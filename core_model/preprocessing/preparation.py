"""From a file of rows to training, validation and test, with a data card: whole, or not at all."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core_model.errors import OutputUnwritable
from core_model.files import replace_folder
from core_model.preprocessing.card import SCHEMA, data_card
from core_model.preprocessing.card_text import card_text
from core_model.preprocessing.deduplication import Tell
from core_model.preprocessing.options import PreparationOptions
from core_model.preprocessing.pipeline import run_steps
from core_model.preprocessing.reading import open_input
from core_model.preprocessing.splitting import PARTS
from core_model.preprocessing.writing import described, write_parts
from core_model.settings import checked

CARD = "data_card.json"
OURS = {CARD, "data_card.md", *(f"{part}.{kind}" for part in PARTS for kind in ("jsonl", "parquet", "about.toml"))}


@dataclass(frozen=True)
class Preparation:
    """What a preparation left.

    Attributes:
        folder: where; files: part ("train", "validation", "test") -> file, for the parts that there are.
        card: the data card, as it stands in data_card.json.
    """

    folder: Path
    files: dict[str, Path]
    card: dict[str, Any]


def prepare(data: str | Path, out: str | Path, *, progress: Tell | None = None, **options: Any) -> Preparation:
    """Clean, filter, deduplicate and split rows; write the parts, their sidecars and a data card.

    Args:
        data: a file (CSV, TSV, JSONL, JSON, Parquet), a folder of shards, or `hub:owner/name@split`.
        out: folder to write: new, empty, or of an earlier preparation, which it replaces in one step.
        progress: told the stage and how many rows it has passed or holds.
        options: fields of `PreparationOptions`.
    Raises: BadInput, before anything is written; the folder is then as it was.
    """
    settings = checked(PreparationOptions, options, where="prepare", write="--{key} ...")
    out = Path(out)
    given = open_input(data, settings)
    _refuse_other_files(out, given.path)
    tell = progress or (lambda stage, rows: None)
    with replace_folder(out) as fresh:
        prepared = run_steps(given, settings, fresh, tell)
        with closing(prepared.rows):
            tell("writing", int((prepared.parts >= 0).sum()))
            files = write_parts(
                prepared.rows.spool, prepared.parts, fresh, parquet=settings.format == "parquet", about=given.about
            )
            card = data_card(given, settings, prepared, described(files))
        (fresh / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=2, allow_nan=False) + "\n", "utf-8")
        (fresh / "data_card.md").write_text(card_text(card), "utf-8")
    return Preparation(out, {part: out / file.name for part, file in files.items()}, card)


def _refuse_other_files(out: Path, data: Path | None) -> None:
    """Refuse a folder that holds what we did not write, or the very data."""
    if not out.is_dir():
        return
    if data is not None and data.resolve().is_relative_to(out.resolve()):
        raise OutputUnwritable(f"{out} holds the data itself, {data.name}", mend="name a new folder with --out")
    there = sorted(file.name for file in out.iterdir())
    others = [name for name in there if name not in OURS]
    if there and (others or not _is_ours(out / CARD)):
        shown = ", ".join(others[:5] or there[:5])
        raise OutputUnwritable(f"{out} holds files of others: {shown}", mend="name a new folder with --out")


def _is_ours(card: Path) -> bool:
    try:
        return bool(json.loads(card.read_text("utf-8"))["schema"] == SCHEMA)
    except (OSError, ValueError, KeyError, TypeError):
        return False
