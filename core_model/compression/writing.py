"""The folder of a compressed checkpoint: weights, the original's tokenizer and licence, and a card that says whence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.checkpoint_files import TOKENIZER_FILES, checked
from core_model.checkpoint_loading import quiet
from core_model.files import unwritable_letters, write_atomically
from core_model.model_card import LICENCE_FILES
from core_model.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from core_model.checkpoint import Checkpoint

PIPELINES = {
    Task.CLASSIFICATION: "text-classification",
    Task.LANGUAGE_MODELING: "text-generation",
    Task.TRANSLATION: "translation",
    Task.SUMMARIZATION: "summarization",
    Task.QUESTION_ANSWERING: "question-answering",
    Task.FEATURE_EXTRACTION: "feature-extraction",
}
"""What hubs call a task, `pipeline_tag` of a card."""


def write_folder(model: PreTrainedModel, original: Checkpoint, folder: Path, *, what: str) -> None:
    """Write a model as a standard Hugging Face folder.

    The training record is left behind: what it says of the weights would be false of these.

    Args:
        what: what was done to the original, as a clause: "rounded to int8".
    """
    with quiet():
        model.save_pretrained(folder)
    for name in (*TOKENIZER_FILES, *LICENCE_FILES):
        if path := checked(original.path, name):
            shutil.copyfile(path, folder / name)
    write_atomically(folder / "README.md", _card(original, what))


def copy_papers(source: Path, folder: Path) -> None:
    """Card and licence of one checkpoint, beside the weights of another."""
    with unwritable_letters(folder):
        for name in ("README.md", *LICENCE_FILES):
            if (path := source / name).is_file():
                shutil.copyfile(path, folder / name)


def _card(original: Checkpoint, what: str) -> str:
    import yaml

    fields: dict[str, Any] = {
        "license": original.licence,
        "base_model": original.name,
        "pipeline_tag": PIPELINES[original.task],
        "library_name": "transformers",
    }
    matter = yaml.safe_dump({key: value for key, value in fields.items() if value is not None}, sort_keys=False)
    return (
        f"---\n{matter}---\n\nA smaller checkpoint, made by `aboveboard compress`: the original was {what}.\n\n"
        f"Sha256 of the original: {original.sha256}. What changed stands in compression.json and compression.html.\n"
    )
