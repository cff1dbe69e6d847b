"""Subjects that are fair or unfair on purpose. Synthetic, every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.factories import stub_subject


@dataclass(frozen=True)
class Group:
    """How the planted model treats one group: rows, and its error rates."""

    rows: int
    false_positive_rate: float = 0.2
    false_negative_rate: float = 0.2
    positives: float = 0.5


def planted(groups: Mapping[str, Group], *, column: str = "sex", exact: bool = False, seed: int = 0) -> Any:
    """A two-class subject whose error rates by group are known.

    Args:
        exact: the rates are the rates of the rows, not of the population that they are drawn from.
    """
    random = np.random.default_rng(seed)
    target, predicted, names = [], [], []
    for name, group in groups.items():
        positives = round(group.rows * group.positives)
        for truth, rows, wrong in (
            (1, positives, group.false_negative_rate),
            (0, group.rows - positives, group.false_positive_rate),
        ):
            errors = round(rows * wrong) if exact else int(random.binomial(rows, wrong))
            target += [truth] * rows
            predicted += [1 - truth] * errors + [truth] * (rows - errors)
            names += [name] * rows
    return answered(target, predicted, {column: names})


def answered(
    target: Sequence[int],
    predicted: Sequence[int],
    groups: Mapping[str, Sequence[str]],
    *,
    labels: Sequence[str] = ("negative", "positive"),
    texts: Sequence[str] | None = None,
    swapped: Callable[[str], Sequence[float]] | None = None,
) -> Any:
    """A subject that predicts just this of its rows; `swapped` answers whatever else it is asked."""
    texts = [f"planted row {row}" for row in range(len(target))] if texts is None else list(texts)
    confidences = np.random.default_rng(1).uniform(0.55, 0.99, len(target))
    answers = {}
    for text, answer, confidence in zip(texts, predicted, confidences, strict=True):
        rest = (1 - confidence) / (len(labels) - 1)
        answers[text] = [confidence if index == answer else rest for index in range(len(labels))]
    return stub_subject(
        texts=texts,
        answer=lambda text: answers[text] if text in answers else swapped(text),  # type: ignore[misc]
        targets=target,
        groups={column: list(values) for column, values in groups.items()},
        labels=labels,
    )
