"""Pictures of one text's attention: all heads at a glance, and one head large."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit.concerns.explainability.attention import asking, overview
from core_model.attention_maps import AttentionMap
from core_model.errors import OptionUnfit
from reports.record import Figure

MOST_TOKENS = 40  # of a side of the large map
_EACH_OTHER = "token (line) looks at each other one (column)"


def attention_pictures(one: AttentionMap, *, name: str, head: tuple[int, int] | None = None) -> list[Figure]:
    """The overview of the heads, and the map of one of them.

    Args:
        name: begins the figures' ids.
        head: (layer, head), counted from 1; None: the head that looks at words most.
    Raises: OptionUnfit for a head that the model does not have.
    """
    layers, heads = one.weights.shape[:2]
    share = one.to_words
    if head is None:
        layer, place = (int(n) for n in np.unravel_index(int(share.argmax()), share.shape))
    else:
        layer, place = head[0] - 1, head[1] - 1
        if not (0 <= layer < layers and 0 <= place < heads):
            raise OptionUnfit(
                f"--attention-head {head[0]}.{head[1]}: the model has {layers} layers of {heads} heads",
                mend=f"--attention-head 1.1 to {layers}.{heads}",
            )
    return [overview(share, name=f"{name}-heads", of="", asking=asking(one)), _large(one, layer, place, name)]


def _large(one: AttentionMap, layer: int, head: int, name: str) -> Figure:
    weights = one.weights[layer, head][:MOST_TOKENS, :MOST_TOKENS]
    columns = _numbered(one.tokens)
    lines = _numbered(one.asks) if one.asks else columns
    longest = max(len(one.tokens), len(one.asks))
    cut = "" if longest <= MOST_TOKENS else f" The first {MOST_TOKENS} of {longest} tokens are shown."
    asks, looks = np.unravel_index(int(weights.argmax()), weights.shape)
    return Figure(
        id=f"{name}-head-{layer + 1}-{head + 1}",
        kind="heatmap",
        title=f"Head {head + 1} of layer {layer + 1}: how much each "
        + ("written token (line) looks at each token of the source (column)" if one.asks else _EACH_OTHER),
        caption=f"The largest share is {weights.max():.0%}, from token {asks + 1} to token {looks + 1}; lines sum to 1."
        + cut,
        x_label="looked at",
        y_label="looks",
        rows=[
            {"x": column, "y": line, "value": round(float(weights[i, j]), 4)}
            for i, line in enumerate(lines)
            for j, column in enumerate(columns)
        ],
    )


def _numbered(tokens: Sequence[str]) -> list[str]:
    return [f"{place + 1} {token}" for place, token in enumerate(tokens[:MOST_TOKENS])]
