"""How a folder says that its numbers are int8: the scheme in config.json, written and read without torch.

The layout is "int-quantized" of compressed-tensors, https://github.com/vllm-project/compressed-tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.errors import TaskUnfit

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

WEIGHTS = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}
ACTIVATIONS = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
METHOD, FORMAT = "compressed-tensors", "int-quantized"
SCHEME = "int8 weights (one scale a channel), int8 activations (one scale a token)"


def write_scheme(*, ignored: Sequence[str], table: str | None) -> dict[str, Any]:
    """The scheme of a model whose linear layers are int8.

    Args:
        ignored: linear layers that are not. table: the table of words, where it is int8, too.
    """
    groups: dict[str, Any] = {"group_0": {"targets": ["Linear"], "weights": WEIGHTS, "input_activations": ACTIVATIONS}}
    if table:
        groups["group_1"] = {"targets": [table], "weights": WEIGHTS, "input_activations": None}
    return {
        "quant_method": METHOD,
        "format": FORMAT,
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": list(ignored),
    }


def read_scheme(config: Mapping[str, Any], path: Path) -> str | None:
    """What a checkpoint's numbers were rounded to, in words; None where they are floats.

    Raises: TaskUnfit for a way of rounding that is not read here.
    """
    said = config.get("quantization_config")
    if said is None:
        return None
    groups: Any = said.get("config_groups") if isinstance(said, dict) else None
    if isinstance(groups, dict) and (said.get("quant_method"), said.get("format")) == (METHOD, FORMAT):
        with suppress(AttributeError):
            if all(_is_ours(group) for group in groups.values()):
                return SCHEME
    how = said.get("quant_method") if isinstance(said, dict) else said
    raise TaskUnfit(
        f"{path}: its weights are quantized in a way that is not read here ({str(how)[:60]})",
        mend="the float checkpoint that it was made of, then: aboveboard compress CKPT --method quantize",
    )


def _is_ours(group: Mapping[str, Any]) -> bool:
    weights, inputs = group.get("weights") or {}, group.get("input_activations")
    fits = all(weights.get(key) == value for key, value in WEIGHTS.items())
    return fits and (inputs is None or all(inputs.get(key) == value for key, value in ACTIVATIONS.items()))


def refuse_quantized(original: Checkpoint) -> None:
    """Int8 numbers cannot be pruned, trained or rounded again.

    Raises: TaskUnfit.
    """
    if original.facts.get("quantization"):
        raise TaskUnfit(
            f"{original.name} holds {original.facts['quantization']}; this takes a checkpoint of floats",
            mend="name the checkpoint that it was made of",
        )
