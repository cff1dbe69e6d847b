"""Certificates are judged by Python's own TLS, which is OpenSSL, under its strictest rules."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from federated.deployment.certificates import (
    Certificates,
    CertificateUnfit,
    check_authority,
    check_server,
    ensure_certificates,
    make_authority,
    make_server_certificate,
)
from tests.federated.deployment.listeners import made_certificates


def handshake(files: Certificates, host: str, authority: Path) -> None:
    """A TLS handshake in memory, client and server; raises what the client would say."""
    client_context = ssl.create_default_context(cafile=str(authority))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT  # RFC 5280 to the letter
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.certificate, files.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "federation.example.org", "::1"])
def test_a_strict_client_accepts_the_server_under_each_of_its_names(tmp_path: Path, host: str) -> None:
    files = ensure_certificates(tmp_path, ["127.0.0.1", "localhost", "federation.example.org", "::1"])
    handshake(files, host, files.authority)


def test_a_client_refuses_the_server_under_another_name(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path, ["federation.example.org"])
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(files, "elsewhere.example.org", files.authority)


def test_a_client_with_another_authority_refuses_the_server(tmp_path: Path) -> None:
    files, other = made_certificates(tmp_path / "one"), made_certificates(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(files, "127.0.0.1", other.authority)


def test_a_server_certificate_cannot_sign_another(tmp_path: Path) -> None:
    """The chain ends there: a stolen server key makes no new servers."""
    files = made_certificates(tmp_path)
    forged = Certificates(files.certificate, files.key, tmp_path / "forged.crt", tmp_path / "forged.key")
    make_server_certificate(forged, ("127.0.0.1",))
    chain = tmp_path / "chain.crt"
    chain.write_bytes(forged.certificate.read_bytes() + files.certificate.read_bytes())
    offered = Certificates(files.authority, files.authority_key, chain, forged.key)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(offered, "127.0.0.1", files.authority)


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    files = made_certificates(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in (files.key, files.authority_key)} == {0o600}


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    before = ensure_certificates(tmp_path, ["127.0.0.1"]).certificate.read_bytes()
    assert ensure_certificates(tmp_path, ["127.0.0.1"]).certificate.read_bytes() == before


def test_an_expired_server_certificate_is_named_with_its_mend(tmp_path: Path) -> None:
    files = made_certificates(tmp_path, days=-0.01)
    with pytest.raises(CertificateUnfit) as letter:
        ensure_certificates(tmp_path, ["127.0.0.1"])
    assert f"{files.certificate} expired on 20" in letter.value.found
    files.certificate.unlink()
    files.key.unlink()  # as the letter says
    ensure_certificates(tmp_path, ["127.0.0.1"])


def test_an_expired_authority_is_refused_on_both_sides(tmp_path: Path) -> None:
    files = Certificates.in_folder(tmp_path)
    make_authority(files, days=-0.01)
    with pytest.raises(CertificateUnfit, match=r"authority\.crt expired"):
        make_server_certificate(files, ("127.0.0.1",))
    with pytest.raises(CertificateUnfit, match=r"expired(.|\n)*ask whoever runs the server"):
        check_authority(files.authority)


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    files, other = made_certificates(tmp_path / "one"), made_certificates(tmp_path / "other")
    mixed = Certificates(other.authority, other.authority_key, files.certificate, files.key)
    with pytest.raises(CertificateUnfit, match="was not signed by"):
        check_server(mixed, ["127.0.0.1"])


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    files, other = made_certificates(tmp_path / "one"), made_certificates(tmp_path / "other")
    mixed = Certificates(files.authority, files.authority_key, files.certificate, other.key)
    with pytest.raises(CertificateUnfit, match="is not the key of"):
        check_server(mixed, ["127.0.0.1"])


def test_a_name_that_the_certificate_lacks_is_said(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, ["127.0.0.1"])
    with pytest.raises(CertificateUnfit, match=r"is for 127\.0\.0\.1, not for new\.example\.org"):
        ensure_certificates(tmp_path, ["new.example.org"])


@pytest.mark.parametrize(
    "content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "authority.crt"
    path.write_bytes(content)
    with pytest.raises(CertificateUnfit, match="is no PEM certificate"):
        check_authority(path)


def test_a_missing_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateUnfit, match=r"nowhere\.crt cannot be read"):
        check_authority(tmp_path / "nowhere.crt")
