"""Self-supervised further training before a fine-tuning: the base reads the texts, without their labels.

    further = further_pretrain("masked", options, base=base, data=data, out=Path("classifier/pretraining"))
    train(options, base=base, data=data, out="classifier", wrap=further)

Encoders tell hidden tokens (masked), decoders the next one (causal); Gururangan et al. 2020, arXiv:2004.10964. It is a
training of its own, with a checkpoint and a record in `out`, resumed like any other. The fine-tuning begins with
its weights below the head; the head is the base's, where the task keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core_model.errors import OptionUnfit, TaskUnfit
from core_model.tasks import Task
from core_model.training import TrainingResult, train
from core_model.training_options import TrainingOptions

if TYPE_CHECKING:
    import torch

    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.progress import Tell
    from core_model.tasks.training_task import TrainingTask

Objective = Literal["masked", "causal"]
TASKS = {"masked": Task.MASKED_LANGUAGE_MODELING, "causal": Task.LANGUAGE_MODELING}
HELD_OUT, MOST_HELD_OUT = 0.1, 1000  # share of the texts that are not read, so that they can judge; and at most
FEWEST_TEXTS = 20
# Options of the fine-tuning that the further training shares.
SHARED = (
    "seed", "batch_size", "batch_tokens", "accumulate", "optimizer", "learning_rate", "weight_decay", "clip_norm",
    "dropout", "max_length", "precision", "checkpoint_every", "country",
)  # fmt: skip


@dataclass
class FurtherPretraining:
    """What was learned before; hands its weights to the task that is trained next (see `Wrap`)."""

    how: Objective
    result: TrainingResult

    @property
    def identity(self) -> Mapping[str, Any]:
        """The weights that the fine-tuning begins with."""
        return {"pretrain_sha256": self.result.record.model_sha256}

    def __call__(self, task: TrainingTask) -> TrainingTask:
        """The task with the weights below its head replaced.

        Raises: TaskUnfit when the two models do not have the same tensors there.
        """
        from safetensors.torch import load_file

        from core_model.training_state import put_weights

        model: Any = task.model
        inner, learned = model.base_model_prefix + ".", load_file(self.result.path / "model.safetensors")
        own: dict[str, torch.Tensor] = {n: t for n, t in model.state_dict().items() if n.startswith(inner)}
        taken = {name: tensor for name, tensor in learned.items() if name in own}
        lost = [n for n, t in own.items() if "pooler" not in n and (n not in taken or taken[n].shape != t.shape)]
        if lost or not own:
            raise TaskUnfit(
                f"pretrain = {self.how}: its model has no {(lost or [inner])[0]!r} for {type(model).__name__}",
                mend="--pretrain masked for an encoder, --pretrain causal for a decoder, or leave it out",
            )
        put_weights(model, taken)
        task.mitigation = {**task.mitigation, "further_pretraining": self.record()}
        task.notes = [*task.notes, self._note()]
        return task

    def record(self) -> dict[str, Any]:
        """Of training_record.json: which run this was, and the loss on texts that it did not read."""
        record = self.result.record
        return {
            "source": "Gururangan et al. 2020, arXiv:2004.10964",
            "objective": record.task,
            "model_sha256": record.model_sha256,
            "data": record.data,
            "held_out": record.evaluation_data,
            "epochs": record.options["epochs"],
            "steps": record.steps,
            "head": record.base["head"] if record.base else None,
            "loss_before": record.mitigation.get("before_training", {}).get("loss"),
            "loss_after": record.evaluation["loss"] if record.evaluation else None,
            "unit": "nats for each token that must be told",
            "energy": record.energy,
        }

    def _note(self) -> str:
        facts = self.record()
        if facts["loss_before"] is None or facts["loss_after"] is None:
            judged = f"whether that helped was not measured: fewer than {FEWEST_TEXTS} texts"
        else:
            judged = (
                f"on texts held out its loss went from {facts['loss_before']:.3f} to {facts['loss_after']:.3f} nats"
            )
            if facts["head"] == "new":
                judged += ", most of which a head that was drawn anew may have learned"
        return f"Before the fine-tuning the base was trained further on texts alone ({facts['objective']}); {judged}."


def further_pretrain(
    how: Objective,
    options: TrainingOptions,
    *,
    base: Checkpoint | None,
    data: Table,
    out: Path,
    epochs: int = 1,
    evaluation: Table | None = None,
    resume: bool = False,
    progress: Tell | None = None,
) -> FurtherPretraining:
    """Train the base further on texts alone.

    Args:
        options: of the fine-tuning; seed, batches, optimizer, rate, length and device are shared.
        data: texts; their labels are not read.
        evaluation: texts to judge by; None: a tenth of `data`, at most 1,000, which are then not read.
    Raises: OptionUnfit without a base, or with one that is an encoder-decoder; whatever `train` raises.
    """
    if base is None:
        raise OptionUnfit(
            f"pretrain = {how} trains a base further, and there is none",
            mend=f"train one first: --task {TASKS[how]} --base none --architecture FILE.toml, then --base with it",
        )
    if base.task in (Task.TRANSLATION, Task.SUMMARIZATION):
        raise OptionUnfit(
            f"pretrain = {how} trains an encoder or a decoder; {base.name} is both ({base.architecture})",
            mend="leave --pretrain out",
        )
    own = TrainingOptions(task=TASKS[how], epochs=epochs, **{name: getattr(options, name) for name in SHARED})
    texts, judging = (data, evaluation) if evaluation is not None else held_out(data, options.seed)
    result = train(
        own, base=base, data=texts, evaluation=judging, out=out, resume=resume, progress=progress,
        wrap=None if judging is None else _Before(own),
    )  # fmt: skip
    return FurtherPretraining(how, result)


def held_out(data: Table, seed: int) -> tuple[Table, Table | None]:
    """The texts to read and those to judge by, drawn at random; None where there are too few."""
    if data.rows < FEWEST_TEXTS:
        return data, None
    order = np.random.default_rng([seed, data.rows]).permutation(data.rows)
    count = min(round(HELD_OUT * data.rows), MOST_HELD_OUT)
    return data.select(np.sort(order[count:])), data.select(np.sort(order[:count]))


class _Before:
    """Measures a task before its first step, and sets that down in its record."""

    identity: Mapping[str, Any] = {}

    def __init__(self, options: TrainingOptions) -> None:
        self.options = options

    def __call__(self, task: TrainingTask) -> TrainingTask:
        import torch

        from core_model.batching import evaluation_order

        examples, model = task.evaluation, task.model
        if examples is None:
            return task
        model.eval()
        total, units = 0.0, 0
        for rows in evaluation_order(examples.lengths, 32):
            with torch.inference_mode():
                total += float(task.measures(model, task.batch(examples, rows))["loss"])
            units += examples.units(rows)
        task.mitigation = {**task.mitigation, "before_training": {"loss": total / units, "n": units}}
        return task
