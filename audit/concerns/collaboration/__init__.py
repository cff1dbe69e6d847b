"""Collaboration: who gains and who loses by training one model together?

What it measures  Accuracy and loss of the federated model on each client's rows (by the column that divided them), the
                  worst client and the spread; and, where they are given, the paired difference from each client's own
                  model (`solo`) and from the model of all rows in one place (`pooled`).
How to read it    Client intervals hold for all clients at once (Bonferroni). A gain below 0 is a client that loses.
How to mend it    `aboveboard federate --personalize head`, or `--strategy fedprox --proximal-mu 0.01`.
Source            Newcombe 1998 (paired differences); McMahan et al. 2017, arXiv:1602.05629.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from audit.concerns.collaboration.clients import (
    ClientRows,
    client_figure,
    client_metrics,
    clients_of,
    column_of,
    paired,
)
from audit.evidence import Limit, metric
from audit.plugin import Concern, Evidence, Need, Options, audit
from audit.statistics import Estimate
from core_model.tasks import Task
from reports.record import Finding, Metric, Mitigation, Severity

if TYPE_CHECKING:
    from audit.subject import Subject
    from federated.record import FederatedRecord

DIFFERENCE = "difference of shares of rows"
FEWEST_CLIENTS = 3


class CollaborationOptions(Options):
    """What can be set."""

    solo: str | None = Field(None, description="folder of checkpoints, client-NUMBER each, that trained alone")
    pooled: str | None = Field(None, description="checkpoint that was trained on all rows in one place")
    max_spread: float | None = Field(None, gt=0, le=1, description="limit for the spread of accuracy over clients")


@audit(
    concern=Concern.COLLABORATION,
    needs={Need.LABELS, Need.TRAINING_RECORD},
    uses={Need.GROUPS},
    tasks={Task.CLASSIFICATION},
)
def collaboration(subject: Subject, options: CollaborationOptions, random: np.random.Generator) -> Evidence:
    """The federated model by client, against what each would have alone and what all would have together."""
    from federated.record import read_federated_record

    folder = subject.checkpoint.path
    record = read_federated_record(Path(folder)) if folder is not None else None
    if record is None:
        reason = "the checkpoint has no federated_record.json; `aboveboard federate` leaves one"
        absent = metric("client_accuracy_spread", Estimate.absent(reason), unit=DIFFERENCE, better="lower")
        return Evidence(metrics=[absent], notes=[f"Not measured: {reason}."])
    column = column_of(record.partition)
    has_column = column is not None and column in subject.data.group_columns
    groups = subject.groups if has_column else {}
    clients = clients_of(record.partition, groups, len(subject.texts))
    predictions, targets = subject.predictions, subject.targets
    correct = predictions.predicted == targets
    losses = -np.log(np.maximum(predictions.probabilities[np.arange(len(targets)), targets], 1e-12))
    limit = Limit(options.max_spread, "options.max_spread") if options.max_spread is not None else None
    metrics, notes = [], []
    if has_column:
        metrics += client_metrics(clients, correct, losses, random, limit)
    else:
        why = f"--group-column {column} is needed" if column else "the partition was not by a column"
        absent_spread = Estimate.absent(f"no row of the audit's data can be given to a client: {why}")
        metrics.append(metric("client_accuracy_spread", absent_spread, unit=DIFFERENCE, better="lower", limit=limit))
        notes.append("Own models are compared on all rows: no row can be given to a client.")
    metrics += _against_solo(subject, clients, correct, options.solo)
    metrics += _against_pooled(subject, correct, options.pooled)
    metrics += _facts(record)
    return Evidence(
        metrics=metrics, findings=_findings(metrics, clients), figures=[client_figure(metrics)], notes=notes,
    )  # fmt: skip


def _right(subject: Subject, folder: str) -> np.ndarray | str:
    """(rows,) whether another checkpoint is right; or why it cannot be compared."""
    from core_model.checkpoint import open_checkpoint
    from core_model.prediction import Predictor

    other = open_checkpoint(folder)
    if other.labels != subject.labels:
        return "its labels are not those of the federated model"
    found: np.ndarray = Predictor(other).predict(subject.texts, subject.data.pairs).predicted == subject.targets
    return found


def _against_solo(
    subject: Subject, clients: Sequence[ClientRows], correct: np.ndarray, solo: str | None
) -> list[Metric]:
    found = []
    for client in clients:
        if solo is None:
            gain = Estimate.absent("no models that trained alone: option `solo`")
        elif not client.rows.any():
            gain = Estimate.absent("no row of the audit's data is of this client")
        else:
            right = _right(subject, str(Path(solo) / f"client-{client.number}"))
            gain = (
                Estimate.absent(right)
                if isinstance(right, str)
                else paired(correct[client.rows], right[client.rows], clients=len(clients))
            )
        found.append(
            metric("gain_over_solo", gain, unit=DIFFERENCE, better="higher", slice=client.slice,
                   definition="Accuracy of the federated model minus that of the client's own, on the same rows.")
        )  # fmt: skip
    return found


def _against_pooled(subject: Subject, correct: np.ndarray, pooled: str | None) -> list[Metric]:
    right = "no model of all rows in one place: option `pooled`" if pooled is None else _right(subject, pooled)
    difference = Estimate.absent(right) if isinstance(right, str) else paired(correct, right)
    return [
        metric("difference_from_pooled", difference, unit=DIFFERENCE, better="higher",
               definition="Accuracy of the federated model minus that of one trained on all rows in one place.")
    ]  # fmt: skip


def _facts(record: FederatedRecord) -> list[Metric]:
    told = {"rounds": (len(record.rounds), "rounds"), "bytes_up": (record.bytes_up, "bytes"),
            "bytes_down": (record.bytes_down, "bytes")}  # fmt: skip
    return [
        metric(
            name,
            Estimate.absent("hidden by the promise of privacy")
            if value is None
            else Estimate(float(value), None, None, 1, "none", reason="one run, as recorded: it has no spread"),
            unit=unit,
        )
        for name, (value, unit) in told.items()
    ]


def _findings(metrics: Sequence[Metric], clients: Sequence[ClientRows]) -> list[Finding]:
    found = [
        Finding(
            id=f"collaboration-harm-{place}",
            severity=Severity.MEDIUM,
            statement=f"Client {m.slice['client']} answers {-(m.value or 0):.1%} more of its rows right alone.",
            metrics=[m.key],
            mitigation=Mitigation(
                command="aboveboard federate --base CKPT --data FILE --personalize head --out DIR",
                why="a head of its own lets a client keep what the others' rows unlearn",
            ),
        )
        for place, m in enumerate(m for m in metrics if m.name == "gain_over_solo")
        if m.interval is not None and m.interval[1] < 0
    ]
    if 0 < len(clients) < FEWEST_CLIENTS:
        found.append(
            Finding(
                id="collaboration-few",
                severity=Severity.LOW,
                statement=f"{len(clients)} clients took part: each can subtract its own update and see the other's.",
                mitigation=Mitigation(
                    command="aboveboard federate --base CKPT --data FILE --clients 3 --secure --out DIR",
                    why="with three or more, a secure sum shows nobody a single update",
                ),
            )
        )
    return found
