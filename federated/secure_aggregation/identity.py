"""Node keys: who a public key belongs to, so that a server in the middle cannot put its own in place.

A node signs with the ECDSA P-384 key that its SuperNode authenticates with, and trusts the keys of a roster: a file
with one registered public key a line, as `ssh-keygen` writes them. Both are configuration of the node, which the
server does not send; so is the fewest survivors that it answers for:
    flower-supernode ... --node-config 'secure-key="n0.key" secure-roster="roster.pub" secure-minimum=5'
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from flwr.supercore.primitives.asymmetric import (
    bytes_to_public_key,
    public_key_to_bytes,
    sign_message,
    verify_signature,
)

from core_model.errors import OptionUnfit

KEY, ROSTER = "secure-key", "secure-roster"  # in the node's configuration
MINIMUM = "secure-minimum"  # there, too: the fewest survivors of a round in which the node takes part
DOMAIN = b"aboveboard secure aggregation 1\0"  # the same key signs a SuperNode's log-in: no text may serve as the other


@dataclass(frozen=True)
class Identity:
    """A node's own key, and the keys it believes in.

    Attributes:
        private: signs. roster: PEM texts of the registered public keys.
    """

    private: ec.EllipticCurvePrivateKey
    roster: frozenset[bytes]

    @property
    def public(self) -> bytes:
        """PEM text of the own public key: the node's name to the others."""
        return public_key_to_bytes(self.private.public_key())

    def sign(self, statement: bytes) -> bytes:
        """A signature over a statement."""
        return sign_message(self.private, DOMAIN + statement)

    def vouches(self, public: bytes, statement: bytes, signature: bytes) -> bool:
        """Whether a registered key signed the statement."""
        return public in self.roster and verify_signature(bytes_to_public_key(public), DOMAIN + statement, signature)


def statement(kind: str, **facts: Any) -> bytes:
    """Facts as bytes to sign, the same for whoever knows the same facts; bytes are told by their SHA-256."""
    told = {name: hashlib.sha256(fact).hexdigest() if isinstance(fact, bytes) else fact for name, fact in facts.items()}
    return json.dumps([kind, told], sort_keys=True).encode()


def identity_of(node_config: Mapping[str, Any]) -> Identity | None:
    """What the node's configuration says of its key and roster; None: it has neither, and signs nothing.

    Raises: OptionUnfit for one without the other, or a file that does not hold such keys.
    """
    key, roster = node_config.get(KEY), node_config.get(ROSTER)
    if not key and not roster:
        return None
    if not key or not roster:
        missing, given = (KEY, ROSTER) if not key else (ROSTER, KEY)
        raise OptionUnfit(
            f"the node's configuration has {given} and no {missing}: signatures need both", mend=f'{missing}="FILE"'
        )
    identity = Identity(_private(Path(str(key))), frozenset(_public_keys(Path(str(roster)))))
    if identity.public not in identity.roster:
        raise OptionUnfit(f"the public key of {key} is not in {roster}", mend=f"cat {key}.pub >> {roster}")
    return identity


def _private(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise OptionUnfit(f"{path}: no private key of a node ({problem})", mend=_MAKE.format(path=path)) from problem
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise OptionUnfit(f"{path}: no key on an elliptic curve", mend=_MAKE.format(path=path))
    return key


def _public_keys(path: Path) -> list[bytes]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise OptionUnfit(f"{path}: no roster of public keys ({problem})", mend="cat *.pub > roster.pub") from problem
    keys = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            key = load_ssh_public_key(line.encode())
        except (ValueError, UnsupportedAlgorithm) as problem:
            raise OptionUnfit(
                f"{path}, line {number}: no public key ({problem})", mend="cat *.pub > roster.pub"
            ) from None
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise OptionUnfit(f"{path}, line {number}: no key on an elliptic curve", mend=_MAKE.format(path="n0.key"))
        keys.append(public_key_to_bytes(key))
    return keys


_MAKE = 'ssh-keygen -t ecdsa -b 384 -N "" -f {path}'
