"""A study on disk: Optuna's trials in one SQLite file, which a killed process leaves whole.

SQLite commits each trial; one that was running when the process died is marked failed and asked for again, with the
same parameters and the training state that it had saved. What a study is about stands in it, so that a study of other
parameters, rows or options is refused by the first thing that differs.
"""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core_model.errors import DataDamaged, OptionUnfit, OutputUnwritable

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

FILE = "study.sqlite"
NAME = "aboveboard tune"
FORMAT = 1
MOST_DEATHS = 3  # a trial that took the process with it so often (no memory left, say) is not tried again

# How a trial can end, in the record's words; Optuna knows complete, pruned and failed alone.
Ending = Literal["complete", "pruned", "infeasible", "diverged", "failed", "tried again"]


def open_study(
    folder: Path, identity: Mapping[str, Any], *, direction: Literal["minimize", "maximize"], resume: bool
) -> Study:
    """The study in a folder, or a new one.

    Args:
        identity: what makes it this study: the space, the fixed options, the rows, the base.
    Raises: OutputUnwritable when there is one and `resume` is not asked for, or it cannot be written; OptionUnfit when
        it is another study, naming what differs; DataDamaged when the file is no study.
    """
    import optuna
    from sqlalchemy import URL

    file = folder / FILE
    if file.exists():
        if not resume:
            raise OutputUnwritable(f"{folder} holds a study", mend="--resume to go on with it, or another --out")
        _refuse_damaged(file)
    with storage_letters(file):
        storage = optuna.storages.RDBStorage(URL.create("sqlite", database=str(file)).render_as_string())
        found = optuna.get_all_study_names(storage)
        if found and NAME not in found:
            searched = {name for trial in optuna.load_study(study_name=found[0], storage=storage).trials
                        for name in trial.params}  # fmt: skip
            raise OptionUnfit(
                f"{file} holds a study of another program, {found[0]!r}, of {', '.join(sorted(searched)) or 'no'} "
                "parameters",
                mend="another --out",
            )
        study = optuna.create_study(
            study_name=NAME, storage=storage, direction=direction, load_if_exists=True, pruner=pruner()
        )
        was = study.user_attrs.get("identity")
        if was is None:
            study.set_user_attr("identity", {"format": FORMAT, **identity})
        else:
            _refuse_other_space(was.get("space", {}), identity["space"], where=file)
            _refuse_other(was, {"format": FORMAT, **identity}, where=file)
    return study


def pruner() -> Any:
    """Median pruning: a trial ends when its best value so far is worse than the median of earlier ones at that point.

    Source: Golovin et al. 2017, Google Vizier, https://doi.org/10.1145/3097983.3098043 (median stopping).
    """
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=4)


def sampler(seed: int, place: int) -> Any:
    """TPE for the trial at this place, counted from 0.

    Seeded anew for each, so that a study that was killed and resumed draws what an uninterrupted one draws.
    Source: Bergstra et al. 2011, https://papers.nips.cc/paper/4443; Watanabe 2023, arXiv:2304.11127.
    """
    from optuna.samplers import TPESampler

    own = int(np.random.SeedSequence(seed, spawn_key=(place,)).generate_state(1)[0])
    return TPESampler(seed=own)


def ended(trial: FrozenTrial) -> Ending | None:
    """How a trial ended; None while it runs or waits."""
    if not trial.state.is_finished():
        return None
    said: Ending = trial.user_attrs.get("ending", "failed")
    return said


def settled(study: Study) -> list[FrozenTrial]:
    """The trials that are done with: those that are tried again are not among them."""
    return [trial for trial in study.get_trials(deepcopy=False) if ended(trial) not in (None, "tried again")]


def best_of(study: Study) -> FrozenTrial | None:
    """The best of the complete trials, the first of several; None before there is one."""
    from optuna.study import StudyDirection

    complete = [trial for trial in study.get_trials(deepcopy=False) if ended(trial) == "complete"]
    sign = -1 if study.direction is StudyDirection.MAXIMIZE else 1
    return min(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)


def settle(
    study: Study, trial: Trial, ending: Ending, *, value: float | None = None, reason: str | None = None
) -> None:
    """Set down how a trial ended. Its reason goes first: the state is what says that the trial is whole."""
    from optuna.trial import TrialState

    trial.set_user_attr("ending", ending)
    if reason is not None:
        trial.set_user_attr("reason", reason)
    states = {"complete": TrialState.COMPLETE, "failed": TrialState.FAIL, "tried again": TrialState.FAIL}
    study.tell(trial, value, state=states.get(ending, TrialState.PRUNED))


def try_again(study: Study, trial: Trial, *, reason: str, died: bool) -> None:
    """Mark a running trial failed and ask for its parameters again, next; not when it died too often.

    Were the process to die between the two, the same parameters would be drawn anew (see `sampler`).

    Args:
        died: whether it took the process with it.
    """
    deaths = int(trial.user_attrs.get("deaths", 0)) + died
    if deaths >= MOST_DEATHS:
        settle(study, trial, "failed", reason=f"{reason}, {deaths} times; it is not tried again")
        return
    again = {"deaths": deaths, "again": trial.number, "folder": trial.user_attrs.get("folder", str(trial.number))}
    settle(study, trial, "tried again", reason=reason)
    if set(trial.params) == set(study.user_attrs["identity"]["space"]):
        study.enqueue_trial(trial.params, user_attrs=again)


def bury(study: Study) -> int:
    """Try again the trials that were running when the process died.

    Returns: how many there were.
    """
    from optuna.trial import Trial, TrialState

    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in running:
        try_again(study, Trial(study, trial._trial_id), reason="the process was killed", died=True)
    return len(running)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else works on the study of this folder; the lock goes with the process, however it ends.

    Raises: OutputUnwritable when somebody does.
    """
    with (folder / ".tuning_lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputUnwritable(
                f"another `aboveboard tune` works in {folder}", mend="wait until it is done, or name another --out"
            ) from None
        yield


@contextlib.contextmanager
def storage_letters(file: Path) -> Iterator[None]:
    """Turn what the database says into letters; Optuna's own chatter is kept off the terminal meanwhile."""
    import optuna
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        said = str(error.__cause__ or error).splitlines()[0]
        if any(words in said for words in ("disk is full", "disk I/O", "unable to open", "readonly")):
            raise OutputUnwritable(
                f"{file} cannot be written ({said}); what was committed stands",
                mend="make room or mend the rights, then the same command with --resume",
            ) from error
        raise _damaged(file, said) from error
    finally:
        optuna.logging.set_verbosity(before)


def _refuse_damaged(file: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            [[said]] = database.execute("PRAGMA integrity_check(1)").fetchall()
            tables = {name for [name] in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        raise _damaged(file, str(error)) from error
    if said != "ok":
        raise _damaged(file, str(said))
    if tables and not tables >= {"studies", "trials", "version_info"}:  # none: killed before there were any
        raise _damaged(file, f"a database of something else, with tables {', '.join(sorted(tables)[:5])}")


def _damaged(file: Path, said: str) -> DataDamaged:
    return DataDamaged(
        f"{file} is no whole study: {said}", mend="move it away and begin again without --resume, or restore a copy"
    )


def _refuse_other_space(was: Mapping[str, Any], now: Mapping[str, Any], *, where: Path) -> None:
    """Raises: OptionUnfit naming the parameters that differ."""
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            before, after = (_in_words(space.get(name)) for space in (was, now))
            raise OptionUnfit(
                f"{where} is a study of other parameters: {name} was {before} there, and now it is {after}",
                mend="the same --search as before, or another --out",
            )


def _in_words(values: Mapping[str, Any] | None) -> str:
    if values is None:
        return "not searched"
    if "choices" in values:
        return ", ".join(map(str, values["choices"]))
    step = f", step={values['step']:g}" if values["step"] not in (None, 1) else ""
    return f"{values['low']:g}..{values['high']:g}" + (",log" if values["log"] else "") + step


def _refuse_other(was: Mapping[str, Any], now: Mapping[str, Any], *, where: Path) -> None:
    """Raises: OptionUnfit naming the first thing that differs."""
    for name in now:
        if name == "space" or was.get(name) == now[name]:
            continue
        before, after, what = was.get(name), now[name], name
        flag = "--" + name.removesuffix("_sha256").replace("evaluation_data", "eval-data")
        if name == "fixed":
            old, new = dict(before or {}), dict(after or {})
            what = min(key for key in {*old, *new} if old.get(key) != new.get(key))
            before, after, flag = old.get(what), new.get(what), f"--set {what}"
        raise OptionUnfit(
            f"{where} holds a study with {what} = {before}; now it is {after}",
            mend=f"the same {flag} as before, or another --out",
        )
