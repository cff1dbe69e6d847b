"""What a federation is held against: each client alone, and one model of all rows in one place.

    for trained in train_baselines(settings, result, out=out, solo=True, pooled=True, resume=False):
        trained.what, trained.path, trained.refused

    OUT/solo/client-000/ ...   a checkpoint for each client, made from its own training rows alone
    OUT/pooled/                one checkpoint, made from the training rows of all clients together

Both begin from the federation's base, with its seed, rate and batch, and pass over the rows as often as a client does
in all rounds; where rows are promised privacy (DP-SGD in each client), they are private with the same epsilon. They are
trained by `core_model.training` and `privacy.training` as they stand: the rate falls linearly to 0 over the whole run,
where a federation's clients begin anew in every round at a constant rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.errors import BadInput, LabelsUnfit, OptionUnfit, OutputUnwritable
from core_model.training_options import TrainingOptions
from core_model.training_state import StateFolder
from federated.options import FederationOptions
from federated.partition import partition, split_held_out
from federated.run_settings import RunSettings

if TYPE_CHECKING:
    from core_model.data import Table
    from core_model.progress import Tell
    from federated.record import FederatedRecord

SOLO, POOLED = "solo", "pooled"


@dataclass(frozen=True)
class Baseline:
    """One of the models that a federation is held against.

    Attributes:
        what: for people, such as "site 3 alone".
        path: its folder.
        refused: why it could not be trained, such as a client whose rows are all of one class; None where it was.
    """

    what: str
    path: Path
    refused: BadInput | None = None


def solo_folder(out: Path, client: int) -> Path:
    """Where a client's own model lies."""
    return out / SOLO / f"client-{client:03d}"


def refuse_unfit(options: FederationOptions, out: Path, *, solo: bool, pooled: bool, resume: bool) -> None:
    """Before a federation is trained for hours: what would stop its baselines.

    Raises: OptionUnfit for an optimizer that the trainer has not; OutputUnwritable for an interrupted training.
    """
    if not (solo or pooled):
        return
    if options.optimizer == "sgd":
        flag = "--with-solo" if solo else "--with-pooled"
        raise OptionUnfit(
            f"{flag} trains with the trainer's own optimizers, and sgd is none of them",
            mend=f"--optimizer adamw or adam, or leave {flag} out",
        )
    places = [out / POOLED] if pooled else []
    places += [solo_folder(out, client) for client in range(options.clients)] if solo else []
    for place in places if not resume else []:
        if StateFolder(place).exists:
            raise OutputUnwritable(f"{place} holds an interrupted training run", mend="--resume to go on with it")


def train_baselines(
    settings: RunSettings,
    record: FederatedRecord,
    *,
    out: Path,
    solo: bool,
    pooled: bool,
    resume: bool,
    begin: Callable[[str], None] = lambda what: None,
    shown: Callable[[], AbstractContextManager[Tell | None]] | None = None,
) -> Iterator[Baseline]:
    """Train what is asked for, one after the other; with `resume` only what is not there yet.

    Args:
        settings: of the federation, with its `data`.
        record: of the federation, which is done: its rounds say how long a baseline trains.
        begin: told what is trained next. shown: a context in which its progress is shown.
    Yields: each as it is done. One whose rows cannot be trained on is refused, and the others go on.
    Raises: as `core_model.training.train`, and KeyboardInterrupt with the state saved.
    """
    from core_model.checkpoint import open_checkpoint

    options, rounds = settings.federation, len(record.rounds)
    table = _rows(settings)
    parts = partition(table, options)
    own = [
        split_held_out(rows, options.held_out, seed=options.seed, client=client)[0]
        for client, rows in enumerate(parts.rows)
    ]
    asked: list[tuple[str, Path, np.ndarray, TrainingOptions]] = []
    if solo:
        asked += [
            (f"{name} alone", solo_folder(out, client), own[client], solo_options(options, rounds))
            for client, name in enumerate(parts.names)
        ]
    if pooled:
        asked.append(
            ("all rows in one place", out / POOLED, np.sort(np.concatenate(own)), pooled_options(options, rounds))
        )
    base = open_checkpoint(settings.base)
    for what, place, rows, training in asked:
        begin(what)
        given: dict[str, Any] = {
            "data": replace(table.select(rows), name=f"{table.name}, {what}"), "base": base, "out": place,
            "resume": resume,
        }  # fmt: skip
        try:
            _train(training, options, given, shown)
        except LabelsUnfit as refused:
            yield Baseline(what, place, refused)
        else:
            yield Baseline(what, place)


def solo_options(options: FederationOptions, rounds: int) -> TrainingOptions:
    """A client's own training: as many passes or steps as it does in so many rounds."""
    from federated.workbench import training_options

    changes: dict[str, Any] = {"optimizer": options.optimizer}
    if options.local_steps is None:
        changes["epochs"] = rounds * (options.local_epochs or 1)
    else:
        changes["max_steps"] = rounds * options.local_steps
    return training_options(options, **changes)


def pooled_options(options: FederationOptions, rounds: int) -> TrainingOptions:
    """As many passes; or, where steps are counted, the steps of all clients together."""
    alone = solo_options(options, rounds)
    if alone.max_steps is None:
        return alone
    return alone.model_copy(update={"max_steps": alone.max_steps * options.clients})


def _train(
    training: TrainingOptions, options: FederationOptions, given: dict[str, Any],
    shown: Callable[[], AbstractContextManager[Tell | None]] | None,
) -> None:  # fmt: skip
    from contextlib import nullcontext

    from core_model.training import train
    from privacy.options import PrivacyOptions
    from privacy.training import train_privately

    with (shown or nullcontext)() as tell:
        if options.private is None or options.private.unit != "example":
            train(training, progress=tell, **given)
            return
        promise = options.private
        private = PrivacyOptions(
            epsilon=promise.epsilon, delta=promise.delta, clipping_norm=promise.clipping_norm,
            noise_seed=promise.noise_seed,
        )  # fmt: skip
        train_privately(training, private, progress=tell, **given)


def _rows(settings: RunSettings) -> Table:
    """The file that was divided, opened as the federation opens it.

    Raises: OptionUnfit in a deployment, where no process has it.
    """
    from core_model.data import open_table

    options = settings.federation
    if settings.data is None:
        raise OptionUnfit("there are no rows here: each client has its own", mend="train where the rows are")
    columns: dict[str, Any] = {**settings.columns, "task": options.task}
    return open_table(
        settings.data, labels_required=True, references_required=True, label_names=settings.labels or None,
        group_columns=[options.column] if options.column else [], **columns,
    )  # fmt: skip
