"""The files of a folder that is to be shared: in which format the weights are, and what a stranger would miss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.checkpoint_files import GRAPH_SUFFIX, OTHER_WEIGHTS, PICKLES, checked, read_json
from core_model.errors import BadInput
from core_model.model_card import LICENCE_FILES
from core_model.supply_chain.folder import Entry, walk
from core_model.tasks import Task

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

SAFETENSORS = ".safetensors"
WEIGHTS = (SAFETENSORS, GRAPH_SUFFIX, ".data", *PICKLES, *OTHER_WEIGHTS)
"""Suffixes of files that hold weights; `.data` is where a graph's large tensors lie."""
WRITERS = (Task.LANGUAGE_MODELING, Task.TRANSLATION, Task.SUMMARIZATION)
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "source.spm", "vocab.txt",
              "vocab.json", "tekken.json")  # fmt: skip


@dataclass(frozen=True)
class Needed:
    """One thing that whoever gets the folder needs: its file, what for, and whether it is there."""

    file: str
    purpose: str
    there: bool


def files_of(folder: Path) -> list[Entry]:
    """Every regular file below a folder; what is none, or leads out of it, is the supply-chain scan's."""
    return [entry for entry in walk(folder) if isinstance(entry, Entry)]


def weight_bytes(files: list[Entry]) -> tuple[int, int]:
    """(bytes of files in safetensors, bytes of all files that hold weights)."""
    sizes = [(Path(entry.name).suffix.lower(), entry.size) for entry in files]
    return (
        sum(size for suffix, size in sizes if suffix == SAFETENSORS),
        sum(size for suffix, size in sizes if suffix in WEIGHTS),
    )


def needed_by_others(checkpoint: Checkpoint) -> list[Needed]:
    """What belongs into a folder that others open, and whether it is there."""
    folder = checkpoint.path
    needed = [
        Needed("config.json", "the architecture", _there(folder, "config.json")),
        Needed("model.safetensors", "the weights, in a format that runs nothing", _safetensors(folder)),
        Needed("tokenizer.json", "the tokenizer", any(_there(folder, name) for name in TOKENIZERS)),
        Needed("tokenizer_config.json", "how the tokenizer is built", _there(folder, "tokenizer_config.json")),
        Needed("special_tokens_map.json", "which tokens are special", _names_special_tokens(folder)),
        Needed("README.md", "the model card", _there(folder, "README.md")),
        Needed("LICENSE", "the licence's text", any(_there(folder, name) for name in LICENCE_FILES)),
    ]
    if checkpoint.task in WRITERS:
        there = _there(folder, "generation_config.json")
        needed.append(Needed("generation_config.json", "how text is written", there))
    return needed


def _there(folder: Path, name: str) -> bool:
    try:
        return checked(folder, name) is not None
    except BadInput:  # a link that leads elsewhere, or a pipe: nobody else gets what it shows
        return False


def _safetensors(folder: Path) -> bool:
    return _there(folder, "model.safetensors") or _there(folder, "model.safetensors.index.json")


def _names_special_tokens(folder: Path) -> bool:
    """In a map of their own, or in the tokenizer's settings, as transformers 5 writes them."""
    if _there(folder, "special_tokens_map.json"):
        return True
    settings = read_if_sound(folder, "tokenizer_config.json")
    return any(name.endswith("_token") and value for name, value in settings.items())


def read_if_sound(folder: Path, name: str) -> Mapping[str, Any]:
    """A JSON object of the folder; empty where there is none that can be read."""
    try:
        path = checked(folder, name)
        return {} if path is None else read_json(path)
    except BadInput:
        return {}
