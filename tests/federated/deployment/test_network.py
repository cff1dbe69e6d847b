"""A client learns in a second what Flower would try again and again: who answers there, and whether to trust him."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from core_model.errors import OptionUnfit
from federated.deployment.certificates import CertificateUnfit
from federated.deployment.network import (
    Address,
    ServerUnreachable,
    ServerUntrusted,
    free_port,
    refuse_taken_port,
    refuse_untrusted_server,
)
from tests.federated.deployment.listeners import listening, made_certificates


def test_the_server_of_our_authority_is_trusted(tmp_path: Path) -> None:
    files = made_certificates(tmp_path)
    with listening(files) as server:
        refuse_untrusted_server(server, files.authority)


def test_a_server_of_another_authority_is_not(tmp_path: Path) -> None:
    ours, theirs = made_certificates(tmp_path / "ours"), made_certificates(tmp_path / "theirs")
    with listening(theirs) as server, pytest.raises(ServerUntrusted, match="was not signed by"):
        refuse_untrusted_server(server, ours.authority)


def test_plain_text_is_not(tmp_path: Path) -> None:
    with listening(None) as server, pytest.raises(ServerUntrusted, match="does not speak TLS"):
        refuse_untrusted_server(server, made_certificates(tmp_path).authority)


def test_an_expired_certificate_is_named_as_such(tmp_path: Path) -> None:
    files = made_certificates(tmp_path, days=-0.01)
    with listening(files) as server, pytest.raises(CertificateUnfit, match="has expired"):
        refuse_untrusted_server(server, files.authority)


def test_a_certificate_for_another_name_is_named_as_such(tmp_path: Path) -> None:
    files = made_certificates(tmp_path, "federation.example.org")
    with listening(files) as server, pytest.raises(ServerUntrusted, match="is for another name"):
        refuse_untrusted_server(server, files.authority)


def test_an_address_where_nobody_is(tmp_path: Path) -> None:
    nobody = Address("127.0.0.1", free_port())
    with pytest.raises(ServerUnreachable, match="nobody answers"):
        refuse_untrusted_server(nobody, made_certificates(tmp_path).authority)


def test_a_port_in_use_is_refused_with_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OptionUnfit, match=rf"cannot listen on 127\.0\.0\.1:{port}(.|\n)*--port \d+"):
            refuse_taken_port("127.0.0.1", port)
    refuse_taken_port("127.0.0.1", port)


@pytest.mark.parametrize(
    ("text", "host", "port"), [("a.example.org:8000", "a.example.org", 8000), ("[::1]:9", "::1", 9)]
)
def test_addresses_are_read_and_written(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, str(address)) == (host, port, text)


@pytest.mark.parametrize("text", ["https://a.example.org:8000", "a.example.org", ":8000", "a:0", "a:70000", "a:b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(OptionUnfit, match="HOST:PORT"):
        Address.parse(text)
