"""A federated run set down on disk after each round, so that a server that was killed goes on to the very same model.

    DIR/.federation/state.json                 names the tensors; written last, so that a state is whole or absent
    DIR/.federation/round-3.safetensors        "model/NAME": the global model; "strategy/NAME": what the strategy keeps
    DIR/.federation/clients/4/round-3.bin      what stays with client 4 after round 3 (a Flower RecordDict, protobuf)

Flower itself does not resume a run (flwrlabs/flower#599). Participants, orders of rows and dropout follow from
(seed, round, client); so the global model, the strategy's moments and what stays with the clients are all there is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.errors import CheckpointDamaged
from core_model.files import replace_file, write_atomically
from core_model.training_state import refuse_other_run
from federated.arrays import Update

if TYPE_CHECKING:
    from flwr.app import RecordDict

FOLDER = ".federation"
CLIENTS = "clients"
FORMAT = 1
KEPT = ("head", "feedback", "ledger")  # how names of records begin that stay with a client
KEPT_ROUNDS = 2  # of a client: the round under way, which may be done again, and the one before it


@dataclass
class Progressed:
    """How far a run has come, and what it has collected for its record.

    Attributes:
        round: rounds done.
        rounds: one entry for each of them.
        seconds: wall time of all sessions so far.
        energy: sum of the measurements so far; None before the first.
        sessions: how often the run was begun or resumed.
        notes: what other rooms keep from round to round, by their name; JSON.
    """

    round: int = 0
    rounds: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    energy: dict[str, Any] | None = None
    sessions: int = 0
    notes: dict[str, Any] = field(default_factory=dict)


class FederationState:
    """The state of one run, in its output folder."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    @property
    def exists(self) -> bool:
        """Whether a run was set down here."""
        return (self.folder / "state.json").is_file()

    @property
    def clients(self) -> str:
        """Where the clients of a simulation keep what stays with them."""
        return str(self.folder / CLIENTS)

    def save(
        self, progressed: Progressed, identity: Mapping[str, Any], model: Update, strategy: Mapping[str, np.ndarray]
    ) -> None:
        """Set a run down. When the disk is full the previous state stands.

        Raises: OutputUnwritable.
        """
        from safetensors.numpy import save_file

        tensors = {f"model/{name}": np.ascontiguousarray(array) for name, array in model.items()}
        tensors |= {f"strategy/{name}": np.ascontiguousarray(array) for name, array in strategy.items()}
        name = f"round-{progressed.round}.safetensors"
        with replace_file(self.folder / name) as fresh:
            save_file(tensors, fresh)
        state = {
            "format": FORMAT, "tensors": name, "names": list(model), "identity": identity,
            "progressed": asdict(progressed),
        }  # fmt: skip
        write_atomically(self.folder / "state.json", json.dumps(state, indent=1, allow_nan=False))
        for file in self.folder.glob("round-*.safetensors"):
            if file.name != name:
                file.unlink(missing_ok=True)

    def load(self, identity: Mapping[str, Any]) -> tuple[Progressed, Update, dict[str, np.ndarray]]:
        """Take a run up again.

        Returns: how far it had come, the global model, what the strategy keeps.
        Raises: OptionUnfit when it was another run (naming the field that differs); CheckpointDamaged when its files
            do not fit each other.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        state = self._read()
        refuse_other_run(state["identity"], identity, where=self.folder)
        try:
            tensors = load_file(self.folder / state["tensors"])
            model = {name: tensors[f"model/{name}"] for name in state["names"]}
        except (OSError, SafetensorError, KeyError) as error:
            raise self._damaged(f"{state['tensors']}: {error}") from error
        strategy = {n.removeprefix("strategy/"): a for n, a in tensors.items() if n.startswith("strategy/")}
        return Progressed(**state["progressed"]), model, strategy

    def remove(self) -> None:
        """The run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
            if state["format"] != FORMAT:
                raise ValueError(f"format {state['format']}, of another version of aboveboard")
            Progressed(**state["progressed"])
            if Path(state["tensors"]).name != state["tensors"]:
                raise ValueError(f"tensors {state['tensors']!r} are not a file beside it")
            state["names"], state["identity"]  # their absence is a KeyError
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(f"state.json: {error}") from error
        return state

    def _damaged(self, what: str) -> CheckpointDamaged:
        return CheckpointDamaged(
            f"{self.folder} cannot be resumed from: {what}", mend=f"remove {self.folder} and begin without --resume"
        )


class ClientHome:
    """Where one client keeps what stays with it, over rounds and restarts.

    A round may be done twice, when the server was killed before it had set the round down; so a client begins a round
    with what it kept after the latest earlier one. Only records named "ledger..." are the newest ones: what was spent
    was spent, whether its round counted or not.

    Only records of these names are kept (what a secure round leaves in the same place are secrets of minutes):
        head, feedback      the personal head, and what compression has dropped
        ledger...           what was spent of a promise to the client's rows

    Args:
        folder: of all clients of a simulation, or of a deployed client; None: what Flower keeps in memory is all.
    """

    def __init__(self, folder: str | None, client: int) -> None:
        self.folder = None if folder is None else Path(folder) / str(client)

    def before(self, server_round: int, state: RecordDict) -> None:
        """Put what the client kept before this round into its context's `state`."""
        if self.folder is None:
            return
        kept = self._rounds()
        earlier = [number for number in kept if number < server_round]
        for name in filter(_is_kept, list(state)):
            del state[name]
        if earlier:
            state.update(self._read(earlier[-1]))
        if kept and kept[-1] >= server_round:
            state.update({k: v for k, v in self._read(kept[-1]).items() if k.startswith("ledger")})

    def keep(self, server_round: int, state: RecordDict) -> None:
        """Set down what the client keeps after this round; nothing is written where it keeps nothing.

        Raises: OutputUnwritable.
        """
        own = {name: record for name, record in state.items() if _is_kept(name)}
        if self.folder is None or not own:
            return
        from flwr.app import RecordDict
        from flwr.common.serde import recorddict_to_proto

        content = recorddict_to_proto(RecordDict(own)).SerializeToString()
        write_atomically(self.folder / f"round-{server_round}.bin", content)
        for number in self._rounds()[:-KEPT_ROUNDS]:
            (self.folder / f"round-{number}.bin").unlink(missing_ok=True)

    def latest(self) -> RecordDict | None:
        """What it keeps now; None where it keeps nothing."""
        kept = self._rounds()
        return self._read(kept[-1]) if kept else None

    def _rounds(self) -> list[int]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(int(file.stem.removeprefix("round-")) for file in self.folder.glob("round-*.bin"))

    def _read(self, server_round: int) -> RecordDict:
        from flwr.common.serde import recorddict_from_proto
        from flwr.proto.recorddict_pb2 import RecordDict as Proto

        assert self.folder is not None  # noqa: S101  # `_rounds` found a file in it
        file = self.folder / f"round-{server_round}.bin"
        try:
            return recorddict_from_proto(Proto.FromString(file.read_bytes()))
        except Exception as error:  # protobuf's errors share no base but this
            raise CheckpointDamaged(
                f"{file} cannot be read: {error}", mend="begin again, into another --out"
            ) from error


def _is_kept(name: str) -> bool:
    return name.startswith(KEPT)
