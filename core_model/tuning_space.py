"""What a search may choose: any option of training that is a number or a choice and, from scratch, the model's shape.

    learning_rate=1e-5..1e-3,log      a range, drawn evenly on a logarithmic scale
    layers=2..6                       whole numbers where the option is one
    dropout=0..0.3,step=0.1           a range in steps
    batch_size=16,32,64               choices

The same in a TOML file, one line a name: `batch_size = [16, 32]`, `dropout = { low = 0, high = 0.3 }`, or the words
above as text. Which names there are follows from the models of the options; no list is kept here.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from core_model.architectures import Architecture
from core_model.errors import OptionUnfit
from core_model.settings import checked, read_toml
from core_model.tasks import Task
from core_model.training_options import TrainingOptions

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Space = Mapping[str, "BaseDistribution"]
Kind = Literal["float", "int", "bool", "word"]

NEVER = {  # option -> why it is no hyperparameter
    "seed": "the best of several seeds is luck on these evaluation rows, not a better model",
    "checkpoint_every": "it does not change the weights",
    "resume": "it does not change the weights",
}
# A loss per token is a mean over other tokens when these change: two such losses cannot be compared.
TOKENS = ("vocabulary", "tokenizer", "lowercase", "max_length", "max_source_length", "max_target_length")

# Searched when nothing is named. Label smoothing is left out: it always costs likelihood, which is the objective, even
# where it improves what is written (Vaswani et al. 2017, arXiv:1706.03762, section 5.4).
_TUNE = ("learning_rate=1e-5..5e-4,log", "warmup_share=0..0.2", "weight_decay=0..0.1")
_BUILD = ("learning_rate=1e-4..3e-3,log", "dropout=0..0.3", "layers=2..6")
_FEW, _MANY = "batch_size=8,16,32", "batch_size=16,32,64"
DEFAULTS: dict[Task, tuple[tuple[str, ...], tuple[str, ...]]] = {  # from a base, and from scratch
    Task.CLASSIFICATION: ((*_TUNE, _MANY), (*_BUILD, _MANY)),
    Task.LANGUAGE_MODELING: ((*_TUNE, _FEW), (*_BUILD, _MANY)),
    Task.TRANSLATION: ((*_TUNE, _FEW), (*_BUILD, _MANY)),
    Task.SUMMARIZATION: ((*_TUNE, _FEW), (*_BUILD, _FEW)),
    Task.QUESTION_ANSWERING: ((*_TUNE, _FEW), (*_BUILD, _MANY)),
}


@dataclass(frozen=True)
class Searchable:
    """An option that may be searched.

    Attributes:
        name: as the command line and the record write it.
        model: whose option it is.
        kind: what its values are.
        optional: whether "none" is a value.
    """

    name: str
    model: type[BaseModel]
    kind: Kind
    optional: bool

    def value(self, written: Any, *, where: str) -> Any:
        """A value as the option's type.

        Raises: OptionUnfit when the option cannot hold it.
        """
        if self.optional and isinstance(written, str) and written.lower() == "none":
            return None
        field = self.model.model_fields[self.name]
        try:
            typed: Any = Annotated[field.annotation, field]
            return TypeAdapter(typed).validate_python(written)
        except ValidationError as error:
            said = str(error.errors()[0]["msg"])
            meaning = f" ({field.description})" if field.description else ""
            raise OptionUnfit(f"{where}: {self.name} cannot be {written!r}{meaning}", mend=said) from None


def searchable(task: Task, *, from_scratch: bool) -> dict[str, Searchable]:
    """The options that may be searched, by name; an option of training comes before one of the same name of a shape."""
    found: dict[str, Searchable] = {}
    for model in (TrainingOptions, Architecture) if from_scratch else (TrainingOptions,):
        for name, field in model.model_fields.items():
            kind, optional = _kind(field.annotation)
            if kind is not None and name not in found and _why_never(name, task) is None:
                found[name] = Searchable(name, model, kind, optional)
    return found


def read_space(search: Sequence[str], *, task: Task, from_scratch: bool) -> dict[str, BaseDistribution]:
    """The search space.

    Args:
        search: `NAME=...` and files of TOML; nothing means the default of the task.
    Raises: OptionUnfit for an unknown name (with its nearest neighbour), an option that is never searched (with the
        reason), an empty range, a value that the option cannot hold, or a name given twice.
    """
    known = searchable(task, from_scratch=from_scratch)
    space: dict[str, BaseDistribution] = {}
    for written in search or DEFAULTS[task][from_scratch]:
        for name, values, where in _lines(written):
            if name in space:
                raise OptionUnfit(f"{where}: {name!r} is searched twice", mend="leave one of them out")
            space[name] = _distribution(_known(name, known, task, where=where), values, where=where)
    if not space:
        raise OptionUnfit(f"{', '.join(search)} names nothing to search", mend="--search learning_rate=1e-5..1e-3,log")
    return dict(sorted(space.items()))


def build(
    parameters: Mapping[str, Any], *, fixed: Mapping[str, Any], architecture: Architecture | None
) -> tuple[TrainingOptions, Architecture | None]:
    """Options and shape with these parameters in place.

    Raises: OptionUnfit when they do not go together, such as a hidden size that its heads do not divide.
    """
    own = {name: value for name, value in parameters.items() if name in TrainingOptions.model_fields}
    shape = {name: value for name, value in parameters.items() if name not in own}
    options = checked(TrainingOptions, {**fixed, **own}, where="these parameters")
    if architecture is not None and shape:
        architecture = checked(Architecture, {**architecture.model_dump(), **shape}, where="these parameters")
    return options, architecture


def defaults(space: Space, *, fixed: Mapping[str, Any], architecture: Architecture | None) -> dict[str, Any] | None:
    """What the space's parameters are when nobody searches; None where one of them lies outside of the space."""
    options, _ = build({}, fixed=fixed, architecture=architecture)
    resolved = options.resolved(from_scratch=architecture is not None)
    usual = {name: getattr(resolved, name, None) for name in space}
    for name in space:  # None: as the shape says
        usual[name] = getattr(architecture, name, None) if usual[name] is None else usual[name]
    return usual if all(_inside(distribution, usual[name]) for name, distribution in space.items()) else None


def described(space: Space) -> dict[str, Any]:
    """The space as plain JSON: what tells one study from another."""
    from optuna.distributions import CategoricalDistribution

    return {
        name: {"choices": list(distribution.choices)}
        if isinstance(distribution, CategoricalDistribution)
        else {key: getattr(distribution, key) for key in ("low", "high", "log", "step")}
        for name, distribution in space.items()
    }


def _why_never(name: str, task: Task) -> str | None:
    if task is not Task.CLASSIFICATION and name in TOKENS:
        return "it changes which tokens the loss is a mean of, so that the trials could not be compared"
    return NEVER.get(name)


def _kind(annotation: Any) -> tuple[Kind | None, bool]:
    """Which kind of values an option has, and whether it may be absent; no kind for text, files and columns."""
    union = get_origin(annotation) in (Union, types.UnionType)
    parts = get_args(annotation) if union else (annotation,)
    own = [part for part in parts if part is not types.NoneType]
    optional = len(own) < len(parts)
    if len(own) != 1:
        return None, optional
    if get_origin(own[0]) is Literal:
        return "word", optional
    kinds: dict[Any, Kind] = {float: "float", int: "int", bool: "bool"}
    return kinds.get(own[0]), optional


def _known(name: str, known: Mapping[str, Searchable], task: Task, *, where: str) -> Searchable:
    if name in known:
        return known[name]
    fields = {**Architecture.model_fields, **TrainingOptions.model_fields}
    if name in fields:
        because = _why_never(name, task) or (
            "it is the shape of a model from scratch"
            if name in Architecture.model_fields and name not in TrainingOptions.model_fields
            else "it is no number and no choice"
        )
        mend = "--base none --architecture FILE.toml" if "from scratch" in because else f"--set {name}=..., or leave it"
        raise OptionUnfit(f"{where}: {name!r} is not searched: {because}", mend=mend)
    near = get_close_matches(name, known, n=1)
    raise OptionUnfit(
        f"{where}: there is no option {name!r}; there are {', '.join(known)}",
        mend=f"--search {near[0]}=..." if near else f"remove {name!r}",
    )


def _lines(written: str) -> list[tuple[str, Any, str]]:
    """(name, values, where it was written) of `NAME=...`, or of each line of a file."""
    name, equals, values = written.partition("=")
    if equals:
        return [(name.strip().replace("-", "_"), values.strip(), f"--search {written}")]
    return [(name, values, f"{written}: {name}") for name, values in read_toml(Path(written), flag="--search").items()]


def _distribution(option: Searchable, values: Any, *, where: str) -> BaseDistribution:
    if isinstance(values, str) and ".." in values:
        values = _range(values, where=where)
    if isinstance(values, dict):
        return _numbers(option, values, where=where)
    if isinstance(values, str):
        values = [value.strip() for value in values.split(",")]
    if not isinstance(values, list) or any(isinstance(value, list | dict) for value in values):
        raise OptionUnfit(f"{where} is neither a range nor choices", mend=f"{option.name} = [...] or 'LOW..HIGH'")
    from optuna.distributions import CategoricalDistribution

    choices = list(dict.fromkeys(option.value(value, where=where) for value in values))
    if len(choices) < 2:
        raise OptionUnfit(
            f"{where} leaves nothing to choose", mend=f"two values or more, or --set {option.name}={choices[0]}"
        )
    return CategoricalDistribution(choices)


def _range(written: str, *, where: str) -> dict[str, Any]:
    """`LOW..HIGH[,log][,step=S]` as the table of a file."""
    ends, *flags = (part.strip() for part in written.split(","))
    low, _, high = ends.partition("..")
    table: dict[str, Any] = {"low": low.strip(), "high": high.strip()}
    for flag in flags:
        key, _, value = flag.partition("=")
        if key not in ("log", "step") or (key == "step") != bool(value):
            raise OptionUnfit(f"{where}: {flag!r} is not known of a range", mend="LOW..HIGH, LOW..HIGH,log or step=S")
        table[key] = value or True
    return table


def _numbers(option: Searchable, table: Mapping[str, Any], *, where: str) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    if option.kind not in ("float", "int"):
        raise OptionUnfit(f"{where}: {option.name} is no number", mend=f"--search {option.name}=A,B with its values")
    if unknown := set(table) - {"low", "high", "log", "step"} or {"low", "high"} - set(table):
        raise OptionUnfit(
            f"{where}: {', '.join(sorted(unknown))}: a range has low and high, and may have log and step",
            mend=f"{option.name} = {{ low = ..., high = ... }}",
        )
    low, high = (option.value(table[end], where=where) for end in ("low", "high"))
    log = table.get("log", False)
    if low is None or high is None or low >= high:
        raise OptionUnfit(f"{where} is empty: {low} is not below {high}", mend=f"--search {option.name}=LOW..HIGH")
    if not isinstance(log, bool) or (log and low <= 0):
        raise OptionUnfit(
            f"{where}: a logarithmic range begins above 0, and this one at {low}",
            mend=f"--search {option.name}={high / 100:g}..{high},log",
        )
    step = table.get("step")
    try:
        if option.kind == "int":
            return IntDistribution(low, high, log=log, step=1 if step is None else int(step))
        return FloatDistribution(low, high, log=log, step=None if step is None else float(step))
    except ValueError as error:
        raise OptionUnfit(f"{where}: {error}", mend=f"--search {option.name}={low}..{high}") from None


def _inside(distribution: BaseDistribution, value: Any) -> bool:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # noqa: S101 - Optuna has no other
    if value is None or not distribution.low <= value <= distribution.high:
        return False
    steps = (value - distribution.low) / distribution.step if distribution.step else 0.0
    return abs(steps - round(steps)) < 1e-9


def read_fixed(settings: Sequence[str], *, task: str) -> tuple[dict[str, Any], Task]:
    """The options that all trials share, of `NAME=VALUE`, with the task among them.

    Raises: OptionUnfit for an unknown name (with its nearest neighbour) or a value that does not fit.
    """
    fixed: dict[str, Any] = {"task": task}
    for written in settings:
        name, equals, value = (part.strip() for part in written.partition("="))
        name = name.replace("-", "_")
        if not equals:
            raise OptionUnfit(f"--set {written} has no value", mend=f"--set {name}=VALUE")
        if name in ("task", "seed"):
            raise OptionUnfit(f"--set {written}: it has a flag of its own", mend=f"--{name} {value}")
        field = TrainingOptions.model_fields.get(name)
        several = field is not None and get_origin(field.annotation) is tuple
        fixed[name] = value.split(",") if several else None if value.lower() == "none" else value
    options = checked(TrainingOptions, fixed, where="--set and --task", write="--set {key}=...")
    return {name: getattr(options, name) for name in fixed}, options.task
