"""Two records side by side: what changed from A to B, and whether it is more than chance.

Where both records carry their evidence rows over the same data, a difference is *paired*: both models answered the same
rows, so most of the chance is common and cancels. Otherwise the two intervals are combined as if independent, and the
line says so. An interval that holds zero is "no evidence of change", never "no change".
Sources: Newcombe, Statistics in Medicine 17 (1998) 2635 (paired proportions); Zou and Donner, Statistics in Medicine 27
(2008) 1693 (MOVER, differences of independent estimates); paired bootstrap elsewhere.
"""

from __future__ import annotations

from math import hypot
from pathlib import Path

import numpy as np

from audit.joined_evidence import JoinedEvidence, paired_rows
from audit.mend_gains import (
    MEASURED_BY,
    further_price,
    headlines,
    measured_price,
    run_costs,
    unmeasured_price,
    whose_certificate,
)
from audit.statistics import Estimate
from core_model.errors import BadInput
from reports.comparison import Comparison, Difference, MendGains
from reports.record import AuditResult, Metric, Record


class NotComparable(BadInput):
    """Two records that say nothing about each other."""


def compare(
    a: Record, b: Record, *, folder_a: Path | None = None, folder_b: Path | None = None, unpaired: bool = False,
    seed: int = 0,
) -> Comparison:  # fmt: skip
    """Compare two records.

    Args:
        a, b: the records; differences are B minus A.
        folder_a, folder_b: where their evidence files stand.
        unpaired: compare also across different data, without pairing.
        seed: of the paired bootstrap.
    Raises: NotComparable for different tasks, or different data without `unpaired`.
    """
    refuse_unlike(a, b, unpaired=unpaired)
    rows, why_not = (None, "--unpaired was given") if unpaired else paired_rows(a, b, folder_a, folder_b)
    random = np.random.default_rng(seed)
    differences = []
    for result in a.audits:
        other = b.audit(result.id)
        if other is not None:
            differences += _of_audit(result, other, rows, why_not, random)
    differences = [whose_certificate(one, a, b) for one in differences]
    alike = a.data.sha256 == b.data.sha256
    return Comparison(
        a=a.subject, b=b.subject, data=a.data, data_b=None if alike else b.data, rows=differences,
        mend=_mend(differences, a, b, rows, random),
    )  # fmt: skip


def refuse_unlike(a: Record, b: Record, *, unpaired: bool, names: tuple[str, str] = ("A", "B")) -> None:
    """Raises: NotComparable for different tasks, or different data without `unpaired`."""
    one, other = names
    if a.subject.task != b.subject.task:
        raise NotComparable(
            f"{one} is a {a.subject.task} checkpoint, {other} a {b.subject.task} one: their numbers mean different "
            "things",
            mend="compare records of one task",
        )
    if a.data.sha256 != b.data.sha256 and not unpaired:
        raise NotComparable(
            f"{one} was audited on {a.data.name} ({a.data.sha256[:12]}), {other} on {b.data.name} "
            f"({b.data.sha256[:12]}): not the same rows",
            mend="audit all on one file, or add --unpaired",
        )


def _mend(
    differences: list[Difference], a: Record, b: Record, rows: JoinedEvidence | None, random: np.random.Generator
) -> MendGains | None:
    """The headline numbers against attacks and noise, and their price; None where nothing was attacked."""
    gains = headlines(differences, a)
    if not gains:
        return None
    quality = measured_price(differences, a.subject.task) or [
        _difference(MEASURED_BY, before, after, rows, None, random) for before, after in unmeasured_price(rows)
    ]
    missing = "no audit of both records measured it, and it cannot be counted from joined evidence rows with labels"
    return MendGains(
        gains=gains, price=[*quality, *further_price(differences)], price_missing=None if quality else missing,
        costs=run_costs(a, b),
    )  # fmt: skip


def _of_audit(
    a: AuditResult,
    b: AuditResult,
    rows: JoinedEvidence | None,
    why_not: str | None,
    random: np.random.Generator,
) -> list[Difference]:
    there = {m.key: m for m in b.metrics}
    found = [
        _difference(a.id, metric, there[metric.key], rows, why_not, random)
        for metric in a.metrics
        if metric.key in there
    ]
    differing = [name for name in a.options if name in b.options and a.options[name] != b.options[name]]
    if not differing:
        return found
    said = f"the options of the two audits differ: {', '.join(differing)}"
    return [
        one if one.paired else one.model_copy(update={"reason": f"{one.reason}; {said}" if one.reason else said})
        for one in found
    ]


def _difference(
    audit: str,
    a: Metric,
    b: Metric,
    rows: JoinedEvidence | None,
    why_not: str | None,
    random: np.random.Generator,
) -> Difference:
    estimate, paired, reason = difference_of(audit, a, b, rows, why_not, random)
    return Difference(
        audit=audit,
        name=a.name,
        slice=a.slice,
        unit=a.unit,
        better=a.better,
        a=a.value,
        b=b.value,
        difference=estimate.value,
        interval=estimate.interval,
        confidence=estimate.confidence,
        method=estimate.method,
        n=estimate.n,
        paired=paired,
        conclusion=conclusion(estimate, better=a.better),
        reason=reason,
    )


def difference_of(
    audit: str,
    a: Metric,
    b: Metric,
    rows: JoinedEvidence | None,
    why_not: str | None,
    random: np.random.Generator,
) -> tuple[Estimate, bool, str | None]:
    """B minus A of one number of an audit.

    Args:
        rows: the evidence rows of both, joined; None where they cannot be, and `why_not` says why.
    Returns: the difference, whether it is paired, and how to read that, or why it is not paired or absent.
    """
    paired, reason = None, why_not
    if a.value is not None and b.value is not None and rows is not None:
        paired, reason = rows.difference(audit, a, random)
    estimate = paired or independent_difference(a, b)
    return estimate, estimate.value is not None and paired is not None, estimate.reason or reason


def independent_difference(a: Metric, b: Metric) -> Estimate:
    """B minus A from their two intervals, as if the two were independent (MOVER, Zou and Donner 2008)."""
    if a.value is None or b.value is None:
        side = "A" if a.value is None else "B"
        return Estimate.absent(f"not measured in {side}: {(a if a.value is None else b).reason}")
    value = b.value - a.value
    if a.interval is None or b.interval is None:
        return Estimate(value, None, None, min(a.n, b.n), "none", reason="one of the two has no interval")
    (a_low, a_high), (b_low, b_high) = a.interval, b.interval
    return Estimate(
        value,
        value - hypot(b.value - b_low, a_high - a.value),
        value + hypot(b_high - b.value, a.value - a_low),
        min(a.n, b.n),
        "MOVER of two intervals taken as independent (Zou and Donner 2008)",
        confidence=a.confidence,
    )


def conclusion(estimate: Estimate, *, better: str) -> str:
    """What a difference says."""
    if estimate.value is None or estimate.interval is None:
        return "not comparable"
    low, high = estimate.interval
    if low <= 0 <= high:
        return "no evidence of change"
    if better == "none":
        return "changed"
    return "better" if (low > 0) == (better == "higher") else "worse"
