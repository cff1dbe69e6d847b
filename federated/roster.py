"""Who takes part: which node is which client, whether they can train one model together, who is asked in a round."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.errors import AboveboardError, LabelsUnfit, OptionUnfit
from federated.options import FederationOptions

if TYPE_CHECKING:
    from flwr.app import ConfigRecord
    from flwr.serverapp import Grid

    from federated.workbench import Workbench

POLL_SECONDS = 0.2
ANSWER_SECONDS = 600.0  # a client that is asked who it is prepares its rows first
PARTICIPANTS = 4  # what a seed is spent on (see `federated.partition`)
SHOWN = 5


class ClientsGone(AboveboardError):
    """Fewer clients than a run needs; what was learnt before is kept."""

    exit_code = 2


@dataclass(frozen=True)
class Member:
    """A client as it described itself.

    Attributes:
        node: Flower's number for it; another in each simulation.
        number: our number: its part of a simulation, or its node in a deployment.
        rows, label_counts: None and empty where the run hides them.
    """

    node: int
    number: int
    name: str
    base_sha256: str
    labels: tuple[str, ...]
    rows: int | None = None
    label_counts: dict[str, int] = field(default_factory=dict)


class Roster:
    """The clients of a run.

    Args:
        config: what a client must be told to know the run, where its own configuration does not.
        wait: seconds to wait for the first `clients` nodes.
    """

    def __init__(self, grid: Grid, options: FederationOptions, *, config: ConfigRecord, wait: float) -> None:
        self.grid, self.options, self.config = grid, options, config
        self.members: dict[int, Member] = {}  # by node
        self.silent: dict[int, str] = {}  # nodes that did not say who they are, and why
        self._await_nodes(wait)
        self.refresh()
        if len(self.members) < options.min_clients:
            said = "; ".join(f"node {node}: {why}" for node, why in list(self.silent.items())[:SHOWN])
            raise ClientsGone(
                f"{len(self.members)} of {options.clients} clients could say who they are, "
                f"{options.min_clients} are needed: {said or 'no answer'}",
                mend="see what each client says, or a smaller --min-clients",
            )

    def refresh(self) -> list[Member]:
        """Ask nodes that are new who they are; returns the members that are there now, by number."""
        from flwr.app import Message, RecordDict

        there = set(self.grid.get_node_ids())
        new = sorted(there - set(self.members))
        if new:
            messages = [Message(RecordDict({"config": self.config}), node, "query") for node in new]
            for reply in self.grid.send_and_receive(messages, timeout=ANSWER_SECONDS):
                node = reply.metadata.src_node_id
                if reply.has_error():
                    self.silent[node] = str(reply.error.reason)
                    continue
                self.members[node] = _member(node, str(reply.content.config_records["about"]["json"]))
            for node in self.members:
                self.silent.pop(node, None)
        return sorted((m for m in self.members.values() if m.node in there), key=lambda member: member.number)

    def _await_nodes(self, wait: float) -> None:
        until = time.monotonic() + wait
        while (there := len(list(self.grid.get_node_ids()))) < self.options.clients:
            if time.monotonic() > until:
                if there >= self.options.min_clients:
                    return
                raise ClientsGone(
                    f"{there} of {self.options.clients} clients have connected after {wait:.0f} s",
                    mend="start the other clients, or --clients and --min-clients with fewer",
                )
            time.sleep(POLL_SECONDS)


def _member(node: int, text: str) -> Member:
    about: dict[str, Any] = json.loads(text)
    return Member(
        node=node,
        number=int(about["client"]),
        name=str(about["name"])[:80],
        base_sha256=str(about["base_sha256"]),
        labels=tuple(map(str, about["labels"])),
        rows=about.get("rows"),
        label_counts={str(k): int(v) for k, v in about.get("label_counts", {}).items()},
    )


def refuse_strangers(members: Iterable[Member], *, base_sha256: str, labels: tuple[str, ...]) -> None:
    """All clients must start from the same base and tell the same classes apart.

    Raises: OptionUnfit, LabelsUnfit naming the client.
    """
    for member in members:
        if member.base_sha256 != base_sha256:
            raise OptionUnfit(
                f"{member.name} would begin from another base: sha256 {member.base_sha256}, the server's is "
                f"{base_sha256}",
                mend="the same --base files on every client",
            )
        if member.labels != labels:
            raise LabelsUnfit(
                f"label sets differ: {member.name} has {', '.join(member.labels)}; the others {', '.join(labels)}",
                mend="the same names for the same classes in every client's file",
            )


def refuse_differing_labels(bench: Workbench) -> None:
    """Clients that a column makes must have the same label sets, unless the classes were named.

    A split by label is meant to skew labels; one by a column is not, and where sites write their labels in different
    words, one model would learn "yes" and "ja" as two classes.

    Raises: LabelsUnfit naming two clients.
    """
    if bench.federation.column is None or bench.settings.labels or bench.table.target_indices is None:
        return
    present = {
        name: {label for label, count in bench.label_counts(rows).items() if count}
        for name, rows in zip(bench.parts.names, bench.parts.rows, strict=True)
    }
    every = set().union(*present.values())
    for name, labels in present.items():
        if labels != every:
            lacking = sorted(every - labels)
            raise LabelsUnfit(
                f"label sets differ: client {name!r} has {', '.join(sorted(labels))}; it lacks {', '.join(lacking)}, "
                "which others have",
                mend=f"the same words for the same class in every client's rows; or, if all of them shall learn all "
                f"classes, --labels {','.join(bench.table.label_names)}",
            )


def choose(options: FederationOptions, members: Collection[Member], server_round: int) -> list[Member]:
    """Who is asked in a round: a fixed share of all clients, which follows from (seed, round); by number."""
    ordered = sorted(members, key=lambda member: member.number)
    if options.participation == 1:
        return ordered
    count = min(max(round(options.participation * options.clients), 1), len(ordered))
    random = np.random.default_rng([options.seed, PARTICIPANTS, server_round])
    return [ordered[place] for place in np.sort(random.choice(len(ordered), count, replace=False))]
