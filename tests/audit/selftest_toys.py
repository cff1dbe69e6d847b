"""A toy audit and its controls, for tests of the selftest: it reads one number that is planted, and says it is high."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from audit.evidence import Limit, metric
from audit.plugin import Concern, Evidence, Options, audit, plugin_of
from audit.registry import Registry
from audit.selftest.control import Case, Control, Sign
from audit.statistics.estimate import Estimate
from reports.record import Finding, Severity
from tests.factories import stub_subject

SEEN: list[tuple[bool, float]] = []  # what the controls were made of: (sick, first random number)


class ToyOptions(Options):
    limit: float = Field(0.5, description="share of sure answers that is too high, share of rows")


@audit(concern=Concern.TESTABILITY)
def testability(subject, options: ToyOptions, random: np.random.Generator) -> Evidence:
    """Says that a model is too sure.

    What it measures  The largest probability of a second label.
    """
    sure = float(subject.predictions.probabilities[:, 1].max())
    finding = Finding(id="testability-too-sure", severity=Severity.HIGH, statement="It is too sure.")
    line = metric(
        "surest", Estimate(sure, sure, sure, len(subject.texts), "as it is"), unit="probability", better="lower",
        limit=Limit(options.limit, "options.limit"),
    )  # fmt: skip
    return Evidence(metrics=[line], findings=[finding] if sure > options.limit else [])


PLUGIN = replace(plugin_of(testability), distribution="toys")  # not ours, which has controls of its own
REGISTRY = Registry((PLUGIN,))


def make(sick, random, folder) -> Case:
    SEEN.append((sick, float(random.random())))
    return Case(stub_subject(texts=["a good day", "a bad day"], answer=lambda _: (0.1, 0.9) if sick else (0.9, 0.1)))


def make_crash(sick, random, folder) -> Case:
    if sick:
        raise RuntimeError("the planted crash\nwith a second line")
    return make(sick, random, folder)


TOO_SURE = Control("too-sure", "the model is sure of everything", Sign(finding="testability-too-sure"), make)
BY_LIMIT = Control("by-its-limit", "the same, by the number's limit", Sign(metric="surest"), make, {"limit": 0.6})
CONTROLS = (TOO_SURE, BY_LIMIT)
NO_CONTROLS = ("not a control",)
