"""`aboveboard federate join`: take part in a federation with the rows of this machine."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("join")
@click.option("--server", metavar="HOST:PORT", required=True, help="The federation's server.")
@click.option("--authority", type=click.Path(path_type=Path), metavar="FILE", required=True,
              help="authority.crt, by which the server is recognised; from whoever runs it.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE", required=True,
              help="This client's rows; they stay here.")  # fmt: skip
@click.option("--base", metavar="CKPT", help="This client's copy of the base. Default: the name the server has for it.")
@click.option("--name", metavar="NAME", help="Shown in the server's record.")
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), default="federation-client",
              show_default=True, metavar="DIR", help="This client's key, logs, and what stays with it.")  # fmt: skip
@click.option("--roster", type=click.Path(path_type=Path), metavar="FILE",
              help="Public keys of all clients, one a line, by a way that is not the server's. Updates then leave "
                   "under masks whose keys these have signed (--secure), or not at all.")  # fmt: skip
@click.option("--least-survivors", type=click.IntRange(min=2), metavar="N",
              help="Take part in no secure round whose sum may hold fewer clients.")  # fmt: skip
@click.option("--wait", type=click.FloatRange(min=0), default=3600.0, show_default=True, metavar="S",
              help="Seconds to wait for the server to answer.")  # fmt: skip
@click.option("--patience", type=click.FloatRange(min=0), default=150.0, show_default=True, metavar="S",
              help="Seconds after which a refusal is believed.")  # fmt: skip
def federate_join(
    *, server: str, authority: Path, data: Path, base: str | None, name: str | None, home: Path,
    roster: Path | None, least_survivors: int | None, wait: float, patience: float,
) -> None:  # fmt: skip
    """Take part in a federation with the rows of this machine.

    Starts Flower's SuperNode, and starts it again whenever it dies, until Ctrl-C. The rows stay here: what leaves is
    the updates of the model, losses, names of labels, and how many rows there are of each (these numbers not with
    --secure or --private). The server can make this client run the aboveboard that is installed here, and no other
    program. The key is made when there is none (`aboveboard federate key`). More: docs/federation-deployment.md.

    \b
    Examples:
      aboveboard federate join --server federation.example.org:8000 --authority authority.crt --data rows.jsonl \\
          --base ./encoder --name "hospital north"
      aboveboard federate join --server federation.example.org:8000 --authority authority.crt --data rows.jsonl \\
          --roster clients.pub --least-survivors 4
    """
    from federated.deployment.joining import join, prepare_client
    from federated.deployment.network import Address
    from federated.deployment.signals import terminate_as_interrupt
    from reports.text import terminal_text

    def tell(text: str) -> None:
        click.echo(terminal_text(text), err=True)

    address = Address.parse(server)
    node = prepare_client(
        home, server=address, authority=authority, data=data, base=base, name=name, roster=roster,
        least_survivors=least_survivors,
    )  # fmt: skip
    with terminate_as_interrupt():
        join(node, wait=wait, tell=tell, patience=patience)
