"""Dropout of a whole model at once, whatever its architecture calls it.

transformers names it hidden_dropout_prob, resid_pdrop, dropout_rate ...: a model reads its config when it is built,
into `torch.nn.Dropout` layers or into numbers that it hands to a function. Both are set, and the config says so when
it is saved. LayerDrop, which leaves out whole layers, is another thing and stays as it is.

Source: Srivastava et al. 2014, JMLR 15:1929. One share for all follows tensor2tensor's `transformer_base` (attention
and feed-forward too), the model of Vaswani et al. 2017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core_model.errors import OptionUnfit

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def set_dropout(model: PreTrainedModel, share: float) -> None:
    """Let every dropout of a model set this share of its inputs to 0 while training.

    Raises: OptionUnfit when the model has no dropout.
    """
    from torch import nn

    found = 0
    configs: dict[int, Any] = {id(model.config): model.config}
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
            found += 1
            continue
        found += _set_numbers(module, share)
        config = getattr(module, "config", None)
        if config is not None:
            configs[id(config)] = config  # encoder and decoder of some models have copies of their own
    if not found:
        raise OptionUnfit(f"{type(model).__name__} has no dropout to set to {share:g}", mend="leave --dropout out")
    for config in configs.values():
        _set_numbers(config, share)


def _set_numbers(thing: Any, share: float) -> int:
    """Set the attributes that hold a share of dropout.

    Returns: how many there were.
    """
    names = [name for name, value in vars(thing).items() if _is_dropout(name) and type(value) in (float, int)]
    for name in names:
        setattr(thing, name, float(share))
    return len(names)


def _is_dropout(name: str) -> bool:
    name = name.lower()
    return ("dropout" in name or name.endswith("pdrop")) and "layer" not in name
