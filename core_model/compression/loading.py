"""A model of int8 numbers, built from its folder: the configuration's skeleton, int8 layers, every tensor checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from core_model.checkpoint_files import checked, read_json
from core_model.compression.quantization import Int8Embedding, Int8Linear
from core_model.errors import CheckpointDamaged

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_quantized(folder: Path, loader: Any, dtype: str) -> PreTrainedModel:
    """A model whose numbers are int8 where the weights on disk are.

    Args:
        loader: an Auto class of transformers; dtype: of what is not int8, and of the scales.
    Raises: CheckpointDamaged when the tensors are not those of the configuration.
    """
    from safetensors.torch import load_file
    from transformers import AutoConfig
    from transformers.initialization import no_init_weights

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    scheme = config.quantization_config
    del config.quantization_config  # transformers would call the package of that name
    with no_init_weights():
        model: PreTrainedModel = loader.from_config(config, attn_implementation="sdpa", dtype=getattr(torch, dtype))
    config = model.config
    tensors = {name: tensor for file in _files(folder) for name, tensor in load_file(file).items()}
    _put_int8_in_place(model, [name for name in tensors if name.endswith(".weight_scale")], folder)
    _fill(model, tensors, folder)
    model.config.quantization_config = scheme
    return model


def _files(folder: Path) -> list[Path]:
    """The safetensors files, as `read_weights` verified them."""
    index = checked(folder, "model.safetensors.index.json")
    names = sorted(set(read_json(index)["weight_map"].values())) if index else ["model.safetensors"]
    return [folder / name for name in names]


def _put_int8_in_place(model: nn.Module, scales: list[str], folder: Path) -> None:
    for scale in scales:
        name = scale.removesuffix(".weight_scale")
        parent, _, last = name.rpartition(".")
        try:
            module = model.get_submodule(name)
        except AttributeError:
            raise _damaged(folder, f"there is a scale for {name!r}, which the model does not have") from None
        fresh: nn.Module
        if isinstance(module, nn.Linear):
            fresh = Int8Linear(
                module.in_features, module.out_features, bias=module.bias is not None, dtype=module.weight.dtype
            )
        elif isinstance(module, nn.Embedding):
            fresh = Int8Embedding(module.num_embeddings, module.embedding_dim, dtype=module.weight.dtype)
        else:
            raise _damaged(folder, f"there is a scale for {name!r}, which is neither a matrix nor a table")
        setattr(model.get_submodule(parent), last, fresh)


def _fill(model: PreTrainedModel, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    try:
        report = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:  # shapes that differ
        raise _damaged(folder, str(error).strip().splitlines()[-1].strip()) from None
    model.tie_weights()
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    lost = [name for name in report.missing_keys if name not in tied] + list(report.unexpected_keys)
    if lost:
        raise _damaged(folder, f"tensor {lost[0]!r} stands in only one of weights and configuration")
    floats = [name for name, tensor in tensors.items() if f"{name}_scale" in tensors and tensor.dtype != torch.int8]
    if floats:
        raise _damaged(folder, f"tensor {floats[0]!r} has a scale, but is not int8")


def _damaged(folder: Path, what: str) -> CheckpointDamaged:
    return CheckpointDamaged(f"{folder}: {what}", mend="fetch the checkpoint again, or compress it again")
