"""Membership inference as numbers: how often does an attack put a training row above a held-out one?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from audit.concerns.privacy.attacks import SOURCES, Attack
from audit.concerns.privacy.rows import Trial
from audit.evidence import Limit, metric
from audit.statistics import Estimate, auroc, proportion
from core_model.data_table import MISSING
from privacy.attacks.scores import threshold_interval, tpr_at_fpr
from reports.record import Metric

CARLINI = "Carlini et al. 2022, arXiv:2112.03570"
RATES = (0.01, 0.001)
FEWEST_IN_GROUP = 20  # rows of each side
EXACT = (
    "Clopper-Pearson over training rows, at both ends of the threshold's own interval over held-out rows (order "
    "statistics); Bonferroni over the two"
)
AUC, TPR = "membership_inference_auc", "tpr_at_fpr"


@dataclass(frozen=True)
class Limits:
    """What attacks may reach at most.

    Attributes:
        auc: of any attack. tpr: by false-positive rate; a rate without one is told without a verdict.
    """

    auc: Limit
    tpr: Mapping[float, Limit]


def inference_metrics(attacks: Sequence[Attack], limits: Limits, *, distrusted: str | None) -> list[Metric]:
    """AUC and true-positive rates of each attack.

    Args:
        distrusted: why no interval of these may decide anything; None where they may.
    """
    lines = []
    for each in attacks:
        area, points = _judged(each)
        rates = RATES if each.absent is None or each.owed else ()
        limited = each.absent is None or each.owed  # what nobody asked for leaves no limit open
        lines.append(
            metric(
                AUC, distrusted_estimate(area, distrusted), unit="chance of a right order", better="lower",
                limit=limits.auc if limited else None, slice={"attack": each.name}, source=SOURCES[each.name],
                definition="Chance that a training row outscores a held-out one; guessing gives 0.5.",
            )
        )  # fmt: skip
        lines += [
            metric(
                TPR, distrusted_estimate(points[rate], distrusted), unit="share of training rows", better="lower",
                limit=limits.tpr.get(rate) if limited else None, slice={"attack": each.name, "fpr": f"{rate:g}"},
                source=CARLINI,
                definition=f"Training rows found while {rate:.1%} of the held-out rows are accused; guessing finds "
                "hardly more than that.",
            )
            for rate in rates
        ]  # fmt: skip
    return lines


def group_metrics(attack: Attack, trial: Trial, *, distrusted: str | None) -> list[Metric]:
    """The AUC of each group's training rows against its held-out rows, where both files have the group column."""
    lines = []
    for column, values in trial.others.groups.items():
        own = trial.members.groups.get(column)
        if own is None or len(attack.others) != len(values):
            continue
        for group in sorted({str(value) for value in own} - {MISSING}):
            inside, beside = attack.members[own == group], attack.others[values == group]
            lines.append(
                metric(
                    AUC, distrusted_estimate(_group_area(inside, beside), distrusted), unit="chance of a right order",
                    better="lower", slice={"attack": attack.name, column: group}, source=SOURCES[attack.name],
                    definition="Chance that a training row of this group outscores a held-out row of it; 0.5 is "
                    "guessing.",
                )
            )  # fmt: skip
    return lines


def _group_area(members: np.ndarray, others: np.ndarray) -> Estimate:
    if min(len(members), len(others)) < FEWEST_IN_GROUP:
        because = f"{len(members)} training and {len(others)} held-out rows; {FEWEST_IN_GROUP} of each are needed"
        return Estimate.absent(because, n=len(members) + len(others))
    return _area(members, others)


def _judged(attack: Attack) -> tuple[Estimate, dict[float, Estimate]]:
    if attack.absent is not None:
        absent = Estimate.absent(attack.absent)
        return absent, dict.fromkeys(RATES, absent)
    members, others = scored(attack)
    if not len(members) or not len(others):
        absent = Estimate.absent("no row of one side could be scored")
        return absent, dict.fromkeys(RATES, absent)
    points = {}
    for rate in RATES:
        points[rate] = true_positives(members, others, rate)
    return _area(members, others), points


def true_positives(members: np.ndarray, others: np.ndarray, fpr: float) -> Estimate:
    """Share of members found at a false-positive rate, with an interval that knows neither side exactly.

    The threshold is itself estimated, from few rows where the rate is small. It lies within its order statistics at
    97.5%; the members above either end have Clopper-Pearson bounds at 97.5%; so both hold at 95%.
    """
    point = tpr_at_fpr(members, others, fpr)
    if point.found is None:
        return Estimate.absent(str(point.because), n=point.members)
    lower, upper = threshold_interval(others, fpr, confidence=0.975)
    fewest, most = (
        proportion(int((members > threshold).sum()), len(members), confidence=0.975, method="clopper-pearson")
        for threshold in (upper, lower)
    )
    value = point.found / point.members
    assert fewest.low is not None and most.high is not None  # noqa: S101 - there are members
    return Estimate(value, min(fewest.low, value), max(most.high, value), point.members, EXACT)


def scored(attack: Attack) -> tuple[np.ndarray, np.ndarray]:
    """Scores of members and others without the rows that have none."""
    return attack.members[~np.isnan(attack.members)], attack.others[~np.isnan(attack.others)]


def _area(members: np.ndarray, others: np.ndarray) -> Estimate:
    members, others = members[~np.isnan(members)], others[~np.isnan(others)]
    return auroc(np.concatenate([members, others]), np.repeat([True, False], [len(members), len(others)]))


def distrusted_estimate(estimate: Estimate, why: str | None) -> Estimate:
    """Without its interval, so that no limit, whoever sets it, can be held by it."""
    if why is None or estimate.value is None:
        return estimate
    seen = f"; on its face the interval is {estimate.low:.3f} to {estimate.high:.3f}" if estimate.interval else ""
    return Estimate(estimate.value, None, None, estimate.n, "none", estimate.confidence, f"{why}{seen}")
