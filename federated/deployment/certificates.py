"""Certificates of a federation: an authority of its own, and a server certificate that it signed.

The authority's certificate (`authority.crt`) is what clients are given: with it they recognise the server. The
authority's key signs a new server certificate when the old one ends, and nothing else; keep it where only that is done.
Elliptic curve P-384 and SHA-384 (NIST SP 800-57, 192 bits of strength); extensions after RFC 5280.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core_model.errors import BadInput
from core_model.files import write_atomically
from federated.deployment.private_files import write_privately

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397  # what browsers accept at most, and so a habit worth keeping
CLOCK_SKEW = datetime.timedelta(hours=1)  # clocks of clients that are slow


class CertificateUnfit(BadInput):
    """A certificate or its key cannot be used."""


@dataclass(frozen=True)
class Certificates:
    """The files of a server.

    Attributes:
        authority: certificate of the authority, for clients.
        authority_key: its key.
        certificate, key: of the server.
    """

    authority: Path
    authority_key: Path
    certificate: Path
    key: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Certificates:
        """Under their usual names."""
        return cls(folder / "authority.crt", folder / "authority.key", folder / "server.crt", folder / "server.key")


def ensure_certificates(folder: Path, hosts: Sequence[str]) -> Certificates:
    """The certificates in a folder, made where they are missing; what is there is kept, and must be fit.

    Args:
        hosts: names and addresses by which clients reach the server.
    Raises: CertificateUnfit, OutputUnwritable.
    """
    files = Certificates.in_folder(folder)
    if not files.authority.exists():
        make_authority(files)
    if not files.certificate.exists():
        make_server_certificate(files, hosts)
    check_server(files, hosts)
    return files


def make_authority(files: Certificates, *, days: float = AUTHORITY_DAYS) -> None:
    """An authority that may sign server certificates, and no further authorities.

    Raises: OutputUnwritable.
    """
    from cryptography import x509

    key = _new_key()
    name = _name("Aboveboard federation authority")
    builder = (
        _builder(name, name, key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    _write_key(files.authority_key, key)
    _write_certificate(files.authority, _signed(builder, key))


def make_server_certificate(files: Certificates, hosts: Sequence[str], *, days: float = SERVER_DAYS) -> None:
    """A certificate for a server that is reached under `hosts`, signed by the authority of the same folder.

    Raises: CertificateUnfit when the authority cannot sign; OutputUnwritable.
    """
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority, authority_key = read_certificate(files.authority), _read_key(files.authority_key)
    _refuse_ended(authority, files.authority, _new_authority(files))
    key = _new_key()
    builder = (
        _builder(_name(hosts[0]), authority.subject, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    _write_key(files.key, key)
    _write_certificate(files.certificate, _signed(builder, authority_key))


def check_server(files: Certificates, hosts: Sequence[str]) -> None:
    """Whether a server may begin with these files.

    Raises: CertificateUnfit for a certificate that is expired, not yet valid, signed by another authority, for
        another key or without one of the `hosts`; each names the file and the mend.
    """
    from cryptography.exceptions import InvalidSignature

    authority, certificate = read_certificate(files.authority), read_certificate(files.certificate)
    renewal = f"remove {files.certificate} and {files.key}; the same command makes new ones, and clients notice nothing"
    _refuse_ended(authority, files.authority, _new_authority(files))
    _refuse_ended(certificate, files.certificate, renewal)
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise CertificateUnfit(
            f"{files.certificate} was not signed by {files.authority}; clients would refuse it", mend=renewal
        ) from error
    if _read_key(files.key).public_key() != certificate.public_key():
        raise CertificateUnfit(f"{files.key} is not the key of {files.certificate}", mend=renewal)
    named = _names_in(certificate)
    for host in hosts:
        if host not in named:
            raise CertificateUnfit(
                f"{files.certificate} is for {', '.join(named)}, not for {host}; clients that go there would refuse it",
                mend=renewal,
            )


def check_authority(path: Path) -> None:
    """Whether a client may recognise its server by this file.

    Raises: CertificateUnfit when it is missing, no certificate, expired or not yet valid.
    """
    _refuse_ended(read_certificate(path), path, "ask whoever runs the server for the new authority.crt")


def read_certificate(path: Path) -> x509.Certificate:
    """A PEM certificate.

    Raises: CertificateUnfit.
    """
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise CertificateUnfit(
            f"{path} cannot be read ({error.strerror})", mend="name the file that whoever runs the server gave you"
        ) from error
    except ValueError as error:
        raise CertificateUnfit(
            f"{path} is no PEM certificate", mend="a file that begins with -----BEGIN CERTIFICATE-----"
        ) from error


def _refuse_ended(certificate: x509.Certificate, path: Path, mend: str) -> None:
    now = datetime.datetime.now(datetime.UTC)
    if now > certificate.not_valid_after_utc:
        raise CertificateUnfit(f"{path} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", mend=mend)
    if now < certificate.not_valid_before_utc:
        raise CertificateUnfit(
            f"{path} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on, and this machine's clock "
            f"says {now:%Y-%m-%d %H:%M}",
            mend=f"set the clock; or, if it is right, {mend}",
        )


def _new_authority(files: Certificates) -> str:
    return (
        f"remove {files.authority}, {files.authority_key}, {files.certificate} and {files.key}; the same command makes "
        f"new ones, and every client needs the new {files.authority.name}"
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, days: float
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _general_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _names_in(certificate: x509.Certificate) -> list[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names]


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP384R1())


def _signed(builder: x509.CertificateBuilder, key: EllipticCurvePrivateKey) -> x509.Certificate:
    from cryptography.hazmat.primitives import hashes

    return builder.sign(key, hashes.SHA384())


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    write_atomically(path, certificate.public_bytes(Encoding.PEM))


def _write_key(path: Path, key: EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    write_privately(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _read_key(path: Path) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise CertificateUnfit(
            f"{path} cannot be read ({error.strerror})", mend="the key that belongs to the certificate beside it"
        ) from error
    except (ValueError, TypeError) as error:
        raise CertificateUnfit(f"{path} is no PEM key without a password: {error}", mend="such a key") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise CertificateUnfit(f"{path} is not an elliptic-curve key", mend="remove it and its certificate")
    return key
