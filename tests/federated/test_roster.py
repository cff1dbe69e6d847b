"""Promises of the roster: who lies about itself does not take part, and does no harm."""

from __future__ import annotations

import json
import math

import pytest

from federated.client_evaluations import read_evaluations, shortened, summary
from federated.grid import InProcessGrid
from federated.options import FederationOptions

from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict  # isort: skip
from flwr.clientapp import ClientApp  # isort: skip

from federated.roster import ClientsGone, Member, Roster, choose

TRUE = {"client": 0, "name": "a", "base_sha256": "b" * 64, "labels": ["no", "yes"], "rows": 9}


def roster_of(*said: object, min_clients: int = 1, **waiting) -> Roster:
    """Clients that describe themselves so; text goes as it is."""
    app = ClientApp()

    @app.query()
    def describe(message, context):
        about = said[context.node_id - 1]
        text = about if isinstance(about, str) else json.dumps(about)
        return Message(RecordDict({"about": ConfigRecord({"json": text})}), reply_to=message)

    options = FederationOptions(clients=len(said), min_clients=min_clients)
    return Roster(InProcessGrid(app, clients=len(said)), options, config=ConfigRecord({}), wait=0.0, **waiting)


LIES = {
    "no JSON": "{",
    "a list": "[]",
    "nothing": {},
    "no number": {**TRUE, "client": "x"},
    "a client that cannot be": {**TRUE, "client": 77},
    "another's number": {**TRUE, "client": 0},
    "fewer than no rows": {**TRUE, "client": 1, "rows": -3},
    "rows that are a text": {**TRUE, "client": 1, "rows": "many"},
    "labels that are a number": {**TRUE, "client": 1, "labels": 5},
    "depth": "[" * 100_000,
}


@pytest.mark.parametrize("lie", LIES)
def test_a_client_that_does_not_say_who_it_is_is_left_out(lie):
    roster = roster_of(TRUE, LIES[lie])
    assert [member.number for member in roster.refresh()] == [0]
    assert list(roster.silent) == [2]


def test_too_few_that_say_who_they_are_is_a_letter_with_their_reasons():
    with pytest.raises(ClientsGone, match=r"1 of 2 clients could say who they are, 2 are needed: node 2: it does not"):
        roster_of(TRUE, "{", min_clients=2)


def test_who_joins_later_must_have_the_same_base_and_labels():
    roster = roster_of(TRUE, {**TRUE, "client": 1, "base_sha256": "c" * 64})
    late = roster.members.pop(2)
    roster.agree(base_sha256="b" * 64, labels=("no", "yes"))
    assert [member.number for member in roster.refresh()] == [0]
    assert "another base" in roster.silent[2] and late.number == 1


def test_waiting_for_clients_can_be_interrupted():
    app = ClientApp()
    grid = InProcessGrid(app, clients=1)
    with pytest.raises(KeyboardInterrupt):
        Roster(grid, FederationOptions(clients=2), config=ConfigRecord({}), wait=60.0, stopped=lambda: True)
    with pytest.raises(ClientsGone, match="1 of 2 clients have connected"):
        Roster(grid, FederationOptions(clients=2, min_clients=2), config=ConfigRecord({}), wait=0.0)


def members(count: int) -> list[Member]:
    return [Member(node + 1, node, f"client {node}", "b", ("no", "yes"), rows=20) for node in range(count)]


def test_a_share_is_drawn_without_favourites():
    options = FederationOptions(clients=10, participation=0.3, seed=1)
    asked = [member.number for number in range(1, 401) for member in choose(options, members(10), number)]
    assert len(asked) == 1200
    counts = [asked.count(client) for client in range(10)]
    assert max(abs(count - 120) for count in counts) < 5 * math.sqrt(400 * 0.3 * 0.7)


def replies(*metrics: dict | None) -> list[Message]:
    grid = InProcessGrid(ClientApp(), clients=len(metrics))
    asked = [Message(RecordDict({}), node, "evaluate") for node in grid.get_node_ids()]
    contents = [RecordDict({} if m is None else {"metrics": MetricRecord(m)}) for m in metrics]
    return [Message(content, reply_to=message) for content, message in zip(contents, asked, strict=True)]


def test_evaluations_are_weighed_by_rows_and_nonsense_is_left_out():
    sound = {"num-examples": 10, "loss": 0.5, "accuracy": 0.8}
    found = read_evaluations(
        replies(
            sound, {"num-examples": 5, "loss": 0.2, "accuracy": 0.5}, {**sound, "loss": float("nan")},
            {**sound, "accuracy": [1.0, 2.0]}, {**sound, "num-examples": -1}, {"loss": 0.1}, None,
        ),
        {member.node: member for member in members(7)},
    )  # fmt: skip
    assert [entry["client"] for entry in found] == [0, 1]
    together = summary(found)
    assert together["n"] == 15 and together["accuracy"] == pytest.approx(0.7) and together["loss"] == pytest.approx(0.4)
    assert summary([]) is None


def test_of_many_clients_earlier_rounds_keep_the_mean_alone():
    many = {"n": 60, "loss": 1.0, "clients": [{"client": c, "n": 1, "loss": 1.0} for c in range(60)]}
    assert shortened(many) == {"n": 60, "loss": 1.0, "clients": []}
    few = {**many, "clients": many["clients"][:4]}
    assert shortened(few) is few and shortened(None) is None
