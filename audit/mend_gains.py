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
from reports.comparison import Difference, RunCost
from reports.record import Metric, Record, Status

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
CERTIFIED = ("certified_accuracy", "abstention_rate")
STRONGEST = "pgd-L2"  # of the attacks in embedding space, the one that is told

QUALITY = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy}  # of a classifier, where nobody attacks
MEASURED_BY = "evaluability"
# What else is paid where nobody attacks: audit -> metric; of a part of the rows only differences between its groups.
PRICES: dict[str, tuple[str, ...]] = {
    "generalization": ("expected_calibration_error", "brier_score"),
    "fairness": ("demographic_parity_difference", "equalized_odds_difference", "counterfactual_flip_rate"),
    "emissions": ("examples_per_second", "processor_seconds_per_1000_inferences", "energy_per_1000_inferences"),
}


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


def further_price(differences: Sequence[Difference]) -> list[Difference]:
    """Lines of calibration, fairness and work, where both records measured them."""
    return [
        one
        for one in differences
        if one.name in PRICES.get(one.audit, ()) and set(one.slice) <= {"by"} and one.difference is not None
    ]


def run_costs(a: Record, b: Record) -> list[RunCost]:
    """What the audits that both measured took, where one of the two asks by votes; else a run's time says little."""
    if a.subject.smoothing == b.subject.smoothing:
        return []
    both = [
        (one.cost, other.cost)
        for one in a.audits
        if (other := b.audit(one.id)) is not None and one.status == other.status == Status.MEASURED
    ]
    found = [
        RunCost(quantity="seconds", a=sum(x.seconds for x, _ in both), b=sum(y.seconds for _, y in both)),
        RunCost(
            quantity="forward passes",
            a=sum(x.forward_passes for x, _ in both),
            b=sum(y.forward_passes for _, y in both),
        ),
    ]
    energy = [(x.energy_kwh, y.energy_kwh) for x, y in both]
    known = [(x, y) for x, y in energy if x is not None and y is not None]
    if known and len(known) == len(energy):
        found.append(RunCost(quantity="kWh", a=sum(x for x, _ in known), b=sum(y for _, y in known)))
    return found if both else []


def whose_certificate(one: Difference, a: Record, b: Record) -> Difference:
    """The line of a certificate, saying that it is a smoothed classifier's where one of the two is none."""
    plain = [name for name, record in (("A", a), ("B", b)) if record.subject.smoothing is None]
    if one.name not in CERTIFIED or len(plain) != 1:
        return one
    said = f"nothing is proven of {plain[0]} itself: its number is that of the smoothed classifier around it"
    return one.model_copy(update={"reason": f"{one.reason}; {said}" if one.reason else said})
