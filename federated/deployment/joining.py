"""The whole way of a client: its key, a look at the server, and a SuperNode that is kept running."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core_model.errors import DataMissing
from federated.deployment.certificates import check_authority
from federated.deployment.network import Address, ServerUnreachable, refuse_untrusted_server
from federated.deployment.node_keys import ensure_node_key
from federated.deployment.processes import wait_until
from federated.deployment.supernode import SuperNode
from federated.deployment.supervisor import PATIENCE_SECONDS, Supervisor
from federated.deployment.toml_text import Scalar

Tell = Callable[[str], None]


def prepare_client(
    home: Path, *, server: Address, authority: Path, data: Path, base: str | None, name: str | None,
    roster: Path | None = None, least_survivors: int | None = None,
) -> SuperNode:  # fmt: skip
    """A client's program, ready to start; its key is made where there is none.

    Args:
        home: folder that outlives it: its key, its logs, what stays with it (personal head, ledger).
        data: its own rows, which never leave this machine.
        base: its copy of the checkpoint that all begin from; None: under the name that the server has for it.
        name: shown in the server's record.
        roster: the clients' public keys: updates leave under masks whose keys these have signed, or not at all.
        least_survivors: clients that a sum must hold for this one to take part.
    Raises: NodeKeyUnfit, CertificateUnfit, DataMissing, OptionUnfit (a roster that is none), OutputUnwritable.
    """
    home = home.absolute()
    check_authority(authority)
    if not data.is_file():
        raise DataMissing(f"{data} is not there", mend="the file of this client's rows with --data")
    config: dict[str, Scalar] = {"data": str(data.absolute()), "home": str(home / "kept")}
    if base is not None:
        config["base"] = str(Path(base).absolute()) if Path(base).exists() else base
    if name is not None:
        config["name"] = name
    key = ensure_node_key(home)
    if roster is not None:
        from federated.secure_aggregation.identity import KEY, ROSTER, identity_of

        config |= {KEY: str(key.private), ROSTER: str(roster.absolute())}
        identity_of(config)  # a roster that is none, or lacks this client, is told now and not in the first round
    if least_survivors is not None:
        from federated.secure_aggregation.identity import MINIMUM

        config[MINIMUM] = least_survivors
    return SuperNode(home, server, authority.absolute(), key, config)


def join(node: SuperNode, *, wait: float, tell: Tell, patience: float = PATIENCE_SECONDS) -> None:
    """Take part until told to stop.

    Args:
        wait: seconds to wait for the server to answer at all.
    Raises: ServerUnreachable, ServerUntrusted, CertificateUnfit, NodeKeyUnfit, ProgramFailed.
    """
    tell(f"this client's key: {node.key.public}, {node.key.fingerprint}")
    await_server(node.server, node.authority, wait=wait, tell=tell)
    Supervisor(node.start, key=node.key.fingerprint, tell=tell, patience=patience).run()


def await_server(server: Address, authority: Path, *, wait: float, tell: Tell) -> None:
    """Wait until the server answers, and proves that it is the one.

    Raises: ServerUnreachable after `wait` seconds; ServerUntrusted and CertificateUnfit at once.
    """

    def answers() -> bool:
        try:
            refuse_untrusted_server(server, authority)
        except ServerUnreachable:
            return False
        return True

    if answers():
        return
    tell(f"nobody answers at {server} yet; waiting for {wait:.0f} s")
    if not wait_until(answers, seconds=wait, poll=2.0):
        refuse_untrusted_server(server, authority)
