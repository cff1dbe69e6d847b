"""Is the answer one of the acceptable ones? Exact match and token F1, as SQuAD counts them.

Both sides are normalised first: lower case, without punctuation, without the articles a, an, the, single blanks. Of
several acceptable answers the one that scores highest counts.

Source: Rajpurkar et al. 2016, arXiv:1606.05250; the official evaluate-v1.1.py and, for empty answers, evaluate-v2.0.py.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from core_model.corpus_metric import CorpusMetric, mean_of_rows, values_and_rows

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
SIGNATURE = "norm:squad|case:lc|articles:no|punct:no|refs:best|version:1.1"


def exact_match(predicted: Sequence[str], acceptable: Sequence[Sequence[str]]) -> CorpusMetric:
    """Share of rows whose answer equals an acceptable one, 0 to 1.

    Args:
        predicted: (rows,). acceptable: (rows,) of one or more answers.
    """
    hits = [
        float(normalised_answer(text) in {normalised_answer(answer) for answer in answers})
        for text, answers in zip(predicted, acceptable, strict=True)
    ]
    return CorpusMetric(
        "exact_match", values_and_rows(np.array(hits)), mean_of_rows, SIGNATURE, "share of rows", "higher", "share"
    )


def token_f1(predicted: Sequence[str], acceptable: Sequence[Sequence[str]]) -> CorpusMetric:
    """Mean over rows of the F1 of words shared with the best acceptable answer, 0 to 1.

    Args:
        predicted: (rows,). acceptable: (rows,) of one or more answers.
    """
    scores = [
        max(answer_f1(text, answer) for answer in answers) for text, answers in zip(predicted, acceptable, strict=True)
    ]
    return CorpusMetric(
        "token_f1", values_and_rows(np.array(scores)), mean_of_rows, SIGNATURE, "mean F1 of rows, 0 to 1", "higher",
        "mean",
    )  # fmt: skip


def answer_f1(predicted: str, answer: str) -> float:
    """Harmonic mean of the shares of words that two answers have in common, counted with repeats."""
    mine, theirs = normalised_answer(predicted).split(), normalised_answer(answer).split()
    if not mine or not theirs:
        return float(mine == theirs)
    common = sum((Counter(mine) & Counter(theirs)).values())
    return 2 * common / (len(mine) + len(theirs))


def normalised_answer(text: str) -> str:
    """Lower case, without punctuation and articles, single blanks."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())
