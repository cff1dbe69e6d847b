"""Keys that sign records: ECDSA on a NIST curve, in PEM files as OpenSSL writes them.

A key says which key signed, not who held it: the public half has to reach its readers by a way that they trust, and
its fingerprint (`sha256sum key.pub`) lets two people compare it by telephone.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from reports.errors import KeyUnfit

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

CURVES = ("secp256r1", "secp384r1", "secp521r1")  # P-256, P-384, P-521: what model-signing takes
LARGEST = 64 * 2**10  # bytes of a PEM file; a key has less than one thousand
MAKE = "aboveboard sign --make-key --key key.pem"


def make_key(passphrase: str | None) -> tuple[bytes, bytes]:
    """A new key on P-256 as two PEM files' bytes: the private half (PKCS #8, locked by the passphrase), the public."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
    )

    made = ec.generate_private_key(ec.SECP256R1())
    lock: KeySerializationEncryption = NoEncryption()
    if passphrase:
        lock = BestAvailableEncryption(passphrase.encode("utf-8"))
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock), public_pem(made.public_key())


def read_private_key(path: Path, passphrase: str | None) -> EllipticCurvePrivateKey:
    """The private key in a file.

    Raises: KeyUnfit when it cannot be read, is no EC key, or the passphrase is missing or wrong.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read(path)
    try:
        key = load_pem_private_key(content, passphrase.encode("utf-8") if passphrase and locked(path) else None)
    except TypeError as error:
        raise KeyUnfit(
            f"{path} is locked by a passphrase", mend="set ABOVEBOARD_PASSPHRASE, or answer when asked"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if locked(path):
            raise KeyUnfit(f"the passphrase does not open {path}", mend="the passphrase it was made with") from None
        raise KeyUnfit(f"{path} is no private key in PEM form", mend=f"{MAKE}, and sign with that file") from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise KeyUnfit(f"{path} is no ECDSA key on a NIST curve", mend=f"{MAKE}, and sign with that file")
    return key


def locked(path: Path) -> bool:
    """Whether a private key needs a passphrase; False also where the file is no key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        load_pem_private_key(_read(path), None)
    except TypeError:
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return False


def read_public_key(path: Path) -> EllipticCurvePublicKey:
    """The public key in a file.

    Raises: KeyUnfit.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _read(path)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        private = b"PRIVATE KEY" in content
        raise KeyUnfit(
            f"{path} is {'a private key; it stays with its owner' if private else 'no public key in PEM form'}",
            mend=f"--public-key {path.with_suffix('.pub')}",
        ) from error
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise KeyUnfit(f"{path} is no ECDSA key on a NIST curve", mend="the key.pub of whoever signed")
    return key


def public_pem(key: EllipticCurvePublicKey) -> bytes:
    """The bytes of a public key's PEM file."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: EllipticCurvePublicKey) -> str:
    """SHA-256 of the public key's PEM file, in hexadecimal: how a Sigstore bundle names the key it was signed with."""
    return hashlib.sha256(public_pem(key)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise KeyUnfit(f"{path} cannot be read: {error.strerror}", mend=f"{MAKE}, or name another file") from error
    if len(content) > LARGEST:
        raise KeyUnfit(f"{path} is larger than any key", mend="name the PEM file of a key")
    return content
