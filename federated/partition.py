"""Who has which rows, in a simulation: shuffled evenly, skewed by label, or by a column.

    parts = partition(table, options)
    parts.rows[3], parts.names[3]      # row indices of client 3, and what it is called

Own code on numpy: flwr-datasets wants a datasets older than this project's, and its "iid" cuts blocks out of the order
in which the rows stand, which on sorted data is anything but (flwrlabs/flower#7290). Everything follows from the rows'
number, labels, groups and the seed, so that each process cuts the same parts for itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core_model.errors import ColumnMissing, LabelsUnfit, OptionUnfit

if TYPE_CHECKING:
    from core_model.data import Table
    from federated.options import FederationOptions

SHUFFLE, SKEW, HOLD_OUT = 1, 2, 3  # what a seed is spent on


@dataclass(frozen=True)
class Partition:
    """Rows by client.

    Attributes:
        rows: for each client, indices of its rows in the table, ascending.
        names: for each client, "client 3" or the column's value.
    """

    rows: tuple[np.ndarray, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)


def partition(table: Table, options: FederationOptions) -> Partition:
    """Divide the rows as `options.partition` says.

    Raises: OptionUnfit when there are more clients than rows, when a client would have fewer than `min_rows`, or when
        the column has another number of values than there are clients; ColumnMissing when the table was opened without
        the column; LabelsUnfit when labels are to be skewed and there are none.
    """
    if table.rows < options.clients:
        raise OptionUnfit(
            f"--clients {options.clients:,}, but {table.name} has {table.rows:,} rows",
            mend=f"--clients {table.rows} or fewer, or more rows",
        )
    if options.column is not None:
        parts = by_column(table, options.column, clients=options.clients)
    else:
        if options.alpha is None:
            rows = shuffled(table.rows, options.clients, seed=options.seed)
        elif table.target_indices is None:
            raise LabelsUnfit(
                f"{table.name} has no labels that --partition {options.partition} could skew", mend="--partition iid"
            )
        else:
            rows = dirichlet(table.targets, options.clients, alpha=options.alpha, seed=options.seed)
        parts = Partition(tuple(rows), tuple(f"client {client}" for client in range(options.clients)))
    _refuse_poor(parts, options)
    return parts


def shuffled(rows: int, clients: int, *, seed: int) -> list[np.ndarray]:
    """All rows in random order, cut into parts whose sizes differ by at most one: each part is a random sample."""
    order = np.random.default_rng([seed, SHUFFLE]).permutation(rows)
    return [np.sort(part) for part in np.array_split(order, clients)]


def dirichlet(labels: np.ndarray, clients: int, *, alpha: float, seed: int) -> list[np.ndarray]:
    """Each class's rows are shared out by shares drawn from a symmetric Dirichlet distribution of its own.

    Args:
        labels: (rows,) class of each row.
        alpha: large: every client has each class in like shares; small: most of a class lies with one client.
    Returns: for each client its rows; some may have none where alpha is small.
    Source: Yurochkin et al. 2019, arXiv:1905.12022, section 4; Hsu et al. 2019, arXiv:1909.06335, draw the shares the
        other way round, per client.
    """
    random = np.random.default_rng([seed, SKEW])
    found: list[list[np.ndarray]] = [[] for _ in range(clients)]
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        shares = random.dirichlet(np.full(clients, alpha))
        cuts = np.round(np.cumsum(shares)[:-1] * len(rows)).astype(np.int64)
        for client, part in enumerate(np.split(rows, cuts)):
            found[client].append(part)
    return [np.sort(np.concatenate(parts)) for parts in found]


def by_column(table: Table, column: str, *, clients: int) -> Partition:
    """One client for each value of a column, in the values' order.

    Raises: as `partition`.
    """
    if column not in table.groups:
        raise ColumnMissing(f"{table.name} was opened without column {column!r}", mend=f"--partition column:{column}")
    values = table.groups[column]
    names = sorted(set(values))
    if len(names) == 1:
        raise OptionUnfit(
            f"{table.name}: column {column!r} has one value, {names[0]!r}, which makes one client",
            mend="--partition iid, or column:NAME with a column that differs between clients",
        )
    if len(names) != clients:
        counted = Counter(values)
        largest = ", ".join(f"{name!r} ({counted[name]:,} rows)" for name in sorted(names, key=counted.get)[::-1][:8])  # type: ignore[arg-type]
        raise OptionUnfit(
            f"--clients {clients}, but column {column!r} of {table.name} has {len(names):,} values: {largest}"
            + (" ..." if len(names) > 8 else ""),
            mend=f"--clients {len(names)}, one for each value",
        )
    return Partition(tuple(np.flatnonzero(values == name) for name in names), tuple(names))


def split_held_out(rows: np.ndarray, share: float, *, seed: int, client: int) -> tuple[np.ndarray, np.ndarray]:
    """A client's rows to learn from, and those that it holds out; at least one of the former.

    Args:
        share: in [0, 1), of the rows to hold out, rounded.
    """
    held = min(round(share * len(rows)), len(rows) - 1)
    order = np.random.default_rng([seed, HOLD_OUT, client]).permutation(rows)
    return np.sort(order[held:]), np.sort(order[:held])


def _refuse_poor(parts: Partition, options: FederationOptions) -> None:
    poor = [
        (name, len(rows)) for name, rows in zip(parts.names, parts.rows, strict=True) if len(rows) < options.min_rows
    ]
    if not poor:
        return
    named = ", ".join(f"{name} ({rows:,} rows)" for name, rows in poor[:8]) + (" ..." if len(poor) > 8 else "")
    fewest = min(rows for _, rows in poor)
    mends = [f"--clients {max(options.clients - len(poor), 1)}"] if options.column is None else []
    if options.alpha is not None:
        mends = [f"--partition dirichlet:{10 * options.alpha:g}", *mends, "another --seed"]
    if fewest >= 1:
        mends.append(f"--min-rows {fewest}")
    raise OptionUnfit(
        f"--partition {options.partition} leaves {len(poor)} of {len(parts)} clients with fewer than "
        f"{options.min_rows:,} rows (--min-rows): {named}",
        mend=" or ".join(mends) or "fewer clients",
    )
