"""The privacy audit from the command line: bad input is a letter, groups of training rows are read where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.configuration import Configuration
from audit.main import run
from audit.session import prepare
from core_model.tasks import Task
from tests.audit.rows import made_up_rows, write_made_up_rows
from tests.audit.task_checkpoints import write_task_checkpoint
from tests.factories import write_checkpoint, write_rows


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_made_up_rows(tmp_path / "rows.jsonl", 20)


@pytest.mark.parametrize("reference", ["language model", "other labels"])
def test_a_reference_that_cannot_be_held_against_the_checkpoint_is_refused(
    reference: str, checkpoint: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    if reference == "language model":
        write_task_checkpoint(other, Task.LANGUAGE_MODELING)
    else:
        write_checkpoint(other, labels=("good", "bad"))
    arguments = ["audit", str(checkpoint), "--data", str(rows), "--reference", str(other), "--out", str(tmp_path / "o")]
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert "--reference other" in said and "Try:" in said and "Traceback" not in said
    assert ("language-modeling" if reference == "language model" else "good, bad") in said
    assert not (tmp_path / "o" / "audit.json").exists()


def test_training_rows_bring_their_groups_where_they_have_them(checkpoint: Path, rows: Path, tmp_path: Path) -> None:
    with_groups = write_made_up_rows(tmp_path / "train.jsonl", 20, seed=1)
    without = write_rows(
        tmp_path / "bare.jsonl", [{"text": r["text"], "label": r["label"]} for r in made_up_rows(20, seed=1)]
    )
    for file, groups in ((with_groups, {"sex"}), (without, set())):
        session = prepare(
            checkpoint,
            Configuration(
                data=str(rows),
                train_data=str(file),
                group_columns=("sex",),
                only=("evaluability",),
                out=str(tmp_path / "out"),
            ),
        )
        assert session.subject.training is not None
        assert set(session.subject.training.groups) == groups and session.subject.training.rows == 20
