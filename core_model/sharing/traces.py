"""Traces of the people and machines that made a checkpoint: paths, remotes, run ids, leftovers of the training.

Looked at are the text files of the folder, vocabularies aside (whose tokens look like anything), and the text in the
headers of safetensors. What is found is told by file, line and kind, never by what it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from core_model.packaging import PATH, VOCABULARIES
from core_model.secret_scan import TEXT
from core_model.supply_chain.folder import Entry, open_regular

KINDS = {
    "home folder": re.compile(r"(?:/home/|/Users/|/root/|\b[A-Za-z]:\\\\?Users\\\\?)[\w.@+-]+|(?<![\w/])/root/[\w.-]"),
    "git remote": re.compile(r"\bgit@[\w.-]{1,99}:[\w./~-]|\b(?:ssh|git)://[\w.@:-]{1,99}/[\w.~-]|\bhttps?://[^\s/@:]{1,99}(?::[^\s/@]{0,99})?@\w"),
    "experiment id": re.compile(
        r"\bwandb\.ai/[\w.-]{1,99}/[\w.-]|\brun-\d{8}_\d{6}-\w{8}\b|\b(?:_?wandb|mlflow|comet|neptune)[\w.]*[\"']?\s*[:=]"
        r"|\bmlruns/",
    ),
}  # fmt: skip
MACHINE_PATH = "machine path"
ORDINARY = re.compile(r"/(usr|bin|etc|dev|opt/conda)(/|$)")  # the same on every machine, in any manual
LEFTOVERS = {
    "training_args.bin": "arguments of transformers' Trainer: folders, host, tokens of a hub; a pickle",
    "trainer_state.json": "the log of transformers' Trainer",
    "optimizer.pt": "the optimizer's state; a pickle", "optimizer.bin": "the optimizer's state; a pickle",
    "scheduler.pt": "the scheduler's state; a pickle", "rng_state.pth": "a state of random numbers; a pickle",
    "scaler.pt": "the loss scaler's state; a pickle",
}  # fmt: skip
LEFTOVER_FOLDERS = {
    ".git": "a repository with its remotes and authors", "wandb": "runs of an experiment tracker",
    "mlruns": "runs of an experiment tracker", "runs": "logs of training, named after the host",
    ".ipynb_checkpoints": "copies of a notebook", "__pycache__": "compiled code", ".cache": "a cache",
    ".training_state": "an interrupted training",
}  # fmt: skip
EVENTS = re.compile(r"events\.out\.tfevents\.")
LARGEST = 2 * 2**20  # bytes of a text that is looked at
LONGEST_LINE = 20_000  # characters that are looked at; settings have none that long
LARGEST_HEADER = 2**20  # bytes of a safetensors header whose text is looked at


@dataclass(frozen=True)
class Trace:
    """Where one stands and of what kind it is; `line` is None for a whole file and for a header."""

    file: str
    line: int | None
    kind: str


def traces_in(files: list[Entry]) -> list[Trace]:
    """Every trace, file by file; in one line each kind is told once."""
    found: list[Trace] = []
    for entry in files:
        found += [
            Trace(entry.name, number, kind) for number, text in lines_of(entry) for kind in kinds_in(text)
        ]  # fmt: skip
        if entry.name.endswith(".safetensors"):
            found += [Trace(entry.name, None, kind) for kind in kinds_in(_header_text(entry))]
    return found


def leftovers_in(files: list[Entry]) -> list[tuple[str, str]]:
    """(file or folder, what it is) of what a training leaves and nobody needs; a folder is told once."""
    found: dict[str, str] = {}
    for entry in files:
        parts = PurePosixPath(entry.name).parts
        folder = next((i for i, part in enumerate(parts[:-1]) if part in LEFTOVER_FOLDERS), None)
        if folder is not None:
            found["/".join(parts[: folder + 1]) + "/"] = LEFTOVER_FOLDERS[parts[folder]]
        elif parts[-1] in LEFTOVERS:
            found[entry.name] = LEFTOVERS[parts[-1]]
        elif EVENTS.match(parts[-1]):
            found[entry.name] = "a log of TensorBoard, named after the host"
    return list(found.items())


def too_large(files: list[Entry]) -> list[str]:
    """Text files that are too large to be looked at."""
    return [entry.name for entry in files if entry.size > LARGEST and _holds_text(entry)]


def is_text(entry: Entry) -> bool:
    """Whether a file's lines are looked at."""
    return 0 < entry.size <= LARGEST and _holds_text(entry)


def _holds_text(entry: Entry) -> bool:
    path = PurePosixPath(entry.name)
    return path.suffix.lower() in TEXT and path.name not in VOCABULARIES


def lines_of(entry: Entry) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of a text file; nothing of any other."""
    if not is_text(entry):
        return
    try:
        with open_regular(entry.path) as file:
            for number, line in enumerate(file, start=1):
                yield number, line[:LONGEST_LINE].decode("utf-8", "replace")
    except OSError:  # the supply-chain scan tells that it cannot be read
        return


def kinds_in(text: str) -> list[str]:
    """Which kinds of traces stand in a line."""
    found = [kind for kind, pattern in KINDS.items() if pattern.search(text)]
    paths = (match[0] for match in PATH.finditer(text))
    if "home folder" not in found and any(not ORDINARY.match(path) for path in paths):
        found.append(MACHINE_PATH)
    return found


def _header_text(entry: Entry) -> str:
    """The free text in a safetensors header (`__metadata__`)."""
    try:
        with open_regular(entry.path) as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= LARGEST_HEADER else {}
        said = header.get("__metadata__", {})
        return " ".join(f"{key}={value}" for key, value in said.items())[:LONGEST_LINE]
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
