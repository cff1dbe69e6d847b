"""A folder that can be given to others: only files that belong to a checkpoint, none with a secret, each with its hash.

What is looked at, file by file: links out of the folder, pickles, files that no checkpoint needs, and secrets in text.
Records are copied with this machine's paths and people's e-mail addresses taken out; every other file is copied byte by
byte.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.checkpoint_files import CONFIGURATION_FILES, PICKLES, TOKENIZER_FILES, checked, read_json
from core_model.data_hash import hash_file
from core_model.errors import BadInput, CheckpointUnsafe, OptionUnfit
from core_model.files import write_atomically
from core_model.model_card import LICENCE_FILES
from core_model.secret_scan import find_secrets
from core_model.training_result import ADAPTER_FOLDER

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

RECORDS = ("training_record.json", "privacy.json", "federated_record.json", "compression.json", "calibration.json")
SIGNATURES = ("audit.sig", "model.sig")
LEFT_OUT = ("compression.html", "SHA256SUMS", *SIGNATURES)  # pages of ours; sums and signatures of other files
# Files that list words, "password" and "secret" among them.
VOCABULARIES = frozenset(TOKENIZER_FILES) - {"tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"}
UNFINISHED = ".training_state"
PATH = re.compile(r"(?<![\w.:/])(?:/[\w.@+-]+){2,}/?|\b[A-Za-z]:\\[\w.@+\\ -]+")
E_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


@dataclass(frozen=True)
class Contents:
    """What a package holds.

    Attributes:
        files: names that are copied byte by byte; records: those that are copied with paths taken out.
        left_out: names that stay behind; refused: why there can be no package, by the name of the file.
    """

    files: tuple[str, ...]
    records: tuple[str, ...]
    left_out: tuple[str, ...]
    refused: Mapping[str, BadInput] = field(default_factory=dict)


def choose_files(checkpoint: Checkpoint) -> Contents:
    """What of a checkpoint's folder goes into a package; the card is written anew.

    Raises: CheckpointUnsafe for a link out of the folder or a pickle; OptionUnfit for a file that does not belong to a
        checkpoint, or a training that is not done.
    """
    contents = sort_files(checkpoint)
    for letter in contents.refused.values():
        raise letter
    return contents


def sort_files(checkpoint: Checkpoint) -> Contents:
    """Each file of a checkpoint's folder in its place: copied, left out, or refused with the letter that says why."""
    expected = {*checkpoint.files, *CONFIGURATION_FILES, *TOKENIZER_FILES, *LICENCE_FILES}
    files, records, left_out = [], [], []
    refused: dict[str, BadInput] = {}
    for name in _names(checkpoint.path):
        if (letter := _refusal(checkpoint.path, name, expected)) is not None:
            refused[name] = letter
        elif name in RECORDS:
            records.append(name)
        elif name in expected:
            files.append(name)
        elif name != "README.md":
            left_out.append(name)
    return Contents(tuple(files), tuple(records), tuple(left_out), refused)


def _refusal(folder: Path, name: str, expected: Set[str]) -> BadInput | None:
    """Why a folder with this file in it cannot be packaged; None where the file stands in no way."""
    if name.split("/", maxsplit=1)[0] == UNFINISHED:
        return OptionUnfit(f"{folder} holds an interrupted training run", mend="finish it with --resume")
    try:
        checked(folder, name)
    except BadInput as error:
        return error
    if Path(name).suffix.lower() in PICKLES:
        return CheckpointUnsafe(
            f"{folder / name} is a pickle: whoever opens it may run what stands in it",
            mend="remove it; the safetensors hold the weights",
        )
    # Adapters are in the weights already, and the card is written anew.
    known = {*expected, *RECORDS, *LEFT_OUT, "README.md"}
    if name in known or name.split("/", maxsplit=1)[0] == ADAPTER_FOLDER:
        return None
    return OptionUnfit(
        f"{folder / name} does not belong to a checkpoint, and would be shared with it",
        mend=f"move it away: mv {folder / name} ELSEWHERE",
    )


def _names(folder: Path) -> Iterator[str]:
    """Every file and link below a folder; links to folders are named, not followed."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or path.is_file():
            yield path.relative_to(folder).as_posix()


def copy_files(checkpoint: Checkpoint, contents: Contents, folder: Path) -> int:
    """Copy what was chosen into an empty folder.

    Returns: how many paths and e-mail addresses were taken out of the records.
    Raises: CheckpointUnsafe for a secret, with its file and line; OutputUnwritable.
    """
    for name in contents.files:
        shutil.copyfile(checkpoint.path / name, folder / name)
    removed = 0
    for name in contents.records:
        record, count = redacted(read_json(checkpoint.path / name))
        removed += count
        write_atomically(folder / name, json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    for name in (*contents.files, *contents.records):
        refuse_secrets(folder / name, shown=checkpoint.path / name)
    return removed


def refuse_secrets(path: Path, *, shown: Path) -> None:
    """Refuse a text file with a secret in it; the letter names the line and never the secret.

    Args:
        shown: the path that the letter names.
    Raises: CheckpointUnsafe.
    """
    found = next(find_secrets(path, words=path.name not in VOCABULARIES), None)
    if found is not None:
        raise CheckpointUnsafe(
            f"{shown}, line {found.line}: this looks like a secret ({found.kind})",
            mend="take it out and make it void, for it may be known already; then package again",
        )


def redacted(value: Any) -> tuple[Any, int]:
    """A JSON value without absolute paths (their last part stays) and e-mail addresses, and how many there were."""
    if isinstance(value, str):
        text, paths = PATH.subn(lambda found: re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], value)
        text, addresses = E_MAIL.subn("[e-mail address removed]", text)
        return text, paths + addresses
    if isinstance(value, dict):
        inside = {key: redacted(inner) for key, inner in value.items()}
        return {key: new for key, (new, _) in inside.items()}, sum(count for _, count in inside.values())
    if isinstance(value, list):
        parts = [redacted(inner) for inner in value]
        return [new for new, _ in parts], sum(count for _, count in parts)
    return value, 0


def write_sums(folder: Path) -> dict[str, str]:
    """SHA256SUMS over every file of a folder, as `sha256sum -c SHA256SUMS` reads it.

    Returns: name -> sha256.
    """
    sums = {name: hash_file(folder / name) for name in _names(folder) if name != "SHA256SUMS"}
    write_atomically(folder / "SHA256SUMS", "".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    return sums


def lineage(checkpoint: Checkpoint) -> list[tuple[str, str | None]]:
    """Where the weights come from, nearest first: (name, sha256 of the checkpoint, where it is known)."""
    found: list[tuple[str, str | None]] = []
    if path := checked(checkpoint.path, "compression.json"):
        before = read_json(path).get("before")
        found += _named(before)
    found += _named((checkpoint.training_record or {}).get("base"))
    return list(dict.fromkeys(found))


def _named(said: Any) -> list[tuple[str, str | None]]:
    if not isinstance(said, dict) or not isinstance(said.get("name"), str):
        return []
    sha256 = said.get("sha256")
    whole = isinstance(sha256, str) and re.fullmatch(r"[0-9a-f]{64}", sha256)
    name, _ = redacted(said["name"][:200])
    return [(name, sha256 if whole else None)]
