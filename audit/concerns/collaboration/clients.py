"""The federated model client by client: how well each one's rows are answered, and how far the clients are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from audit.evidence import Limit, metric
from audit.statistics import (
    Estimate,
    bootstrap_mean,
    largest_minus_smallest,
    paired_difference_of_proportions,
    proportion,
)
from reports.record import Figure, Metric

SHARE = "share of rows"


@dataclass(frozen=True)
class ClientRows:
    """A client of the record, and which of the audit's rows are like its own.

    Attributes:
        number, name: as the federated record tells them.
        rows: (rows,) bool; every row where the partition was not by a column.
    """

    number: int
    name: str
    rows: np.ndarray

    @property
    def slice(self) -> dict[str, str]:
        """How its metrics are marked."""
        return {"client": self.name}


def clients_of(partition: Mapping[str, object], groups: Mapping[str, np.ndarray], rows: int) -> list[ClientRows]:
    """The clients in a record's partition, with their rows of the audit's data.

    Args:
        partition: `FederatedRecord.partition`.
        groups: column -> (rows,) values of the audit's data.
        rows: how many there are.
    """
    column = column_of(partition)
    values = None if column is None or column not in groups else np.asarray(groups[column]).astype(str)
    listed: Sequence[Mapping[str, object]] = partition.get("clients") or ()  # type: ignore[assignment]
    return [
        ClientRows(
            int(str(client["client"])),
            str(client["name"]),
            np.ones(rows, dtype=bool) if values is None else values == str(client["name"]),
        )
        for client in listed
    ]


def column_of(partition: Mapping[str, object]) -> str | None:
    """The column that divided the rows; None where none did."""
    scheme = str(partition.get("scheme"))
    return scheme.removeprefix("column:") if scheme.startswith("column:") else None


def together(estimate: Estimate, clients: int) -> Estimate:
    """An interval that was made at 1 - 0.05 / clients, as what it is for all clients at once (Bonferroni)."""
    return replace(estimate, confidence=0.95, method=f"{estimate.method}, Bonferroni over {clients} clients")


def client_metrics(
    clients: Sequence[ClientRows], correct: np.ndarray, losses: np.ndarray, random: np.random.Generator,
    limit: Limit | None,
) -> list[Metric]:  # fmt: skip
    """Accuracy and loss of each client, the worst, and the spread; intervals hold for all clients at once.

    Args:
        correct: (rows,) bool. losses: (rows,) nats of the true label.
        limit: for the spread.
    """
    level, found = 1 - 0.05 / max(len(clients), 1), []
    for client, child in zip(clients, random.spawn(len(clients)), strict=True):
        n = int(client.rows.sum())
        if n:
            accuracy = together(proportion(int(correct[client.rows].sum()), n, confidence=level), len(clients))
            loss = together(bootstrap_mean(losses[client.rows], child, confidence=level), len(clients))
        else:
            accuracy = loss = Estimate.absent("no row of the audit's data is of this client")
        found += [
            metric("client_accuracy", accuracy, unit=SHARE, better="higher", slice=client.slice,
                   definition="Accuracy of the federated model on the rows of this client's value."),
            metric("client_loss", loss, unit="nats per row", better="lower", slice=client.slice,
                   definition="Mean cross-entropy of the federated model on the same rows."),
        ]  # fmt: skip
    hits = np.array([int(correct[c.rows].sum()) for c in clients])
    counts = np.array([int(c.rows.sum()) for c in clients])
    measured = [m for m in found if m.name == "client_accuracy" and m.value is not None]
    if measured:
        worst = min(measured, key=lambda m: float(m.value or 0))
        low, high = worst.interval or (None, None)
        lowest = Estimate(worst.value, low, high, worst.n, worst.interval_method or "none")
    else:
        lowest = Estimate.absent("no row of the audit's data is of any client")
    return [
        *found,
        metric("worst_client_accuracy", lowest, unit=SHARE, better="higher",
               slice=worst.slice if measured else {},
               definition="Accuracy of the client where it is lowest; the interval allows for its having been picked."),
        metric("client_accuracy_spread", largest_minus_smallest(hits, counts, random), better="lower", limit=limit,
               unit="difference of shares of rows", slice={"by": "client"},
               definition="Largest minus smallest accuracy over clients; 0 is parity. Simultaneous over clients."),
    ]  # fmt: skip


def paired(ours: np.ndarray, theirs: np.ndarray, *, clients: int = 1) -> Estimate:
    """Accuracy of ours minus theirs on the same rows; at once for so many clients.

    Args:
        ours, theirs: (rows,) bool.
    """
    counts = (int((a & b).sum()) for a, b in [(ours, theirs), (ours, ~theirs), (~ours, theirs), (~ours, ~theirs)])
    found = paired_difference_of_proportions(*counts, confidence=1 - 0.05 / max(clients, 1))
    return together(found, clients) if clients > 1 and found.value is not None else found


def client_figure(metrics: Sequence[Metric]) -> Figure:
    """Accuracy client by client, and what each one gained over training alone."""
    rows = [
        {
            "label": m.slice["client"], "value": m.value, "low": m.interval[0], "high": m.interval[1], "n": m.n,
            "series": "accuracy" if m.name == "client_accuracy" else "gain over training alone",
        }
        for m in metrics
        if m.name in ("client_accuracy", "gain_over_solo") and m.value is not None and m.interval
    ]  # fmt: skip
    return Figure(
        id="collaboration-clients", kind="intervals", title="Clients; intervals hold for all at once",
        caption="Accuracy of the federated model by client, and its difference from the client's own model.",
        x_label="share of rows", rows=rows,
    )  # fmt: skip
