"""A detached signature over files, by a key, offline: the Sigstore bundle that OpenSSF's model-signing knows.

What is signed is an in-toto statement that lists each file's name and SHA-256, in a DSSE envelope. Files are hashed by
their owners (a checkpoint of many gigabytes has been hashed when it was opened), so that model-signing is given hashes
and reads no file. Its own command verifies the same bundle over a folder that holds the files under these names.

Sources: OpenSSF Model Signing 1.0 (OMS); in-toto attestation framework, Statement v1; DSSE v1; Sigstore bundle v0.3.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

from reports.errors import LibraryMissing, SignatureBroken, SignatureUnfit
from reports.signing.keys import fingerprint, read_private_key, read_public_key
from reports.text import terminal_text

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
LARGEST = 16 * 2**20  # bytes of a bundle; one of a thousand files has a quarter of a million
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Signed:
    """What a signature that holds vouches for.

    Attributes:
        key: SHA-256 of the public key's PEM file, in hexadecimal.
        files: the SHA-256 of each file, by name.
    """

    key: str
    files: Mapping[str, str]


def sign(files: Mapping[str, str], *, name: str, key: Path, passphrase: str | None = None) -> bytes:
    """The bundle that signs these files.

    Args:
        files: SHA-256 in hexadecimal, by name.
        name: what they are together; shown to people, not verified.
        key: PEM file of an ECDSA key.
    Raises: KeyUnfit; LibraryMissing without model-signing.
    """
    signing, _ = _library()
    read_private_key(key, passphrase)  # whatever does not fit is told in our words
    # The library hands the passphrase on as it is, and below it only bytes are taken.
    secret: Any = passphrase.encode("utf-8") if passphrase else None
    config = signing.Config().use_elliptic_key_signer(private_key=key, password=secret)
    with tempfile.TemporaryDirectory(prefix="aboveboard-sign-") as folder:
        written = Path(folder) / "bundle"
        config.set_hashing_config(_hashes(files, name)).sign(name, written)
        return written.read_bytes()


def opened(bundle: bytes, *, public_key: Path, where: str) -> Signed:
    """What a bundle vouches for, once its signature has been verified with this key.

    Args:
        where: names the bundle in errors.
    Raises: SignatureUnfit when it is of another format; SignatureBroken when it was made by another key, or changed
        after; KeyUnfit; LibraryMissing without model-signing.
    """
    _, verifying = _library()
    from cryptography.exceptions import InvalidSignature

    key = fingerprint(read_public_key(public_key))
    hint, name, files = _read(bundle, where)
    if hint != key:
        raise SignatureBroken(
            f"{where} was made by key sha256:{hint}, not by {public_key} (sha256:{key})",
            mend="the public key of whoever signed, or a signature of whom you trust",
        )
    config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    with tempfile.TemporaryDirectory(prefix="aboveboard-verify-") as folder:
        same = Path(folder) / "bundle"
        same.write_bytes(bundle)
        try:
            config.set_hashing_config(_hashes(files, name)).verify(Path(folder), same)
        except (InvalidSignature, ValueError) as error:
            raise SignatureBroken(
                f"{where} does not hold: its content is not what key sha256:{key} signed",
                mend="ask for the signature again; do not rely on what it lists",
            ) from error
        except Exception as error:  # the library's models raise what they like at what they do not know
            raise _unfit(where, f"model-signing cannot read it ({type(error).__name__})") from error
    return Signed(key, files)


def claimed(bundle: bytes, *, where: str) -> Signed:
    """What a bundle says that it vouches for, and by which key; without the key, nothing of it is to be believed.

    Raises: SignatureUnfit when it is of another format.
    """
    key, _, files = _read(bundle, where)
    return Signed(key, files)


def _hashes(files: Mapping[str, str], name: str) -> Any:
    """In the place of model-signing's hashing of a folder: the hashes that are known."""
    from model_signing._hashing.hashing import Digest  # the one class that its public modules take and do not export
    from model_signing.manifest import FileManifestItem, Manifest, SerializationType

    items = [
        FileManifestItem(path=PurePosixPath(file), digest=Digest("sha256", bytes.fromhex(sha256)))
        for file, sha256 in files.items()
    ]
    known = Manifest(name, items, SerializationType.from_args(dict(SERIALIZATION)))
    return SimpleNamespace(hash=lambda *_, **__: known, add_ignored_paths=lambda **_: None)


def _read(bundle: bytes, where: str) -> tuple[str, str, dict[str, str]]:
    """The key that a bundle names, the name of what it signs, and its files. Nothing of it is believed yet."""
    if len(bundle) > LARGEST:
        raise _unfit(where, f"it has {len(bundle):,} bytes")
    try:
        document = json.loads(bundle)
        if document["mediaType"] != BUNDLE:
            raise _unfit(where, f"it is {document['mediaType']!r}")
        envelope = document["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"], validate=True))
        kinds = [envelope["payloadType"], statement["_type"], statement["predicateType"]]
        if kinds != [PAYLOAD, STATEMENT, PREDICATE]:
            raise _unfit(where, f"it holds {kinds!r}")
        serialization = statement["predicate"]["serialization"]
        if any(serialization[key] != value for key, value in SERIALIZATION.items() if key != "allow_symlinks"):
            raise _unfit(where, f"its files are listed by {serialization!r}")
        resources = statement["predicate"]["resources"]
        files = {str(resource["name"]): str(resource["digest"]) for resource in resources}
        whole = len(files) == len(resources) and all(_SHA256.fullmatch(sha256) for sha256 in files.values())
        if not whole or any(resource["algorithm"] != "sha256" for resource in resources):
            raise _unfit(where, "its files are not listed once each, by SHA-256")
        return str(document["verificationMaterial"]["publicKey"]["hint"]), str(statement["subject"][0]["name"]), files
    except (KeyError, IndexError, TypeError, ValueError, RecursionError, binascii.Error) as error:
        raise _unfit(where, f"it is no Sigstore bundle, or was cut ({type(error).__name__})") from error


def _unfit(where: str, why: str) -> SignatureUnfit:
    return SignatureUnfit(
        f"{where} is no signature that this version knows: {terminal_text(why, longest=300)}",
        mend="the file that `aboveboard sign` wrote (OpenSSF model signing 1.0)",
    )


def _library() -> tuple[Any, Any]:
    try:
        from model_signing import signing, verifying
    except ImportError as error:  # 1.1.1 imports pyOpenSSL without saying so
        raise LibraryMissing(
            f"signatures need model-signing and pyOpenSSL ({error})", mend="pip install 'aboveboard[signing]'"
        ) from error
    return signing, verifying
