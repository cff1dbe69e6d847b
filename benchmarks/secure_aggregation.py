"""What a secure round costs a client beside its training, and how exact the sum is, beside Flower's shipped mod.

    python -m benchmarks.secure_aggregation [--clients 5] [--parameters 500000] [--repeats 3] [--json]

Every client answers all stages of a round over Flower messages in this process; its training hands out an update that
was made before. Seconds are processor time of all stages of one client, from the message to the reply, the median over
repeats that take turns. Both add the same synthetic updates; Flower's mod has its defaults (range 8, 2^22 levels,
weights up to 1,000), ours chooses its scale from the data. No client is lost.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks.figures import Figure, print_figures
from federated.environment import quiet_flower
from federated.grid import InProcessGrid

quiet_flower()

from flwr.app import (  # noqa: E402
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp  # noqa: E402

from federated.secure_aggregation.client import answer, secure_aggregation_mod  # noqa: E402
from federated.secure_aggregation.exchange import SecureExchange  # noqa: E402
from federated.secure_aggregation.messages import ACTION  # noqa: E402
from federated.secure_aggregation.settings import SecureSettings  # noqa: E402

CLIP, LEVELS, MODULUS, MAX_WEIGHT = 8.0, 2**22, 2**32, 1000.0  # Flower's defaults
FIRST, MORE = 50, 17  # examples of the first client, and how many more each next one has


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=5)
    parser.add_argument("--parameters", type=int, default=500_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    print_figures("secure_aggregation", measure(given.clients, given.parameters, given.repeats), given.json)


def measure(clients: int, parameters: int, repeats: int) -> list[Figure]:
    """Both ways in turns, on the same updates."""
    rng = np.random.default_rng(0)
    nodes = range(1, clients + 1)
    updates = {node: (0.05 * rng.standard_normal(parameters)).astype(np.float32) for node in nodes}
    weights = {node: FIRST + MORE * node for node in nodes}
    exact = np.average([updates[node].astype(np.float64) for node in nodes], axis=0, weights=list(weights.values()))
    runs = [(ours(updates, weights), flowers(updates, weights)) for _ in range(repeats)]
    case = f"{clients} clients, {parameters:,} parameters"
    own, flower = ([run[way] for run in runs] for way in (0, 1))
    return [
        Figure("client_seconds", round(median(run[0] for run in own), 4), f"s of a client's processor time, {case}",
               "under 0.1 at 500,000 parameters and 10 neighbours"),
        Figure("flower_client_seconds", round(median(run[0] for run in flower), 4), f"s, Flower's shipped mod, {case}"),
        Figure("largest_error", float(f"{np.abs(own[0][1] - exact).max():.3g}"), f"of the weighted mean, {case}",
               "at most 1e-5"),
        Figure("flower_largest_error", float(f"{np.abs(flower[0][1] - exact).max():.3g}"), f"the same, {case}"),
        Figure("masked_bytes_per_parameter", round(own[0][2] / parameters, 3), "bytes", "4, as a plain update"),
    ]  # fmt: skip


def ours(updates: dict[int, np.ndarray], weights: dict[int, int]) -> tuple[float, np.ndarray, int]:
    """Seconds of a client, the mean, and bytes of one masked reply."""
    app = ClientApp()

    @app.train(mods=[secure_aggregation_mod])
    def train(message: Message, context: Context) -> Message:
        node = context.node_id
        metrics = MetricRecord({"num-examples": weights[node], "train_loss": 0.5})
        arrays = ArrayRecord({"weight": Array(updates[node])})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    app.query(ACTION)(answer)
    grid = _TimedGrid(app, clients=len(updates))
    zeros = np.zeros_like(updates[1])
    content = RecordDict({"arrays": ArrayRecord({"weight": Array(zeros)}), "config": ConfigRecord({"server-round": 1})})
    messages = [Message(content, node, "train", group_id="1") for node in updates]
    total = SecureExchange(grid, SecureSettings())(messages, 600.0)
    return grid.seconds / len(updates), total.mean()["weight"], grid.longest


class _TimedGrid(InProcessGrid):
    seconds, longest = 0.0, 0

    def _call(self, message: Message) -> Message:
        begun = time.process_time()
        reply = super()._call(message)
        self.seconds += time.process_time() - begun
        arrays = [array for record in reply.content.array_records.values() for array in record.values()]
        self.longest = max(self.longest, sum(len(array.data) for array in arrays))
        return reply


def flowers(updates: dict[int, np.ndarray], weights: dict[int, int]) -> tuple[float, np.ndarray]:
    """Seconds of a client with Flower's shipped mod, and the mean; own masks are taken out of the clients' state."""
    from flwr.client.mod import secaggplus_mod
    from flwr.common import Code, FitRes, Status, bytes_to_ndarray, ndarrays_to_parameters
    from flwr.common.secure_aggregation.quantization import dequantize
    from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
    from flwr.compat.common.recorddict_compat import fitres_to_recorddict

    nodes = list(updates)
    contexts = {node: Context(1, node, {}, RecordDict(), {}) for node in nodes}
    seconds = 0.0

    def ask(node: int, **entries: Any) -> Any:
        nonlocal seconds

        def train(message: Message, context: Context) -> Message:
            parameters = ndarrays_to_parameters([updates[node]])
            result = FitRes(Status(Code.OK, ""), parameters, num_examples=weights[node], metrics={})
            return Message(fitres_to_recorddict(result, keep_input=True), reply_to=message)

        message = Message(RecordDict({"secaggplus_configs": ConfigRecord(entries)}), node, "train")
        begun = time.process_time()
        reply = secaggplus_mod(message, contexts[node], train)
        seconds += time.process_time() - begun
        return reply.content.config_records["secaggplus_configs"]

    terms = {
        "sample_num": len(nodes), "share_num": len(nodes), "threshold": 2 * len(nodes) // 3 + 1,
        "clipping_range": CLIP, "target_range": LEVELS, "mod_range": MODULUS, "max_weight": MAX_WEIGHT,
    }  # fmt: skip
    keys = {node: ask(node, stage="setup", **terms) for node in nodes}
    publics = {str(node): [keys[node]["pk1"], keys[node]["pk2"]] for node in nodes}
    shared = {node: ask(node, stage="share_keys", **publics) for node in nodes}
    total: list[Any] = [0, 0]
    for node in nodes:
        others = [other for other in nodes if other != node]
        texts = [dict(zip(shared[o]["dsts"], shared[o]["ctxts"], strict=True))[node] for o in others]
        masked = ask(node, stage="collect_masked_vectors", srcs=others, ctxts=texts)["masked_params"]
        vector = [bytes_to_ndarray(part) for part in masked]
        seed: Any = contexts[node].state.config_records["secaggplus_state"]["rd_seed"]
        own = pseudo_rand_gen(seed, MODULUS, [part.shape for part in vector])
        total = [(so_far + part - mask) % MODULUS for so_far, part, mask in zip(total, vector, own, strict=True)]
    for node in nodes:
        ask(node, stage="unmask", active_nids=nodes, dead_nids=[])
    [values] = dequantize([total[1]], CLIP, LEVELS)
    mean = (values - (len(nodes) - 1) * CLIP) * LEVELS / float(total[0][0] if np.ndim(total[0]) else total[0])
    return seconds / len(nodes), mean


if __name__ == "__main__":
    main()
