"""Where a text enters a model as vectors, and how others are put in their place.

Models look at token ids for more than vectors (positions, padding, the end of the text), so that points in embedding
space enter by a hook at the embedding layer, while the ids go in as ever. An encoder-decoder that classifies reads the
text twice, the second time moved on by one token: there the point enters twice, and its gradient is that of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Replace = Callable[["torch.Tensor"], "torch.Tensor | None"]


def input_embeddings(model: Any) -> torch.nn.Module:
    """The layer that turns the text's token ids into vectors."""
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    layer: torch.nn.Module = model.get_input_embeddings()
    return layer


@contextmanager
def replaced(model: Any, replace: Replace, *, on_both_sides: bool = True) -> Iterator[None]:
    """While a `with` lasts, the text's vectors go through `replace`, which may let a pass be (None).

    Args:
        replace: from what the embedding layer gives, (rows, tokens, hidden), to what the model shall see. Called by the
            thread that runs the pass.
        on_both_sides: whether the decoder of an encoder-decoder reads the same text; it does where the two classify,
            and reads what it wrote itself where they write.
    """
    import torch

    again: dict[int, torch.Tensor] = {}  # by thread: several batches run at once

    def enter(module: Any, arguments: Any, output: torch.Tensor) -> torch.Tensor | None:
        if get_ident() in again:  # one layer serves both sides
            return enter_again(module, arguments, output)
        point = replace(output)
        if point is not None and twice:
            again[get_ident()] = point
        return point

    def enter_again(module: Any, arguments: Any, output: torch.Tensor) -> torch.Tensor | None:
        point = again.pop(get_ident(), None)
        return None if point is None else torch.cat([output[:, :1], point[:, : output.shape[1] - 1]], dim=1)

    twice = on_both_sides and model.config.is_encoder_decoder
    first = input_embeddings(model)
    hooks = [first.register_forward_hook(enter)]
    if twice:
        second = model.get_decoder().get_input_embeddings()
        if second is not first:
            hooks.append(second.register_forward_hook(enter_again))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
