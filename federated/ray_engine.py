"""Flower's own simulation, on Ray: a pool of processes that run the clients, and the server in a thread of this one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core_model.errors import OptionUnfit
from core_model.interrupt import StopRequest
from federated.environment import quiet_flower
from federated.result import FederatedResult
from federated.run_settings import RunSettings

LOUDEST = "ERROR"


def simulate_on_ray(
    settings: RunSettings, *, out: Path, evaluation: str | None, threads: int, resume: bool, tell: Any,
    stop: StopRequest,
) -> FederatedResult:  # fmt: skip
    """The run on Flower's simulation engine; see `federated.simulation.simulate`.

    The clients learn what run it is from the messages: Flower's engine hands them no configuration.

    Args:
        threads: of each process; Ray starts as many processes as the cores allow.
    Raises: as `federated.server.serve`; OptionUnfit when Ray is not installed, or for more threads than cores.
    """
    if threads > (cores := os.cpu_count() or 1):
        raise OptionUnfit(
            f"--threads is {threads}, and Ray has {cores} cores: no client would ever start",
            mend=f"--threads of at most {cores}",
        )
    if find_spec("ray") is None:
        raise OptionUnfit(
            "--engine ray needs Ray, which is not installed",
            mend="pip install 'aboveboard[simulation]', or --engine in-process",
        )
    quiet_flower()
    from flwr.app import Context
    from flwr.serverapp import Grid, ServerApp
    from flwr.simulation import run_simulation

    from federated.client import app as client_app
    from federated.server import serve

    logging.getLogger("flwr").setLevel(LOUDEST)
    server_app = ServerApp()
    outcome: list[FederatedResult | BaseException] = []

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        try:
            outcome.append(
                serve(
                    grid, settings, out=out, evaluation=evaluation, threads=threads, resume=resume, engine="ray",
                    tell=tell, stop=stop, clients_know=False,
                )
            )  # fmt: skip
        except BaseException as error:  # it must reach the thread that waits, an interruption too
            outcome.append(error)

    with _inherited({name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}):
        run_simulation(
            server_app,
            client_app,
            settings.federation.clients,
            backend_config={
                "client_resources": {"num_cpus": threads, "num_gpus": 0.0},
                "init_args": {"logging_level": LOUDEST, "log_to_driver": False, "include_dashboard": False},
            },
        )
    if not outcome:
        raise RuntimeError("Flower's simulation ended before the server did")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


@contextmanager
def _inherited(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile: Ray counts threads only where none is set."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
