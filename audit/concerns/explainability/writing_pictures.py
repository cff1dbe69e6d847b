"""Pictures of what a model wrote: each written token against each word of its prompt or source."""

from __future__ import annotations

import numpy as np

from core_model.attribution_writing import Written
from reports.record import Figure

MOST_WORDS, MOST_TOKENS = 60, 30  # of the map
SPACE = "\u2423"  # in the place of a token that is nothing but a space


def token_picture(one: Written, *, name: str) -> Figure | None:
    """What each word adds to the log-probability of each written token, as a map; None for a text without words.

    Args:
        name: begins the figure's id.
    """
    scores = one.by_token[:MOST_WORDS, :MOST_TOKENS]
    if not scores.size:
        return None
    words = [f"{place + 1} {word}" for place, word in enumerate(one.whole.words[:MOST_WORDS])]
    tokens = [f"{place + 1} {token.strip() or SPACE}" for place, token in enumerate(one.answer.tokens[:MOST_TOKENS])]
    word, token = np.unravel_index(int(scores.argmax()), scores.shape)
    cut = "" if scores.shape == one.by_token.shape else f" Shown: {len(words)} words, {len(tokens)} tokens."
    return Figure(
        id=f"{name}-tokens",
        kind="heatmap",
        title="What each word (line) adds to each token that was written (column)",
        caption=f"Word {words[word]!r} speaks most for token {tokens[token]!r}, by {scores[word, token]:+.2f} nats; "
        f"below 0 it speaks against it.{cut}",
        x_label="written",
        y_label="word",
        rows=[
            {"x": column, "y": line, "value": round(float(scores[i, j]), 4)}
            for i, line in enumerate(words)
            for j, column in enumerate(tokens)
        ],
    )
