"""A client's key is judged by those who must take it: Flower, and OpenSSH where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from federated.deployment.node_keys import NodeKeyUnfit, check_private_key, check_public_key, ensure_node_key


def test_flower_takes_both_halves(tmp_path: Path) -> None:
    from argparse import Namespace

    from flwr.cli.supernode.register import try_load_public_key
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes
    from flwr.supernode.cli.flower_supernode import _try_setup_client_authentication

    key = ensure_node_key(tmp_path)
    loaded = _try_setup_client_authentication(
        Namespace(auth_supernode_private_key=str(key.private), auth_supernode_public_key=None)
    )
    assert loaded is not None
    assert try_load_public_key(key.public) == public_key_to_bytes(loaded[1])


KEYGEN = shutil.which("ssh-keygen")


@pytest.mark.skipif(KEYGEN is None, reason="OpenSSH is not installed")
def test_openssh_reads_it_and_shows_the_same_fingerprint(tmp_path: Path) -> None:
    key = ensure_node_key(tmp_path)
    shown = _keygen("-l", key.private)
    assert shown.split()[:2] == ["384", key.fingerprint]
    derived = _keygen("-y", key.private)
    assert derived.split()[:2] == key.public.read_text().split()[:2]


def _keygen(what: str, key: Path) -> str:
    return subprocess.run([str(KEYGEN), what, "-f", key], capture_output=True, text=True, check=True).stdout


def test_the_private_half_is_for_its_owner_alone(tmp_path: Path) -> None:
    assert ensure_node_key(tmp_path).private.stat().st_mode & 0o777 == 0o600


def test_a_key_is_made_once_and_its_public_half_again_when_lost(tmp_path: Path) -> None:
    key = ensure_node_key(tmp_path)
    public = key.public.read_bytes()
    key.public.unlink()
    assert ensure_node_key(tmp_path).public.read_bytes() == public


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    other = ed25519.Ed25519PrivateKey.generate()
    private, public = tmp_path / "node.key", tmp_path / "node.pub"
    private.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public.write_bytes(other.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    with pytest.raises(NodeKeyUnfit, match=r"node\.key is not an ECDSA key"):
        check_private_key(private)
    with pytest.raises(NodeKeyUnfit, match=r"node\.pub is not an ECDSA key"):
        check_public_key(public)


def test_a_public_key_in_pem_is_refused_as_flower_would(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    path = tmp_path / "node.pub"
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(NodeKeyUnfit, match=r"OpenSSH's format(.|\n)*ecdsa-sha2-nistp384"):
        check_public_key(path)
