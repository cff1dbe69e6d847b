"""`aboveboard federate key`: the key by which a client proves itself to a federation's server."""

from __future__ import annotations

from pathlib import Path

import click

from audit.commands.arguments import json_option, print_json


@click.command("key")
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), default="federation-client",
              show_default=True, metavar="DIR", help="Folder of the client, as for `join`.")  # fmt: skip
@json_option
def federate_key(*, home: Path, as_json: bool) -> None:
    """Make a client's key, where there is none, and say what to send to whoever runs the server.

    That is the public half alone, node.pub. Compare its fingerprint by another way, such as a telephone.

    \b
    Examples:
      aboveboard federate key
      aboveboard federate key --home ./hospital-north --json
    """
    from federated.deployment.node_keys import ensure_node_key

    key = ensure_node_key(home)
    if as_json:
        print_json({"public_key": str(key.public), "fingerprint": key.fingerprint})
    else:
        click.echo(f"send to whoever runs the server: {key.public}\nfingerprint: {key.fingerprint}")
