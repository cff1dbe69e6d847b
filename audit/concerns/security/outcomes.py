"""What single rows did under the attacks: for each share in `word_attacks`, `gradient_attacks` and `triggers`.

A row that a time limit cut says nothing about the model: it is left out here, though the share counts it as unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit.concerns.security.gradient_attacks import GradientAttack
from audit.concerns.security.sample import Sample
from audit.concerns.security.triggers import Triggered
from audit.concerns.security.word_attacks import WordAttack
from audit.outcomes import Outcome


def word_outcomes(found: Sequence[WordAttack], protocol: str) -> dict[str, Outcome]:
    """Success, of the rows that were right before; accuracy under attack, of all.

    Args:
        protocol: how hard the attacks were.
    """
    outcomes = {}
    for one in found:
        if one.run is None:
            continue
        ended = np.array([row.ending != "time limit" for row in one.run.rows], dtype=bool)
        status = np.array([row.status for row in one.run.rows], dtype=object)
        how = f"{protocol}, {one.strength}" if one.strength else protocol
        right = ended & (status != "skipped")
        if right.any() and not one.unmoved:
            outcomes[f"attack_success_rate[attack={one.name}]"] = Outcome(
                one.sample.rows[right], status[right] == "succeeded", how
            )
        if ended.any() and one.sample.labelled:
            outcomes[f"accuracy_under_attack[attack={one.name}]"] = Outcome(
                one.sample.rows[ended], status[ended] == "failed", how
            )
    return outcomes


def gradient_outcomes(found: Sequence[GradientAttack], sample: Sample, *, steps: int) -> dict[str, Outcome]:
    """The same within each radius.

    Args:
        sample: the rows that were moved. steps: of PGD.
    """
    outcomes = {}
    for one in found:
        if one.fallen is None or one.fallen.flat:
            continue
        before = one.fallen.right[0]
        for place, (radius, right) in enumerate(zip(one.fallen.radii[1:], one.fallen.right[1:], strict=True), start=1):
            key = f"[attack={one.name}, radius={radius:g}]"
            # A row that fell at a smaller radius has fallen: which radii were tried is part of how hard it was.
            tried = ", ".join(f"{smaller:g}" for smaller in one.fallen.radii[1 : place + 1])
            how = f"radii {tried}" + (f", {steps} steps at each" if one.method == "pgd" else "")
            if before.any():
                outcomes[f"attack_success_rate{key}"] = Outcome(sample.rows[before], ~right[before], how)
            if sample.labelled:
                outcomes[f"accuracy_under_attack{key}"] = Outcome(sample.rows, right, how)
    return outcomes


def trigger_outcomes(found: Sequence[Triggered], labels: Sequence[str], protocol: str) -> dict[str, Outcome]:
    """Answers that each class's trigger turned, and that random words turned, on held-out rows."""
    outcomes = {}
    for one in found:
        if one.trigger is None:
            continue
        for trigger, turned in (("searched", one.turned), ("random words", one.turned_by_chance)):
            key = f"trigger_success_rate[class={labels[one.label]}, trigger={trigger}]"
            outcomes[key] = Outcome(one.rows, turned, protocol)
    return outcomes
