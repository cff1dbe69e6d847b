"""Parts of a base that a training holds still: what is not trained costs no gradient, no traffic and no noise.

With the whole body held still a head alone is learnt on the base's features (a linear probe). Under a promise of
privacy that is often the better trade: noise grows with the number of trained weights, and features cost none of it.
Source: Tramèr and Boneh 2021, arXiv:2011.11660.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core_model.errors import OptionUnfit

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BODY = "body"
SHOWN = 8


def freeze(model: PreTrainedModel, parts: Sequence[str]) -> int:
    """Hold parts of a model still; weights that two parts share are held in both.

    Args:
        parts: names of modules, whole or the end of them (`embeddings`, `encoder.layer.0`), or `body`: all below the
            head.
    Returns: how many parameters are held still.
    Raises: OptionUnfit for a name that no module has, or when nothing is left to train.
    """
    modules = dict(model.named_modules())
    for part in parts:
        chosen = [model.base_model_prefix] if part == BODY else [name for name in modules if _is_called(name, part)]
        chosen = [name for name in chosen if name in modules]
        if not chosen:
            known = [BODY, *(name for name in modules if name and name.count(".") <= 1)][:SHOWN]
            raise OptionUnfit(
                f"freeze: no part of {type(model).__name__} is called {part!r}", mend=f"--freeze {', '.join(known)} ..."
            )
        for name in chosen:
            modules[name].requires_grad_(False)
    held = sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise OptionUnfit(
            f"freeze: {', '.join(parts)} is all of {type(model).__name__}: nothing is left to train",
            mend="--freeze with fewer parts",
        )
    return held


def _is_called(name: str, part: str) -> bool:
    return name == part or name.endswith(f".{part}")
