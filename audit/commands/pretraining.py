"""`--pretrain` of `aboveboard train`: the base reads texts before it learns the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.further_pretraining import FurtherPretraining
    from core_model.progress import Tell
    from core_model.training_options import TrainingOptions

FOLDER = "pretraining"  # in --out


@dataclass(frozen=True)
class Pretraining:
    """What was asked for.

    Attributes:
        how: None: nothing was.
        data: a file of texts; None: those of the task.
    """

    how: Literal["masked", "causal"] | None
    epochs: int
    data: str | None
    columns: Mapping[str, Any]

    def run(
        self, options: TrainingOptions, *, base: Checkpoint | None, data: Table, evaluation: Table | None, out: Path,
        resume: bool, progress: Tell,
    ) -> FurtherPretraining | None:  # fmt: skip
        """Train the base further in a folder of `out`; what `train` takes as `wrap`."""
        if self.how is None:
            return None
        from core_model.data import open_table
        from core_model.further_pretraining import further_pretrain
        from core_model.tasks import Task

        if self.data is not None:
            data, evaluation = open_table(self.data, task=Task.LANGUAGE_MODELING, **self.columns), None
        return further_pretrain(
            self.how, options, base=base, data=data, evaluation=evaluation, out=out / FOLDER, epochs=self.epochs,
            resume=resume, progress=progress,
        )  # fmt: skip


def read_pretraining(flags: dict[str, Any], columns: Mapping[str, Any]) -> Pretraining:
    """Take its flags out of the command's.

    Raises: OptionUnfit for texts that nobody reads, and where privacy is promised.
    """
    from core_model.errors import OptionUnfit

    asked = Pretraining(
        flags.pop("pretrain"), flags.pop("pretrain_epochs"), flags.pop("pretrain_data"),
        {name: columns[name] for name in ("text_column", "encoding")},
    )  # fmt: skip
    if asked.data is not None and asked.how is None:
        raise OptionUnfit(
            f"pretrain_data = {asked.data} is read by pretrain alone",
            mend="--pretrain masked for an encoder, --pretrain causal for a decoder",
        )
    if asked.how is not None and flags.get("private"):
        raise OptionUnfit(
            "pretrain reads texts without privacy, and private promises it",
            mend="leave --pretrain out; or train on public texts first, with --task masked-language-modeling or "
            "language-modeling, and take the result as --base",
        )
    return asked
