"""Small servers on loopback, for tests: one that speaks TLS with given certificates, and one that speaks plainly."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from federated.deployment.certificates import Certificates, make_authority, make_server_certificate
from federated.deployment.network import Address


def made_certificates(folder: Path, *hosts: str, days: float = 30) -> Certificates:
    """An authority, and a server certificate for so many days; negative: it ended so long ago."""
    files = Certificates.in_folder(folder)
    make_authority(files)
    make_server_certificate(files, hosts or ("127.0.0.1",), days=days)
    return files


@contextlib.contextmanager
def listening(files: Certificates | None) -> Iterator[Address]:
    """Accepts connections; with TLS where there are certificates, else each gets a line of plain text."""
    context = None
    if files is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(10)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                connection.settimeout(5)
                with connection, contextlib.suppress(OSError):
                    if context is not None:
                        context.wrap_socket(connection, server_side=True).close()
                    else:
                        connection.sendall(b"220 plain text\r\n")

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield Address("127.0.0.1", server.getsockname()[1])
    finally:
        server.close()
