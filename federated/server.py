"""The server: a Flower ServerApp around the round shell. In a deployment `federated.server:app` is what SuperExec runs.

Run configuration: `federation` (RunSettings as JSON), `out` (folder of the result), `eval-data` (a file of the
server's own, optional), `resume` (true to take up an interrupted run), `wait` (seconds for the clients to connect).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.errors import OutputUnwritable
from core_model.files import writable_folder
from core_model.interrupt import StopRequest
from core_model.training_state import refuse_other_run
from federated.alone import alone
from federated.arrays import subtract
from federated.environment import quiet_flower
from federated.ledger import BudgetSpent
from federated.personal import NOTE
from federated.promised import refuse_told
from federated.record import FederatedRecord, all_versions, describe_partition, describe_rows, read_federated_record
from federated.result import FederatedResult, publish
from federated.run_settings import KEY, RunSettings, settings_of
from federated.state import FederationState, Progressed
from federated.strategies import refuse_unfit

quiet_flower()

from flwr.app import ConfigRecord, Context  # noqa: E402
from flwr.serverapp import Grid, ServerApp  # noqa: E402

from federated.roster import ClientsGone, Roster, refuse_differing_labels  # noqa: E402
from federated.rounds import Rounds, RoundTold, Tell  # noqa: E402

if TYPE_CHECKING:
    from federated.workbench import Workbench

WAIT_SECONDS = 600.0  # for clients to connect

app = ServerApp()
log = logging.getLogger("aboveboard")


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train across the clients that the grid shows, and leave the result in `out`."""
    config: Mapping[str, Any] = context.run_config
    settings = settings_of(config, {})
    with StopRequest() as stop:
        serve(
            grid, settings, out=Path(str(config["out"])), evaluation=str(config.get("eval-data") or "") or None,
            resume=bool(config.get("resume", False)), engine="deployment", tell=_log_round, stop=stop,
            wait=float(config.get("wait", WAIT_SECONDS)),
        )  # fmt: skip


def serve(
    grid: Grid,
    settings: RunSettings,
    *,
    out: Path,
    evaluation: str | None,
    resume: bool,
    engine: str,
    tell: Tell,
    stop: StopRequest,
    threads: int | None = None,
    wait: float = WAIT_SECONDS,
    clients_know: bool = True,
) -> FederatedResult:
    """All rounds of a run, or those that are left of it.

    Args:
        evaluation: a file of rows for the server.
        threads: of a simulated client's computation, for the record.
        clients_know: whether the clients have the settings from their run's configuration; else each message has them.
    Raises: BadInput of every kind before the first round where it can be known; ClientsGone with the last good model
        kept in `out`; KeyboardInterrupt after Ctrl-C, with the last round set down.
    """
    from core_model.training_meter import Meter
    from federated.workbench import workbench

    options, state = settings.federation, FederationState(out)
    refuse_unfit(options)
    refuse_told(options)
    if done := already_done(settings, out, state, evaluation, resume=resume):
        return done
    config = ConfigRecord({} if clients_know else {KEY: settings.to_text()})
    if settings.data is not None:
        bench = simulated_bench(settings, evaluation)
        roster = Roster(grid, options, config=config, wait=wait, stopped=lambda: stop.asked)
    else:
        roster = Roster(grid, options, config=config, wait=wait, stopped=lambda: stop.asked)
        labels = settings.labels or next(iter(roster.members.values())).labels
        bench = workbench(settings.model_copy(update={"labels": labels}), evaluation)
    roster.agree(base_sha256=bench.base.sha256, labels=tuple(bench.task.labels))
    identity = identity_of(settings, bench)
    writable_folder(out)
    with alone(state.folder, stopped=lambda: stop.asked):
        if done := already_done(settings, out, state, evaluation, resume=resume):  # by whom we waited for
            return done
        progressed, model = Progressed(), bench.shared
        kept: dict[str, np.ndarray] = {}
        if resume and state.exists:
            progressed, model, kept = state.load(identity)
        progressed.sessions += 1
        meter = Meter(options.country, progressed.energy)
        rounds = Rounds(
            options, bench, roster, grid,
            state=state, identity=identity, meter=meter, progressed=progressed, model=model, kept=kept, tell=tell,
            stop=stop,
        )  # fmt: skip

        def finish(ended: str, *, finished: bool) -> FederatedResult:
            progressed.energy = meter.close()
            record = _record(
                settings, bench, rounds, roster, engine=engine, threads=threads, ended=ended, identity=identity
            )
            return publish(bench, rounds.model, record, out, state, finished=finished)

        try:
            rounds.run()
            return finish("the last round", finished=True)
        except (BudgetSpent, ClientsGone) as gone:
            if progressed.round:
                finish(gone.found, finished=False)
            raise
        finally:
            meter.close()


def simulated_bench(settings: RunSettings, evaluation: str | None) -> Workbench:
    """The process's workbench, once it is known that its rows can be divided as asked.

    Raises: BadInput of every kind that needs no client to be asked.
    """
    from federated.workbench import workbench

    refuse_unfit(settings.federation)
    refuse_told(settings.federation)
    bench = workbench(settings, evaluation)
    if len(bench.parts):  # divides them, or says why not
        refuse_differing_labels(bench)
    return bench


def already_done(
    settings: RunSettings, out: Path, state: FederationState, evaluation: str | None, *, resume: bool
) -> FederatedResult | None:
    """The result that already lies in `out`, when resuming a run that is done.

    Raises: OutputUnwritable when `out` holds what must not be overwritten.
    """
    if out.resolve() == Path(settings.base).resolve():
        raise OutputUnwritable(f"--out {out} is the base itself", mend="name another folder with --out")
    if state.exists and not resume:
        raise OutputUnwritable(
            f"{out} holds an interrupted federated run",
            mend=f"--resume to go on with it, another --out, or remove {state.folder}",
        )
    record = read_federated_record(out)
    if record is None and not state.exists and (out / "config.json").exists():
        raise OutputUnwritable(
            f"{out} holds a checkpoint that this command did not make", mend="name another folder with --out"
        )
    if resume and record is not None and not state.exists:
        from federated.workbench import workbench

        if settings.data is not None:
            refuse_other_run(record.identity, identity_of(settings, workbench(settings, evaluation)), where=out)
        return FederatedResult(out, record)
    return None


def identity_of(settings: RunSettings, bench: Workbench) -> dict[str, Any]:
    """What two sessions must share to be one run."""
    return {
        **settings.federation.that_change_weights(),
        "base_sha256": bench.base.sha256,
        "data_sha256": bench.table.sha256 if settings.data is not None else None,
        "evaluation_data_sha256": bench.evaluation.sha256 if bench.evaluation is not None else None,
        "text_column": bench.table.text_column,
        "pair_column": bench.table.pair_column,
        "reference_column": bench.table.reference_column,
        "label_column": bench.table.label_column,
        "labels": list(bench.task.labels),
    }


def _record(
    settings: RunSettings, bench: Workbench, rounds: Rounds, roster: Roster, *, engine: str, threads: int | None,
    ended: str, identity: dict[str, Any],
) -> FederatedRecord:  # fmt: skip
    from core_model.training_record import tool

    done = rounds.progressed
    last = done.rounds[-1] if done.rounds else {}
    notes = [NOTE] if settings.federation.personalize else []
    seen = rounds.promise.canaries_seen(subtract(rounds.model, bench.shared))
    return FederatedRecord(
        tool=tool(),
        engine=engine,
        threads=threads,
        options=settings.federation.model_dump(mode="json"),
        base={"name": bench.base.name, "sha256": bench.base.sha256},
        data=describe_rows(settings, bench),
        partition=describe_partition(settings, bench, roster.members),
        rounds=done.rounds,
        bytes_down=_total(done.rounds, "bytes_down"),
        bytes_up=_total(done.rounds, "bytes_up"),
        evaluation=last.get("evaluation"),
        clients_evaluation=last.get("clients_evaluation"),
        ended=ended,
        privacy={**rounds.promise.record(), **seen},
        secure=last.get("secure", {}),
        seconds=rounds.seconds,
        sessions=done.sessions,
        energy=done.energy or {},
        versions=all_versions(),
        identity=identity,
        notes=notes,
    )


def _total(rounds: Sequence[Mapping[str, Any]], name: str) -> int | None:
    values = [entry[name] for entry in rounds]
    return None if None in values else sum(values)


def _log_round(told: RoundTold) -> None:
    from federated.telling import line

    log.warning(line(told))
