"""A model of int8 numbers, built from its folder.

Transformers builds the model from the numbers that the int8 ones stand for, and says what is missing; then each layer
takes its int8 numbers as they stand on the disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core_model.checkpoint_files import checked, read_json
from core_model.compression.quantization import swap
from core_model.errors import CheckpointDamaged

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SCALE = "_scale"


def load_quantized(folder: Path, architecture: str, dtype: str) -> PreTrainedModel:
    """A model whose numbers are int8 where the weights on disk are.

    Args:
        architecture: the class of transformers; dtype: of what is not int8, and of the scales.
    Raises: CheckpointDamaged when the tensors are not those of the configuration.
    """
    import transformers
    from safetensors.torch import load_file

    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    scheme = config.quantization_config
    del config.quantization_config  # transformers would call the package of that name
    tensors = {name: tensor for file in _files(folder) for name, tensor in load_file(file).items()}
    rounded = _rounded(tensors, folder)
    floats = {name: tensor for name, tensor in tensors.items() if not name.endswith(f".weight{SCALE}")}
    floats |= {name: tensors[name].float() * tensors[name + SCALE].float() for name in rounded}
    settings: dict[str, Any] = {
        "config": config, "state_dict": floats, "dtype": getattr(torch, dtype), "attn_implementation": "sdpa",
        "output_loading_info": True,
    }  # fmt: skip
    try:
        model, report = getattr(transformers, architecture).from_pretrained(None, **settings)
    except (RuntimeError, ValueError) as error:  # shapes that differ
        raise _damaged(folder, str(error).strip().splitlines()[0]) from None
    lost = sorted([*report["missing_keys"], *report["unexpected_keys"]])
    if lost:
        raise _damaged(folder, f"tensor {lost[0]!r} stands in only one of weights and configuration")
    _put_in_place(model, rounded, tensors, folder)
    model.config.quantization_config = scheme
    if checked(folder, "generation_config.json"):  # transformers reads it where it reads the weights
        model.generation_config = transformers.GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def _files(folder: Path) -> list[Path]:
    """The safetensors files, as `read_weights` verified them."""
    index = checked(folder, "model.safetensors.index.json")
    names = sorted(set(read_json(index)["weight_map"].values())) if index else ["model.safetensors"]
    return [folder / name for name in names]


def _rounded(tensors: dict[str, torch.Tensor], folder: Path) -> list[str]:
    """Names of the int8 tensors.

    Raises: CheckpointDamaged where int8 numbers have no scale, a scale no int8 numbers, or the two do not fit.
    """
    rounded = [name for name, tensor in tensors.items() if tensor.dtype == torch.int8]
    for name in rounded:
        scale = tensors.get(name + SCALE)
        if scale is None or not name.endswith(".weight") or scale.shape != (tensors[name].shape[0], 1):
            raise _damaged(folder, f"tensor {name!r} is int8, and there is no scale of each of its rows")
    for name in tensors:
        if name.endswith(f".weight{SCALE}") and name.removesuffix(SCALE) not in rounded:
            raise _damaged(folder, f"tensor {name!r} is the scale of nothing that is int8")
    return rounded


def _put_in_place(model: Any, rounded: list[str], tensors: dict[str, torch.Tensor], folder: Path) -> None:
    names = [name.removesuffix(".weight") for name in rounded]
    for name in names:
        kind = type(model.get_submodule(name))
        if kind not in (torch.nn.Linear, torch.nn.Embedding):
            raise _damaged(folder, f"tensor {name + '.weight'!r} is int8, but belongs to a {kind.__name__}")
    swap(model, names)
    for name in names:
        module = model.get_submodule(name)
        module.weight = tensors[f"{name}.weight"]
        module.weight_scale = tensors[f"{name}.weight{SCALE}"].to(module.weight_scale.dtype)


def _damaged(folder: Path, what: str) -> CheckpointDamaged:
    return CheckpointDamaged(f"{folder}: {what}", mend="fetch the checkpoint again, or compress it again")
