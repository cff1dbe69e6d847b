"""A client's key: what its SuperNode proves itself by, and what the server must have been given before.

ECDSA on P-384 in OpenSSH's format, as `ssh-keygen -t ecdsa -b 384` writes it and Flower wants it. The private key never
leaves its machine; the public one goes to whoever runs the server, by a way that both trust.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from core_model.errors import BadInput
from core_model.files import write_atomically
from federated.deployment.private_files import write_privately

PRIVATE, PUBLIC = "node.key", "node.pub"
CURVES = ("secp256r1", "secp384r1", "secp521r1")  # NIST's, which Flower takes


class NodeKeyUnfit(BadInput):
    """A client's key cannot be used, or the server does not know it."""


@dataclass(frozen=True)
class NodeKey:
    """The two files of a key."""

    private: Path
    public: Path

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it, so that two people can compare it by telephone."""
        return fingerprint(self.public)


def ensure_node_key(folder: Path) -> NodeKey:
    """The key in a folder, made where there is none.

    Raises: NodeKeyUnfit, OutputUnwritable.
    """
    key = NodeKey(folder / PRIVATE, folder / PUBLIC)
    if not key.private.exists():
        make_node_key(key)
    check_private_key(key.private)
    if not key.public.exists():
        _write_public_of(key)
    return key


def make_node_key(key: NodeKey) -> None:
    """A new key in both files.

    Raises: OutputUnwritable.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    made = ec.generate_private_key(ec.SECP384R1())
    write_privately(key.private, made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    _write_public_of(key)


def check_private_key(path: Path) -> None:
    """Whether Flower will take it.

    Raises: NodeKeyUnfit.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    mend = f"remove it to have a new one made, and give the new {PUBLIC} to whoever runs the server"
    try:
        key = load_ssh_private_key(path.read_bytes(), None)
    except OSError as error:
        raise NodeKeyUnfit(f"{path} cannot be read ({error.strerror})", mend=mend) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NodeKeyUnfit(f"{path} is no OpenSSH private key without a passphrase", mend=mend) from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise NodeKeyUnfit(f"{path} is not an ECDSA key on a NIST curve", mend=mend)


def check_public_key(path: Path) -> None:
    """Whether the server can register it.

    Raises: NodeKeyUnfit.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    mend = "one line that begins with ecdsa-sha2-nistp384: the client's node.pub"
    try:
        key = load_ssh_public_key(path.read_bytes())
    except OSError as error:
        raise NodeKeyUnfit(f"{path} cannot be read ({error.strerror})", mend=mend) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NodeKeyUnfit(f"{path} is no public key in OpenSSH's format", mend=mend) from error
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise NodeKeyUnfit(f"{path} is not an ECDSA key on a NIST curve", mend=mend)


def fingerprint(public: Path) -> str:
    """SHA256:... of a public key (RFC 4648 base64 without padding, as OpenSSH since 6.8)."""
    blob = base64.b64decode(public.read_bytes().split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


def _write_public_of(key: NodeKey) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

    public = load_ssh_private_key(key.private.read_bytes(), None).public_key()
    write_atomically(key.public, public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n")
