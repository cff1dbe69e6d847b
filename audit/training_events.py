"""A training run as TensorBoard shows it while it lasts: loss, rate, epsilon, evaluations; one folder of events a run.

Events are what progress tells (`core_model.progress`, `federated.rounds`): nothing is measured twice, and nothing that
was not measured has an event. TensorBoard's writer is the extra `tensorboard`, and it is asked for before a run begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.tracking import package_missing
from core_model.errors import OptionUnfit
from core_model.files import unwritable_letters

if TYPE_CHECKING:
    from core_model.progress import Progress, Tell
    from federated.rounds import RoundTold


@contextmanager
def training_events(to: Path | None, out: Path, *, resume: bool) -> Iterator[Events | None]:
    """The events of the run that writes `out`, in a folder of that name in `to`; None where none are asked for.

    Raises: OptionUnfit without the package, or where another run's events lie there; OutputUnwritable.
    """
    if to is None:
        yield None
        return
    folder = to / out.resolve().name
    if not resume and folder.is_dir() and any(folder.glob("events.out.tfevents.*")):
        raise OptionUnfit(
            f"{folder} holds the events of another run",
            mend="--tensorboard with another folder, or --resume to go on with that run",
        )
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise package_missing("tensorboard", error) from error
    with unwritable_letters(folder):
        folder.mkdir(parents=True, exist_ok=True)
    events = Events(lambda step: SummaryWriter(str(folder), purge_step=step))
    try:
        yield events
    finally:
        events.close()


class Events:
    """Writes what it is told.

    Args:
        open_writer: gives a SummaryWriter from the first step on that it will write: events of an earlier session that
            lie behind that step were lost with it, and TensorBoard leaves them out.
    """

    def __init__(self, open_writer: Callable[[int], Any]) -> None:
        self._open = open_writer
        self._writer: Any = None  # until something is told

    def beside(self, tell: Tell) -> Tell:
        """What a training run tells, told on and written."""

        def told(said: Progress) -> None:
            tell(said)
            self.progress(said)

        return told

    def progress(self, said: Progress) -> None:
        """What a training run tells of itself."""
        if said.stage == "training":
            self._add(said.step, {"training/loss": said.loss, "training/learning_rate": said.learning_rate,
                                  "training/rows_per_second": said.examples_per_second})  # fmt: skip
        elif said.stage == "evaluated":
            self._add(said.step, {"evaluation/loss": said.loss, "evaluation/accuracy": said.accuracy})
        if said.stage in ("training", "evaluated"):
            self._add(said.step, {"privacy/epsilon": said.epsilon})

    def history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """The training record's history: the mean loss of the steps from one evaluation (or epoch) to the next."""
        if self._writer is None:  # nothing was done in this session: all of it was written when it was
            return
        for entry in history:
            self._add(int(entry["step"]), {"training/mean_loss": entry["train_loss"]})

    def round(self, told: RoundTold) -> None:
        """What a federation tells of a round."""
        self._add(told.round, {"training/loss": told.loss, "privacy/epsilon": told.epsilon,
                               "federation/clients": told.counted, "federation/bytes_up": told.bytes_up,
                               "federation/bytes_down": told.bytes_down})  # fmt: skip
        for name, found in (("evaluation", told.evaluation), ("clients_evaluation", told.clients_evaluation)):
            self._add(told.round, {f"{name}/{key}": (found or {}).get(key) for key in ("loss", "accuracy")})

    def close(self) -> None:
        """Everything is on disk then."""
        if self._writer is not None:
            self._writer.close()

    def _add(self, step: int, numbers: Mapping[str, float | None]) -> None:
        known = {name: float(value) for name, value in numbers.items() if value is not None}
        if known and self._writer is None:
            self._writer = self._open(step)
        for name, value in known.items():
            self._writer.add_scalar(name, value, step)
        if known:
            self._writer.flush()  # a reader follows while the run goes on
