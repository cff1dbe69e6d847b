"""A training run set down on disk, so that one that was killed goes on to the very weights it would have had.

Set down are the weights that are trained (of adapters, these alone), their moving average where there is one, the
optimizer's moments, the step, and what the record has collected so far. Everything else follows from (options, step):
the learning rate, the order of rows, and the random numbers of dropout, which are seeded anew for each step. Tensors
are safetensors, the rest is JSON: reading a state runs nothing.

    DIR/.training_state/state.json             names the tensors; written last, so that a state is whole or absent
    DIR/.training_state/step-120.safetensors   "model/NAME", "optimizer/KEY/NAME", "average/NAME"
    DIR/.training_state/best-80.safetensors    weights of the best evaluation, with early stopping
    DIR/.training_state/tokenizer.json         of a model from scratch
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.errors import CheckpointDamaged, OptionUnfit
from core_model.files import replace_file, write_atomically

if TYPE_CHECKING:
    import torch

    from core_model.weight_average import WeightAverage

FOLDER = ".training_state"
FORMAT = 2


@dataclass
class Position:
    """How far a run has come, and what it has collected for its record.

    Attributes:
        step: optimizer steps done.
        history: one entry for each evaluation, or for each epoch where there are no evaluation rows.
        loss_sum, loss_units: sum of the training losses since the last of these entries, and their number.
        best_step, best_loss: the best evaluation so far, with early stopping.
        rows, training_seconds: rows that went through a training step, and how long those steps took.
        seconds: wall time of all sessions so far, from loading to now.
        energy: sum of the measurements so far, as `training_meter.total` makes it; None before the first.
        sessions: how often the run was begun or resumed.
        killed_sessions: how many of them ended without a word.
        closed: whether the session that set this down then ended, rather than going on.
        mitigation: what the fairness constraint of the loss remembers.
        threads, threads_changed: of torch; another number may change the last bits.
    """

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    loss_sum: float = 0.0
    loss_units: int = 0
    best_step: int | None = None
    best_loss: float | None = None
    rows: int = 0
    training_seconds: float = 0.0
    seconds: float = 0.0
    energy: dict[str, Any] | None = None
    sessions: int = 0
    killed_sessions: int = 0
    closed: bool = False
    mitigation: dict[str, Any] | None = None
    threads: int | None = None
    threads_changed: bool = False


class StateFolder:
    """The state of one run, in its output folder."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    @property
    def exists(self) -> bool:
        """Whether a run was set down here."""
        return (self.folder / "state.json").is_file()

    def save(
        self,
        position: Position,
        identity: Mapping[str, Any],
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None = None,
    ) -> None:
        """Set a run down. When the disk is full the previous state stands.

        Raises: OutputUnwritable.
        """
        tensors = {f"model/{name}": tensor for name, tensor in weights(model).items()}
        if average is not None:
            tensors |= {f"average/{name}": tensor for name, tensor in average.tensors.items()}
        for name, parameter in model.named_parameters():
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{key}/{name}"] = value
        name = f"step-{position.step}.safetensors"
        self._write(name, tensors)
        state = {"format": FORMAT, "tensors": name, "identity": identity, "position": asdict(position)}
        write_atomically(self.folder / "state.json", json.dumps(state, indent=1, allow_nan=False))
        self._sweep("step-*.safetensors", keep=name)
        self._sweep("best-*.safetensors", keep=f"best-{position.best_step}.safetensors")

    def load(
        self,
        identity: Mapping[str, Any],
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None = None,
    ) -> Position:
        """Take a run up again: weights, their average and moments are put in place.

        Raises: OptionUnfit when it was another run (naming the field that differs); CheckpointDamaged when its files
            do not fit each other.
        """
        state = self._read()
        refuse_other_run(state["identity"], identity, where=self.folder)
        tensors = self._tensors(state["tensors"])

        def under(prefix: str) -> dict[str, torch.Tensor]:
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

        put_weights(model, under("model/"))
        if average is not None:
            average.load(under("average/"))
        parameters = dict(model.named_parameters())
        for full, tensor in under("optimizer/").items():
            key, name = full.split("/", 1)
            parameter = parameters[name]
            # "step" stays where AdamW wants it: with the parameter when fused.
            optimizer.state[parameter][key] = tensor.to(parameter.device, copy=True)
        return Position(**state["position"])

    def save_best(self, step: int, model: torch.nn.Module) -> None:
        """Keep these weights as the best so far. The previous best goes once a saved state names this one."""
        self._write(f"best-{step}.safetensors", weights(model))

    def load_best(self, step: int, model: torch.nn.Module) -> None:
        """Put the best weights back into the model."""
        put_weights(model, self._tensors(f"best-{step}.safetensors"))

    def remove(self) -> None:
        """The run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        from safetensors.torch import save_file

        on_host = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        with replace_file(self.folder / name) as fresh:
            save_file(on_host, fresh)

    def _tensors(self, name: str) -> dict[str, torch.Tensor]:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(self.folder / name)
        except (OSError, SafetensorError) as error:
            raise self._damaged(f"{name}: {error}") from error

    def _read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
            if state["format"] != FORMAT:
                raise ValueError(f"format {state['format']}, of another version of aboveboard")
            Position(**state["position"])
            if Path(state["tensors"]).name != state["tensors"]:
                raise ValueError(f"tensors {state['tensors']!r} are not a file beside it")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(f"state.json: {error}") from error
        return state

    def _damaged(self, what: str) -> CheckpointDamaged:
        return CheckpointDamaged(
            f"{self.folder} cannot be resumed from: {what}", mend=f"remove {self.folder} and train without --resume"
        )

    def _sweep(self, pattern: str, *, keep: str) -> None:
        for file in self.folder.glob(pattern):
            if file.name != keep:
                file.unlink(missing_ok=True)


def refuse_other_run(was: Mapping[str, Any], now: Mapping[str, Any], *, where: Path) -> None:
    """A resumed run must be the same run: the same data, base and options.

    Raises: OptionUnfit naming the first field that differs, with both values.
    """
    for name in dict.fromkeys([*now, *was]):
        if was.get(name) == now.get(name):
            continue
        flag = "--" + name.removesuffix("_sha256").replace("_", "-").replace("evaluation-data", "eval-data")
        value = was.get(name)
        mend = f"{flag} {value}" if not name.endswith("sha256") and value is not None else f"the same {flag} as before"
        if value is True:  # a switch
            mend = f"{flag}, as before"
        if value is None or value is False:
            mend = f"leave {flag} out, as before"
        raise OptionUnfit(
            f"{where} holds a run with {name} = {value}; now it is {now.get(name)}",
            mend=f"{mend}; or train without --resume into another --out",
        )


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A model's trained parameters and its buffers by name; tensors that share memory (tied embeddings) once.

    What is frozen is the base's, which a run names by its hash.
    """
    frozen = {p.data_ptr() for p in model.parameters() if not p.requires_grad and p.numel()}
    seen: set[tuple[int, tuple[int, ...]]] = set()
    found = {}
    for name, tensor in model.state_dict().items():
        where = (tensor.data_ptr(), tuple(tensor.shape))
        if tensor.data_ptr() not in frozen and (where not in seen or not tensor.numel()):
            seen.add(where)
            found[name] = tensor
    return found


def put_weights(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors into a model in place; those tied to one of them follow."""
    import torch

    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
