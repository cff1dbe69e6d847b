"""Tuning: which options train the better model? Optuna searches, the one trainer trains, SQLite remembers.

    space = read_space(["learning_rate=1e-5..1e-3,log"], task=Task.CLASSIFICATION, from_scratch=False)
    result = tune(TuningOptions(trials=20), space=space, data=data, evaluation=evaluation, base=base, out="study")
    result.record.best, result.best

The first trial is the default parameters, where they lie in the space: what the search gains is told against it. A
study that was killed goes on to the very trials that it would have had.
"""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core_model.errors import BadInput, OptionUnfit, TaskUnfit
from core_model.files import writable_folder, write_atomically
from core_model.progress import Progress
from core_model.training import train
from core_model.training_options import TrainingOptions
from core_model.training_record import TrainingRecord
from core_model.tuning_record import NAME, TuningRecord
from core_model.tuning_report import WHOLE, record_of
from core_model.tuning_space import build, defaults, described
from core_model.tuning_study import (
    FILE,
    Ending,
    alone,
    best_of,
    bury,
    open_study,
    sampler,
    settle,
    settled,
    storage_letters,
    try_again,
)

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

    from core_model.architectures import Architecture
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table

Outcome = tuple[Ending, float | None, str | None]  # how a trial ended, its value, and why it has none

BEST = "best"
MEMORY = ("out of memory", "can't allocate memory")  # how torch says it, on a GPU and on a processor


class TuningOptions(BaseModel):
    """Options of `tune`; the same words, with dashes, as the flags of `aboveboard tune`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int = Field(20, ge=2, description="trials to settle, those of earlier sessions included; one is no search")
    objective: Literal["loss", "accuracy"] = Field(
        "loss", description="what is optimised on the evaluation rows: the loss is minimized, the accuracy maximized"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of the search and of each trial's training")

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Which way is better."""
        return "minimize" if self.objective == "loss" else "maximize"


@dataclass(frozen=True)
class TuningProgress:
    """What a study tells of itself.

    Attributes:
        trial, trials: the trial under way, counted from 1, and how many there will be.
        parameters: of this trial.
        best: the best value so far; None before the first.
        training: what the trial's training tells; None when the trial begins or ends.
        ending: how the trial ended, with its value or reason; None while it runs.
        seconds_left: until the study is done, at the pace of the trials so far.
    """

    trial: int
    trials: int
    parameters: Mapping[str, Any]
    best: float | None = None
    training: Progress | None = None
    ending: str | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class TuningResult:
    """A study that is done: its record, and the best checkpoint (None where no trial came to an end)."""

    record: TuningRecord
    best: Path | None


def tune(
    options: TuningOptions,
    *,
    space: Mapping[str, BaseDistribution],
    data: Table,
    evaluation: Table,
    out: str | Path,
    fixed: Mapping[str, Any] | None = None,
    base: Checkpoint | None = None,
    architecture: Architecture | None = None,
    resume: bool = False,
    progress: Callable[[TuningProgress], None] | None = None,
) -> TuningResult:
    """Search, and leave `study.sqlite`, `tuning.json` and the best checkpoint, `best/`, in `out`.

    Args:
        space: parameter -> what it may be (`core_model.tuning_space.read_space`).
        fixed: options of training that all trials share, by name, the task among them; defaults for the rest.
        evaluation: rows that choose between trials; never trained on.
        base, architecture: as in `train`.
        resume: go on with the study in `out`; begin it where there is none.
    Raises: BadInput of every kind, before the first trial where it can be known; KeyboardInterrupt after Ctrl-C. The
        study then stands, and goes on with `resume`.
    """
    out = writable_folder(out)
    fixed = {**(fixed or {}), "seed": options.seed}
    _refuse_unfit(space, fixed, architecture)
    with alone(out), storage_letters(out / FILE):
        identity = {
            "objective": options.objective,
            "seed": options.seed,
            "data_sha256": data.sha256,
            "evaluation_data_sha256": evaluation.sha256,
            "base_sha256": base.sha256 if base is not None else None,
            "architecture": architecture.model_dump(mode="json") if architecture is not None else None,
            "fixed": TrainingOptions(**fixed).model_dump(mode="json", include=set(fixed)),
            "space": described(space),
        }
        study = open_study(out, identity, direction=options.direction, resume=resume)
        search = _Search(
            options, study, out, space=dict(space), fixed=fixed, data=data, evaluation=evaluation, base=base,
            architecture=architecture, tell=progress or (lambda said: None),
        )  # fmt: skip
        search.run()
        record = search.record()
        write_atomically(out / NAME, record.as_json())
    return TuningResult(record, out / BEST if record.best is not None else None)


def _refuse_unfit(
    space: Mapping[str, BaseDistribution], fixed: Mapping[str, Any], architecture: Architecture | None
) -> None:
    """Raises: OptionUnfit for fixed options that do not fit, or that are searched as well."""
    build({}, fixed=fixed, architecture=architecture)
    if both := sorted(set(space) & set(fixed)):
        raise OptionUnfit(
            f"{both[0]} is both set and searched", mend=f"leave out --set {both[0]} or --search {both[0]}"
        )


class _Dropped(Exception):
    """A trial that is worse than the median of the earlier ones."""


@dataclass
class _Search:
    """One session of a study."""

    options: TuningOptions
    study: Study
    out: Path
    space: dict[str, BaseDistribution]
    fixed: Mapping[str, Any]
    data: Table
    evaluation: Table
    base: Checkpoint | None
    architecture: Architecture | None
    tell: Callable[[TuningProgress], None]
    took: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Settle the trials that are missing."""
        bury(self.study)
        self._keep_best()
        if not self.study.get_trials(deepcopy=False) and (usual := self._usual()) is not None:
            self.study.enqueue_trial(usual, user_attrs={"usual": True})
        while (place := len(settled(self.study))) < self.options.trials:
            self.study.sampler = sampler(self.options.seed, place)
            trial = self.study.ask(fixed_distributions=self.space)
            began = time.monotonic()
            try:
                self._run_trial(trial, place)
            except BaseException as error:
                if not self.study.get_trials(deepcopy=False)[trial.number].state.is_finished():
                    died = not isinstance(error, KeyboardInterrupt | BadInput)  # a full disk is no fault of the trial
                    reason = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
                    try_again(self.study, trial, reason=reason, died=died)
                raise
            self.took.append(time.monotonic() - began)
            self._keep_best()
            gc.collect()  # the trial's model and moments refer to each other; two trials' would need twice the memory

    def _usual(self) -> dict[str, Any] | None:
        return defaults(self.space, fixed=self.fixed, architecture=self.architecture)

    def _run_trial(self, trial: Trial, place: int) -> None:
        """Train with the trial's parameters, unless that was done before, and set down how it ended."""
        began = time.monotonic()
        self._tell(trial, place)
        twin = next((one for one in settled(self.study) if one.params == trial.params), None)
        ending, value, reason = self._outcome(trial, place) if twin is None else self._repeated(trial, twin)
        trial.set_user_attr("seconds", time.monotonic() - began)
        settle(self.study, trial, ending, value=value, reason=reason)
        self._tell(trial, place, ending=f"{ending}, {value:.4f}" if value is not None else f"{ending}: {reason}")

    def _repeated(self, trial: Trial, twin: FrozenTrial) -> Outcome:
        """The same options, rows and seed train the same weights: the earlier trial's outcome stands for both."""
        for done, value in twin.intermediate_values.items():
            trial.report(value, done)
        for name in ("n", "model_sha256", "clocked"):
            trial.set_user_attr(name, twin.user_attrs.get(name))
        ending: Ending = twin.user_attrs["ending"]
        outcome = twin.value if ending == "complete" else None
        return ending, outcome, f"the parameters of trial {twin.number} again: its outcome is taken"

    def _outcome(self, trial: Trial, place: int) -> Outcome:
        """Raises: whatever is no fault of the parameters."""
        watch = _Watch(self, trial, place)
        try:
            options, architecture = build(trial.params, fixed=self.fixed, architecture=self.architecture)
        except OptionUnfit as error:
            return "infeasible", None, error.found.removeprefix("these parameters: ")
        try:
            record = self._train(trial, options, architecture, watch)
        except _Dropped as dropped:
            return "pruned", None, str(dropped)
        except OptionUnfit as error:
            if not (watch.began or settled(self.study)):
                raise  # the first trial did not even begin: it is the command that does not fit
            return ("diverged" if watch.began else "infeasible"), None, error.found
        except RuntimeError as error:
            if not any(words in str(error) for words in MEMORY):
                raise
            return "infeasible", None, "out of memory"
        evaluation = record.evaluation or {}
        trial.set_user_attr("n", evaluation["n"])
        trial.set_user_attr("model_sha256", record.model_sha256)
        return "complete", evaluation[self.options.objective], None

    def _train(
        self, trial: Trial, options: TrainingOptions, architecture: Architecture | None, watch: _Watch
    ) -> TrainingRecord:
        """One training run, taken up where an earlier session left it."""
        again = trial.user_attrs.get("again")
        if again is not None:  # its evaluations so far may not be told again
            watch.told = self.study.get_trials(deepcopy=False)[again].intermediate_values
            for done, value in watch.told.items():
                trial.report(value, done)
        return train(
            options, data=self.data, evaluation=self.evaluation, base=self.base, architecture=architecture,
            out=self._folder(trial), resume=True, progress=watch,
        ).record  # fmt: skip

    def _folder(self, trial: Any) -> Path:
        return self.out / "trials" / trial.user_attrs.get("folder", str(trial.number))

    def _keep_best(self) -> None:
        """The best trial's checkpoint in `best`, and no other. May be done again wherever it was cut off."""
        from optuna.trial import TrialState

        best = best_of(self.study)
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if best is not None and (folder := self._folder(best)).exists():
            shutil.rmtree(self.out / BEST, ignore_errors=True)
            folder.replace(self.out / BEST)
        kept = {self._folder(trial) for trial in waiting}
        for folder in (self.out / "trials").glob("*"):
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        if not kept:
            shutil.rmtree(self.out / "trials", ignore_errors=True)

    def _tell(self, trial: Trial, place: int, *, training: Progress | None = None, ending: str | None = None) -> None:
        left = self.options.trials - place - 1
        seconds = None
        if self.took:
            seconds = left * median(self.took)  # the first trial of a session also loads libraries
            if training is not None and training.seconds_left is not None:
                seconds += training.seconds_left
        best = best_of(self.study)
        self.tell(
            TuningProgress(
                place + 1, self.options.trials, trial.params, best.value if best else None, training, ending, seconds
            )
        )

    def record(self) -> TuningRecord:
        """The study so far."""
        return record_of(
            self.study, objective=self.options.objective, trials=self.options.trials, seed=self.options.seed,
            space=self.space, fixed=self.fixed, data=self.data, evaluation=self.evaluation, base=self.base,
            architecture=self.architecture, usual=self._usual(),
        )  # fmt: skip


@dataclass
class _Watch:
    """Hears of a trial's training: sets down each evaluation, and drops the trial when the pruner says so.

    Attributes:
        began: whether a step was done.
        told: evaluations of an earlier session of this trial.
    """

    search: _Search
    trial: Trial
    place: int
    began: bool = False
    told: Mapping[int, float] = field(default_factory=dict)

    def __call__(self, said: Progress) -> None:
        """Raises: _Dropped; TaskUnfit when the evaluation has no such measure."""
        self.began = self.began or said.step > 0
        if said.stage == "evaluated":
            objective = self.search.options.objective
            value = said.loss if objective == "loss" else said.accuracy
            if value is None:
                raise TaskUnfit(f"this task's evaluation has no {objective}", mend="--objective loss")
            # Trials of several batch sizes and lengths are compared after the same share of their steps.
            done = said.epoch if said.steps is None else round(WHOLE * said.step / said.steps)
            if said.steps is None:
                self.trial.set_user_attr("clocked", True)
            if done not in self.told:
                self.trial.report(value, done)
            if done != WHOLE and self.trial.should_prune():
                where = f"after epoch {said.epoch}" if said.steps is None else f"after {done / WHOLE:.0%} of its steps"
                raise _Dropped(f"{where} its best {objective} was worse than the median of the earlier trials'")
        self.search._tell(self.trial, self.place, training=said)
