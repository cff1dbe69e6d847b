"""Low-rank adapters (LoRA): a few weights beside the base's own, which stay as they are.

    adapters = add_adapters(task, TrainingOptions(adapters=8), base="encoder")  # task.model now trains them alone
    adapters.save(folder)                                                       # as peft reads them
    adapters.merge()                                                            # task.model is a plain model again

A linear layer W x becomes W x + 2 B A x with A (rank, inputs) drawn and B (outputs, rank) zero, so that the
model begins as the base. A head is trained whole.

Source: Hu et al. 2022, arXiv:2106.09685; adapters on every linear layer: Dettmers et al. 2023, arXiv:2305.14314.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.errors import OptionUnfit
from core_model.tasks import Task

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn
    from transformers import PreTrainedModel

    from core_model.tasks.training_task import TrainingTask
    from core_model.training_options import TrainingOptions

SCALE = 2  # alpha / rank: what B A x is multiplied by
KINDS = {  # what peft calls the tasks
    Task.CLASSIFICATION: "SEQ_CLS",
    Task.LANGUAGE_MODELING: "CAUSAL_LM",
    Task.TRANSLATION: "SEQ_2_SEQ_LM",
    Task.SUMMARIZATION: "SEQ_2_SEQ_LM",
    Task.QUESTION_ANSWERING: "QUESTION_ANS",
}
SHOWN = 12  # layer names in a letter


class Adapters:
    """Adapters inside a task's model.

    Attributes:
        parameters: of the model without them.
        base: the name of what they belong to.
        facts: rank, scale, layers and head, for the record.
    """

    def __init__(self, adapted: PeftModel, *, base: str, parameters: int, facts: dict[str, Any]) -> None:
        self._adapted, self.base, self.parameters, self.facts = adapted, base, parameters, facts

    def save(self, folder: Path) -> None:
        """Leave adapters and head as peft reads them: adapter_config.json and adapter_model.safetensors.

        Not through `save_pretrained`, which adds a card of its own and the base's place on this machine.
        """
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        folder.mkdir(parents=True)
        tensors = {name: t.detach().cpu().contiguous() for name, t in get_peft_model_state_dict(self._adapted).items()}
        save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
        config = self._adapted.peft_config["default"].to_dict()
        config["inference_mode"] = True
        config["base_model_name_or_path"] = self.base  # peft has put in where the base lies on this machine
        plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
        (folder / "adapter_config.json").write_text(json.dumps(plain, indent=2, sort_keys=True), encoding="utf-8")

    def merge(self) -> None:
        """Add B A to W in place and take the adapters out; tied weights stay tied."""
        model: Any = self._adapted.merge_and_unload()
        model.tie_weights()


def add_adapters(task: TrainingTask, options: TrainingOptions, *, base: str) -> Adapters:
    """Put adapters into the task's model and freeze everything else but its head.

    Args:
        base: the name of what the adapters belong to.
    Raises: OptionUnfit when no layer has the names asked for, or one of them shares its weights with another.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    model = task.model
    head = _head(model, options.task)
    parameters = sum(p.numel() for p in model.parameters())
    config = LoraConfig(
        r=options.adapters or 0,
        lora_alpha=SCALE * (options.adapters or 0),
        target_modules=_targets(model, options.adapter_targets, head),
        modules_to_save=head or None,
        task_type=KINDS[options.task],
    )
    torch.manual_seed(options.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that will change in transformers, and of GPT-2's transposed layers
        adapted = get_peft_model(model, config)
    layers = sum(hasattr(module, "lora_A") for module in model.modules())
    return Adapters(
        adapted,
        base=base,
        parameters=parameters,
        facts={
            "source": "Hu et al. 2022, arXiv:2106.09685",
            "rank": options.adapters,
            "scale": SCALE,
            "layers": layers,
            "targets": list(options.adapter_targets) or "every linear layer",
            "trained_whole": head,
            "folder": "adapter",
        },
    )


def _head(model: PreTrainedModel, task: Task) -> list[str]:
    """Names of the parts that answer the task and that a base need not have: trained whole.

    A language model's output layer is none: it is the base's, and often its embeddings' twin.
    """
    if task not in (Task.CLASSIFICATION, Task.QUESTION_ANSWERING):
        return []
    inner = model.base_model_prefix
    head = [name for name, part in model.named_children() if name != inner and any(True for _ in part.parameters())]
    body: Any = getattr(model, inner, None)
    pooler = [f"{inner}.pooler"] if getattr(body, "pooler", None) is not None else []
    return head + pooler


def _targets(model: PreTrainedModel, asked: tuple[str, ...], head: list[str]) -> list[str]:
    """Full names of the layers that get adapters."""
    linear = [name for name, module in model.named_modules() if _is_linear(module)]
    body = [name for name in linear if not any(name == part or name.startswith(f"{part}.") for part in head)]
    output = model.get_output_embeddings()
    if not asked:
        return [name for name in body if model.get_submodule(name) is not output]
    for target in asked:
        if not any(_ends_with(name, target) for name in body):
            kinds = sorted({name.rsplit(".", 1)[-1] for name in body})
            shown = ", ".join(kinds[:SHOWN]) + (" ..." if len(kinds) > SHOWN else "")
            raise OptionUnfit(
                f"adapter_targets: no linear layer of {type(model).__name__} outside of its head is called {target!r}",
                mend=f"--adapter-targets with some of {shown}; or leave it out for all of them",
            )
    chosen = [name for name in body if any(_ends_with(name, target) for target in asked)]
    embeddings: Any = model.get_input_embeddings()
    for name in chosen:
        layer: Any = model.get_submodule(name)
        if layer.weight is embeddings.weight:
            raise OptionUnfit(
                f"adapter_targets: {name} shares its weights with the embeddings; merged, both would change",
                mend="leave it out of --adapter-targets",
            )
    return chosen


def _is_linear(module: nn.Module) -> bool:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, (nn.Linear, Conv1D))


def _ends_with(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
