"""Plug-ins for tests of the engine. They measure nothing real.

What it measures  How often it was run.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from audit.evidence import Limit, metric
from audit.plugin import Concern, Evidence, Need, Options, Plugin, audit, plugin_of
from audit.registry import Registry
from audit.statistics.estimate import Estimate
from core_model.tasks import Task
from reports.record import Finding, Mitigation, Severity


class CountingOptions(Options):
    value: float = Field(0.5, description="what it claims to have measured")


RUNS: list[str] = []


@audit(concern=Concern.RELIABILITY)
def reliability(subject, options: CountingOptions, random: np.random.Generator) -> Evidence:
    RUNS.append("reliability")
    drawn = float(random.random())
    return Evidence(
        metrics=[
            metric("planted", Estimate(options.value, options.value - 0.1, options.value + 0.1, 10, "planted"),
                   unit="share", better="lower", limit=Limit(0.9, "test")),
            metric("drawn", Estimate(drawn, None, None, 1, "none"), unit="share"),
        ],
        tables={"queue": [{"text": "=cmd()", "row": 1}]},
    )  # fmt: skip


@audit(concern=Concern.SCALABILITY)
def scalability(subject, options: CountingOptions, random: np.random.Generator) -> Evidence:
    RUNS.append("scalability")
    positive = subject.predictions.probabilities[:, 1]
    return Evidence(
        metrics=[metric("mean", Estimate(float(positive.mean()), 0.0, 1.0, len(positive), "planted"), unit="share")]
    )


@audit(concern=Concern.AVAILABILITY)
def availability(subject, options: CountingOptions, random: np.random.Generator) -> Evidence:
    RUNS.append("availability")
    raise RuntimeError("planted crash\nwith a second line")


@audit(concern=Concern.FAIRNESS, needs={Need.GROUPS, Need.TRAINING_DATA})
def fairness(subject, options: CountingOptions, random: np.random.Generator) -> Evidence:
    RUNS.append("fairness")
    return Evidence(metrics=[])


@audit(concern=Concern.LEARNABILITY)
def learnability(subject, options: CountingOptions, random: np.random.Generator) -> Evidence:
    subject.training_texts  # noqa: B018 - reads what it did not declare
    return Evidence(metrics=[])


@audit(concern=Concern.SECURITY, tasks={Task.LANGUAGE_MODELING})
def security(subject, options: CountingOptions, random: np.random.Generator) -> Evidence:
    return Evidence(metrics=[])


def registry(*functions) -> Registry:
    return Registry(tuple(plugin_of(f) for f in functions))


def options(registry: Registry) -> dict[str, CountingOptions]:
    return {p.id: CountingOptions() for p in registry.plugins}


def plugins() -> list[Plugin]:
    return [plugin_of(f) for f in (reliability, scalability, availability, fairness, learnability, security)]


@audit(concern=Concern.SHAREABILITY)
def shareability(subject, options: CountingOptions, random: np.random.Generator) -> Evidence:
    mend = Mitigation(command="aboveboard train --base CHECKPOINT --data TRAIN_FILE --out mended", why="planted")
    found = metric("planted", Estimate(0.5, 0.4, 0.6, 10, "planted"), unit="share")
    finding = Finding(id="planted", severity=Severity.LOW, statement="Planted.", metrics=["planted"], mitigation=mend)
    return Evidence(metrics=[found], findings=[finding])
