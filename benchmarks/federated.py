"""What a federation costs beside the clients' own work: `python -m benchmarks.federated [--without-ray] [--json]`.

The in-process engine: trivial clients that send back what they were sent (100 numbers), at 10, 100 and 1,000 clients,
and the growth of traced memory over more rounds. Flower's Ray engine: the same training as bare Flower runs it
(`benchmarks.federated_ray`). Canary clients on trial: `benchmarks.federated_canaries`. Masking:
`python -m benchmarks.secure_aggregation`.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Sequence
from statistics import median

import numpy as np

from benchmarks.federated_canaries import caught
from benchmarks.figures import Figure, print_figures
from benchmarks.secure_aggregation import ours
from federated.environment import quiet_flower
from federated.grid import InProcessGrid

quiet_flower()

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402

CLIENTS, REPEATS, ROUNDS = (10, 100, 1000), 5, 5
MASKED_CLIENTS, PARAMETERS = 5, 500_000


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-ray", action="store_true", help="leave bare Flower and its Ray engine out")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    figures = [*overhead(), memory(), masking(), *caught()]
    if not given.without_ray:
        from benchmarks.federated_ray import beside_flower

        figures += beside_flower()
    print_figures("federated", figures, given.json)


def overhead() -> list[Figure]:
    """Milliseconds of a client in a round, at each number of clients."""
    figures = []
    for clients in CLIENTS:
        grid = InProcessGrid(_app(), clients=clients)
        spent = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            list(grid.send_and_receive(_messages(grid)))
            spent.append(1000 * (time.perf_counter() - begun) / clients)
        name = f"in_process_{clients}_clients"
        figures.append(Figure(name, round(median(spent), 4), "ms per client and round", "under 2"))
    most, fewest = figures[-1].value or 0.0, figures[0].value or 1.0
    grows = f"time per client at {CLIENTS[-1]:,} clients over that at {CLIENTS[0]}"
    return [*figures, Figure("in_process_growth", round(most / fewest, 2), grows, "about 1: linear in clients")]


def memory() -> Figure:
    """Traced bytes that rounds leave behind, at 100 clients, after the first."""
    grid = InProcessGrid(_app(), clients=100)
    tracemalloc.start()
    list(grid.send_and_receive(_messages(grid)))
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(ROUNDS):
        list(grid.send_and_receive(_messages(grid)))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return Figure("memory_growth", round(grown / ROUNDS / 1024, 2), "KiB per round of 100 clients", "about 0")


def masking() -> Figure:
    """Processor time that secure aggregation takes of a client."""
    random = np.random.default_rng(0)
    nodes = range(1, MASKED_CLIENTS + 1)
    updates = {node: (0.05 * random.standard_normal(PARAMETERS)).astype(np.float32) for node in nodes}
    seconds, _, _ = ours(updates, dict.fromkeys(nodes, 100))
    unit = f"ms of a client's processor time, {MASKED_CLIENTS} clients, {PARAMETERS:,} parameters"
    return Figure("masking", round(1000 * seconds, 1), unit, "under 100")


def _app() -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        content = {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    return app


def _messages(grid: InProcessGrid) -> list[Message]:
    arrays = ArrayRecord({"weight": Array(np.zeros(100, dtype=np.float32))})
    content = RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": 1})})
    return [Message(content, node, "train") for node in grid.get_node_ids()]


if __name__ == "__main__":
    main()
