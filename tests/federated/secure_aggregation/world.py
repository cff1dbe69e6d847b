"""A small consortium over real Flower messages: known updates, clients that fail, and a server that lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from federated.grid import InProcessGrid

from cryptography.hazmat.primitives import serialization  # isort: skip
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict  # isort: skip
from flwr.clientapp import ClientApp  # isort: skip
from flwr.supercore.primitives.asymmetric import generate_key_pairs  # isort: skip

from federated.secure_aggregation.client import answer, secure_aggregation_mod
from federated.secure_aggregation.messages import ACTION, ADVERTISE, RECORD

SHAPES = {"body.weight": (40, 9), "body.bias": (9,), "head.weight": (3, 7)}
Change = Callable[[Message], Message | None]


def update_of(node: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(node)
    return {name: (0.05 * rng.standard_normal(shape)).astype(np.float32) for name, shape in SHAPES.items()}


def weight_of(node: int) -> int:
    return 37 * (node & 0xFF) + 11  # the low bits: an engine's node numbers are any 64 bits


def loss_of(node: int) -> float:
    return 0.3 + (node & 0xFF) / 7


def mean_of(nodes: Iterable[int]) -> dict[str, np.ndarray]:
    """The exact weighted mean, in float64."""
    nodes = list(nodes)
    updates, weights = [update_of(node) for node in nodes], [weight_of(node) for node in nodes]
    return {name: np.average([u[name].astype(np.float64) for u in updates], axis=0, weights=weights) for name in SHAPES}


def client_app(
    *,
    fails: Mapping[int, str] | None = None,
    update: Callable[[int], dict[str, np.ndarray]] = update_of,
    metrics: Callable[[int], dict[str, float]] = lambda node: {"train_loss": loss_of(node)},
) -> ClientApp:
    """Clients; `fails` names the stage at which a node raises."""
    app, failing = ClientApp(), dict(fails or {})

    @app.train(mods=[secure_aggregation_mod])
    def train(message: Message, context: Context) -> Message:
        if failing.get(context.node_id) == ADVERTISE:
            raise RuntimeError("out of memory")
        node = context.node_id
        content = RecordDict(
            {
                "arrays": ArrayRecord({name: Array(array) for name, array in update(node).items()}),
                "metrics": MetricRecord({"num-examples": weight_of(node), **metrics(node)}),
                "proof": ConfigRecord({"node": node}),
            }
        )
        return Message(content, reply_to=message)

    @app.query(ACTION)
    def query(message: Message, context: Context) -> Message:
        if failing.get(context.node_id) == message.content[RECORD]["stage"]:
            raise RuntimeError("killed")
        return answer(message, context)

    return app


class WatchedGrid(InProcessGrid):
    """The in-process engine, with a server that may look at and change what passes.

    Args:
        sent, received: given each message; return it, another, or None to lose it.
    Attributes:
        replies: every reply as the server saw it.
    """

    def __init__(
        self, app: ClientApp, *, clients: int, sent: Change | None = None, received: Change | None = None
    ) -> None:
        super().__init__(app, clients=clients)
        self.sent, self.received = sent or (lambda one: one), received or (lambda one: one)
        self.replies: list[Message] = []

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        assert timeout is not None, "a stage without a time-out waits for ever"
        changed = [one for message in messages if (one := self.sent(message)) is not None]
        replies = list(super().send_and_receive(changed, timeout=timeout))
        self.replies += replies
        return [one for reply in replies if (one := self.received(reply)) is not None]


def training_messages(
    nodes: Sequence[int],
    *,
    server_round: int = 1,
    config: Mapping[str, object] | None = None,
) -> list[Message]:
    """As `strategy.configure_train` makes them: the nodes share one content."""
    content = RecordDict(
        {
            "arrays": ArrayRecord({name: Array(np.zeros(shape, np.float32)) for name, shape in SHAPES.items()}),
            "config": ConfigRecord({"server-round": server_round, **(config or {})}),  # type: ignore[dict-item]
        }
    )
    return [Message(content, node, "train", group_id=str(server_round)) for node in nodes]


def stage_of(message: Message) -> str:
    return str(message.content[RECORD]["stage"])


def give_keys(grid: InProcessGrid, folder: Path, *, nodes: Iterable[int] | None = None) -> None:
    """Node keys as ssh-keygen writes them, and one roster of all registered ones, in the configuration of the nodes."""
    roster = folder / "roster.pub"
    lines = []
    for node in nodes or grid.contexts:
        private, public = generate_key_pairs()
        path = folder / f"n{node}.key"
        path.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            )
        )
        line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        lines.append(line.decode() + f" n{node}")
        grid.contexts[node].node_config |= {"secure-key": str(path), "secure-roster": str(roster)}
    roster.write_text("# registered nodes\n" + "\n".join(lines) + "\n", encoding="utf-8")
