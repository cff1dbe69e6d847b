"""What a mend against attacks and noise gained, beside its price: the headline numbers of a comparison.

A comparison has hundreds of lines. These are the ones by which a mend of security or robustness is judged: what every
attack still changes, what stays right, what is proven; and what that cost on rows as they are, where nobody attacks.
Balanced accuracy stands beside accuracy: who says one class of everything withstands every attack, for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from audit.evidence import metric
from audit.joined_evidence import JoinedEvidence
from audit.paired_rows import PairedRows
from audit.statistics import Estimate
from core_model.evaluation import PRIMARY
from core_model.metrics import accuracy, balanced_accuracy, confusion_counts
from core_model.tasks import Task
from reports.comparison import Difference
from reports.record import Metric, Record

# Audit -> metric -> the slices that a headline may have; others are classes, groups and degrees.
HEADLINES: dict[str, dict[str, frozenset[str]]] = {
    "security": {
        "attack_success_rate": frozenset({"attack", "radius"}),
        "accuracy_under_attack": frozenset({"attack"}),
        "prompt_attack_success_rate": frozenset({"kind"}),
    },
    "robustness": {
        "worst_noise_accuracy_drop": frozenset({"noise", "rate"}),
        "worst_noise_loss": frozenset({"noise", "rate"}),
        "invariance_rate_all_noises": frozenset(),
        "accuracy": frozenset({"noise", "rate"}),
        "certified_accuracy": frozenset({"radius"}),
    },
}
STRONGEST = "pgd-L2"  # of the attacks in embedding space, the one that is told

QUALITY = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy}  # of a classifier, where nobody attacks
MEASURED_BY = "evaluability"


def headlines(differences: Sequence[Difference], a: Record) -> list[str]:
    """Keys of the lines by which a mend of security or robustness is judged, in the order of the comparison.

    Args:
        differences: all lines. a: the record before, whose worst noise has its accuracy told, too.
    """
    robustness = a.audit("robustness")
    lines = [] if robustness is None else robustness.metrics
    worst = next((line.slice for line in lines if line.name == "worst_noise_accuracy_drop"), None)
    return [one.key for one in differences if _is_headline(one, worst)]


def _is_headline(one: Difference, worst: dict[str, str] | None) -> bool:
    slices = HEADLINES.get(one.audit, {}).get(one.name)
    if slices is None or not set(one.slice) <= slices:
        return False
    if one.name == "accuracy":
        return one.slice == worst
    if one.name == "certified_accuracy":
        return one.slice["radius"] == "1"
    return "radius" not in one.slice or one.slice["attack"] == STRONGEST


def measured_price(differences: Sequence[Difference], task: str) -> list[Difference]:
    """Lines of the task's own quality, where both records measured it."""
    names = list(QUALITY) if task == Task.CLASSIFICATION else [PRIMARY.get(Task(task), "")]
    own = {one.name: one for one in differences if one.audit == MEASURED_BY and not one.slice}
    return [own[name] for name in names if name in own]


def unmeasured_price(rows: JoinedEvidence | None) -> list[tuple[Metric, Metric]]:
    """The quality of A and of B, counted from the joined rows of two classifiers; none without labels."""
    if rows is None or not isinstance(rows.answers, PairedRows) or rows.answers.targets is None:
        return []
    joined, targets = rows.answers, rows.answers.targets
    tables = [confusion_counts(targets, side.predicted, len(joined.labels)) for side in (joined.a, joined.b)]
    a, b = (
        [
            metric(name, Estimate(float(of(table)), None, None, int(table.sum()), "counted"), unit="share of rows",
                   better="higher")
            for name, of in QUALITY.items()
        ]
        for table in tables
    )  # fmt: skip
    return list(zip(a, b, strict=True))
