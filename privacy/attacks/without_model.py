"""An attack that does not ask the model: can members be told from held-out rows by their words alone?

If so, the two were not drawn from one distribution, and an attack on the model may read that difference and nothing of
the training.

Source: Meeus et al. 2024, arXiv:2406.17975; Das, Zhang and Tramèr 2024, arXiv:2406.16201 (blind baselines).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FOLDS = 5
FEWEST = 2 * FOLDS  # rows of each side
WORDS = 20_000


def bag_of_words_scores(members: Sequence[str], others: Sequence[str], *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of rows by a logistic regression over TF-IDF of words, learnt on the other folds.

    Args:
        members, others: texts; at least ten each.
        seed: draws the folds.
    Returns: scores of the members and of the others, each standardised within its fold; higher: "like the members".
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    texts = np.array([*members, *others], dtype=object)
    truth = np.repeat([1, 0], [len(members), len(others)])
    scores = np.zeros(len(texts))
    for fitting, rest in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(texts, truth):
        words = TfidfVectorizer(analyzer=_words, max_features=WORDS, sublinear_tf=True)
        model = LogisticRegression(max_iter=200)
        model.fit(words.fit_transform(texts[fitting]), truth[fitting])
        found = model.decision_function(words.transform(texts[rest]))
        scores[rest] = (found - found.mean()) / (found.std() or 1.0)
    return scores[: len(members)], scores[len(members) :]


def _words(text: str) -> list[str]:
    """Runs of anything but blanks: languages without Latin letters have words, too."""
    return text.lower().split()
