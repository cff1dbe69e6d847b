"""A student with fewer layers, taught by the model that it was cut from.

The student begins as every k-th layer of the teacher. It learns from the teacher's probabilities, softened by a
temperature T, and from the task's own loss:
soft_weight * T^2 * KL(teacher / T || student / T) + (1 - soft_weight) * own loss.
For models that write, each token of the reference counts (word-level distillation); sentences that the teacher would
write itself are not used.
Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531; DistilBERT, Sanh et al. 2019, arXiv:1910.01108 (its cosine loss
between hidden states is left out); Kim and Rush 2016, arXiv:1606.07947, section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from core_model.compression.writing import write_folder
from core_model.errors import OptionUnfit, TaskUnfit
from core_model.objective import Listening

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from core_model.compression.options import Distill
    from core_model.tasks.training_task import TrainingTask

# What configurations call their number of layers; an encoder-decoder has two of them.
COUNTS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "num_decoder_layers", "encoder_layers",
          "decoder_layers")  # fmt: skip
OUTPUTS = ("logits", "start_logits", "end_logits")
RULED_OUT = -1e9  # finite, so that a difference of two is a number


def write_student(teacher: Checkpoint, layers: int | None, folder: Path) -> dict[str, list[int]]:
    """Write the untaught student: the teacher with every k-th layer.

    Args:
        layers: how many each stack keeps, where it has more; half of them, rounded up, when None.
    Returns: the layers that were kept, by the name of their stack.
    Raises: OptionUnfit when no stack has more than that; TaskUnfit where no stack of layers is found.
    """
    model = teacher.load_model()
    stacks = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) in _counts(model.config).values() and _is_stack(name)
    }
    if not stacks:
        raise TaskUnfit(f"{teacher.architecture} has no stack of layers that is known here", mend="--method quantize")
    kept = {name: _every(len(stack), layers or -(-len(stack) // 2)) for name, stack in stacks.items()}
    if all(len(kept[name]) == len(stack) for name, stack in stacks.items()):
        name, stack = max(stacks.items(), key=lambda item: len(item[1]))
        raise OptionUnfit(
            f"layers = {layers or 1}, but {name} of {teacher.name} has {len(stack)}",
            mend=f"--layers {len(stack) // 2}" if len(stack) > 1 else "--method quantize or --method prune-heads",
        )
    _shorten_configuration(model.config, kept, {name: len(stack) for name, stack in stacks.items()})
    for name, places in kept.items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, nn.ModuleList(stacks[name][i] for i in places))
    write_folder(model, teacher, folder, what="left with some of its layers, and taught the others")
    return kept


def _every(there: int, wanted: int) -> list[int]:
    """`wanted` places out of `there`, evenly, the first one first; all of them where no more are there."""
    wanted = min(wanted, there)
    return [i * there // wanted for i in range(wanted)]


def _counts(config: Any) -> dict[str, int]:
    said = config.to_dict()
    return {name: said[name] for name in COUNTS if isinstance(said.get(name), int)}


def _is_stack(name: str) -> bool:
    """Whether this list stands at the top, not inside a layer (T5's layers are lists themselves)."""
    return not any(part.isdigit() for part in name.split("."))


def _shorten_configuration(config: Any, kept: Mapping[str, list[int]], before: Mapping[str, int]) -> None:
    """Write the new number of layers, and of what the configuration says layer by layer, those that are left."""
    for field in _counts(config):
        side = "decoder" if "decoder" in field else "encoder"
        mine = [name for name in kept if side in name] or list(kept)
        setattr(config, field, len(kept[mine[0]]))
    name = next(iter(kept))
    for field, value in config.to_dict().items():
        if isinstance(value, list) and len(value) == before[name] and field.startswith(("layer_", "mlp_layer")):
            setattr(config, field, [value[i] for i in kept[name]])


@dataclass(frozen=True)
class Teacher:
    """Puts a teacher beside a student's task (see `core_model.tasks.training_task.Wrap`).

    Attributes:
        identity: what a resumed run must share.
    """

    checkpoint: Checkpoint
    settings: Distill

    @property
    def identity(self) -> Mapping[str, Any]:
        """The teacher, and how it is listened to."""
        said = self.settings.model_dump(include={"temperature", "soft_weight", "layers"})
        return {"teacher_sha256": self.checkpoint.sha256, **{f"distill_{name}": value for name, value in said.items()}}

    def __call__(self, task: TrainingTask) -> TrainingTask:
        """The student's task with the teacher's part in its loss."""
        wrapped: Any = Distilled(
            task,
            self.checkpoint.load_model(),
            temperature=self.settings.temperature,
            soft_weight=self.settings.soft_weight,
        )
        wrapped.notes = [*task.notes, f"It was taught by {self.checkpoint.name} (sha256 {self.checkpoint.sha256})."]
        return wrapped


class Distilled:
    """A training task whose loss listens to a teacher, too (see `TrainingTask`; all else is the task's own).

    Args:
        task: of the student. teacher: with the same vocabulary and classes.
        temperature: softens both sides. soft_weight: share of the teacher's part, in [0, 1].
    """

    def __init__(self, task: TrainingTask, teacher: Any, *, temperature: float, soft_weight: float) -> None:
        self.task, self.teacher = task, teacher.eval().requires_grad_(False)
        self.temperature, self.soft_weight = temperature, soft_weight

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor], label_smoothing: float) -> torch.Tensor:
        """Soft and own loss, summed over the batch's units."""
        student = _Listening(model)
        own = self.task.loss(student, batch, label_smoothing)
        with torch.no_grad():
            said = self.teacher.to(own.device)(**student.inputs)
        told = _told(batch, student.inputs)
        names = [name for name in OUTPUTS if getattr(said, name, None) is not None]
        soft = sum(self._divergence(getattr(student.output, name), getattr(said, name), told) for name in names)
        return self.soft_weight * soft / len(names) + (1 - self.soft_weight) * own

    def _divergence(self, student: torch.Tensor, teacher: torch.Tensor, told: torch.Tensor | None) -> torch.Tensor:
        """T^2 KL(teacher || student) in nats, summed over rows, or over the tokens that are told."""
        if told is not None and student.dim() == 3:
            student, teacher = student[told], teacher[told]
        elif told is not None:  # places in a text: those that are padding are ruled out
            student, teacher = (side.float().masked_fill(~told, RULED_OUT) for side in (student, teacher))
        log_student, log_teacher = (
            functional.log_softmax(side.float() / self.temperature, dim=-1) for side in (student, teacher)
        )
        return self.temperature**2 * functional.kl_div(log_student, log_teacher, reduction="sum", log_target=True)


class _Listening(Listening):
    """It remembers what it was asked, too, so that a teacher can be asked the same."""

    def __call__(self, **inputs: torch.Tensor) -> Any:
        self.inputs = inputs
        return super().__call__(**inputs)


def _told(batch: Mapping[str, torch.Tensor], inputs: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Which tokens count: those with a target, or those that are no padding; None where each row is one answer."""
    targets = batch.get("targets")
    if targets is not None and targets.dim() == 2:
        told: torch.Tensor = targets != -100
        return told
    return inputs["attention_mask"].bool() if "starts" in batch else None
