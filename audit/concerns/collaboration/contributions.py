"""What each client contributed: its Shapley value, from the updates that were kept.

A coalition's model is the one that the run began with, moved in each round by the weighted mean of the updates that
its members sent: nothing is trained again. The game's worth is the accuracy of that model on the audit's rows (or its
loss, negated). A value is linear in the worth, so that it is a mean over rows, too: the interval is a bootstrap over
rows, and beyond 8 clients also over the orders that were drawn.
Source: Shapley 1953; Song, Tong and Wei 2019, IEEE Big Data, 2577 (from updates); Castro et al. 2009, Computers &
Operations Research 36:1726 (sampled orders).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from audit.concerns.collaboration.clients import NATS, SHARE, ClientRows, level_for, together
from audit.concerns.collaboration.merged_adapters import MergedAdapters
from audit.concerns.collaboration.other_models import Asked, Unfit
from audit.evidence import metric
from audit.statistics import Estimate, bootstrap_mean, proportion
from core_model.errors import BadInput
from federated.contribution import Coalition, Contributions, coalition_update, merged, most_coalitions, shapley
from federated.kept_updates import read_round
from reports.record import Metric

if TYPE_CHECKING:
    from federated.arrays import Update
    from federated.record import FederatedRecord

Worth = Literal["accuracy", "loss"]
NAME = "shapley_value"
LARGEST_GB = 8.0  # of updates in memory at once
MOST_DIFFERING = 0.01  # of rows on which the rebuilt model and the checkpoint may answer differently: rounding
SOURCE = "Shapley 1953; Song et al. 2019, IEEE Big Data, 2577 (coalitions rebuilt from kept updates)"
ADDS_UP = ("fedavg", "fedprox")  # strategies whose step is the weighted mean itself


@dataclass(frozen=True)
class Effort:
    """How much is asked.

    Attributes:
        worth: what a coalition's model is worth. rows: of the audit's data, at most. orders: beyond 8 clients.
    """

    worth: Worth
    rows: int
    orders: int


def why_not(record: FederatedRecord) -> str | None:
    """Why no contribution can, or may, be told; None where it can."""
    options, strategy = record.options, record.options.get("strategy")
    private = (options.get("private") or {}).get("unit")
    reasons = [
        (
            options.get("secure"),
            "under secure aggregation the server has the sum alone, which does not tell who contributed what",
        ),
        (
            private == "client",
            "the promise to whole clients covers the noisy mean; a value that is computed from single updates, before "
            "the noise, would tell of a client what was promised to be hidden",
        ),
        (
            not options.get("keep_updates"),
            "no updates were kept: `aboveboard federate --keep-updates` keeps them (as sensitive as the rows)",
        ),
        (options.get("personalize"), "each client keeps a head of its own, so that coalitions have no model to answer"),
        (
            strategy not in ADDS_UP,
            f"with {strategy} a round's step is not the weighted mean of the updates, of which coalitions are rebuilt",
        ),
        (len(record.partition.get("clients") or ()) < 2, "there is one client: nothing is shared out"),
    ]  # fmt: skip
    return next((why for holds, why in reasons if holds), None)


def planned_rows(record: FederatedRecord, rows: int, effort: Effort) -> int:
    """Rows that go through coalitions' models, at most."""
    if why_not(record) is not None:
        return 0
    return min(rows, effort.rows) * most_coalitions(len(record.partition["clients"]), orders=effort.orders)


def contribution_metrics(
    asked: Asked, record: FederatedRecord, clients: Sequence[ClientRows], random: np.random.Generator, effort: Effort
) -> tuple[list[Metric], list[str]]:
    """Each client's Shapley value, and notes on how it was found."""
    choice, draws, resamples = random.spawn(3)
    try:
        if why := why_not(record):
            raise Unfit(why)
        game = _Game(asked, record, [client.number for client in clients], _some_rows(asked, effort.rows, choice))
        found = shapley(
            len(clients), lambda coalition: game.worth(coalition, effort.worth), draws, orders=effort.orders,
            confidence=level_for(len(clients)),
        )  # fmt: skip
        game.require_whole(len(clients))
    except Unfit as unfit:
        return [_line(client, Estimate.absent(str(unfit)), effort) for client in clients], []
    lines = [
        _line(client, _estimate(found, place, child, effort), effort)
        for (place, client), child in zip(enumerate(clients), resamples.spawn(len(clients)), strict=True)
    ]
    how = f"{found.coalitions:,} coalitions" if found.orders is None else f"{found.orders} orders of the clients"
    note = (
        f"Contributions were measured on {len(game.rows):,} rows with {how}; coalitions' models were rebuilt from the "
        f"kept updates of {len(record.rounds)} rounds. The model of everybody's updates answers as the checkpoint does "
        f"on {game.agreeing:,} of these rows."
    )
    return [*lines, *game.ends(len(clients))], [note]


class _Game:
    """The coalitions' models, each asked once.

    Attributes:
        rows: indices of the rows of the audit's data that they are asked about.
        agreeing: rows on which everybody's model answers as right or wrong as the checkpoint.
    """

    def __init__(self, asked: Asked, record: FederatedRecord, numbers: Sequence[int], rows: np.ndarray) -> None:
        folder = asked.subject.checkpoint.path
        self.asked, self.numbers, self.rows, self.agreeing = asked, numbers, rows, 0
        try:
            self.start: Update = read_round(folder, 1, expected=_kept(record, 1)).start()
            _refuse_large(record, self.start)
            self.rounds = merged(_sent(record, folder))
        except BadInput as error:
            raise Unfit(error.found.replace(f"{folder}/", "")) from error
        self.model = asked.reshaped()
        self.adapters = (
            MergedAdapters(folder, self.model.predictor.forward.model) if record.options.get("adapters") else None
        )
        self.correct: dict[Coalition, np.ndarray] = {}

    def worth(self, coalition: Coalition, worth: Worth) -> np.ndarray:
        """(rows,) what each row is worth to a coalition of positions."""
        moved = coalition_update(self.rounds, frozenset(self.numbers[place] for place in coalition))
        model = self.start if moved is None else {n: array + moved[n] for n, array in self.start.items()}
        answered = self.model.answered(self.adapters.parameters(model) if self.adapters else model, self.rows)
        self.correct[coalition] = answered.correct
        return answered.correct.astype(np.float64) if worth == "accuracy" else -answered.losses

    def require_whole(self, clients: int) -> None:
        """Raises: Unfit when the updates do not add up to the checkpoint: they are not this run's."""
        subject, whole = self.asked.subject, self.correct[frozenset(range(clients))]
        ours = (subject.predictions.predicted == subject.targets)[self.rows]
        self.agreeing = int((ours == whole).sum())
        differing = len(whole) - self.agreeing
        if differing > MOST_DIFFERING * len(whole):
            raise Unfit(
                f"the kept updates do not add up to this checkpoint, whose answers differ on {differing} of "
                f"{len(whole)} rows"
            )

    def ends(self, clients: int) -> list[Metric]:
        """The accuracy that everybody's updates together, and none, reach on these rows."""
        ends = {"nobody": frozenset[int](), "everybody": frozenset(range(clients))}
        return [
            metric(
                "coalition_accuracy", proportion(int(self.correct[who].sum()), len(self.rows)), unit=SHARE,
                better="higher", slice={"coalition": name},
                definition="Accuracy, on the rows of the contributions, of the model that these clients' updates make "
                "of the base; the values of all clients add up to everybody's minus nobody's.",
            )
            for name, who in ends.items()
        ]  # fmt: skip


def _sent(record: FederatedRecord, folder: Path) -> Iterator[Mapping[int, tuple[float, Update]]]:
    """Round by round, client -> (weight, update)."""
    for number in range(1, len(record.rounds) + 1):
        kept = read_round(folder, number, expected=_kept(record, number))
        yield {client: (float(kept.examples[client]), kept.update(client)) for client in kept.clients}


def _kept(record: FederatedRecord, number: int) -> Mapping[str, str]:
    found: Mapping[str, str] | None = record.rounds[number - 1].get("kept") if number <= len(record.rounds) else None
    if found is None:
        raise Unfit(f"the record does not say that updates of round {number} were kept")
    return found


def _refuse_large(record: FederatedRecord, start: Update) -> None:
    """Raises: Unfit when the updates of all kinds of rounds are more than memory should be asked for."""
    kinds = {tuple(entry.get("counted") or ()) for entry in record.rounds}
    gigabytes = sum(map(len, kinds)) * sum(array.nbytes for array in start.values()) / 1e9
    if gigabytes > LARGEST_GB:
        raise Unfit(
            f"the kept updates would take {gigabytes:.0f} GB of memory, more than {LARGEST_GB:g}: rounds of different "
            "participants cannot be added up; --participation 1 makes one set of them"
        )


def _some_rows(asked: Asked, most: int, random: np.random.Generator) -> np.ndarray:
    count = len(asked.subject.texts)
    return np.sort(random.choice(count, size=min(most, count), replace=False))


def _estimate(found: Contributions, place: int, random: np.random.Generator, effort: Effort) -> Estimate:
    """A client's value; its interval over rows, and over the orders that were drawn, for all clients at once.

    Args:
        found: at `level_for` the clients.
    """
    clients = len(found.values)
    bounds = (-1.0, 1.0) if effort.worth == "accuracy" else None
    over_rows = bootstrap_mean(found.parts[place], random, bounds=bounds, confidence=level_for(clients))
    if over_rows.low is None or over_rows.high is None or found.low is None:
        return together(over_rows, clients)
    value = float(found.values[place])
    arm = value - float(found.low[place])
    both = replace(
        over_rows,
        low=value - hypot(value - over_rows.low, arm),
        high=value + hypot(over_rows.high - value, arm),
        method=f"{over_rows.method}, joined with Student's arm over {found.orders} orders",
    )
    return together(both, clients)


def _line(client: ClientRows, estimate: Estimate, effort: Effort) -> Metric:
    unit = SHARE if effort.worth == "accuracy" else NATS
    worth = "accuracy" if effort.worth == "accuracy" else "negated mean cross-entropy"
    return metric(
        NAME, estimate, unit=unit, better="higher", slice=client.slice, source=SOURCE,
        definition=f"Shapley value of this client's updates: the {worth} that they add, on average over all orders in "
        "which the clients could join. Below 0 the model is better without them.",
    )  # fmt: skip
