"""Reference models: what do models of the same make say of a row, half of which had it in training?

The rows on trial are split by lot into two halves, and a model is trained on each, from the same base by the same
trainer; then again with other halves. So each row is in half of the models. On a CPU as many are trained at once as it
has cores, one thread each: small models hardly gain from more. Of a model only its signals are kept, in the user's
cache folder, under a hash of everything that they depend on: another checkpoint that is attacked with the same rows and
base finds them there.

Source: Carlini et al. 2022, arXiv:2112.03570, section IV.A (online attack, each row in half of the models).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from core_model.data_store import cache_folder
from core_model.data_table import Table
from core_model.files import write_atomically
from core_model.tasks import Task
from core_model.training_options import TrainingOptions
from privacy.attacks.signals import signals_of

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

FEWEST = 4  # two with each row and two without: one of a kind shows no variance
VERSION = 1  # of what is kept
WORTH_A_PROCESS = 5_000  # rows trained on, over all models and epochs: about a minute of a small encoder
RECIPE = (
    "epochs", "max_steps", "batch_size", "batch_tokens", "accumulate", "optimizer", "learning_rate", "schedule",
    "warmup_share", "warmup_steps", "weight_decay", "clip_norm", "dropout", "label_smoothing", "class_weights", "ema",
    "adapters", "adapter_targets", "max_length", "precision",
)  # fmt: skip
"""Options that a reference model shares with the model on trial."""


@dataclass(frozen=True)
class ReferenceSignals:
    """What reference models say of each row.

    Attributes:
        losses, confidence: (models, rows), as in `privacy.attacks.signals.Signals`.
        included: (models, rows) bool, whether the row was trained on.
        forward_passes: rows that went through reference models for this; 0 where all was kept from before.
    """

    losses: np.ndarray
    confidence: np.ndarray
    included: np.ndarray
    forward_passes: int


def reference_signals(
    pool: Table, task: Task, *, base: Checkpoint, options: TrainingOptions, models: int, random: np.random.Generator,
    workers: int | None = None,
) -> ReferenceSignals:  # fmt: skip
    """Train the models that are not at hand, and ask each about all rows.

    Args:
        pool: the rows on trial, members and others.
        base: what every model starts from.
        options: how they are trained; their seed is replaced.
        models: an even number.
        random: draws the halves.
        workers: processes that train at once; None: as many as the CPU has threads for, where so much work pays for
            their start.
    Raises: as `core_model.training.train`.
    """
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import get_reusable_executor

    included = halves(models, pool.rows, random)
    asked = [
        (pool, task, base, options.model_copy(update={"seed": number}), chosen)
        for number, chosen in enumerate(included)
    ]
    workers = min(models, workers or _workers(options, included))
    if workers > 1:
        with parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
            found = list(Parallel()(delayed(_signals_of_one)(*one) for one in asked))
        get_reusable_executor().shutdown(wait=True)  # idle, each would keep torch in memory for minutes
    else:
        found = [_signals_of_one(*one) for one in asked]
    signals = np.stack([one for one, _ in found])
    return ReferenceSignals(signals[:, 0], signals[:, 1], included, sum(paid for _, paid in found))


def _workers(options: TrainingOptions, included: np.ndarray) -> int:
    """How many processes may train at once: one on a GPU, or for less work than their start takes."""
    import torch

    rows = float(included.sum()) * (options.epochs or 1)
    return 1 if torch.cuda.is_available() or rows < WORTH_A_PROCESS else torch.get_num_threads()


def halves(models: int, rows: int, random: np.random.Generator) -> np.ndarray:
    """Who is in which model, (models, rows) bool: each row in exactly half of an even number of models."""
    first = np.zeros((models // 2, rows), dtype=bool)
    for half in first:
        half[random.permutation(rows)[: rows // 2]] = True
    return np.stack([first, ~first], axis=1).reshape(models, rows)


def recipe(record: Mapping[str, Any] | None, task: Task) -> tuple[TrainingOptions, str]:
    """How the model on trial was trained, as far as its record says, and a sentence on that.

    A private training is imitated without its noise: these options hold none.
    """
    said = (record or {}).get("options")
    known = {name: said[name] for name in RECIPE if name in said} if isinstance(said, Mapping) else {}
    try:
        if known:
            return TrainingOptions(task=task, **known), "by the options of the checkpoint's training record"
    except ValidationError:
        pass  # a record of another version, or one that somebody wrote by hand
    return TrainingOptions(task=task), "by default options, for the checkpoint has no training record that says more"


def joined(members: Table, others: Table) -> Table:
    """Both sets of rows as one table, members first."""

    def both(of: Callable[[Table], Any]) -> list[Any] | None:
        first, second = of(members), of(others)
        return None if first is None or second is None else [*first, *second]

    return Table.from_rows(
        name="rows on trial",
        texts=[*members.texts, *others.texts],
        pairs=both(lambda table: table.pairs),
        references=both(lambda table: table.references),
        targets=both(lambda table: table.target_indices),
        label_names=others.label_names,
        text_column=others.text_column,
    )


def _signals_of_one(
    pool: Table, task: Task, base: Checkpoint, options: TrainingOptions, chosen: np.ndarray
) -> tuple[np.ndarray, int]:
    """Losses and confidence, (2, rows), and the rows that went through a model for them."""
    file = cache_folder("reference_models") / f"{_name(pool, task, base, options, chosen)}.npy"
    kept = _read(file, pool.rows)
    if kept is not None:
        return kept, 0
    from core_model.checkpoint import open_checkpoint
    from core_model.prediction import Predictor
    from core_model.training import train

    with TemporaryDirectory(prefix="aboveboard-reference-") as folder:
        train(options, data=pool.select(chosen), base=base, out=Path(folder) / "model")
        predictor = Predictor(open_checkpoint(Path(folder) / "model"), cache=None)
        found = signals_of(predictor, pool, task)
    signals = np.stack([found.losses, found.confidence])
    content = io.BytesIO()
    np.save(content, signals, allow_pickle=False)
    write_atomically(file, content.getvalue())
    return signals, predictor.forward_passes


def _read(file: Path, rows: int) -> np.ndarray | None:
    """What was kept; None where nothing was, or it is damaged."""
    try:
        kept = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return kept if isinstance(kept, np.ndarray) and kept.shape == (2, rows) else None


def _name(pool: Table, task: Task, base: Checkpoint, options: TrainingOptions, chosen: np.ndarray) -> str:
    """A hash of all that the signals depend on."""
    depends = {
        "version": VERSION,
        "task": task.value,
        "pool": pool.sha256,
        "chosen": hashlib.sha256(np.packbits(chosen).tobytes()).hexdigest(),
        "base": base.sha256,
        "options": options.that_change_weights(),
        **{name: version(name) for name in ("torch", "transformers", "tokenizers")},
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]
