"""Cascading randomization: do the explanations change when the weights are shuffled, layer by layer from the top?

Explanations of a model that lost its head, then its last block, and so on down to the embeddings, are ranked against
those of the whole model. An explanation that stays alike although what decides is gone explains the text.

Source: Adebayo et al. 2018, arXiv:1810.03292, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.explainability.faithfulness import ADEBAYO, correlation, rank_correlations
from audit.concerns.explainability.marks import NOT_FAITHFUL
from audit.evidence import metric
from core_model.attribution import EVEN_STEPS, Attribution, integrated_gradients
from core_model.attribution_trials import cascade, layers_from_the_top, randomized
from reports.record import Figure, Metric

if TYPE_CHECKING:
    from core_model.attribution_path import EmbeddingPath

NAME = "cascading_randomization_rank_correlation"


def cascade_metrics(
    path: EmbeddingPath,
    trained: Sequence[Attribution],
    rows: np.ndarray,
    *,
    most: int,
    resamples: int,
    random: np.random.Generator,
) -> tuple[list[Metric], int]:
    """Rank correlation of the sizes of the scores after each stage, and how many forward passes that took.

    Args:
        trained: integrated gradients of the whole model; rows: which of them are held against the copies.
        most: stages that are looked at, from the head to the embeddings.
    """
    some = path.select(rows)
    targets = np.array([trained[row].target for row in rows])
    names = [name for name, _ in path.predictor.forward.model.named_parameters()]
    stages = cascade(layers_from_the_top(names), most)
    seed, lines, passes = int(random.integers(2**62)), [], 0
    for (name, gone), child in zip(stages, random.spawn(len(stages)), strict=True):
        copied = randomized(path.predictor, np.random.default_rng(seed), parameters=gone)
        found = integrated_gradients(some.asking(copied), targets, even_steps=EVEN_STEPS)
        passes += copied.forward_passes
        alike = rank_correlations([np.abs(trained[row].scores) for row in rows], [np.abs(a.scores) for a in found])
        lines.append(
            metric(
                NAME, correlation(alike, child, resamples), unit="rank correlation", better="lower",
                slice={"method": "integrated-gradients", "shuffled_down_to": name}, source=ADEBAYO,
                definition="Spearman's correlation of the sizes of a row's word scores with those of a copy whose "
                "weights were shuffled from the head down to this layer, mean over rows",
            )
        )  # fmt: skip
    return lines, passes


def cascade_figure(metrics: Sequence[Metric], *, faithful: bool) -> Figure | None:
    """The correlation after each stage; marked where the method does not beat a random order."""
    lines = [m for m in metrics if m.name == NAME and m.value is not None and m.interval is not None]
    if not lines:
        return None
    last = lines[-1]
    return Figure(
        id="explainability-cascade",
        kind="lines",
        title="Explanations of a model whose weights are shuffled layer by layer",
        caption=f"With everything down to {last.slice['shuffled_down_to']} shuffled the rank correlation with the true "
        f"model's explanations is {last.value:.2f}; near 0 is as it should be. Bands are 95% intervals."
        + ("" if faithful else NOT_FAITHFUL),
        x_label="shuffled from the head down to",
        y_label="rank correlation",
        rows=[
            {"x": m.slice["shuffled_down_to"], "y": m.value, "low": m.interval[0], "high": m.interval[1], "n": m.n}
            for m in lines
            if m.interval is not None
        ],
    )
