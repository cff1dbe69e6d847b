"""The plug-in protocol: what an audit declares, what it is given, what it returns.

An audit is one function in one file, found by an entry point of the group `aboveboard.audits`:

    @audit(concern=Concern.FAIRNESS, needs={Need.LABELS, Need.GROUPS}, tasks={Task.CLASSIFICATION})
    def fairness(subject: Subject, options: FairnessOptions, random: np.random.Generator) -> Evidence: ...

The module's docstring is the audit's page: what it measures, how to read it, how to mend it, its source. The engine
checks the needs, so that the body never asks whether something is there; it turns a crash into a result; it adds
verdict, cost and place in the report. A function that does not fit is refused here, by name.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import BaseModel, ConfigDict

from audit.outcomes import Outcomes
from core_model.data_columns import roles_of
from core_model.errors import BrokenPlugin
from core_model.tasks import Task
from reports.record import Figure, Finding, Metric, Scalar

if TYPE_CHECKING:
    import numpy as np

    from audit.subject import Subject

ENTRY_POINTS = "aboveboard.audits"


class Concern(StrEnum):
    """What can be asked of a checkpoint; audit ids are these words."""

    PRIVACY = "privacy"
    FAIRNESS = "fairness"
    EMISSIONS = "emissions"
    EXPLAINABILITY = "explainability"
    GENERALIZATION = "generalization"
    SECURITY = "security"
    ROBUSTNESS = "robustness"
    SUSTAINABILITY = "sustainability"
    RELIABILITY = "reliability"
    AVAILABILITY = "availability"
    MAINTAINABILITY = "maintainability"
    SCALABILITY = "scalability"
    TESTABILITY = "testability"
    DEPLOYABILITY = "deployability"
    LEARNABILITY = "learnability"
    ACCESSIBILITY = "accessibility"
    CUSTOMIZABILITY = "customizability"
    REPRODUCIBILITY = "reproducibility"
    SHAREABILITY = "shareability"
    COLLABORATION = "collaboration"
    EVALUABILITY = "evaluability"
    OPTIMIZABILITY = "optimizability"


class Need(StrEnum):
    """What an audit cannot do without. `supply` is what the user adds to give it."""

    LABELS = "labels"
    GROUPS = "groups"
    TRAINING_DATA = "training data"
    GRADIENTS = "gradients"
    GENERATOR = "a generator"
    REFERENCE_CHECKPOINT = "a reference checkpoint"
    TRAINING_RECORD = "a training record"
    FEDERATED_RECORD = "a federated record"

    @property
    def supply(self) -> str:
        """The flag or action that supplies this need."""
        return {
            Need.LABELS: "--label-column COLUMN",
            Need.GROUPS: "--group-column COLUMN",
            Need.TRAINING_DATA: "--train-data FILE",
            Need.GRADIENTS: "a PyTorch checkpoint (safetensors) instead of an exported one",
            Need.GENERATOR: "a checkpoint with a language-modeling head",
            Need.REFERENCE_CHECKPOINT: "--reference CHECKPOINT",
            Need.TRAINING_RECORD: "a checkpoint trained by `aboveboard train`, which leaves training_record.json",
            Need.FEDERATED_RECORD: "a checkpoint made by `aboveboard federate`, which leaves federated_record.json",
        }[self]

    def of(self, task: Task) -> tuple[str, str]:
        """(what it is called, what supplies it) for a task: where a model writes, references are its labels."""
        reference = roles_of(task).reference
        if self is Need.LABELS and reference is not None:
            return "references (what the model should write)", f"{reference} COLUMN"
        return self.value, self.supply


class Options(BaseModel):
    """Base of an audit's options. Descriptions name the consequence and the unit; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def whose(self, name: str) -> str:
        """Whose choice an option's value is, in the words of a limit's source."""
        return "set for this run" if name in self.model_fields_set else "default of this audit"


@dataclass(frozen=True)
class Evidence:
    """What an audit found.

    Attributes:
        metrics: numbers, each with n, interval and verdict (build them with `audit.evidence.metric`).
        findings: what a reader should act on, each with its mend.
        figures: charts, each as the table that it is drawn from.
        notes: what a reader must know to read the numbers, one plain sentence each.
        tables: rows for people to work on (a review queue), written beside the report as CSV: name -> rows.
        forward_passes: rows that went through the model past the shared predictor, which counts its own.
        settings: whatever could change the numbers beyond options and seed (bins, resamples, counters read).
        outcomes: what each row counted for a metric that is their mean, so that `compare` can pair two runs.
    """

    metrics: Sequence[Metric]
    findings: Sequence[Finding] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    tables: Mapping[str, Sequence[Mapping[str, Scalar]]] = field(default_factory=dict)
    forward_passes: int = 0
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    outcomes: Outcomes = field(default_factory=dict)


PARTS_OF_TEXTS = "parts of texts"  # of a plan: looks at parts already, of which a smoothed classifier takes no more


@dataclass(frozen=True)
class Size:
    """How large a planned run is: what `forward_passes` of a plug-in may count with.

    Attributes:
        group_columns: of the data.
        folder: of the checkpoint, where what lies beside it is asked too.
        reference: whether a reference checkpoint is at hand.
        gradients: whether the model gives any.
    """

    rows: int
    training_rows: int
    classes: int
    task: Task = Task.CLASSIFICATION
    group_columns: tuple[str, ...] = ()
    folder: Path | None = None
    reference: bool = False
    gradients: bool = True


Run = Callable[["Subject", Any, "np.random.Generator"], Evidence]
PlanPasses = Callable[[Size, Any], Mapping[str, int]]


@dataclass(frozen=True)
class Plugin:
    """A registered audit. `id` is the function's name; `about` is its module's docstring."""

    id: str
    concern: str
    needs: frozenset[Need]
    uses: frozenset[Need]
    tasks: frozenset[Task]
    options: type[Options]
    run: Run
    title: str
    about: str
    forward_passes: PlanPasses
    profiles: Mapping[str, Mapping[str, object]]
    distribution: str = "aboveboard"


def audit(
    *,
    concern: Concern | str,
    needs: Iterable[Need] = (),
    uses: Iterable[Need] = (),
    tasks: Iterable[Task] = tuple(Task),
    forward_passes: PlanPasses | None = None,
    profiles: Mapping[str, Mapping[str, object]] | None = None,
) -> Callable[[Callable[..., Evidence]], Callable[..., Evidence]]:
    """Declare a function as an audit.

    Args:
        concern: which question it answers.
        needs: without these the audit is recorded as not measured, with the flag that supplies them.
        uses: taken when present; the audit must say in its metrics what it could not measure without them.
        tasks: tasks that the audit can have; elsewhere it is recorded as not measured.
        forward_passes: from size and options, how many rows go through the model, by what they are:
            `{"data": size.rows, "swaps": 300}`. Equal keys of two audits are paid once (the Predictor is shared).
        profiles: option defaults that differ in a profile: `{"quick": {"repeats": 2}}`.
    Raises: BrokenPlugin when the function's signature does not fit the protocol.
    """

    def register(function: Callable[..., Evidence]) -> Callable[..., Evidence]:
        name = getattr(function, "__name__", repr(function))
        expected = ["subject", "options", "random"]
        found = list(inspect.signature(function).parameters)
        if found != expected:
            odd = next((f for f, e in zip(found, expected, strict=False) if f != e), None)
            what = f"its argument {odd!r} does not fit" if odd else f"it takes {len(found)} arguments"
            raise BrokenPlugin(
                f"audit {name!r}: {what}; it takes ({', '.join(found)})",
                mend=f"def {name}(subject: Subject, options: YourOptions, random: np.random.Generator) -> Evidence",
            )
        try:
            options = get_type_hints(function, localns=_lazy_names()).get("options")
        except NameError as error:
            raise BrokenPlugin(
                f"audit {name!r}: an annotation cannot be read ({error})",
                mend="import the options class at the top of the module, outside `if TYPE_CHECKING`",
            ) from error
        if not (isinstance(options, type) and issubclass(options, Options)):
            raise BrokenPlugin(
                f"audit {name!r}: its argument 'options' is annotated {options!r}, which is not a subclass of Options",
                mend="class YourOptions(Options): ... and options: YourOptions",
            )
        page = inspect.getdoc(sys.modules[function.__module__]) or inspect.getdoc(function) or ""
        if not page:
            raise BrokenPlugin(
                f"audit {name!r}: neither its module nor the function says what is measured",
                mend="begin the module with a docstring: what it measures, how to read it, how to mend it, its source",
            )
        plugin = Plugin(
            id=name,
            concern=str(concern),
            needs=frozenset(needs),
            uses=frozenset(uses),
            tasks=frozenset(tasks),
            options=options,
            run=function,
            title=page.splitlines()[0].strip(),
            about="\n".join(page.splitlines()[1:]).strip(),
            forward_passes=forward_passes or (lambda size, options: {}),
            profiles=profiles or {},
        )
        function.plugin = plugin  # type: ignore[attr-defined]
        return function

    return register


def plugin_of(thing: object) -> Plugin:
    """The Plugin behind what an entry point loaded.

    Raises: BrokenPlugin when it is not a function decorated with `@audit`.
    """
    found = getattr(thing, "plugin", None)
    if not isinstance(found, Plugin):
        raise BrokenPlugin(
            f"{thing!r} is not an audit: it was not decorated with @audit",
            mend="point the entry point at a function decorated with audit.plugin.audit",
        )
    return found


def _lazy_names() -> dict[str, object]:
    """Names that plug-ins import for type checking only, so that loading them stays light."""
    return {"Subject": object, "np": type("np", (), {"random": type("random", (), {"Generator": object})})}
