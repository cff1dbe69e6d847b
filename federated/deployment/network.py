"""What can be found out before anything starts: whether a port is free, and whether a server is the one that we trust.

Flower's own SuperNode tries for ever to reach a server whose certificate it refuses; asking first gives a clear word.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from core_model.errors import BadInput, OptionUnfit
from federated.deployment.certificates import CertificateUnfit

CONNECT_SECONDS = 5.0
EXPIRED, WRONG_NAME = 10, (62, 64)  # OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH


class ServerUnreachable(BadInput):
    """Nobody answers at the server's address."""


class ServerUntrusted(BadInput):
    """Somebody answers at the server's address, but not the server that we trust."""


@dataclass(frozen=True)
class Address:
    """A host and a port, as `host:port` or `[v6]:port`."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """From text.

        Raises: OptionUnfit.
        """
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or "/" in text or not port.isdecimal() or not 0 < int(port) < 65536:
            raise OptionUnfit(
                f"{text!r} is no address of a server", mend="HOST:PORT without https://, as federation.example.org:8000"
            )
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def refuse_taken_port(host: str, port: int) -> None:
    """Whether a server may listen here.

    Raises: OptionUnfit when the port is in use, not allowed, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn: a port that was just left is free
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise OptionUnfit(
                f"cannot listen on {Address(host, port)} ({error.strerror or error})",
                mend=f"another --port, as --port {free_port(host)}, or end the program that uses this one",
            ) from error


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody uses now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    except OSError:  # an address that is not this machine's
        return free_port()


def refuse_untrusted_server(server: Address, authority: Path, *, seconds: float = CONNECT_SECONDS) -> None:
    """Whether a server answers that proves to be the one whose authority we were given.

    Raises: ServerUnreachable when nobody answers; ServerUntrusted for plain text, or a certificate of another
        authority or for another name; CertificateUnfit for an expired one.
    """
    context = ssl.create_default_context(cafile=str(authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        with (
            socket.create_connection((server.host, server.port), timeout=seconds) as connection,
            context.wrap_socket(connection, server_hostname=server.host),
        ):
            return
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(server, authority, error) from error
    except ssl.SSLError as error:
        raise ServerUntrusted(
            f"{server} does not speak TLS ({error.reason}); nothing was sent to it",
            mend="the address of the server of this federation",
        ) from error
    except OSError as error:
        raise ServerUnreachable(
            f"nobody answers at {server} ({error.strerror or error})",
            mend="start the server, or give its address with --server",
        ) from error


def _untrusted(server: Address, authority: Path, error: ssl.SSLCertVerificationError) -> BadInput:
    if error.verify_code == EXPIRED:
        return CertificateUnfit(
            f"the certificate of {server} has expired", mend="ask whoever runs the server to renew server.crt"
        )
    if error.verify_code in WRONG_NAME:
        return ServerUntrusted(
            f"the certificate of {server} is for another name ({error.verify_message})",
            mend="the address that the server's operator named, or ask for a certificate with this name",
        )
    return ServerUntrusted(
        f"the certificate of {server} was not signed by {authority} ({error.verify_message}); nothing was sent to it",
        mend="the authority.crt of this federation with --authority, from whoever runs the server",
    )
