"""From a study to its record: every trial in order, the winner, and how far it can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core_model.training_options import TrainingOptions
from core_model.training_record import tool, versions
from core_model.tuning_importance import importance
from core_model.tuning_record import CURSE, PRIVACY, TrialRecord, TuningRecord
from core_model.tuning_space import described
from core_model.tuning_study import best_of, ended

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from core_model.architectures import Architecture
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table

WHOLE = 1000  # a trial's last step, as Optuna's whole-numbered "step" counts shares of a run
STARTUP = 10  # trials that TPE draws at random before it learns: Optuna's own default
SAMPLER = f"tree-structured Parzen estimator (Optuna's TPE), the first {STARTUP} trials at random"
PRUNER = "median of earlier complete trials after the same share of the steps (Optuna's MedianPruner), after 4 of them"


def record_of(
    study: Study,
    *,
    objective: str,
    trials: int,
    seed: int,
    space: dict[str, BaseDistribution],
    fixed: Mapping[str, Any],
    data: Table,
    evaluation: Table,
    base: Checkpoint | None,
    architecture: Architecture | None,
    usual: Mapping[str, Any] | None,
) -> TuningRecord:
    """The record of a study, done or not."""
    import optuna

    options = TrainingOptions(**fixed)
    every = [_trial(trial, seed) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    best = best_of(study)
    of_usual = next((trial for trial in every if trial.parameters == usual and trial.ending != "tried again"), None)
    return TuningRecord(
        tool=tool(),
        task=options.task.value,
        objective={
            "name": objective,
            "direction": "lower" if objective == "loss" else "higher",
            "rows": evaluation.rows,
            "of": "the evaluation rows, at the end or, with early stopping, at the best evaluation",
        },
        data=_table(data),
        evaluation_data=_table(evaluation),
        base=None if base is None else {"name": base.name, "sha256": base.sha256, "licence": base.licence},
        architecture=None if architecture is None else architecture.model_dump(mode="json"),
        space=described(space),
        options=options.model_dump(mode="json", exclude=set(space)),
        seed=seed,
        sampler=SAMPLER,
        pruner=PRUNER,
        trials_asked=trials,
        trials=every,
        best=None if best is None else _best(best),
        usual=None if of_usual is None else {"trial": of_usual.number, "value": of_usual.value},
        importance=importance(study, space, seed=seed),
        privacy={"epsilon": None, "trainings": len(every), "note": PRIVACY},
        seconds=sum(trial.seconds or 0.0 for trial in every),
        versions={**versions(), "optuna": optuna.__version__},
        notes=_notes(every, options, space, architecture),
    )


def _trial(trial: FrozenTrial, seed: int) -> TrialRecord:
    said = trial.user_attrs
    unit = 1 if said.get("clocked") else WHOLE
    ending = ended(trial) or "failed"
    return TrialRecord(
        number=trial.number,
        ending=ending,
        parameters=dict(sorted(trial.params.items())),
        value=trial.value if ending == "complete" else None,
        curve=[(done / unit, value) for done, value in sorted(trial.intermediate_values.items())],
        n=said.get("n"),
        seconds=said.get("seconds"),
        seed=seed,
        reason=said.get("reason"),
        again=said.get("again"),
    )


def _best(best: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": best.number,
        "parameters": dict(sorted(best.params.items())),
        "value": best.value,
        "n": best.user_attrs.get("n"),
        "model_sha256": best.user_attrs.get("model_sha256"),
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "name": table.name, "sha256": table.sha256, "rows": table.rows, "text_column": table.text_column,
        "pair_column": table.pair_column, "label_column": table.label_column,
        "reference_column": table.reference_column, "synthetic": table.synthetic,
    }  # fmt: skip


def _notes(
    every: list[TrialRecord],
    options: TrainingOptions,
    space: Mapping[str, BaseDistribution],
    architecture: Architecture | None,
) -> list[str]:
    """What a reader must know, one plain sentence each."""
    run = [trial for trial in every if trial.ending != "tried again"]
    notes = [CURSE.format(trials=len(run))] if run else []
    notes.append("All trials share one training seed: their order can be another with another seed.")
    if len(run) <= STARTUP:
        notes.append(f"{len(run)} trials are a random search: the estimator learns from the {STARTUP + 1}th on.")
    if not any(trial.ending == "pruned" for trial in run) and all(len(trial.curve) < 2 for trial in run):
        notes.append("Each trial was evaluated once, at its end: nothing could be pruned.")
    if architecture is not None and "learning_rate" in space:
        notes.append("Sizes are compared after the same number of epochs, not at the same cost.")
    return notes
