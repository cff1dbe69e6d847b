"""One plain sentence of a record that is of a wrapper and not of the checkpoint alone."""

from __future__ import annotations

from reports.language import _, percent
from reports.record import SmoothingFacts
from reports.text import one_line


def smoothing_sentence(facts: SmoothingFacts | None) -> str:
    """What was audited, where it was the smoothed classifier, in the language that is spoken; else empty."""
    if facts is None:
        return ""
    asked = {"looks": facts.looks, "share": percent(facts.keep)}
    if facts.mask is None:
        return _(
            "The smoothed classifier around this checkpoint was audited, not the checkpoint alone: each answer is the "
            "majority of %(looks)s looks at the text, each at %(share)s of its words; the others are left out.",
            **asked,
        )
    return _(
        "The smoothed classifier around this checkpoint was audited, not the checkpoint alone: each answer is the "
        "majority of %(looks)s looks at the text, each at %(share)s of its words; %(mask)s stands for the others.",
        **asked,
        mask=one_line(facts.mask),
    )
