"""What a signature of an audit covers: the record's own bytes, and each file of the checkpoint that it is about.

In the signature the record is called `audit.json` and the checkpoint's files stand below `checkpoint/`. Both are hashed
when they are signed, and again when the signature is verified; nobody's word is taken for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from audit.verification import Line
from core_model.checkpoint_files import checked, content_hash, find_folder
from core_model.data_hash import hash_file
from core_model.errors import BadInput, CheckpointDamaged, CheckpointMissing, OptionUnfit
from reports.errors import SignatureBroken, SignatureUnfit
from reports.reading import read_record, require_hash
from reports.record import Record
from reports.signing.bundle import Signed, opened

RECORD, CHECKPOINT = "audit.json", "checkpoint/"


def what_is_signed(source: Path, checkpoint: str | None = None) -> tuple[Record, dict[str, str]]:
    """A record, and the SHA-256 of everything that a signature of it covers, by name.

    Args:
        source: the audit.json.
        checkpoint: where the checkpoint is now; by default where the record says it was.
    Raises: a ReportError when the record cannot be read or was edited; CheckpointMissing; CheckpointDamaged when a file
        of the checkpoint is not the one that was audited.
    """
    content = read_bytes(source)
    record = require_hash(read_record(source), where=str(source))
    if content.lstrip()[:1] == b"<":
        raise OptionUnfit(f"{source} is a page; the record is signed", mend=f"aboveboard sign {source.parent / RECORD}")
    location = checkpoint or record.subject.location
    if location is None:
        raise OptionUnfit(f"{source} does not say where the checkpoint is", mend="--checkpoint DIR")
    folder = find_folder(location)
    files = {}
    for name, then in record.subject.files.items():
        path = checked(folder, name)
        if path is None:
            raise CheckpointMissing(
                f"{folder} has no {name}, which was audited", mend="--checkpoint DIR, the audited one"
            )
        files[name] = hash_file(path)
        if files[name] != then:
            raise CheckpointDamaged(
                f"{path} is not the file that was audited: it hashes to {files[name][:16]}, not {then[:16]}",
                mend=f"aboveboard audit {location} --data FILE, and sign that record",
            )
    if content_hash(files) != record.subject.sha256:
        raise CheckpointDamaged(
            f"{source} does not list the files of its checkpoint", mend=f"aboveboard audit {location} --data FILE"
        )
    return record, {RECORD: hashlib.sha256(content).hexdigest(), **{CHECKPOINT + n: h for n, h in files.items()}}


def vouched(source: Path, record: Record, *, signature: Path, public_key: Path) -> Signed:
    """What a signature vouches for, where it holds for this record and for the checkpoint that it is about.

    Raises: SignatureBroken with what differs; SignatureUnfit, KeyUnfit, LibraryMissing.
    """
    signed = read_signature(signature, public_key)
    differs = _record_differs(source, record, signed) or _checkpoint_differs(record, signed)
    if differs:
        raise SignatureBroken(f"{signature}: {differs}", mend="a signature of this very record: aboveboard sign")
    return signed


def signature_lines(
    source: Path, record: Record, *, signature: Path, public_key: Path, checkpoint: str | None = None
) -> Iterator[Line]:
    """What a signature says of a record and of its checkpoint's files as they are now, one line each.

    Raises: SignatureUnfit, KeyUnfit, LibraryMissing. A signature that does not hold is a line that differs.
    """
    try:
        signed = read_signature(signature, public_key)
    except SignatureBroken as error:
        yield Line("signature", "differs", error.found)
        return
    yield Line("signature", "agrees", f"by key sha256:{signed.key}, over {len(signed.files):,} files")
    yield _line(f"signed {RECORD}", _record_differs(source, record, signed), signed.files.get(RECORD, ""))
    if differs := _checkpoint_differs(record, signed):
        yield Line("signed checkpoint", "differs", differs)
    yield from _file_lines(signed.files, checkpoint or record.subject.location)


def read_signature(signature: Path, public_key: Path) -> Signed:
    """What a signature file vouches for.

    Raises: SignatureBroken, SignatureUnfit, KeyUnfit, LibraryMissing.
    """
    try:
        bundle = signature.read_bytes()
    except OSError as error:
        raise SignatureUnfit(
            f"{signature} cannot be read: {error.strerror}", mend="--signature FILE, which `aboveboard sign` wrote"
        ) from error
    return opened(bundle, public_key=public_key, where=str(signature))


def read_bytes(source: Path) -> bytes:
    """The bytes of a record or a report; empty where `read_record` will say what is wrong with it."""
    try:
        return source.read_bytes()
    except OSError:
        return b""


def _line(what: str, differs: str | None, agrees: str) -> Line:
    return Line(what, "differs", differs) if differs else Line(what, "agrees", agrees)


def _record_differs(source: Path, record: Record, signed: Signed) -> str | None:
    """How the record is not the one that was signed; None where it is.

    A report carries its record, whose bytes as `audit.json` are made again; what was added to it after the run (what
    people said, the selftest that it cites) is no part of what was signed.
    """
    content = read_bytes(source)
    shapes = [content]
    if content.lstrip()[:1] == b"<":
        shapes = [
            r.to_json().encode("utf-8") for r in (record, record.model_copy(update={"people": None, "selftest": None}))
        ]
    hashes = [hashlib.sha256(shape).hexdigest() for shape in shapes]
    if signed.files.get(RECORD) in hashes:
        return None
    return f"{source} hashes to {hashes[0]}; what was signed is {signed.files.get(RECORD, 'no record')}"


def _checkpoint_differs(record: Record, signed: Signed) -> str | None:
    """How the signed checkpoint is not the one that the record is about; None where it is."""
    files = {name.removeprefix(CHECKPOINT): h for name, h in signed.files.items() if name.startswith(CHECKPOINT)}
    if files and content_hash(files) == record.subject.sha256:
        return None
    return f"the checkpoint that was signed is not {record.subject.name} ({record.subject.sha256[:12]}) of the record"


def _file_lines(files: Mapping[str, str], location: str | None) -> Iterator[Line]:
    """One line for each signed file of the checkpoint."""
    try:
        folder = None if location is None else find_folder(location)
    except BadInput as error:
        folder, location = None, error.found
    if folder is None:
        yield Line("signed checkpoint", "not checked", f"it is not at hand; give --checkpoint ({location})")
        return
    for name, sha256 in files.items():
        if not name.startswith(CHECKPOINT):
            continue
        path = checked(folder, name.removeprefix(CHECKPOINT))
        now = None if path is None else hash_file(path)
        changed = f"it hashes to {now}, not {sha256}" if now else f"{folder} has no such file"
        yield _line(f"signed {name}", None if now == sha256 else changed, sha256)
