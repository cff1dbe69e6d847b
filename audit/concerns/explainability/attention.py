"""Attention at a glance: how much of each head's attention goes to words, over the explained rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core_model.attention_maps import AttentionMap, attention_of
from core_model.attention_writing import attention_of_writing
from core_model.attribution_writing_path import WritingPath
from core_model.errors import TaskUnfit
from reports.record import Figure, Scalar

if TYPE_CHECKING:
    from core_model.attribution_path import EmbeddingPath

CAVEAT = (
    "Attention is what a layer mixes, not why the model decides (Jain and Wallace 2019, arXiv:1902.10186); what goes "
    "past words is parked on special tokens or the first one (Clark et al. 2019, arXiv:1906.04341)."
)


def attention_figure(path: EmbeddingPath) -> tuple[Figure | None, str | None]:
    """The heads of all layers as a map, and a note; no figure where the model shows no attention, with the reason."""
    try:
        maps = attention_of_writing(path) if isinstance(path, WritingPath) else attention_of(path)
    except TaskUnfit as error:
        return None, f"Attention is not drawn: {error.found}."
    share = np.mean([one.to_words for one in maps], axis=0)
    return overview(
        share, name="explainability-attention", of=f", mean over {len(maps):,} texts", asking=asking(maps[0])
    ), None


def asking(one: AttentionMap) -> str:
    """Whose attention a map shows."""
    return "written tokens" if one.asks else "words"


def overview(share: np.ndarray, *, name: str, of: str, asking: str) -> Figure:
    """All heads as one map.

    Args:
        share: (layers, heads) of the attention that goes to words.
        name: the figure's id.
        of: what the shares are taken over, for the caption.
        asking: whose attention it is.
    """
    layer, head = np.unravel_index(int(share.argmax()), share.shape)
    rows: list[dict[str, Scalar]] = [
        {"x": f"head {place + 1}", "y": f"layer {depth + 1}", "value": round(float(value), 6)}
        for depth, line in enumerate(share)
        for place, value in enumerate(line)
    ]
    return Figure(
        id=name,
        kind="heatmap",
        title=f"Share of the {asking}' attention that goes to words, by layer and head",
        caption=f"Head {head + 1} of layer {layer + 1} looks at words most ({share.max():.0%} of its attention{of}); "
        f"over all heads it is {share.mean():.0%}. {CAVEAT}",
        x_label="head",
        y_label="layer",
        rows=rows,
    )
