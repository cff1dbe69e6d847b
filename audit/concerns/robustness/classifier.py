"""A classifier under noise: accuracy and its loss, labels that stay, the worst noise, and for whom it is worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.robustness.answers import UnderNoise, ask_under_noise
from audit.concerns.robustness.findings import group_finding, noise_finding
from audit.concerns.robustness.outcomes import noise_outcomes
from audit.evidence import Limit, metric
from audit.plugin import Evidence, Need
from audit.statistics import Estimate, largest_minus_smallest, paired_difference_of_proportions, proportion
from audit.text_length import cut_note
from reports.record import Figure, Metric

if TYPE_CHECKING:
    from audit.subject import Subject

CHECKLIST = "Ribeiro et al. 2020 (CheckList), arXiv:2005.04118"
NO_LABELS = "needs labels: --label-column COLUMN"
FEWEST_ROWS = 20  # of a group, to be held against others


def noise_evidence(subject: Subject, rows: np.ndarray, random: np.random.Generator, *, limit: Limit) -> Evidence:
    """Everything about noise.

    Args:
        rows: (sampled rows,) their numbers. limit: for the loss of accuracy under the worst noise.
    """
    seed_random, gap_random = random.spawn(2)
    answers = ask_under_noise(subject, rows, seed=int(seed_random.integers(2**31)))
    targets = subject.targets[rows] if subject.has(Need.LABELS) else None
    right = None if targets is None else subject.predictions.predicted[rows] == targets
    metrics = accuracy_metrics(answers, targets, right)
    worst, worst_lines = worst_metrics(answers, targets, right, limit)
    groups = {c: np.asarray(v)[rows] for c, v in subject.groups.items()} if subject.has(Need.GROUPS) else {}
    stable = np.all([a.kept for a in answers if a.judged], axis=0)
    by_group = group_metrics(stable, groups, gap_random)
    untouched = [a.noise.name for a in answers if not a.changed.any()]
    return Evidence(
        metrics=[*metrics, *worst_lines, *by_group],
        findings=[
            *noise_finding(worst, worst_lines, subject, rows, targets),
            *group_finding(by_group, subject),
        ],
        figures=[noise_figure(answers, targets, right)],
        notes=[
            f"Noise was put on {len(rows):,} of {subject.data.rows:,} rows, drawn at random.",
            *cut_note(subject, rows, "noise and missing ends"),
            *([f"No sampled row has anything for: {', '.join(dict.fromkeys(untouched))}."] if untouched else []),
            *(["Noise was put on the first text of each pair."] if subject.data.pairs is not None else []),
            "Contractions, number words and spelling are English rules; typing errors are those of a QWERTY keyboard.",
        ],
        outcomes=noise_outcomes(answers, rows, targets, right),
    )  # fmt: skip


def accuracy_metrics(
    answers: Sequence[UnderNoise], targets: np.ndarray | None, right: np.ndarray | None
) -> list[Metric]:
    """Accuracy, its loss and invariance, noise by noise.

    Args:
        targets: (rows,) true classes; right: (rows,) whether the text as it was is answered right. None without labels.
    """
    lines = [_accuracy(right, {"noise": "none"}, "as they are")]
    for under in answers:
        correct = None if targets is None else under.predicted == targets
        if correct is not None:
            lines.append(_accuracy(correct, under.slice, f"with: {under.what}"))
        lines.append(_drop(right, correct, under))
        lines.append(
            metric(
                "invariance_rate", _share(under.kept[under.changed], "the noise touches no sampled row"),
                unit="share of the rows that the noise changes", better="higher", slice=under.slice,
                definition=f"Rows that keep their predicted label with: {under.what}.", source=CHECKLIST,
            )
        )  # fmt: skip
    return lines


def _accuracy(correct: np.ndarray | None, part: dict[str, str], how: str) -> Metric:
    found = Estimate.absent(NO_LABELS) if correct is None else _share(correct, "no rows")
    return metric(
        "accuracy", found, unit="share of rows", better="higher", slice=part, source="scikit-learn",
        definition=f"Share of the sampled rows, {how}, whose label the model finds.",
    )  # fmt: skip


def _drop(right: np.ndarray | None, correct: np.ndarray | None, under: UnderNoise) -> Metric:
    return metric(
        "accuracy_drop", _paired(right, correct), unit="difference of shares of rows", better="lower",
        slice=under.slice, source="Belinkov and Bisk 2018, arXiv:1711.02173",
        definition="Accuracy on the rows as they are minus accuracy on the same rows with the noise.",
    )  # fmt: skip


def _paired(right: np.ndarray | None, correct: np.ndarray | None, *, confidence: float = 0.95) -> Estimate:
    if right is None or correct is None:
        return Estimate.absent(NO_LABELS)
    cells = (right & correct, right & ~correct, ~right & correct, ~right & ~correct)
    both, only_clean, only_noisy, neither = (int(cell.sum()) for cell in cells)
    return paired_difference_of_proportions(both, only_clean, only_noisy, neither, confidence=confidence)


def _share(hits: np.ndarray, why_not: str) -> Estimate:
    return proportion(int(hits.sum()), len(hits)) if len(hits) else Estimate.absent(why_not)


def worst_metrics(
    answers: Sequence[UnderNoise], targets: np.ndarray | None, right: np.ndarray | None, limit: Limit
) -> tuple[UnderNoise | None, list[Metric]]:
    """The judged noise under which most is lost, its interval widened for having been picked (Bonferroni)."""
    among = [under for under in answers if under.judged and under.changed.any()]
    level = 1 - 0.05 / max(1, len(among))

    def lost(under: UnderNoise) -> float:
        if targets is None or right is None:
            return float(1 - under.kept.mean())
        return float(right.mean() - (under.predicted == targets).mean())

    worst = max(among, key=lost, default=None)
    if worst is None:
        estimate = Estimate.absent("no noise touches any of the sampled rows")
    else:
        estimate = _paired(right, None if targets is None else worst.predicted == targets, confidence=level)
    if estimate.value is not None:
        how = f"{estimate.method}, Bonferroni over {len(among)} noises"
        estimate = replace(estimate, confidence=0.95, method=how)
    return worst, [
        metric(
            "worst_noise_accuracy_drop", estimate, unit="difference of shares of rows", better="lower",
            slice=worst.slice if worst else {}, limit=limit, source="Belinkov and Bisk 2018, arXiv:1711.02173",
            definition="Loss of accuracy under the noise where it is largest; the interval allows for the pick.",
        )
    ]  # fmt: skip


def group_metrics(stable: np.ndarray, groups: Mapping[str, np.ndarray], random: np.random.Generator) -> list[Metric]:
    """Rows that keep their label under every judged noise: all of them, by group, and the gap between groups.

    Args:
        stable: (rows,) bool. groups: column -> (rows,) values.
    """
    unit, what = "share of rows", "Rows that keep their predicted label under every judged noise"
    lines = [
        metric("invariance_rate_all_noises", _share(stable, "no rows"), unit=unit, better="higher", source=CHECKLIST,
               definition=f"{what}.")
    ]  # fmt: skip
    for (column, values), child in zip(groups.items(), random.spawn(len(groups)), strict=True):
        named = np.asarray(values, dtype=object).astype(str)
        members = {value: named == value for value in sorted(set(named))}
        lines += [
            metric("invariance_rate_all_noises", _share(stable[rows], "no rows"), unit=unit, better="higher",
                   slice={column: value}, source=CHECKLIST, definition=f"{what}, of this group.")
            for value, rows in members.items()
        ]  # fmt: skip
        large = [rows for rows in members.values() if rows.sum() >= FEWEST_ROWS]
        gap = largest_minus_smallest([int(stable[r].sum()) for r in large], [int(r.sum()) for r in large], child)
        lines.append(
            metric("invariance_rate_gap", gap, unit="difference of shares of rows", better="lower",
                   slice={"by": column},
                   definition=f"{what}: largest share of a group minus smallest; groups of {FEWEST_ROWS} rows or more.")
        )  # fmt: skip
    return lines


def noise_figure(answers: Sequence[UnderNoise], targets: np.ndarray | None, right: np.ndarray | None) -> Figure:
    """Accuracy noise by noise; the labels that stay, where there are no true ones."""
    if right is not None and targets is not None:
        found = [("as they are", _share(right, "no rows"))]
        found += [(under.words, _share(under.predicted == targets, "no rows")) for under in answers]
        title, label = "Accuracy under noise", "accuracy"
    else:
        found = [(under.words, _share(under.kept, "no rows")) for under in answers]
        title, label = "Labels that stay under noise", "share of rows"
    lowest = min(found, key=lambda pair: pair[1].value if pair[1].value is not None else 1.0)
    return Figure(
        id="robustness-noise", kind="intervals", title=title, x_label=label,
        caption=f"Lowest: {lowest[0]}, {lowest[1].value or 0:.2f}; the number behind a noise is the share of words "
        "(letters, for the case) that it touches.",
        rows=[{"label": words, "value": e.value, "low": e.low, "high": e.high, "n": e.n} for words, e in found],
    )  # fmt: skip
