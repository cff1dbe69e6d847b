"""`aboveboard federate serve`: a federation's server, for clients on other machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from audit.commands.arguments import json_option, print_json
from audit.commands.federation_arguments import FLAGS, federation_options, read_federation
from audit.commands.option_groups import grouped

COLUMNS = ("text_column", "pair_column", "label_column", "reference_column", "encoding")
SERVER = [
    click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
                 help="Where to listen; 0.0.0.0 for every address of this machine."),
    click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Where to listen."),
    click.option("--name", "names", multiple=True, metavar="NAME",
                 help="Name or address by which clients reach this machine; in its certificate."),
    click.option("--home", type=click.Path(path_type=Path, file_okay=False), default="federation-server",
                 show_default=True, metavar="DIR", help="Its certificates, registered keys, database and logs."),
    click.option("--client-keys", multiple=True, type=click.Path(path_type=Path), metavar="PUB|DIR",
                 help="Public keys of the clients, or a folder of them; also looked at while the run lasts."),
    click.option("--wait", type=click.FloatRange(min=1), default=3600.0, show_default=True, metavar="S",
                 help="Seconds to wait for the clients to connect."),
]  # fmt: skip


def server_options(command: Any) -> Any:
    """Where it listens, and for whom."""
    for option in reversed(SERVER):
        command = option(command)
    return command


@click.command("serve", cls=grouped({"Server": SERVER, **FLAGS}))
@click.option("--base", required=True, metavar="CKPT", help="Folder or hub id that every client begins from.")
@click.option("--eval-data", type=click.Path(path_type=Path), metavar="FILE", help="Rows of the server's own.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the checkpoint.")
@click.option("--task", default="classification", show_default=True, metavar="T", help="What the head will do.")
@click.option("--text-column", "--source-column", "--question-column", "text_column", metavar="C",
              help="Column of the text, of the source, or of the question.")  # fmt: skip
@click.option("--pair-column", "--context-column", "pair_column", metavar="C",
              help="Column of the second text of a pair, or of the context.")  # fmt: skip
@click.option("--label-column", metavar="C", help="Column of the true label.")
@click.option("--target-column", "--answer-column", "reference_column", metavar="C",
              help="Column of what the model should write.")  # fmt: skip
@click.option("--labels", metavar="A,B", help="The classes, where clients do not all have every one of them.")
@click.option("--encoding", metavar="NAME", help="Encoding of the data files, where it is not UTF-8.")
@click.option("--resume", is_flag=True, help="Go on with the run that was interrupted in --out.")
@server_options
@federation_options
@json_option
def federate_serve(
    *, base: str, eval_data: Path | None, out: Path, task: str, labels: str | None, resume: bool, host: str, port: int,
    names: tuple[str, ...], home: Path, client_keys: tuple[Path, ...], wait: float, as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Serve a federation whose clients run on other machines with `aboveboard federate join`.

    Starts Flower's SuperLink with TLS, lets in the clients whose keys are named, waits for --clients of them, trains
    and ends. Certificates are made in --home when there are none. A run that was interrupted, or killed, goes on with
    --resume. More: docs/federation-deployment.md.

    \b
    Examples:
      aboveboard federate serve --base ./encoder --clients 3 --rounds 5 --client-keys ./keys --out ./federated
      aboveboard federate serve --base ./encoder --clients 3 --host 0.0.0.0 --name federation.example.org \\
          --client-keys ./keys --min-clients 2 --deadline 600 --out ./federated
      aboveboard federate serve --base ./encoder --clients 3 --client-keys ./keys --resume --out ./federated
    """
    from core_model.errors import OptionUnfit
    from core_model.settings import checked
    from federated.deployment.network import Address
    from federated.deployment.serving import Server
    from federated.deployment.signals import terminate_as_interrupt
    from federated.run_settings import RunSettings
    from reports.text import terminal_text

    for flag in ("partition", "min_rows"):
        if flags.get(flag) is not None:
            raise OptionUnfit(
                f"--{flag.replace('_', '-')} divides one file; here each client has its own", mend="leave it out"
            )
    if flags["clients"] is None:
        raise OptionUnfit("--clients is missing: how many does the run wait for?", mend="--clients 3")
    columns = {column: flags.pop(column) for column in COLUMNS}
    options = read_federation(flags, task=task)
    classes = tuple(filter(None, (name.strip() for name in (labels or "").split(","))))
    base_place = str(Path(base).absolute()) if Path(base).exists() else base
    settings = checked(
        RunSettings, {"federation": options, "base": base_place, "columns": columns, "labels": classes},
        where="the command line", write="--{key} ...",
    )  # fmt: skip

    def tell(text: str) -> None:
        click.echo(terminal_text(text), err=True)  # names and errors of clients are others' words

    hosts = [*names, *([] if host in ("0.0.0.0", "::") else [host])]  # noqa: S104  # what was typed
    with terminate_as_interrupt(), Server(home, hosts=hosts, address=Address(host, port), tell=tell) as server:
        server.register(client_keys)
        server.train(settings, out=out, evaluation=eval_data, resume=resume, wait=wait, keys=client_keys)
    record = json.loads((out / "federated_record.json").read_text(encoding="utf-8"))
    if as_json:
        print_json({"checkpoint": str(out), **record})
    else:
        click.echo(terminal_text(f"checkpoint: {out}  (sha256 {record['model_sha256']})"))
        click.echo(f"next: aboveboard audit {out} --data TEST_FILE")
