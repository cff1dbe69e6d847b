"""Subjects of the privacy audit: planted answers, where a leak is as large as it is said to be. All synthetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from audit.concerns.privacy import PrivacyAuditOptions, privacy
from audit.plugin import Evidence, plugin_of
from audit.subject import Subject
from reports.record import Metric
from tests.factories import WORDS, stub_subject


def run(subject: Subject, seed: int = 0, **options: Any) -> Evidence:
    """The audit's evidence, through the eyes that its declaration gives it."""
    return privacy(subject.narrowed(plugin_of(privacy)), PrivacyAuditOptions(**options), np.random.default_rng(seed))


def one(evidence: Evidence, name: str, **slice: str) -> Metric:
    """The metric of this name and exactly this slice."""
    [found] = [m for m in evidence.metrics if m.name == name and m.slice == slice]
    return found


def ids(evidence: Evidence) -> set[str]:
    return {finding.id for finding in evidence.findings}


def planted(
    leak: float = 0.0,
    *,
    rows: int = 400,
    training_rows: int | None = None,
    seed: int = 0,
    shifted: bool = False,
    overlapping: int = 0,
    grouped: bool = False,
) -> Any:
    """A classifier whose log odds of the truth are `leak` higher on its training rows.

    Args:
        shifted: whether half of the training rows hold a word that no held-out row has.
        overlapping: the first so many held-out rows stand in the training data, too.
        grouped: with a group column; only group "b" leaks then.
    """
    random = np.random.default_rng(seed)
    counts = {"t": training_rows or rows, "h": rows}
    texts, targets, groups = {}, {}, {}
    answers: dict[str, list[float]] = {}
    for side, count in counts.items():
        targets[side] = random.integers(2, size=count)
        groups[side] = random.choice(["a", "b"], count)
        texts[side] = []
        for row in range(count):
            words = [*random.choice(WORDS, 6), *(["retracted"] if shifted and side == "t" and row % 2 else [])]
            text = " ".join(words) + f" {side}{row}"
            odds = random.normal(1.0, 1.5)
            if side == "t" and (not grouped or groups[side][row] == "b"):
                odds += leak
            p = 1 / (1 + np.exp(-odds))
            answers[text] = [1 - p, p] if targets[side][row] else [p, 1 - p]
            texts[side].append(text)
    for row in range(overlapping):
        texts["h"][row] = texts["t"][row]
    subject = stub_subject(
        texts=texts["h"], targets=targets["h"], answer=lambda text: answers[text],
        groups={"kind": groups["h"]} if grouped else None, training=(texts["t"], targets["t"]),
    )  # fmt: skip
    if grouped:
        training = subject.training
        subject.training = type(training).from_rows(
            name="planted", texts=training.texts, targets=training.targets, label_names=training.label_names,
            groups={"kind": groups["t"]}, synthetic=True,
        )  # fmt: skip
    return subject
