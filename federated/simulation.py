"""A federation on one machine: every client a part of one file, on one of two engines that give the same weights.

    result = simulate(settings, out="model", evaluation="test.jsonl")

"in-process" calls one client after the other in this process: best for small models and for tests. "ray" is Flower's
own simulation, with a pool of processes. Both run `federated.client:app` and the same server. Sums that several threads
share round in another order: the last bits of the weights depend on the number of threads, not on the engine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core_model.errors import OptionUnfit
from core_model.interrupt import StopRequest
from federated.environment import quiet_flower
from federated.result import FederatedResult
from federated.run_settings import KEY, RunSettings
from federated.state import FederationState

if TYPE_CHECKING:
    from federated.rounds import Tell

Engine = Literal["in-process", "ray"]


def simulate(
    settings: RunSettings,
    *,
    out: str | Path,
    evaluation: str | None = None,
    engine: Engine = "in-process",
    threads: int | None = None,
    resume: bool = False,
    tell: Tell | None = None,
    notice: Callable[[str], None] = lambda said: None,
) -> FederatedResult:
    """Train one model across simulated clients, and leave it in `out`.

    Args:
        settings: `data` names the file that is divided; `home` is set here.
        evaluation: a file of rows that no client has, for the evaluation after each round.
        threads: of a client's computation; None takes all in process, and one on Ray, where clients run side by side.
        resume: take up the run that was interrupted in `out`; begin it where there is none.
        tell: called with a `federated.rounds.RoundTold` after each round.
        notice: told, before the first round, which columns were guessed.
    Raises: as `federated.server.serve`; OptionUnfit when Ray is not installed, or has fewer threads than asked for.
    """
    quiet_flower()
    from core_model.prediction_forward import default_threads, torch_threads
    from federated.grid import InProcessGrid
    from federated.server import serve, simulated_bench

    logging.getLogger("flwr").setLevel(logging.ERROR)  # its import sets another level

    if threads is not None and threads < 1:
        raise OptionUnfit(f"--threads is {threads}", mend="--threads with a whole number, at least 1")
    out = Path(out)
    settings = settings.model_copy(update={"home": FederationState(out).clients})
    bench = simulated_bench(settings, evaluation)  # what is wrong with the input is said before an engine starts
    for what, name in bench.table.guessed.items():
        notice(f"guessed for --data: --{what.replace('_', '-')} {name}")
    told: Tell = tell or (lambda said: None)
    with StopRequest() as stop:
        if engine == "ray":
            from federated.ray_engine import simulate_on_ray

            return simulate_on_ray(
                settings, out=out, evaluation=evaluation, threads=threads or 1, resume=resume, tell=told, stop=stop
            )
        from federated.client import app

        grid = InProcessGrid(
            app, clients=settings.federation.clients, run_config={KEY: settings.to_text()}, stopped=lambda: stop.asked
        )
        threads = threads or default_threads()
        with torch_threads(threads):
            return serve(
                grid, settings, out=out, evaluation=evaluation, threads=threads, resume=resume, engine=engine,
                tell=told, stop=stop,
            )  # fmt: skip
