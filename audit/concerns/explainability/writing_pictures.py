"""Pictures of what a model wrote, or found: each token of its answer against each word of the text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core_model.attribution_answers import PARTS, Answered
from core_model.attribution_writing import Written
from reports.record import Figure

MOST_WORDS, MOST_TOKENS = 60, 30  # of the map
SPACE = "\u2423"  # in the place of a token that is nothing but a space


def token_picture(one: Written, *, name: str) -> Figure | None:
    """What each word adds to the log-probability of each written token, as a map; None for a text without words.

    Args:
        name: begins the figure's id.
    """
    return _map(
        one.by_token, one.whole.words, one.answer.tokens, name=f"{name}-tokens",
        title="What each word (line) adds to each token that was written (column)", x_label="written",
    )  # fmt: skip


def span_picture(one: Answered, *, name: str) -> Figure | None:
    """What each word adds to the log-probability of either end of the answer; None for texts without words.

    Args:
        name: begins the figure's id.
    """
    return _map(
        one.by_end, one.words, [f"{part} at {token}" for part, token in zip(PARTS, one.answer.ends, strict=True)],
        name=f"{name}-ends", title="What each word (line) adds to where the answer begins and ends (column)",
        x_label="end of the answer",
    )  # fmt: skip


def _map(
    every: np.ndarray, words: Sequence[str], tokens: Sequence[str], *, name: str, title: str, x_label: str
) -> Figure | None:
    """Words (lines) against tokens (columns); every: (words, tokens), in nats."""
    scores = every[:MOST_WORDS, :MOST_TOKENS]
    if not scores.size:
        return None
    lines = [f"{place + 1} {word}" for place, word in enumerate(words[:MOST_WORDS])]
    columns = [f"{place + 1} {token.strip() or SPACE}" for place, token in enumerate(tokens[:MOST_TOKENS])]
    word, token = np.unravel_index(int(scores.argmax()), scores.shape)
    cut = "" if scores.shape == every.shape else f" Shown: {len(lines)} words, {len(columns)} tokens."
    return Figure(
        id=name,
        kind="heatmap",
        title=title,
        caption=f"Word {lines[word]!r} speaks most for {columns[token]!r}, by {scores[word, token]:+.2f} nats; "
        f"below 0 it speaks against it.{cut}",
        x_label=x_label,
        y_label="word",
        rows=[
            {"x": column, "y": line, "value": round(float(scores[i, j]), 4)}
            for i, line in enumerate(lines)
            for j, column in enumerate(columns)
        ],
    )
