"""Against training alone, and against training in one place: paired differences on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.collaboration.clients import (
    DIFFERENCE,
    SHARE,
    Answered,
    ClientRows,
    accuracy_of,
    level_for,
    together,
)
from audit.concerns.collaboration.other_models import Asked, Unfit, pooled_model, solo_model
from audit.evidence import Limit, metric
from audit.statistics import Estimate, paired_difference_of_proportions, proportion
from reports.record import Metric

if TYPE_CHECKING:
    from federated.record import FederatedRecord

SOURCE = "Newcombe 1998, Statistics in Medicine 17:2635, method 10"


def against_solo(
    asked: Asked, record: FederatedRecord, clients: Sequence[ClientRows], ours: Answered, *, by_client: bool,
    given: str | None, limit: Limit,
) -> list[Metric]:  # fmt: skip
    """What each client gains over its own model.

    Args:
        by_client: whether each client has rows of its own; else all models are held against each other on all rows.
        given: folder of the clients' own models; None: beside the federated one.
        limit: for what a client may lose.
    """
    where = "the rows of this client's value" if by_client else "all rows, since none can be given to a client"
    found, alone = [], np.zeros(len(ours.correct), dtype=bool)
    for client in clients:
        accuracy = gain = Estimate.absent(client.lacking)
        if client.rows.any():
            try:
                own = solo_model(asked.subject, record, client.number, client.learnt_from, given)
                right = asked.of_checkpoint(own, client.rows).correct
            except Unfit as why:
                accuracy = gain = Estimate.absent(str(why))
            else:
                alone[client.rows] = right
                accuracy = accuracy_of(right, len(clients))
                gain = paired(ours.correct[client.rows], right, clients=len(clients))
        found += [
            metric(
                "solo_accuracy", accuracy, unit=SHARE, better="higher", slice=client.slice,
                definition=f"Accuracy of the model that this client trained alone, on {where}.",
            ),
            metric(
                "gain_over_solo", gain, unit=DIFFERENCE, better="higher", slice=client.slice, limit=limit,
                source=SOURCE,
                definition="Accuracy of the federated model minus that of the model that this client trained alone, on "
                f"{where}, paired. Below 0 the client loses by taking part.",
            ),
        ]  # fmt: skip
    return [*found, *(_overall(clients, found, ours.correct, alone) if by_client else [])]


def against_pooled(
    asked: Asked, record: FederatedRecord, clients: Sequence[ClientRows], ours: Answered, rows: np.ndarray,
    given: str | None,
) -> list[Metric]:  # fmt: skip
    """The price of federation: what the model loses against one that saw all rows in one place.

    Args:
        rows: (rows,) bool, on which the federated model has an answer.
    """
    learnt_from = [client.learnt_from for client in clients]
    total = None if None in learnt_from else sum(n for n in learnt_from if n is not None)
    try:
        if not rows.any():
            raise Unfit("the federated model answers no row of the audit's data")
        model = pooled_model(asked.subject, record, total, given)
        right = asked.of_checkpoint(model, rows).correct
        accuracy, difference = proportion(int(right.sum()), len(right)), paired(ours.correct[rows], right)
    except Unfit as why:
        accuracy = difference = Estimate.absent(str(why))
    return [
        metric(
            "pooled_accuracy", accuracy, unit=SHARE, better="higher",
            definition="Accuracy of the model that was trained on the rows of all clients in one place.",
        ),
        metric(
            "difference_from_pooled", difference, unit=DIFFERENCE, better="higher", source=SOURCE,
            definition="Accuracy of the federated model minus that of one trained on all rows in one place, on the "
            "same rows, paired: the price of federation, where it is below 0.",
        ),
    ]  # fmt: skip


def paired(ours: np.ndarray, theirs: np.ndarray, *, clients: int = 1) -> Estimate:
    """Accuracy of ours minus theirs on the same rows; the interval holds for so many clients at once.

    Args:
        ours, theirs: (rows,) bool.
    """
    both, only_ours, only_theirs = (int(x.sum()) for x in (ours & theirs, ours & ~theirs, ~ours & theirs))
    neither = len(ours) - both - only_ours - only_theirs
    found = paired_difference_of_proportions(both, only_ours, only_theirs, neither, confidence=level_for(clients))
    return together(found, clients)


def _overall(
    clients: Sequence[ClientRows], found: Sequence[Metric], ours: np.ndarray, alone: np.ndarray
) -> list[Metric]:
    """The gain over all rows, each answered by its own client's model; absent where a client with rows has none."""
    gains = {m.slice["client"]: m for m in found if m.name == "gain_over_solo"}
    lacking = next((gains[c.name] for c in clients if c.rows.any() and gains[c.name].value is None), None)
    rows = np.any([client.rows for client in clients], axis=0) if clients else np.zeros(len(ours), dtype=bool)
    if lacking is not None:
        gain = Estimate.absent(lacking.reason or "a client has no model of its own")
    elif not rows.any():
        gain = Estimate.absent("no row of the audit's data is of any client")
    else:
        gain = paired(ours[rows], alone[rows])
    return [
        metric(
            "gain_over_solo", gain, unit=DIFFERENCE, better="higher", source=SOURCE,
            definition="Accuracy of the federated model minus that of the clients' own models, each on its own "
            "client's rows, paired over all rows.",
        )
    ]  # fmt: skip
