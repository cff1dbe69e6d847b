"""Who takes part: which node is which client, whether they can train one model together, who is asked in a round."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.errors import AboveboardError, BadInput, LabelsUnfit, OptionUnfit
from federated.options import FederationOptions

if TYPE_CHECKING:
    from flwr.app import ConfigRecord, Message
    from flwr.serverapp import Grid

    from federated.workbench import Workbench

POLL_SECONDS = 0.2
ANSWER_SECONDS = 600.0  # a client that is asked who it is prepares its rows first
PARTICIPANTS = 4  # what a seed is spent on (see `federated.partition`)
SHOWN = 5
NAME_CHARACTERS = 80


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
        stopped: asked while it waits; when true it waits no more.
    Attributes:
        members: those that said who they are, by node.
        silent: nodes that did not, or are not believed, and why.
        agreed: the hash of the base and the labels that all members share, once that is known.
    Raises: ClientsGone; KeyboardInterrupt when it was stopped.
    """

    def __init__(
        self,
        grid: Grid,
        options: FederationOptions,
        *,
        config: ConfigRecord,
        wait: float,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.grid, self.options, self.config = grid, options, config
        self.members: dict[int, Member] = {}
        self.silent: dict[int, str] = {}
        self.agreed: tuple[str, tuple[str, ...]] | None = None
        self._await_nodes(wait, stopped)
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
            patience = min(ANSWER_SECONDS, self.options.deadline) if self.agreed else ANSWER_SECONDS
            for reply in self.grid.send_and_receive(messages, timeout=patience):
                self._listen(reply)
        return sorted((m for m in self.members.values() if m.node in there), key=lambda member: member.number)

    def agree(self, *, base_sha256: str, labels: tuple[str, ...]) -> None:
        """Whoever joins from now on must have this base and these labels; who is here already, too.

        Raises: OptionUnfit, LabelsUnfit naming the client.
        """
        refuse_strangers(self.members.values(), base_sha256=base_sha256, labels=labels)
        self.agreed = base_sha256, labels

    def _listen(self, reply: Message) -> None:
        """Take a node in, or note why not. What a node says of itself may have been said to do harm."""
        node = reply.metadata.src_node_id
        if reply.has_error():
            self.silent[node] = str(reply.error.reason)
            return
        try:
            member = _member(node, str(reply.content.config_records["about"]["json"]), self.options)
            if any(other.number == member.number for other in self.members.values()):
                raise ValueError(f"it says that it is client {member.number}, which is here already")
            if self.agreed is not None:
                refuse_strangers([member], base_sha256=self.agreed[0], labels=self.agreed[1])
        except BadInput as unfit:
            self.silent[node] = unfit.found
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as malformed:
            self.silent[node] = f"it does not say who it is: {malformed}"
        else:
            self.members[node] = member
            self.silent.pop(node, None)

    def _await_nodes(self, wait: float, stopped: Callable[[], bool]) -> None:
        until = time.monotonic() + wait
        while (there := len(list(self.grid.get_node_ids()))) < self.options.clients:
            if time.monotonic() > until:
                if there >= self.options.min_clients:
                    return
                raise ClientsGone(
                    f"{there} of {self.options.clients} clients have connected after {wait:.0f} s",
                    mend="start the other clients, or --clients and --min-clients with fewer",
                )
            if stopped():
                raise KeyboardInterrupt
            time.sleep(POLL_SECONDS)


def _member(node: int, text: str, options: FederationOptions) -> Member:
    """Raises: KeyError, TypeError, ValueError for what is no description."""
    about: dict[str, Any] = json.loads(text)
    number, rows = int(about["client"]), about.get("rows")
    if number != node and not 0 <= number < options.clients:
        raise ValueError(f"it says that it is client {number} of {options.clients}")
    if rows is not None and not (isinstance(rows, int) and rows >= 0):
        raise ValueError(f"it says that it has {rows!r} rows")
    return Member(
        node=node,
        number=number,
        name=" ".join(str(about["name"]).split())[:NAME_CHARACTERS],
        base_sha256=str(about["base_sha256"])[:64],
        labels=tuple(map(str, about["labels"])),
        rows=rows,
        label_counts={str(label): int(count) for label, count in about.get("label_counts", {}).items()},
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
