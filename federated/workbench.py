"""A model, its data in tokens and a device, prepared once per process and used by every client of it in turn.

Building a model and cutting texts into tokens costs a hundred times what a small client's round costs. So a process
prepares all rows once, each client is a view of its own rows, and the arrays of a round are loaded into the one model
in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.batching import Ragged
from core_model.errors import OptionUnfit
from core_model.tasks import Task
from core_model.training_options import TrainingOptions
from federated.arrays import Update, is_head, load_parameters, shared_parameters
from federated.options import FederationOptions
from federated.partition import Partition, partition, split_held_out
from federated.run_settings import RunSettings

if TYPE_CHECKING:
    import torch

    from core_model.adapters import Adapters
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.tasks.training_task import TrainingTask

PLACEHOLDER = "A made-up text, in the place of rows that are not here."


class OneProcess:
    """As much of an Accelerator as a step needs where one process computes on one device."""

    num_processes, process_index = 1, 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def prepare(self, *parts: Any) -> tuple[Any, ...]:
        """Nothing needs to be wrapped."""
        return parts

    def no_sync(self, model: Any) -> nullcontext[None]:
        """Nobody else computes."""
        return nullcontext()

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of a scalar."""
        loss.backward()

    def reduce(self, tensor: torch.Tensor, reduction: str) -> torch.Tensor:
        """The sum over one process."""
        return tensor


@dataclass(frozen=True)
class ClientRows:
    """One client's rows: those it learns from, and those it holds out."""

    training: np.ndarray
    held_out: np.ndarray


class Workbench:
    """See the module's docstring.

    Args:
        table: all rows of this process; a client's own, or those that are divided among simulated clients.
        evaluation: rows that no client has, for the server.
    Attributes:
        task: model, tokenizer and rows (see `TrainingTask`).
        adapters: inside the model, where the run trains them alone.
        initial: the trained parameters as the run begins, a head included: the same in every process.
    """

    def __init__(
        self, settings: RunSettings, *, base: Checkpoint, table: Table, evaluation: Table | None, placeholders: int
    ) -> None:
        import torch

        from core_model.adapters import add_adapters
        from core_model.attention_kernel import choose_attention
        from core_model.compression.scheme import refuse_quantized
        from core_model.freezing import freeze
        from core_model.tasks.training_task import preparer
        from core_model.training_step import sides_of

        self.settings, self.base, self.table, self.evaluation = settings, base, table, evaluation
        self.federation: FederationOptions = settings.federation
        self.options = training_options(settings.federation)
        self.placeholders = placeholders
        refuse_quantized(base)
        with torch.random.fork_rng():
            self.task: TrainingTask = preparer(self.options.task)(
                self.options, base=base, architecture=None, data=table, evaluation=evaluation
            )
            self.adapters: Adapters | None = (
                add_adapters(self.task, self.options, base=base.name) if self.options.adapters else None
            )
        if self.options.freeze:
            freeze(self.task.model, self.options.freeze)
        kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        self.device = torch.device(kind.type if kind is not None else "cpu")
        model: Any = self.task.model
        model.to(self.device)
        longest = int(sides_of(self.task.training).max(initial=0))
        choose_attention(model, device=self.device, dtype=torch.float32, longest=longest)
        self.process: Any = OneProcess(self.device)
        self.initial: Update = shared_parameters(model, None)
        self._views: dict[int, tuple[TrainingTask, ClientRows]] = {}

    @cached_property
    def parts(self) -> Partition:
        """Who has which rows of the table; one client where it is a client's own."""
        if self.settings.own_rows:
            return Partition((np.arange(self.table.rows - self.placeholders),), ("own rows",))
        return partition(self.table, self.federation)

    @property
    def shared(self) -> Update:
        """The parameters that travel, as the run begins."""
        if self.federation.personalize is None:
            return self.initial
        return {name: array for name, array in self.initial.items() if not is_head(self.task.model, name)}

    def view(self, client: int) -> tuple[TrainingTask, ClientRows]:
        """A client's task: the one model, and its own rows to learn from and to hold out."""
        part = 0 if self.settings.own_rows else client
        if part not in self._views:
            if part >= len(self.parts):
                raise OptionUnfit(f"there is no client {client} among {len(self.parts)}", mend="--clients")
            own = self.parts.rows[part]
            training, held = split_held_out(own, self.federation.held_out, seed=self.federation.seed, client=client)
            task: Any = self.task
            self._views[part] = (
                replace(
                    task,
                    training=take_rows(task.training, training),
                    evaluation=take_rows(task.training, held) if len(held) else None,
                ),
                ClientRows(training, held),
            )
        return self._views[part]

    def label_counts(self, rows: np.ndarray) -> dict[str, int]:
        """How many of these rows have each label; empty where the task has none."""
        if self.table.target_indices is None:
            return {}
        names = self.table.label_names
        counts = np.bincount(self.table.targets[rows], minlength=len(names))
        return {name: int(count) for name, count in zip(names, counts, strict=True)}

    @contextmanager
    def loaded(self, shared: Update, head: Update | None = None) -> Iterator[Any]:
        """The model with these parameters; a head that is not given is the run's first.

        Whatever a `with` does to the model, the next one does not see it.
        """
        load_parameters(self.task.model, {**self.initial, **(head or {}), **shared})
        self.task.model.zero_grad(set_to_none=True)  # a client that died in a step left its gradients
        yield self.task.model


def training_options(options: FederationOptions, **changes: Any) -> TrainingOptions:
    """What `core_model` calls these options; a client's round changes seed and rate."""
    values: dict[str, Any] = {
        "task": options.task,
        "seed": options.seed,
        "epochs": options.local_epochs or (None if options.local_steps else 1),
        "max_steps": options.local_steps,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "weight_decay": options.weight_decay,
        "clip_norm": options.clip_norm,
        "warmup_steps": 0,
        "max_length": options.max_length,
        "adapters": options.adapters,
        "adapter_targets": options.adapter_targets,
        "freeze": options.freeze,
        "precision": "float32",
        "country": options.country,
    }
    return TrainingOptions(**{**values, **changes})


def take_rows(examples: Any, rows: np.ndarray) -> Any:
    """Some rows of a task's examples; all blocks or windows of a row, where a row has several.

    Works on whatever dataclass a task keeps its rows in: each of its fields is one value a row, or for all of them.
    """
    count = len(examples.lengths)
    origins = getattr(examples, "origins", None)
    chosen = rows if origins is None else np.flatnonzero(np.isin(origins, rows))

    def taken(value: Any) -> Any:
        if isinstance(value, Ragged):
            return value.taken(chosen)
        return value[chosen] if isinstance(value, np.ndarray) and len(value) == count else value

    return replace(examples, **{field.name: taken(getattr(examples, field.name)) for field in fields(examples)})


_kept: dict[str, Workbench] = {}  # the last one, by its settings: a process works on one run at a time


def workbench(run: RunSettings, evaluation: str | None = None) -> Workbench:
    """The process's workbench for a run.

    Args:
        run: as a node sees it; all clients of a process share the bench, and so does a server that came first.
        evaluation: a file of rows for the server.
    Raises: as `open_checkpoint`, `open_table` and a task's `prepare`.
    """
    settings = run.to_text()
    bench = _kept.get(settings)
    if bench is None or (evaluation is not None and bench.evaluation is None):
        forget_workbench()
        bench = _kept[settings] = _prepared(run, evaluation)
    return bench


def forget_workbench() -> None:
    """Let the model go: the run is over, or its adapters were merged."""
    _kept.clear()


def _prepared(run: RunSettings, evaluation: str | None) -> Workbench:
    from core_model.checkpoint import open_checkpoint
    from core_model.data import open_table

    base = open_checkpoint(run.base)
    groups = [run.federation.column] if run.federation.column and not run.own_rows else []
    columns: dict[str, Any] = {**run.columns, "task": run.federation.task}
    names = run.labels or None

    def opened(file: str, label_names: Any, group_columns: list[str]) -> Table:
        return open_table(
            file, labels_required=True, references_required=True, group_columns=group_columns,
            label_names=label_names, **columns,
        )  # fmt: skip

    table = None if run.data is None else opened(run.data, names, groups)
    rows_of_server = None if evaluation is None else opened(evaluation, names or (table and table.label_names), [])
    placeholders = 0
    if table is None:
        table = _placeholders(names or base.labels, run.federation.task)
    elif run.own_rows and table.target_indices is not None and len(np.unique(table.targets)) < 2 and names:
        # A client may have one class alone where others have the rest: the task must still know them all.
        table, placeholders = _with_placeholders(table, names)
    return Workbench(run, base=base, table=table, evaluation=rows_of_server, placeholders=placeholders)


def _placeholders(labels: tuple[str, ...], task: Task) -> Table:
    """Rows for a server that has none: a task learns from them what it will be about, and nobody learns from them."""
    from core_model.data import Table

    if task is Task.CLASSIFICATION:
        if len(labels) < 2:
            raise OptionUnfit(
                "a server without rows does not know the classes, and the base names none",
                mend="--labels with the names that all clients use, such as --labels 'no,yes'",
            )
        return Table.from_rows(
            name="no rows", texts=[PLACEHOLDER] * len(labels), targets=range(len(labels)), label_names=labels,
            synthetic=True,
        )  # fmt: skip
    pair: dict[str, Any] = {"pairs": [PLACEHOLDER] * 2} if task is Task.QUESTION_ANSWERING else {}
    return Table.from_rows(
        name="no rows", texts=[PLACEHOLDER] * 2, references=[PLACEHOLDER] * 2, synthetic=True, **pair
    )


def _with_placeholders(table: Table, labels: tuple[str, ...]) -> tuple[Table, int]:
    """A client's rows with one made-up row of each class behind them; and how many these are."""
    from core_model.data import Table

    made = Table.from_rows(
        name=table.name,
        texts=[*table.texts, *[PLACEHOLDER] * len(labels)],
        pairs=None if table.pairs is None else [*table.pairs, *[PLACEHOLDER] * len(labels)],
        targets=np.concatenate([table.targets, np.arange(len(labels))]),
        label_names=labels,
    )
    return made, len(labels)
