"""A federation on Flower's Ray engine, run by us and by Flower's own strategy loop: the same clients' work, in turns.

Fifty clients of a tiny new encoder on RedditBias comments, five rounds of one epoch. Both run the same training on the
same rows; ours adds proof, screening, state on disk and record. A round is timed from the end of the one before; the
first two of each run, in which the processes load, are left out. Bare Flower and ours take turns, twice each, so that a
busy machine slows both; the ratio is of medians. Every client computes with one thread.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.figures import Figure
from core_model.embedded import LABEL_NAMES, load_redditbias
from federated.environment import quiet_flower
from federated.options import FederationOptions, LocalOptions
from federated.run_settings import RunSettings
from federated.simulation import simulate

quiet_flower()

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.serverapp import Grid, ServerApp  # noqa: E402
from flwr.serverapp.strategy import FedAvg  # noqa: E402

CLIENTS, ROUNDS, LOADING, TURNS = 50, 5, 2, 2
ROWS = 2_000


def beside_flower() -> list[Figure]:
    """Time of a client in a round on Ray, ours over bare Flower's; and whether both engines give the same weights."""
    ours, bare, hashes, apart = [], [], set(), 0.0
    with tempfile.TemporaryDirectory(prefix="benchmark-federated-") as folder:
        settings = _settings(Path(folder))
        for turn in range(TURNS):
            weights, seconds = _bare(settings)
            bare += seconds
            model, sha256, seconds = _ours(settings, Path(folder) / f"ray-{turn}", "ray")
            ours += seconds
            hashes.add(sha256)
            apart = max(float(np.abs(model[name] - weights[name]).max()) for name in weights)
        _, in_process, alone = _ours(settings, Path(folder) / "in-process", "in-process")
    unit = f"ms per client and round, {CLIENTS} clients, Ray"
    return [
        Figure("ray_ours", round(1000 * median(ours), 2), unit),
        Figure("ray_bare_flower", round(1000 * median(bare), 2), unit),
        Figure("ray_ratio", round(median(ours) / median(bare), 3), "ours over bare Flower's", "at most 1.1"),
        Figure("in_process_same_work", round(1000 * median(alone), 2), f"{unit[: -len(', Ray')]}, in process"),
        Figure("same_weights", float(hashes == {in_process}), "1: both engines give the same bits", "1"),
        Figure("apart_from_flower", apart, "largest difference of a weight from bare Flower's", "rounding"),
    ]


def _settings(folder: Path) -> RunSettings:
    import torch
    from transformers import AutoModelForSequenceClassification

    from core_model.architectures import Architecture
    from core_model.tokenizer_training import train_tokenizer

    comments = load_redditbias()[:ROWS]
    shape = Architecture(layers=1, hidden=32, heads=2, vocabulary=1000, max_length=64)
    tokenizer = train_tokenizer([comment.text for comment in comments], shape)
    torch.manual_seed(0)
    config = shape.config(vocabulary=len(tokenizer), labels=LABEL_NAMES)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    rows = [{"text": comment.text, "label": comment.label} for comment in comments]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    options = FederationOptions(clients=CLIENTS, rounds=ROUNDS, batch_size=16, learning_rate=1e-3)
    return RunSettings(federation=options, base=str(folder / "base"), data=str(folder / "rows.jsonl"))


def _ours(settings: RunSettings, out: Path, engine: Any) -> tuple[dict[str, np.ndarray], str | None, list[float]]:
    from safetensors.numpy import load_file

    ends: list[float] = []
    result = simulate(settings, out=out, engine=engine, threads=1, tell=lambda told: ends.append(time.perf_counter()))
    return load_file(out / "model.safetensors"), result.record.model_sha256, _seconds(ends)


def _bare(settings: RunSettings) -> tuple[dict[str, np.ndarray], list[float]]:
    """Flower's own loop and strategy around the same training."""
    from flwr.simulation import run_simulation

    from federated.workbench import forget_workbench, workbench

    logging.getLogger("flwr").setLevel("ERROR")
    first = ArrayRecord({name: _array(array) for name, array in workbench(settings).shared.items()})
    forget_workbench()
    server, found = ServerApp(), {}
    strategy = _timed(lambda ends: found.update(seconds=_seconds(ends)))

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        result = strategy.start(grid=grid, initial_arrays=first, num_rounds=ROUNDS)
        found["weights"] = {name: array.numpy() for name, array in result.arrays.items()}

    run_simulation(
        server, _app(settings), CLIENTS,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"logging_level": "ERROR", "log_to_driver": False, "include_dashboard": False},
        },
    )  # fmt: skip
    return found["weights"], found["seconds"]


def _timed(done: Callable[[list[float]], object]) -> FedAvg:
    """FedAvg that notes when each round ends."""

    class Timed(FedAvg):
        ends: list[float] = []  # noqa: RUF012  # one object of it is made

        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            found = super().aggregate_train(server_round, replies)
            self.ends.append(time.perf_counter())
            done(self.ends)
            return found

    return Timed(fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=CLIENTS, min_available_nodes=CLIENTS)


def _app(settings: RunSettings) -> ClientApp:
    """What the clients of a plain Flower app do: load the model, train, send the model back."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        from federated.arrays import add, of_record
        from federated.local_training import train_locally
        from federated.workbench import workbench

        start = of_record(message.content.array_records["arrays"])
        options = settings.federation
        local = LocalOptions(
            round=int(message.content.config_records["config"]["server-round"]), epochs=1,
            batch_size=options.batch_size, learning_rate=options.learning_rate, weight_decay=options.weight_decay,
            clip_norm=options.clip_norm, seed=options.seed,
        )  # fmt: skip
        result = train_locally(workbench(settings), int(context.node_config["partition-id"]), start, local)
        arrays = ArrayRecord({name: _array(array) for name, array in add(start, result.update).items()})
        metrics = MetricRecord({"num-examples": result.rows, "train_loss": result.loss})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    return app


def _array(array: np.ndarray) -> Any:
    from flwr.app import Array

    return Array(array)


def _seconds(ends: list[float]) -> list[float]:
    """Of each round after those in which processes load, per client."""
    return [(after - before) / CLIENTS for before, after in pairwise(ends)][LOADING - 1 :]
