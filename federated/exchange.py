"""One exchange of a round: messages go out, replies come back, and what can be believed is handed to the strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from federated.arrays import Update, to_record
from federated.departure import arrive
from federated.kept_updates import FromClient, Seen
from federated.options import FederationOptions, LocalOptions
from federated.proof import code_sha256
from federated.roster import Member
from federated.screening import Answer, Rejection, fault_of, too_long

if TYPE_CHECKING:
    from flwr.app import Message, RecordDict

    from federated.promised import NoPromise
    from federated.traffic import RoundGrid

EXAMPLES = "num-examples"
REASON_CHARACTERS = 300  # of a client's own words in the record


@dataclass(frozen=True)
class Exchanged:
    """What a round's replies come to.

    Attributes:
        replies: for the strategy: an update and its weight each.
        counted: clients whose update is in the model.
        rejected: clients that were asked and are not, with the reason.
        loss: mean training loss over the counted clients' rows; None where it is not told.
        details: for the record, such as what a secure sum says of itself.
        seen: what the server knows of the counted clients' updates.
    """

    replies: list[Message]
    counted: list[int]
    rejected: list[Rejection]
    loss: float | None
    details: dict[str, Any] = field(default_factory=dict)
    seen: Seen = ()


@dataclass(frozen=True)
class Asked:
    """A round as it is sent out.

    Attributes:
        members: who is asked.
        like: the global model.
        deployed: whether the clients are nodes with keys of their own, and no parts of a simulation.
    """

    round: int
    members: Sequence[Member]
    messages: Sequence[Message]
    local: LocalOptions
    like: Update
    deployed: bool = False


def exchange_plainly(grid: RoundGrid, asked: Asked, options: FederationOptions, promise: NoPromise) -> Exchanged:
    """Every client's update is seen by the server, screened, and handed on as the promise lets it."""
    answers, rejected = collect(grid, asked, options)
    promise.seen({answer.client: answer.proof for answer in answers})
    return Exchanged(
        replies=[as_reply(update, weight) for update, weight in promise.steps(asked.round, answers, asked.like)],
        counted=[answer.client for answer in answers],
        rejected=rejected,
        loss=None if promise.hides_losses else mean_loss(answers),
        seen=[FromClient(answer.client, answer.update, answer.rows) for answer in answers],
    )


def collect(grid: RoundGrid, asked: Asked, options: FederationOptions) -> tuple[list[Answer], list[Rejection]]:
    """Send, receive, screen.

    Returns: the answers that are believed, by client number, so that their sum does not depend on who was faster; and
        everyone else who was asked, with the reason.
    """
    by_node = {member.node: member for member in asked.members}
    silent = set(by_node)
    answers, rejected = [], []
    for reply in grid.send_and_receive(asked.messages, timeout=options.deadline):
        member = by_node.get(reply.metadata.src_node_id)
        if member is None or member.node not in silent:
            continue  # nobody asked, or a second answer: only one counts
        silent.discard(member.node)
        if reply.has_error():
            rejected.append(Rejection(member.number, member.name, f"failed: {_words(reply.error.reason)}"))
            continue
        found = read_reply(reply.content, asked, member)
        if isinstance(found, Answer):
            answers.append(found)
        else:
            rejected.append(Rejection(member.number, member.name, found))
    rejected += [
        Rejection(by_node[node].number, by_node[node].name, f"no answer within {options.deadline:g} s")
        for node in silent
    ]
    answers.sort(key=lambda answer: answer.client)
    sound, aside = too_long(answers, max_norm=options.max_norm, outlier_factor=options.outlier_factor)
    return sound, sorted([*rejected, *aside], key=lambda rejection: rejection.client)


def read_reply(content: RecordDict, asked: Asked, member: Member) -> Answer | str:
    """A client's answer, or why it is not believed. Whatever is in a reply may have been put there to do harm."""
    try:
        arrived = arrive(content, asked.local, like=asked.like, code=code_sha256())
        metrics: Mapping[str, Any] = content.metric_records["metrics"]
        rows, loss = metrics[EXAMPLES], metrics.get("train_loss")
    except Exception as error:  # numpy's reader raises what it likes on bytes that are no array
        return f"unreadable: {_words(f'{type(error).__name__}: {error}')}"
    if isinstance(arrived, str):
        return arrived
    if fault := fault_of(arrived.update, asked.like):
        return fault
    if not isinstance(rows, int) or rows < 1 or (member.rows is not None and rows > member.rows):
        return f"it claims {rows!r} rows" + (f", and described itself with {member.rows}" if member.rows else "")
    told = float(loss) if isinstance(loss, float) and math.isfinite(loss) else None
    proof = arrived.proof
    return Answer(member.number, member.name, arrived.update, rows, told, within=proof.within, proof=proof)


def as_reply(update: Update, weight: float) -> Message:
    """An update as a strategy wants to see it."""
    from flwr.app import Message, MetricRecord, RecordDict

    content = RecordDict({"arrays": to_record(update), "metrics": MetricRecord({EXAMPLES: float(weight)})})
    return Message(content, 0, "train")


def mean_loss(answers: Sequence[Answer]) -> float | None:
    """Mean of the clients' losses, weighed by their rows; None where one is not told."""
    losses = [answer.loss for answer in answers]
    if not losses or any(loss is None for loss in losses):
        return None
    return float(np.average(np.array(losses, dtype=np.float64), weights=[answer.rows for answer in answers]))


def _words(text: object) -> str:
    """A client's own words, short and on one line."""
    return " ".join(str(text).split())[:REASON_CHARACTERS]
