"""What the privacy audit asks of a federated checkpoint beside the rest: one call, one answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.privacy.federated_sandwich import audit_canary_clients, federated_note, federated_row
from audit.concerns.privacy.inference import Limits
from audit.concerns.privacy.rows import Trial
from audit.concerns.privacy.sandwich import Canaried, Promise
from audit.concerns.privacy.server_findings import in_words_of_a_federation, server_findings
from audit.concerns.privacy.server_view import Effort, ServerView, server_view
from audit.concerns.privacy.server_view_lines import server_view_metrics
from audit.plugin import Size
from reports.record import Finding, Metric, Scalar

if TYPE_CHECKING:
    from audit.subject import Subject


@dataclass(frozen=True)
class Federation:
    """What was found of a federation.

    Attributes:
        view: attacks on the updates. canaried: what canary clients say.
        metrics: of both.
    """

    view: ServerView
    canaried: Canaried
    metrics: Sequence[Metric]

    def row(self, promise: Promise) -> dict[str, Scalar]:
        """Its part of the sandwich's row."""
        return federated_row(promise, self.view, self.metrics)

    def findings(self, told: Sequence[Finding], subject: Subject) -> list[Finding]:
        """What was told already, mended in the words of a federation, and what the updates tell."""
        own = server_findings(self.metrics, subject, self.view)
        return [*in_words_of_a_federation(told, subject, self.view.options), *own]

    def notes(self, row: Mapping[str, Scalar] | None) -> list[str]:
        """What a reader must know of it."""
        notes = [federated_note(row)] if row is not None else []
        if self.view.rounds:
            rounds = ", ".join(map(str, self.view.rounds))
            members = int((self.view.owner >= 0).sum())
            notes.append(
                f"Server's view: rounds {rounds}; {members:,} training rows and {len(self.view.owner) - members:,} "
                "held-out rows as candidates. These attacks train no shadow models and optimize no inputs: one that "
                "fails does not show that all do."
            )
        return notes


def attack_federation(
    subject: Subject, trial: Trial, promise: Promise, *, effort: Effort, limits: Limits, distrusted: str | None,
    random: np.random.Generator,
) -> Federation | None:  # fmt: skip
    """Attack the updates and ask the canary clients; None where no federation made the checkpoint."""
    view_random, canary_random = random.spawn(2)
    view = server_view(subject, trial, effort, random=view_random)
    canaries = audit_canary_clients(subject, promise, random=canary_random)
    if view is None or canaries is None:
        return None
    canaried, lines = canaries
    return Federation(view, canaried, [*server_view_metrics(view, limits, distrusted=distrusted), *lines])


def planned_passes_of_federation(size: Size, effort: Effort) -> dict[str, int]:
    """Rows through the clients' model, gradients as one pass each, at most; empty where no updates were kept."""
    if size.folder is None:
        return {}
    from federated.kept_updates import kept_rounds
    from federated.record import read_federated_record

    record, kept = read_federated_record(size.folder), kept_rounds(size.folder)
    if record is None or not kept or not effort.clients:
        return {}
    rounds = min(len(kept), effort.rounds)
    own = sorted((int(client["rows"] or 0) for client in record.partition["clients"]), reverse=True)
    if record.options.get("secure"):
        return {"rows on updates": (min(sum(own), effort.rows) + min(size.rows, effort.rows)) * rounds * 2}
    promise = record.options.get("private") or {}
    clients = min(len(own), effort.clients)
    seen = clients + 1 + (promise.get("unit") == "client")
    others = min(size.rows, clients * effort.rows)  # of each client's kind so many
    members = sum(min(rows, effort.rows) for rows in own[: effort.clients])
    return {"rows on updates": (members + others) * rounds * (1 + seen)}
