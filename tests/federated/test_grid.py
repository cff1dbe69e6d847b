"""Promises of the in-process grid: it behaves as Flower's, costs little, and grows in a straight line."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from federated.grid import InProcessGrid

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict  # isort: skip
from flwr.clientapp import ClientApp  # isort: skip

from federated.traffic import RoundGrid, bytes_of


def app_of(answer=lambda message, context: None) -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message, context):
        answer(message, context)
        context.state["seen"] = ConfigRecord({"rounds": context.state.get("seen", {}).get("rounds", 0) + 1})
        content = {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    return app


def messages(grid: InProcessGrid, numbers: int = 100) -> list[Message]:
    arrays = ArrayRecord({"weight": Array(np.zeros(numbers, dtype=np.float32))})
    content = RecordDict({"arrays": arrays, "config": ConfigRecord({"local": "{}"})})
    return [Message(content, node, "train") for node in grid.get_node_ids()]


def test_every_client_answers_in_order_and_keeps_its_own_state():
    grid = InProcessGrid(app_of(), clients=3, run_config={"federation": "..."})
    for _ in range(2):
        replies = list(grid.send_and_receive(messages(grid)))
    assert [reply.metadata.src_node_id for reply in replies] == [1, 2, 3]
    assert [context.state["seen"]["rounds"] for context in grid.contexts.values()] == [2, 2, 2]
    assert grid.contexts[3].node_config == {"partition-id": 2, "num-partitions": 3}
    assert grid.contexts[3].run_config == {"federation": "..."}


def test_a_client_that_raises_answers_with_an_error_and_the_others_go_on():
    def answer(message, context):
        if context.node_id == 2:
            raise RuntimeError("out of memory")

    grid = InProcessGrid(app_of(answer), clients=3)
    replies = list(grid.send_and_receive(messages(grid)))
    assert [reply.has_error() for reply in replies] == [False, True, False]
    assert replies[1].error.code == 2  # CLIENT_APP_RAISED_EXCEPTION
    assert replies[1].error.reason == "RuntimeError: out of memory"


def test_a_late_client_gives_no_reply_and_does_not_make_others_late():
    grid = InProcessGrid(app_of(lambda message, context: time.sleep(0.05 * (context.node_id == 1))), clients=3)
    assert [r.metadata.src_node_id for r in grid.send_and_receive(messages(grid), timeout=0.03)] == [2, 3]


def test_what_a_client_writes_into_its_message_is_not_seen_by_the_next():
    def answer(message, context):
        assert "taken" not in message.content["config"]
        message.content["config"]["taken"] = 1

    grid = InProcessGrid(app_of(answer), clients=2)
    assert not any(reply.has_error() for reply in grid.send_and_receive(messages(grid)))


def test_pushed_messages_are_pulled_once_and_a_node_that_is_not_there_is_an_error():
    grid = InProcessGrid(app_of(), clients=1)
    [known], content = messages(grid), messages(grid)[0].content
    pushed = list(grid.push_messages([known, Message(content, 99, "train")]))
    first, second = grid.pull_messages(pushed)
    assert not first.has_error() and second.has_error()
    assert list(grid.pull_messages(pushed)) == []


def test_a_request_to_stop_is_heard_between_clients():
    asked = []
    grid = InProcessGrid(app_of(lambda message, context: asked.append(1)), clients=5, stopped=lambda: len(asked) == 2)
    with pytest.raises(KeyboardInterrupt):
        grid.send_and_receive(messages(grid))
    assert len(asked) == 2


def per_client(clients: int) -> float:
    grid = InProcessGrid(app_of(), clients=clients)
    sent = messages(grid)
    begun = time.process_time()
    grid.send_and_receive(sent)
    return (time.process_time() - begun) / clients


def test_a_client_round_costs_under_two_milliseconds_and_the_thousandth_no_more_than_the_tenth():
    few, many = min(per_client(10) for _ in range(5)), per_client(1_000)
    assert many < 0.002
    assert many < 3 * max(few, 5e-5)


def test_memory_does_not_grow_with_rounds():
    grid = InProcessGrid(app_of(), clients=20)

    def held() -> int:
        for _ in range(5):
            list(grid.send_and_receive(messages(grid, 10_000)))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = held()
        assert held() < first + 200_000  # one round's replies alone are 20 x 40 kB
    finally:
        tracemalloc.stop()


def test_bytes_are_those_of_the_serialized_messages():
    from flwr.common.serde import message_to_proto

    grid = InProcessGrid(app_of(), clients=3)
    view = RoundGrid(grid, [1, 3])
    assert list(view.get_node_ids()) == [1, 3]
    sent = [message for message in messages(grid) if message.metadata.dst_node_id != 2]
    down = sum(len(message_to_proto(message).SerializeToString()) for message in sent)
    replies = list(view.send_and_receive(sent))
    assert view.bytes_down == pytest.approx(down, abs=8)  # ids of nodes differ by a byte or two
    assert view.bytes_up == sum(len(message_to_proto(reply).SerializeToString()) for reply in replies)
    assert bytes_of(replies[0]) > 400  # a hundred numbers of four bytes
