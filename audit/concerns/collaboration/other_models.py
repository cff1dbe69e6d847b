"""Models beside the audited one: those that clients trained alone, and the audited one with other numbers in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.concerns.collaboration.clients import Answered
from core_model.errors import BadInput
from core_model.training_state import StateFolder
from federated.baselines import POOLED, SOLO, solo_folder

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.checkpoint import Checkpoint
    from core_model.prediction import Predictor
    from federated.record import FederatedRecord

# What must be equal, or two trainings had different means.
BUDGET = ("seed", "epochs", "max_steps", "batch_size", "learning_rate", "max_length", "adapters", "freeze")


class Unfit(Exception):
    """Why a model cannot be compared with; a sentence for the reader."""


@dataclass
class Asked:
    """Asks other models about the subject's rows, and counts what that costs.

    Attributes:
        forward_passes: rows that went through them so far.
    """

    subject: Subject
    forward_passes: int = 0

    def answered(self, predictor: Predictor, rows: np.ndarray) -> Answered:
        """A model's answers to some rows, (chosen,); `rows`: (rows,) bool or indices."""
        some = self.subject.data.select(rows)
        before = predictor.forward_passes
        predictions = predictor.predict(some.texts, some.pairs)
        self.forward_passes += predictor.forward_passes - before
        return Answered.of(predictions, some.targets)

    def of_checkpoint(self, checkpoint: Checkpoint, rows: np.ndarray) -> Answered:
        """Another checkpoint's answers."""
        return self.answered(self._predictor(checkpoint), rows)

    def reshaped(self) -> Reshaped:
        """The audited model, loaded once more, to put other numbers in."""
        return Reshaped(self, self._predictor(self.subject.checkpoint))

    def _predictor(self, checkpoint: Checkpoint) -> Predictor:
        from core_model.prediction import Predictor

        return Predictor(checkpoint, cache=None, threads=getattr(self.subject.predictor, "threads", None))


@dataclass(frozen=True)
class Reshaped:
    """The audited model's shape with other parameters; see `Asked.reshaped`."""

    asked: Asked
    predictor: Predictor

    def answered(self, parameters: Mapping[str, np.ndarray], rows: np.ndarray) -> Answered:
        """Answers with these parameters; those that are not named keep what they had before.

        Raises: Unfit for a name or a shape that the model has not.
        """
        from federated.arrays import load_parameters

        try:
            load_parameters(self.predictor.forward.model, parameters)
        except (KeyError, ValueError) as error:
            raise Unfit(f"what is kept does not fit this model: {error.args[0]}") from error
        return self.asked.answered(self.predictor, rows)


def solo_model(subject: Subject, record: FederatedRecord, client: int, rows: int | None, given: str | None) -> Any:
    """A client's own model; `rows`: that it learnt from. Raises: Unfit, with the mend."""
    place = Path(given) / f"client-{client:03d}" if given else solo_folder(subject.checkpoint.path, client)
    return _opened(subject, record, place, f"{SOLO}/client-{client:03d}", "--with-solo", rows)


def pooled_model(subject: Subject, record: FederatedRecord, rows: int | None, given: str | None) -> Any:
    """The model of all rows in one place; `rows`: how many these are. Raises: Unfit, with the mend."""
    place = Path(given) if given else subject.checkpoint.path / POOLED
    return _opened(subject, record, place, POOLED, "--with-pooled", rows)


def _opened(
    subject: Subject, record: FederatedRecord, place: Path, name: str, flag: str, rows: int | None
) -> Checkpoint:
    from core_model.checkpoint import open_checkpoint

    mend = f"the command of the federation, with --resume {flag}, trains it"
    if not place.is_dir():
        raise Unfit(f"{name} is not there: {mend}")
    if StateFolder(place).exists:
        raise Unfit(f"{name} is not trained to its end: {mend}")
    mend = f"remove it, and {mend}"
    try:
        other = open_checkpoint(place)
    except BadInput as error:
        raise Unfit(f"{name} cannot be opened: {error.found.replace(str(place), name)}; {mend}") from error
    if why := _differs(subject, record, other, pooled=flag == "--with-pooled", rows=rows):
        raise Unfit(f"{name} {why}; {mend}")
    return other


def _differs(
    subject: Subject, record: FederatedRecord, other: Checkpoint, *, pooled: bool, rows: int | None
) -> str | None:
    """Why two models are not the same training but for who took part; None where they are."""
    if other.task is not subject.task or other.labels != subject.labels:
        said = ", ".join(other.labels) or "no labels"
        return f"answers another question ({other.task}: {said}) than the federated model"
    if other.training_record is None:
        return "has no training_record.json, which would say what it began from"
    return next(_faults(record, other.training_record, pooled=pooled, rows=rows), None)


def _faults(record: FederatedRecord, made: Mapping[str, Any], *, pooled: bool, rows: int | None) -> Iterator[str]:
    if (made.get("base") or {}).get("sha256") != record.base.get("sha256"):
        yield "began from another base than the federation"
    for option, expected in _budget(record, pooled=pooled).items():
        found = (made.get("options") or {}).get(option, expected)  # an option that came later is not in every record
        if found != expected:
            yield f"was trained with {option} = {found}, where the federation's means are {option} = {expected}"
    learnt_from = (made.get("data") or {}).get("rows")
    if rows is not None and learnt_from != rows:
        yield f"learnt from {learnt_from} rows, and there were {rows} in the federation"
    promised = (record.options.get("private") or {}).get("unit") == "example"
    if promised != bool(made.get("privacy")):
        yield "is not private, and the federation is" if promised else "is private, and the federation is not"


def _budget(record: FederatedRecord, *, pooled: bool) -> dict[str, Any]:
    from federated.baselines import pooled_options, solo_options
    from federated.options import FederationOptions

    options, rounds = FederationOptions.model_validate(record.options), len(record.rounds)
    made = pooled_options(options, rounds) if pooled else solo_options(options, rounds)
    found = made.model_dump(mode="json")
    return {name: found[name] for name in BUDGET}
