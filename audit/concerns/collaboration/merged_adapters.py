"""Weights of a coalition whose members sent low-rank adapters: the checkpoint's, with its adapters taken for theirs.

W' = (W - s B A) + s B' A': W has the federation's own adapters A, B merged into it, and `adapter/` still has these, so
that the base need not be at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.concerns.collaboration.other_models import Unfit
from federated.personal import plain_names

if TYPE_CHECKING:
    from federated.arrays import Update

DOWN, UP = ".lora_A", ".lora_B"  # peft's words for A and B; "default" is the name that it gives them
PREFIX = "base_model.model."


class MergedAdapters:
    """Turns adapters and head into a plain model's parameters.

    Args:
        folder: of the checkpoint, with its `adapter/`.
        model: the checkpoint's, as it was loaded.
    Raises: Unfit when the folder's adapters cannot be read.
    """

    def __init__(self, folder: Path, model: Any) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        from core_model.training_result import ADAPTER_FOLDER

        try:
            saved = load_file(folder / ADAPTER_FOLDER / "adapter_model.safetensors")
        except (OSError, SafetensorError) as error:
            raise Unfit(f"the adapters that were merged are not in {ADAPTER_FOLDER}/ any more") from error
        own = {name.removeprefix(PREFIX): array for name, array in saved.items()}
        parameters = dict(model.named_parameters())
        self.without: Update = {}
        self.transposed: set[str] = set()
        for name in own:
            layer, found, _ = name.partition(DOWN)
            if found:
                weight = f"{layer}.weight"
                if type(model.get_submodule(layer)).__name__ == "Conv1D":  # GPT-2 keeps (inputs, outputs)
                    self.transposed.add(weight)
                self.without[weight] = parameters[weight].detach().cpu().numpy() - self._product(own, layer, weight)

    def parameters(self, sent: Mapping[str, np.ndarray]) -> Update:
        """By the names of the plain model.

        Args:
            sent: adapters and head, by the names that they travelled under.
        """
        plain = {name.replace(".default", ""): array for name, array in sent.items()}
        layers = {name.partition(DOWN)[0] for name in plain if DOWN in name}
        changed = {f"{layer}.weight": self.without[f"{layer}.weight"] for layer in layers}
        whole = {name: array for name, array in plain_names(dict(sent)).items() if DOWN not in name and UP not in name}
        return {
            **{weight: array + self._product(plain, weight.removesuffix(".weight"), weight)
               for weight, array in changed.items()},
            **whole,
        }  # fmt: skip

    def _product(self, adapters: Mapping[str, np.ndarray], layer: str, weight: str) -> np.ndarray:
        """s B A, as it lies in the weight."""
        from core_model.adapters import SCALE

        product: np.ndarray = SCALE * (adapters[f"{layer}{UP}.weight"] @ adapters[f"{layer}{DOWN}.weight"])
        return product.T if weight in self.transposed else product
