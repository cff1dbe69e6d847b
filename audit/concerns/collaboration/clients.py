"""The federated model client by client: how well each one's rows are answered, and how far the clients are apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from audit.evidence import Limit, metric
from audit.statistics import Estimate, bootstrap_mean, largest_minus_smallest, proportion
from reports.record import Metric

if TYPE_CHECKING:
    from core_model.predictions import Predictions
    from federated.record import FederatedRecord

SHARE, DIFFERENCE, NATS = "share of rows", "difference of shares of rows", "nats per row"
NO_ROWS = "no row of the audit's data is of this client"
SMALLEST_PROBABILITY = 1e-12  # its logarithm is finite


@dataclass(frozen=True)
class Answered:
    """What a model makes of rows.

    Attributes:
        correct: (rows,) bool.
        losses: (rows,) cross-entropy of the true label, nats.
    """

    correct: np.ndarray
    losses: np.ndarray

    @classmethod
    def of(cls, predictions: Predictions, targets: np.ndarray) -> Answered:
        """From a classifier's predictions."""
        given = predictions.probabilities[np.arange(len(targets)), targets]
        return cls(predictions.predicted == targets, -np.log(np.maximum(given, SMALLEST_PROBABILITY)))


@dataclass(frozen=True)
class ClientRows:
    """A client of the record, and which of the audit's rows are like its own.

    Attributes:
        number, name: as the federated record tells them.
        learnt_from: rows that it trained on; None where the record does not tell.
        rows: (rows,) bool; every row where the partition was not by a column of the audit's data.
        lacking: why it has none.
    """

    number: int
    name: str
    learnt_from: int | None
    rows: np.ndarray
    lacking: str = NO_ROWS

    @property
    def slice(self) -> dict[str, str]:
        """How its metrics are marked."""
        return {"client": self.name}


def column_of(record: FederatedRecord) -> str | None:
    """The column that divided the rows; None where none did."""
    scheme = str(record.partition.get("scheme"))
    return scheme.removeprefix("column:") if scheme.startswith("column:") else None


def clients_of(record: FederatedRecord, groups: Mapping[str, np.ndarray], rows: int) -> list[ClientRows]:
    """The clients, with their rows of the audit's data.

    Args:
        groups: column -> (rows,) values of the audit's data.
        rows: how many there are.
    """
    column = column_of(record)
    values = groups[column] if column is not None and column in groups else None
    listed = record.partition.get("clients") or ()
    names = Counter(str(client["name"]) for client in listed)
    return [
        ClientRows(
            int(client["client"]),
            str(client["name"]) if names[str(client["name"])] == 1 else f"{client['name']} ({client['client']})",
            None if client.get("rows") is None else int(client["rows"]) - int(client.get("held_out") or 0),
            np.ones(rows, dtype=bool) if values is None else values == str(client["name"]),
        )
        for client in listed
    ]


def level_for(clients: int) -> float:
    """The confidence at which one client's interval is made, so that those of all clients hold at once at 95%."""
    return 1 - 0.05 / max(clients, 1)


def together(estimate: Estimate, clients: int) -> Estimate:
    """An interval that was made at `level_for(clients)`, as what it is for all clients at once (Bonferroni)."""
    if estimate.interval is None or clients < 2:
        return estimate
    return replace(estimate, confidence=0.95, method=f"{estimate.method}; Bonferroni over {clients} clients")


def accuracy_of(correct: np.ndarray, clients: int) -> Estimate:
    """A client's accuracy, for all clients at once; there is at least one row."""
    return together(proportion(int(correct.sum()), len(correct), confidence=level_for(clients)), clients)


def client_metrics(
    clients: Sequence[ClientRows], ours: Answered, random: np.random.Generator, limit: Limit | None
) -> list[Metric]:
    """Accuracy and loss of each client, the worst, and the spread; intervals hold for all clients at once.

    Args:
        clients: each with its own rows.
        ours: the federated model's answers.
        limit: for the spread.
    """
    found, count = [], len(clients)
    for client, child in zip(clients, random.spawn(count), strict=True):
        if client.rows.any():
            accuracy = accuracy_of(ours.correct[client.rows], count)
            loss = together(bootstrap_mean(ours.losses[client.rows], child, confidence=level_for(count)), count)
        else:
            accuracy = loss = Estimate.absent(client.lacking)
        found += [
            metric(
                "client_accuracy", accuracy, unit=SHARE, better="higher",
                slice=client.slice, definition="Accuracy of the federated model on the rows of this client's value.",
            ),
            metric(
                "client_loss", loss, unit=NATS, better="lower", slice=client.slice,
                definition="Mean cross-entropy of the federated model on the rows of this client's value.",
            ),
        ]  # fmt: skip
    hits = np.array([int(ours.correct[c.rows].sum()) for c in clients])
    counts = np.array([int(c.rows.sum()) for c in clients])
    return [
        *found,
        _worst([m for m in found if m.name == "client_accuracy" and m.value is not None]),
        metric(
            "client_accuracy_spread", largest_minus_smallest(hits, counts, random), better="lower", limit=limit,
            unit=DIFFERENCE, slice={"by": "client"},
            definition="Largest minus smallest accuracy over clients; 0 is parity. Simultaneous over clients.",
        ),
    ]  # fmt: skip


def no_client_metrics(reason: str, limit: Limit | None) -> list[Metric]:
    """What cannot be told where no row can be given to a client."""
    return [
        metric(
            "worst_client_accuracy", Estimate.absent(reason), unit=SHARE, better="higher",
            definition="Accuracy of the client where it is lowest.",
        ),
        metric(
            "client_accuracy_spread", Estimate.absent(reason), unit=DIFFERENCE, better="lower", limit=limit,
            slice={"by": "client"}, definition="Largest minus smallest accuracy over clients.",
        ),
    ]  # fmt: skip


def _worst(measured: Sequence[Metric]) -> Metric:
    if not measured:
        return no_client_metrics("no row of the audit's data is of any client", None)[0]
    worst = min(measured, key=lambda m: m.value or 0.0)
    low, high = worst.interval or (None, None)
    return metric(
        "worst_client_accuracy", Estimate(worst.value, low, high, worst.n, worst.interval_method or "none"), unit=SHARE,
        better="higher", slice=worst.slice,
        definition="Accuracy of the client where it is lowest; the interval allows for its having been picked.",
    )  # fmt: skip
