"""The files of a checkpoint: found, read as JSON with care, and hashed. Nothing here knows what a model is.

The content hash can be recomputed by anyone with `sha256sum`: it is the sha256 over one line a file, sorted by name (as
`LC_ALL=C sort` does), each line being the file's name, a NUL byte, the file's sha256 in hexadecimal, and a line feed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core_model.data_hash import hash_file
from core_model.errors import CheckpointDamaged, CheckpointMissing, CheckpointUnsafe

LARGEST_JSON = 64 * 2**20  # bytes; the largest tokenizers of public models need about 35 MB

CONFIGURATION_FILES = ("config.json", "generation_config.json")
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model",
    "source.spm", "target.spm", "tekken.json",
)  # fmt: skip
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
OTHER_WEIGHTS = {".gguf": "GGUF", ".h5": "Keras", ".msgpack": "Flax"}
GRAPH_SUFFIX = ".onnx"
HUB_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.spm", "*.jinja", "bpe.codes", "README.md", "LICENSE*")
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w./-]+)?")

_hashes: dict[tuple[str, int, int], str] = {}  # by path, size and time of change; for this process only


def find_folder(location: str | Path, *, allow_pickle: bool = False) -> Path:
    """The checkpoint's folder: as named, that of a named graph, or from a hub (`owner/name`, `hub:owner/name@main`).

    Raises: CheckpointMissing when there is no such folder or the hub cannot be reached.
    """
    text = str(location)
    path = Path(text).expanduser()
    if text.startswith("hub:") or (
        not path.exists() and HUB_NAME.fullmatch(text) and not path.parent.is_dir() and not isinstance(location, Path)
    ):
        return _from_hub(text.removeprefix("hub:"), allow_pickle)
    if not path.exists():
        raise CheckpointMissing(f"there is no checkpoint at {path}", mend="check the path, or train one")
    if is_graph(path):
        return path.parent.resolve()
    if not path.is_dir():
        raise CheckpointMissing(f"{path} is a file; a checkpoint is a folder", mend=f"name its folder: {path.parent}")
    return path.resolve()


def is_graph(path: Path) -> bool:
    """Whether this is the file of an exported graph (ONNX), by its name."""
    return path.suffix.lower() == GRAPH_SUFFIX and path.is_file()


def _from_hub(name: str, allow_pickle: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    repository, _, revision = name.partition("@")
    were_off = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        wished = [*HUB_FILES, *(["pytorch_model*.bin"] if allow_pickle else [])]
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=wished)).resolve()
    except Exception as error:  # the client raises a dozen kinds; its traceback is not for our reader
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointMissing(
            f"{repository!r} is no folder here, and the hub does not give it: {first_line[:200]}",
            mend="check the path or the network, or name a local folder",
        ) from None
    finally:
        if not were_off:
            enable_progress_bars()


def checked(folder: Path, name: str) -> Path | None:
    """The path of a file of the checkpoint, or None where there is none.

    Raises: CheckpointUnsafe when it is a link out of the folder (the hub cache's own `snapshots` to `blobs` aside), or
        a named pipe, a socket or a device, of which a reader may wait for ever.
    """
    path = folder / name
    if not path.exists():
        if path.is_symlink():
            raise CheckpointDamaged(f"{path} is a link to nothing", mend="copy or fetch the checkpoint again")
        return None
    real = path.resolve()
    blobs = folder.parent.parent / "blobs" if folder.parent.name == "snapshots" else folder
    if not (real.is_relative_to(folder) or real.is_relative_to(blobs.resolve())):
        raise CheckpointUnsafe(
            f"{path} is a link out of the checkpoint's folder, to {real}",
            mend=f"copy the file into the folder: cp --remove-destination {real} {path}",
        )
    if not path.is_file() and not path.is_dir():
        kind = "a named pipe" if path.is_fifo() else "a socket or a device"
        raise CheckpointUnsafe(
            f"{path} is {kind}, not a file; it was not opened",
            mend=f"remove it, and copy or fetch the checkpoint again: rm -- {shlex.quote(str(path))}",
        )
    return path if path.is_file() else None


def read_json(path: Path, *, largest: int = LARGEST_JSON) -> dict[str, Any]:
    """A JSON object.

    Raises: CheckpointDamaged with the line that is no JSON, or when the file is larger than `largest` bytes.
    """
    size = path.stat().st_size
    if size > largest:
        raise CheckpointDamaged(f"{path} has {size:,} bytes; at most {largest:,} are read", mend="remove the file")
    if not size:
        raise CheckpointDamaged(f"{path} has 0 bytes", mend="fetch or write the file again")
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise CheckpointDamaged(
            f"{path}, line {error.lineno}, column {error.colno}: no JSON ({error.msg})",
            mend="fetch or write the file again",
        ) from None
    except (ValueError, RecursionError) as error:
        raise CheckpointDamaged(f"{path} is no JSON ({error})", mend="fetch or write the file again") from None
    except OSError as error:
        raise CheckpointDamaged(f"{path} cannot be read: {error.strerror}", mend=f"chmod u+r {path}") from None
    if not isinstance(value, dict):
        raise CheckpointDamaged(f"{path} holds a {type(value).__name__}, not an object", mend="fetch the file again")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def hash_once(path: Path) -> str:
    """A file's sha256; remembered in this process until its size or time of change differs."""
    status = path.stat()
    key = (str(path), status.st_size, status.st_mtime_ns)
    if key not in _hashes:
        _hashes[key] = hash_file(path)
    return _hashes[key]


def content_hash(files: Mapping[str, str]) -> str:
    """One hash for a checkpoint from its files' hashes: name -> sha256. The rule stands in the module's docstring."""
    lines = "".join(f"{name}\0{sha256}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
