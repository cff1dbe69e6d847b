"""What a translator learns from and how: the recipe of the benchmark, or one in a TOML file (examples/wmt16.toml)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core_model.architectures import Architecture
from core_model.corpora.libreoffice_help import read_help, write_help
from core_model.corpora.package_descriptions import read_translations, write_translations
from core_model.data import Table, open_table
from core_model.files import write_atomically
from core_model.precision import fastest_on_cpu
from core_model.settings import checked, read_toml
from core_model.tasks import Task
from core_model.training_options import TrainingOptions


class Data(BaseModel):
    """Files or hub names of the parts, and the columns of both languages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: str
    validation: str
    test: dict[str, str] = Field(min_length=1)
    source_column: str
    target_column: str

    def open(self, source: str) -> Table:
        """One part as a table of translations."""
        columns = {"text_column": self.source_column, "reference_column": self.target_column}
        return open_table(source, task=Task.TRANSLATION, references_required=True, **columns)  # type: ignore[arg-type]


class Recipe(BaseModel):
    """A translator's data, shape and training. The minutes come from the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Data
    architecture: Architecture
    training: dict[str, Any] = Field(description="options of aboveboard train")

    def options(self, *, minutes: float, seed: int) -> TrainingOptions:
        """The options of one run.

        Raises: OptionUnfit.
        """
        given = {"precision": fastest_on_cpu(), **self.training}
        return checked(
            TrainingOptions, {**given, "task": "translation", "max_minutes": minutes, "seed": seed}, where="[training]"
        )


SHAPE = Architecture(
    kind="encoder-decoder", family="marian", layers=4, decoder_layers=3, hidden=256, heads=4, feed_forward=1024,
    vocabulary=8000, max_length=128, dropout=0.1,
)  # fmt: skip
TRAINING: dict[str, Any] = {
    "batch_tokens": 1500, "schedule": "inverse-sqrt", "warmup_steps": 800, "learning_rate": 1e-3,
    "label_smoothing": 0.1, "beta2": 0.98, "ema": 0.999, "max_length": 96,
}  # fmt: skip


def read_recipe(file: Path) -> Recipe:
    """The recipe in a TOML file.

    Raises: OptionUnfit for a missing or broken file, an unknown key, or a value that does not fit.
    """
    return checked(Recipe, read_toml(file, flag="--recipe"), where=str(file))


def packaged_recipe(folder: Path, corpus: str, *, pinned: bool) -> Recipe:
    """The recipe on text that apt brings, written into a folder: LibreOffice's help, or "both" with Debian's packages.

    Raises: DataMissing where apt cannot bring it; DataDamaged when it is another version and `pinned`.
    """
    help_folder, packages = folder / "help", folder / "packages"
    _once(help_folder, lambda: write_help(help_folder, read_help(pinned=pinned)))
    _once(packages, lambda: write_translations(packages, read_translations(pinned=pinned)))
    parts = [help_folder / "train.jsonl", help_folder / "terms.jsonl"]
    if corpus == "both":
        parts.append(packages / "train.jsonl")
    train = write_atomically(folder / f"{corpus}.jsonl", "".join(part.read_text(encoding="utf-8") for part in parts))
    data = Data(
        train=str(train),
        validation=str(help_folder / "validation.jsonl"),
        test={"help": str(help_folder / "test.jsonl"), "packages": str(packages / "test.jsonl")},
        source_column="en",
        target_column="de",
    )
    return Recipe(data=data, architecture=SHAPE, training=TRAINING)


def _once(folder: Path, write: Callable[[], object]) -> None:
    if not (folder / "done").exists():
        write()
        write_atomically(folder / "done", "")
