"""Quantile regression: a row is suspicious whose confidence is rarely so high among held-out rows that are like it.

On half of the held-out rows quantiles of the confidence are learnt from what can be seen of a row without the model:
its length, its words, its label. The score of another row is the level that its confidence reaches among its like. One
model is attacked, and none is trained but these small ones.

Source: Bertran et al. 2023, arXiv:2307.03694. Ours: gradient-boosted trees on features of the text, in the place of a
second Transformer; levels between two learnt quantiles are interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core_model.data import Table

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
FEWEST = 100  # rows to learn from; below, a quantile of 0.99 is the largest row seen
TREES, LEAVES, ROWS_IN_A_LEAF = 40, 8, 20


def quantile_scores(
    fitting: tuple[np.ndarray, np.ndarray], *others: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, ...]:
    """Attack scores of some sets of rows; higher says "was in training".

    Args:
        fitting: features (rows, k) and confidence (rows,) of held-out rows to learn from; never scored.
        others: the same of each set that is scored.
    Returns: for each of these (rows,): the level reached, from 0 to 1, and how far above the last one beyond it.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    spread = float(np.std(fitting[1])) or 1.0
    predicted: list[list[np.ndarray]] = [[] for _ in others]
    for level in LEVELS:
        model = HistGradientBoostingRegressor(
            loss="quantile", quantile=level, max_iter=TREES, max_leaf_nodes=LEAVES, min_samples_leaf=ROWS_IN_A_LEAF,
            early_stopping=False, random_state=0,
        )  # fmt: skip
        model.fit(*fitting)
        for place, (features, _) in enumerate(others):
            predicted[place].append(model.predict(features))
    return tuple(
        level_reached(np.sort(np.stack(quantiles, axis=1), axis=1), confidence, spread=spread)
        for quantiles, (_, confidence) in zip(predicted, others, strict=True)
    )


def level_reached(quantiles: np.ndarray, values: np.ndarray, *, spread: float) -> np.ndarray:
    """Which level of its own quantiles each value reaches, (rows,); finite, and rising in the value.

    Args:
        quantiles: (rows, LEVELS), ascending. values: (rows,).
        spread: the unit in which values below the first and above the last quantile are told apart.
    """
    levels = np.array(LEVELS)
    scores = np.empty(len(values))
    for row, (own, value) in enumerate(zip(quantiles, values, strict=True)):
        if value >= own[-1]:
            scores[row] = levels[-1] + (value - own[-1]) / spread
        elif value <= own[0]:
            scores[row] = levels[0] + (value - own[0]) / spread
        else:
            scores[row] = np.interp(value, own, levels)
    return scores


def features_of(table: Table) -> np.ndarray:
    """What can be seen of each row without the model, (rows, k) float64."""
    columns = [_of_texts(table.texts)]
    columns += [_of_texts(column) for column in (table.pairs, table.references) if column is not None]
    if table.has_labels:
        columns.append(np.eye(len(table.label_names))[table.targets])
    return np.concatenate(columns, axis=1)


def _of_texts(texts: Sequence[str]) -> np.ndarray:
    found = []
    for text in texts:
        words = text.split()
        letters = max(len(text), 1)
        found.append(
            (
                len(words),
                len(text),
                len(text) / max(len(words), 1),
                len({word.lower() for word in words}) / max(len(words), 1),
                sum(c.isdigit() for c in text) / letters,
                sum(c.isupper() for c in text) / letters,
                sum(not c.isalnum() and not c.isspace() for c in text) / letters,
            )
        )
    return np.array(found, dtype=np.float64).reshape(len(found), 7)
