"""Collaboration: who gains and who loses by training one model together?

What it measures  Of a checkpoint made by `aboveboard federate`: accuracy and loss on each client's rows, the worst
                  client, and the spread over clients. Against each client's own model (`federate --with-solo`): its
                  gain by taking part. Against one model of all rows in one place (`--with-pooled`): the price of
                  federation. From the updates that were kept (`--keep-updates`): what each client contributed, its
                  Shapley value.
How to read it    A row belongs to the client that its value in the partition's column names; where rows were dealt out
                  (iid, dirichlet), none can be given to a client, and models are held against each other on all rows.
                  Intervals of clients hold for all of them at once (Bonferroni). A gain below 0 is a client that would
                  have done better alone. A client alone trains with the federation's base, seed, rate and batch, and
                  passes over its rows as often as in all rounds; its rate falls to 0, a federation's does not. A
                  contribution below 0 says that the model is better without a client's updates, not why: wrong labels,
                  an attack, or rows unlike the others'. It rates the updates that were sent, not those that a client
                  would have sent to others; rows that its accuracy is measured on decide who looks useful.
                  Severity: high, when the whole interval lies beyond the limit; medium, when it excludes 0; low,
                  when a difference is real and within its limit.
How to mend it    `aboveboard federate --personalize head` for clients that lose, or are served worse;
                  `--strategy fedmedian` or `krum` against updates that harm; more `--rounds` against the distance from
                  pooled training. Then audit again, on the same rows.
Source            McMahan et al. 2017, arXiv:1602.05629; Newcombe 1998, Statistics in Medicine 17:2635; Shapley 1953;
                  Song, Tong and Wei 2019, IEEE Big Data, 2577; Castro et al. 2009, Computers & Operations Research
                  36:1726; Arivazhagan et al. 2019, arXiv:1912.00818 (personal heads).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from audit.concerns.collaboration.clients import (
    Answered,
    ClientRows,
    client_metrics,
    clients_of,
    column_of,
    no_client_metrics,
)
from audit.concerns.collaboration.contributions import Effort, Worth, contribution_metrics, planned_rows
from audit.concerns.collaboration.figures import figures_of
from audit.concerns.collaboration.findings import findings_of
from audit.concerns.collaboration.gains import against_pooled, against_solo
from audit.concerns.collaboration.other_models import Asked
from audit.concerns.collaboration.own_heads import with_own_heads
from audit.evidence import Limit, metric
from audit.plugin import Concern, Evidence, Need, Options, Size, audit
from audit.statistics import Estimate
from core_model.tasks import Task
from reports.record import Metric

if TYPE_CHECKING:
    from audit.subject import Subject
    from federated.record import FederatedRecord


class CollaborationOptions(Options):
    """What it is held against, and how much is looked at."""

    solo: str | None = Field(
        None, description="folder of the clients' own models, client-NUMBER each; unset: solo/ beside the weights"
    )
    pooled: str | None = Field(
        None, description="checkpoint trained on all rows in one place; unset: pooled/ beside the weights"
    )
    max_loss_by_taking_part: float = Field(
        0.05, gt=0, le=1, description="accuracy that a client may lose against its own model, share of its rows"
    )
    max_spread: float | None = Field(
        None, gt=0, le=1, description="largest difference of accuracy allowed between two clients; unset: no limit"
    )
    contribution_worth: Worth = Field(
        "accuracy", description="what contributions are counted in: accuracy, or loss (negated; finer, less plain)"
    )
    contribution_rows: int = Field(
        500, ge=10, description="rows that each coalition's model answers; more make contributions' intervals shorter"
    )
    contribution_orders: int = Field(
        100, ge=2, description="orders of the clients that are drawn beyond 8 clients; more make intervals shorter"
    )

    @property
    def effort(self) -> Effort:
        """Of the contributions."""
        return Effort(self.contribution_worth, self.contribution_rows, self.contribution_orders)

    def limit(self, name: str, value: float) -> Limit:
        """A bound, and whose it is."""
        return Limit(value, f"collaboration.{name}, {self.whose(name)}")


def planned_passes(size: Size, options: CollaborationOptions) -> Mapping[str, int]:
    """The rows once; once more alone and pooled, where these models are there; and for every coalition."""
    from federated.baselines import POOLED, SOLO
    from federated.record import read_federated_record

    record = read_federated_record(size.folder) if size.folder is not None else None
    if record is None or size.folder is None:
        return {"data": size.rows}
    solo, pooled = options.solo or size.folder / SOLO, options.pooled or size.folder / POOLED
    models = len(list(Path(solo).glob("client-*")))
    by_client = column_of(record) in size.group_columns
    return {
        "data": size.rows,
        "clients' own models": size.rows * (min(models, 1) if by_client else models),
        "the pooled model": size.rows if Path(pooled).is_dir() else 0,
        "coalitions of clients": planned_rows(record, size.rows, options.effort),
    }


@audit(
    concern=Concern.COLLABORATION,
    needs={Need.LABELS, Need.FEDERATED_RECORD},
    uses={Need.GROUPS},
    tasks={Task.CLASSIFICATION},
    forward_passes=planned_passes,
    profiles={"quick": {"contribution_rows": 100, "contribution_orders": 20}, "full": {"contribution_rows": 5000}},
)
def collaboration(subject: Subject, options: CollaborationOptions, random: np.random.Generator) -> Evidence:
    """The federated model by client, against what each would have alone and what all would have in one place."""
    record = subject.federated_record
    assert record is not None  # noqa: S101  # the engine looked
    of_clients, of_contributions = random.spawn(2)
    column, asked = column_of(record), Asked(subject)
    by_client = column is not None and column in subject.data.group_columns
    clients = clients_of(record, subject.groups if by_client else {}, len(subject.texts))
    ours = Answered.of(subject.predictions, subject.targets)
    if record.options.get("personalize"):
        ours, clients = with_own_heads(asked, record, clients, ours, by_client=by_client)
    answering = (
        np.any([client.rows for client in clients], axis=0)
        if record.options.get("personalize")
        else (np.ones(len(subject.texts), dtype=bool))
    )
    limit = options.limit("max_loss_by_taking_part", -options.max_loss_by_taking_part)
    spread = None if options.max_spread is None else options.limit("max_spread", options.max_spread)
    metrics = (
        client_metrics(clients, ours, of_clients, spread)
        if by_client
        else no_client_metrics(_why_not_by_client(record, column), spread)
    )
    metrics += against_solo(
        asked, record, clients, ours, by_client=by_client, given=options.solo, limit=limit,
    )  # fmt: skip
    metrics += against_pooled(asked, record, clients, ours, answering, options.pooled)
    contributed, notes = contribution_metrics(asked, record, clients, of_contributions, options.effort)
    metrics += [*contributed, *_sent(record)]
    return Evidence(
        metrics=metrics,
        findings=findings_of(metrics, subject, record),
        figures=figures_of(metrics),
        notes=[*_notes(record, clients, by_client=by_client), *notes],
        forward_passes=asked.forward_passes,
        settings={"clients": len(clients), "rounds": len(record.rounds), "strategy": str(record.options["strategy"])},
    )


def _why_not_by_client(record: FederatedRecord, column: str | None) -> str:
    start = "no row of the audit's data can be given to a client"
    if column is not None:
        return f"{start}: --group-column {column} is needed"
    if record.data is None:
        return f"{start}: each had a file of its own, and no column says whose a row is"
    return f"{start}: the partition dealt rows out, by no column"


def _notes(record: FederatedRecord, clients: Sequence[ClientRows], *, by_client: bool) -> list[str]:
    scheme = record.partition.get("scheme")
    notes = [f"{len(clients)} clients ({scheme}), {len(record.rounds)} rounds of {record.options['strategy']}."]
    if not by_client:
        return [*notes, "All models are held against each other on all rows: no row can be given to a client."]
    outside = int((~np.any([client.rows for client in clients], axis=0)).sum())
    if outside:
        notes.append(f"{outside:,} rows are of no client of the federation, and stand in no client's number.")
    return notes


def _sent(record: FederatedRecord) -> list[Metric]:
    """What travelled, as the record says."""
    about = {
        "bytes_up": (record.bytes_up, "Bytes that all clients sent, in serialized messages, over all rounds."),
        "bytes_down": (record.bytes_down, "Bytes that were sent to all clients over all rounds."),
    }
    hidden = Estimate.absent("not told: the promise of privacy rests on nobody's knowing who took part")
    return [
        metric(
            name,
            hidden if value is None
            else Estimate(float(value), None, None, len(record.rounds), "none", reason="one run, as recorded"),
            unit="bytes", better="lower", definition=definition,
        )
        for name, (value, definition) in about.items()
    ]  # fmt: skip
