"""What the server saw, kept on request (`--keep-updates`): each round's model, and the updates as they arrived.

    OUT/updates/round-0001/global.safetensors      the shared parameters as the round began, float32, by their names
    OUT/updates/round-0001/client-003.safetensors  what arrived from client 3: local minus global, clipped, noised and
                                                   unpacked as the run does it; metadata: client, num_examples
    OUT/updates/round-0001/sum.safetensors         under secure aggregation, in the clients' place: the sum of weight
                                                   times update, float64; metadata: weight, survivors

    for number in kept_rounds(out):
        kept = read_round(out, number)
        kept.start(), {client: kept.update(client) for client in kept.clients}

Only updates that were believed are kept; the record names the others. A round's folder takes its place whole, before
the state that counts the round is set down, so that a run that was killed and resumed leaves the same bytes.

Whoever has these files can attack the clients' rows with them: they are as sensitive as the rows.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core_model.errors import BadInput, DataDamaged, DataMissing, OptionUnfit
from core_model.files import replace_folder, unwritable_letters
from federated.arrays import Update
from federated.options import FederationOptions

FOLDER = "updates"
GLOBAL, SUM = "global.safetensors", "sum.safetensors"
ROUND = re.compile(r"round-(\d{4,})")
UNFINISHED = re.compile(r"\.round-\d{4,}\..+\.(new|old)")  # names of `core_model.files.replace_folder`
CLIENT = re.compile(r"client-(\d{3,})\.safetensors")
SUPPLY = "aboveboard federate --keep-updates ..."


@dataclass(frozen=True)
class FromClient:
    """An update that the server saw.

    Attributes:
        client: its number in the partition.
        examples: rows that it says it learnt from.
    """

    client: int
    update: Update
    examples: int


@dataclass(frozen=True)
class FromAll:
    """A sum that was unmasked: all that the server saw of a secure round.

    Attributes:
        total: sum of weight times update, by parameter.
        weight: sum of the weights.
        survivors: numbers of the clients whose updates are in it.
    """

    total: Mapping[str, np.ndarray]
    weight: float
    survivors: tuple[int, ...]


Seen = Sequence[FromClient] | FromAll


@dataclass(frozen=True)
class KeptRound:
    """A round on disk; arrays are read when they are asked for, since a round may be larger than memory.

    Attributes:
        folder: of its files.
        round: its number, from 1.
        examples: of each client whose update is there, by its number, as it said; empty under secure aggregation.
        weight, survivors: of the sum; None and () where there is none.
    """

    folder: Path
    round: int
    examples: Mapping[int, int]
    weight: float | None
    survivors: tuple[int, ...]

    @property
    def clients(self) -> tuple[int, ...]:
        """Whose updates are there, ascending."""
        return tuple(self.examples)

    @property
    def is_secure(self) -> bool:
        """Whether the sum is all there is."""
        return self.weight is not None

    def start(self) -> Update:
        """The shared parameters as the round began. Raises: DataDamaged."""
        return _arrays(self.folder / GLOBAL)

    def update(self, client: int) -> Update:
        """A client's update as it arrived. Raises: DataDamaged; KeyError for a client that is not there."""
        self.examples[client]
        return _arrays(self.folder / _name(client))

    def total(self) -> dict[str, np.ndarray]:
        """The sum of weight times update, float64; of a secure round alone. Raises: DataDamaged."""
        return _arrays(self.folder / SUM)


def refuse_unfit(options: FederationOptions) -> None:
    """Hold keeping against what was promised.

    Raises: OptionUnfit where the promise rests on nobody's knowing who took part in a round.
    """
    promise = options.private
    sampled = options.participation < 1 and not options.secure
    if options.keep_updates and promise is not None and promise.unit == "client" and sampled:
        raise OptionUnfit(
            f"--keep-updates does not go with --private and --participation {options.participation:g}: the promise "
            "rests on nobody's knowing who took part in a round, and a kept update tells",
            mend="leave --keep-updates out, or --participation 1",
        )


def begin_keeping(out: Path, rounds_done: int) -> None:
    """Take away what an earlier run in `out`, or a round that was killed while it was written, has left.

    Args:
        rounds_done: rounds of this run that are set down; 0 removes everything.
    Raises: OutputUnwritable.
    """
    folder = out / FOLDER
    with unwritable_letters(folder):
        for entry in list(folder.iterdir()) if folder.is_dir() else []:
            found = ROUND.fullmatch(entry.name)
            if UNFINISHED.fullmatch(entry.name) or (found and not 0 < int(found[1]) <= rounds_done):
                shutil.rmtree(entry)


def write_round(out: Path, number: int, *, start: Update, seen: Seen) -> dict[str, str]:
    """Keep a round, whole or not at all.

    Returns: sha256 of each file, by its name.
    Raises: OutputUnwritable.
    """
    with unwritable_letters(out):
        (out / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    hashes = {}
    with replace_folder(_folder(out, number)) as fresh:
        for name, arrays, facts in _files(start, seen):
            content = _safetensors(arrays, facts)
            hashes[name] = hashlib.sha256(content).hexdigest()
            (fresh / name).write_bytes(content)
    return hashes


def kept_rounds(out: Path) -> tuple[int, ...]:
    """Numbers of the rounds that are kept in a run's output folder, ascending; () where none is."""
    folder = out / FOLDER
    found = [ROUND.fullmatch(entry.name) for entry in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(int(match[1]) for match in found if match))


def read_round(out: Path, number: int, *, expected: Mapping[str, str] | None = None) -> KeptRound:
    """A round that was kept.

    Args:
        expected: sha256 by file name, as the round's entry in federated_record.json has it under "kept".
    Raises: DataMissing when it was not kept; DataDamaged when a file is lacking, cut, or not the one that was kept.
    """
    folder = _folder(out, number)
    if not folder.is_dir():
        raise DataMissing(f"{out} has kept no updates of round {number}", mend=SUPPLY)
    for name, sha256 in (expected or {}).items():
        _require_same(folder / name, sha256)
    sent = {int(found[1]) for file in folder.iterdir() if (found := CLIENT.fullmatch(file.name))}
    examples = {client: int(_fact(folder / _name(client), "num_examples")) for client in sorted(sent)}
    if not (folder / SUM).is_file():
        return KeptRound(folder, number, examples, None, ())
    survivors = json.loads(_fact(folder / SUM, "survivors"))
    return KeptRound(folder, number, {}, float(_fact(folder / SUM, "weight")), tuple(map(int, survivors)))


def _files(start: Update, seen: Seen) -> list[tuple[str, Mapping[str, np.ndarray], dict[str, str]]]:
    files: list[tuple[str, Mapping[str, np.ndarray], dict[str, str]]] = [(GLOBAL, start, {})]
    if isinstance(seen, FromAll):
        facts = {"survivors": json.dumps(list(seen.survivors)), "weight": repr(float(seen.weight))}
        return [*files, (SUM, seen.total, facts)]
    return files + [
        (_name(one.client), one.update, {"client": str(one.client), "num_examples": str(one.examples)}) for one in seen
    ]


def _safetensors(arrays: Mapping[str, np.ndarray], facts: Mapping[str, str]) -> bytes:
    """The same bytes for the same content: safetensors itself writes metadata in an order that differs by process."""
    from safetensors.numpy import save

    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    if not facts:
        return content
    length = int.from_bytes(content[:8], "little")
    header = {"__metadata__": dict(sorted(facts.items())), **json.loads(content[8 : 8 + length])}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _arrays(file: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise _damaged(file, str(error)) from error


def _fact(file: Path, name: str) -> str:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return str((opened.metadata() or {})[name])
    except (OSError, SafetensorError) as error:
        raise _damaged(file, str(error)) from error
    except KeyError:
        raise _damaged(file, f"its metadata has no {name!r}") from None


def _require_same(file: Path, sha256: str) -> None:
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise _damaged(file, error.strerror or str(error)) from error
    if found != sha256:
        raise _damaged(file, f"its sha256 is {found[:12]}..., and the record says {sha256[:12]}...")


def _damaged(file: Path, why: str) -> BadInput:
    return DataDamaged(f"{file} is not the update that was kept: {why}", mend=f"{SUPPLY}, into another --out")


def _folder(out: Path, number: int) -> Path:
    return out / FOLDER / f"round-{number:04d}"


def _name(client: int) -> str:
    return f"client-{client:03d}.safetensors"
