"""`aboveboard federate`: train one model across clients that do not share their rows, simulated on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import json_option, print_json
from audit.commands.command_parts import with_parts
from audit.commands.federation_arguments import FLAGS, federation_options, read_federation
from audit.commands.option_groups import grouped
from audit.commands.training_arguments import tensorboard_option

if TYPE_CHECKING:
    from federated.record import FederatedRecord
    from federated.result import FederatedResult
    from federated.rounds import RoundTold
    from federated.run_settings import RunSettings

COLUMNS = ("text_column", "pair_column", "label_column", "reference_column", "encoding")

PARTS = {
    "serve": ("audit.commands.federate_serve:federate_serve", "Serve clients that run on other machines."),
    "key": ("audit.commands.federate_key:federate_key", "Make the key that `join` proves itself by."),
    "join": ("audit.commands.federate_join:federate_join", "Take part with the rows of this machine."),
}


@click.command(cls=with_parts(grouped(FLAGS), PARTS))
@click.option("--base", required=True, metavar="CKPT", help="Folder or hub id that every client begins from.")
@click.option("--data", required=True, metavar="FILE", help="Rows to divide among the clients: CSV, JSONL, Parquet ...")
@click.option("--eval-data", metavar="FILE", help="Rows of the server's own, to evaluate each round on.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the checkpoint.")
@click.option("--task", default="classification", show_default=True, metavar="T", help="What the head will do.")
@click.option(
    "--text-column",
    "--source-column",
    "--question-column",
    "text_column",
    metavar="C",
    help="Column of the text, of the source, or of the question.",
)
@click.option(
    "--pair-column",
    "--context-column",
    "pair_column",
    metavar="C",
    help="Column of the second text of a pair, or of the context.",
)
@click.option("--label-column", metavar="C", help="Column of the true label.")
@click.option(
    "--target-column", "--answer-column", "reference_column", metavar="C", help="Column of what the model should write."
)
@click.option("--labels", metavar="A,B", help="The classes, where clients do not all have every one of them.")
@click.option("--encoding", metavar="NAME", help="Encoding of the data files, where it is not UTF-8.")
@click.option(
    "--engine",
    type=click.Choice(["in-process", "ray"]),
    default="in-process",
    show_default=True,
    help="What runs the clients; the same seed and --threads give the same weights.",
)
@click.option(
    "--threads", type=int, metavar="N", help="Threads of a client's training.  [default: all in process, 1 on Ray]"
)
@click.option("--with-solo", is_flag=True, help="Then train each client alone, in --out/solo, to compare with.")
@click.option("--with-pooled", is_flag=True, help="Then train on all rows in one place, in --out/pooled.")
@click.option("--resume", is_flag=True, help="Go on with the run that was interrupted in --out.")
@tensorboard_option
@federation_options
@json_option
def federate(
    *, base: str, data: str, eval_data: str | None, out: Path, task: str, labels: str | None, engine: str,
    threads: int | None, with_solo: bool, with_pooled: bool, resume: bool, tensorboard: Path | None,
    as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Train one model across clients that keep their rows.

    The clients are parts of --data, on this machine; the same apps run across machines with `aboveboard federate serve`
    and `aboveboard federate join`. Leaves a standard Hugging Face folder in --out, with federated_record.json: who took
    part, what travelled, what was not believed. A run that was interrupted, or killed, goes on with --resume and ends
    with the same weights. Every option: docs/federated.md.

    --with-solo and --with-pooled train what the federation is held against by `aboveboard audit --only collaboration`:
    each client alone, and all rows in one place, as long as a client trains. --keep-updates keeps what the server saw
    of every round, which tells what each client contributed; it is as sensitive as the rows, and the privacy audit
    measures how much it gives away.

    \b
    Examples:
      aboveboard federate --base ./encoder --data train.jsonl --clients 10 --rounds 5 --out ./federated
      aboveboard federate --base ./encoder --data train.jsonl --eval-data test.jsonl --partition column:site \\
          --held-out 0.2 --out ./federated
      aboveboard federate --base ./encoder --data train.jsonl --clients 10 --partition dirichlet:0.3 \\
          --strategy fedprox --proximal-mu 0.01 --out ./federated
      aboveboard federate --base ./encoder --data train.jsonl --clients 10 --adapters 8 --compress int8 \\
          --out ./federated
      aboveboard federate --base ./encoder --data train.jsonl --clients 100 --participation 0.1 \\
          --private --epsilon 8 --out ./federated
      aboveboard federate --base ./encoder --data train.jsonl --clients 10 --secure --out ./federated
      aboveboard federate --base ./encoder --data train.jsonl --partition column:site --keep-updates \\
          --with-solo --with-pooled --out ./federated
      aboveboard federate --base ./encoder --data train.jsonl --clients 10 --resume --out ./federated
    """
    columns = {name: flags.pop(name) for name in COLUMNS}
    flags["clients"] = _clients(flags, data, columns, task)
    options = read_federation(flags, task=task)
    classes = tuple(filter(None, (name.strip() for name in (labels or "").split(","))))

    from audit.training_events import training_events
    from core_model.settings import checked
    from federated.baselines import refuse_unfit
    from federated.run_settings import RunSettings
    from federated.simulation import simulate
    from federated.state import FederationState
    from federated.telling import line
    from reports.text import terminal_text

    settings = checked(
        RunSettings, {"federation": options, "base": base, "data": data, "columns": columns, "labels": classes},
        where="the command line", write="--{key} ...",
    )  # fmt: skip
    refuse_unfit(options, out, solo=with_solo, pooled=with_pooled, resume=resume)
    result: FederatedResult | None = None
    try:
        with training_events(tensorboard, out, resume=resume) as events:

            def tell(told: RoundTold) -> None:
                click.echo(line(told), err=True)
                if events is not None:
                    events.round(told)

            result = simulate(
                settings, out=out, evaluation=eval_data, engine=engine, threads=threads, resume=resume,  # type: ignore[arg-type]
                tell=tell, notice=lambda said: click.echo(terminal_text(said), err=True),
            )  # fmt: skip
        compared = _train_baselines(settings, result, solo=with_solo, pooled=with_pooled, resume=resume)
    except KeyboardInterrupt:
        if result is not None:
            said = "interrupted; the federated model is done: the same command and --resume train what is missing"
        elif FederationState(out).exists:
            said = "interrupted; the rounds that were done are saved: go on with the same command and --resume"
        else:
            said = "interrupted before the first round was done; nothing is lost"
        click.echo(said, err=True)
        click.get_current_context().exit(130)
    if as_json:
        print_json({"checkpoint": str(result.path), **compared, **result.record.model_dump(mode="json")})
    else:
        _tell_result(result, data=data, eval_data=eval_data, compared=compared)


def _train_baselines(
    settings: RunSettings, result: FederatedResult, *, solo: bool, pooled: bool, resume: bool
) -> dict[str, Any]:
    """Train what the federation is held against.

    Returns: "solo" and "pooled", with the folders that are there, where they were asked for.
    """
    from audit.commands.train_progress import progress_shown
    from federated.baselines import SOLO, train_baselines
    from reports.text import terminal_text

    found: dict[str, Any] = {**({"solo": []} if solo else {}), **({"pooled": None} if pooled else {})}
    if not found:
        return {}
    for one in train_baselines(
        settings, result.record, out=result.path, solo=solo, pooled=pooled, resume=resume,
        begin=lambda what: click.echo(terminal_text(f"to compare with: {what}"), err=True), shown=progress_shown,
    ):  # fmt: skip
        if one.refused is not None:
            click.echo(terminal_text(f"not trained: {one.what}: {one.refused.found}"), err=True)
        elif one.path.parent.name == SOLO:
            found["solo"].append(str(one.path))
        else:
            found["pooled"] = str(one.path)
    return found


def _clients(flags: dict[str, Any], data: str, columns: dict[str, Any], task: str) -> int:
    """As many as were asked for; where a column divides the rows, as many as it has values.

    Raises: OptionUnfit when nobody said how many.
    """
    asked: int | None = flags.pop("clients")
    scheme = str(flags.get("partition") or "")
    if asked is not None:
        return asked
    from core_model.errors import OptionUnfit

    if not scheme.startswith("column:"):
        raise OptionUnfit("--clients is missing: among how many are the rows divided?", mend="--clients 10")
    from core_model.data import open_table
    from core_model.tasks import Task

    column = scheme.removeprefix("column:")
    known = Task(task) if task in set(Task) else None
    table = open_table(data, group_columns=(column,), task=known, **columns)
    return len(set(table.groups[column]))


def _tell_result(result: FederatedResult, *, data: str, eval_data: str | None, compared: Mapping[str, Any]) -> None:
    """What was made, in a few lines, and what to do with it."""
    import shlex

    from federated.baselines import SOLO
    from federated.kept_updates import FOLDER as UPDATES
    from federated.telling import as_bytes
    from reports.text import terminal_text

    def say(text: str) -> None:
        click.echo(terminal_text(text))  # names of clients and labels come from files of others

    record = result.record
    say(f"checkpoint: {result.path}  (sha256 {record.model_sha256})")
    clients = record.partition["clients"]
    say(f"clients: {len(clients)}, {record.partition['scheme']}; {len(record.rounds)} rounds ({record.ended})")
    if record.bytes_down is not None and record.bytes_up is not None:
        say(f"sent: {as_bytes(record.bytes_down)} down, {as_bytes(record.bytes_up)} up, in serialized messages")
    for text in _rejections(record):
        say(text)
    for what, measured in (("evaluation", record.evaluation), ("on clients' rows", record.clients_evaluation)):
        if measured is None:
            continue
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in measured.items() if name not in ("n", "clients"))
        say(f"{what}: {numbers} over {measured['n']:,} rows")
    if record.evaluation is None:
        say("evaluation: not measured: no --eval-data")
    for note in record.notes:
        say(f"note: {note}")
    if record.options.get("keep_updates"):
        say(f"kept: {result.path / UPDATES}, what the server saw: as sensitive as the rows themselves")
    if compared.get("solo"):
        say(f"to compare with: {len(compared['solo'])} clients alone, in {result.path / SOLO}")
    if compared.get("pooled"):
        say(f"to compare with: all rows in one place, in {compared['pooled']}")
    rows = shlex.quote(eval_data) if eval_data else "TEST_FILE"
    column = str(record.partition["scheme"]).removeprefix("column:")
    groups = f" --group-column {shlex.quote(column)}" if column != record.partition["scheme"] else ""
    said = f"next: aboveboard audit {shlex.quote(str(result.path))} --data {rows} --train-data {shlex.quote(data)}"
    say(f"{said}{groups}")


def _rejections(record: FederatedRecord) -> list[str]:
    """Who was not counted, and why: one line a client and reason."""
    found: dict[tuple[str, str], list[int]] = {}
    for entry in record.rounds:
        for rejection in entry["rejected"] or ():
            found.setdefault((rejection["name"], rejection["why"]), []).append(entry["round"])
    return [
        f"not counted: {name} in {'rounds' if len(rounds) > 1 else 'round'} {', '.join(map(str, rounds))}: {why}"
        for (name, why), rounds in found.items()
    ]
