"""Are these the files that were published: sums, hashes in records, and a signature with what it covers."""

from __future__ import annotations

from pathlib import Path

from audit.concerns.shareability.part import PACKAGE, SIGN, YES_OR_NO, Part, counted, finding, plural, some
from audit.evidence import Limit, metric
from audit.signing import CHECKPOINT, RECORD
from audit.statistics import Estimate
from core_model.checkpoint_files import checked
from core_model.errors import BadInput
from core_model.packaging import SIGNATURES
from core_model.sharing.sums import SUMS, Sum, held, sums_of, sums_of_records, unlisted
from core_model.supply_chain.folder import Entry
from core_model.supply_chain.issues import shown
from reports.errors import ReportError
from reports.record import Finding, Severity
from reports.signing.bundle import LARGEST, Signed, claimed, opened

UNSIGNED = "there is no signature beside the files: aboveboard sign writes one"


def sums_part(folder: Path, files: list[Entry], limit: Limit, *, signature: str | None, public_key: str | None) -> Part:
    """Every hash that something says of a file of the folder, held against the file.

    Args:
        limit: for hashes that do not agree. signature, public_key: files; None looks for a signature in the folder,
            and verifies it by nobody's key.
    """
    sums = sums_of(folder)
    said = [*(sums or ()), *sums_of_records(folder)]
    path = Path(signature) if signature else _beside(folder)
    signed, why_not, holds = _signed(path, public_key)
    covered = _covered(folder, signed) if signed else []
    said += covered
    wrong = [one for one in said if one.state != "agrees"]
    names = [entry.name for entry in files if entry.name not in (SUMS, *SIGNATURES)]
    agree = {one.file for one in covered if one.state == "agrees"}
    extra = unlisted(folder, names) if sums is not None else []
    return Part(
        metrics=[
            metric(
                "hashes_wrong",
                counted(len(wrong), len(said)) if said
                else Estimate.absent(f"there is no {SUMS}, no record with hashes and no signature"),
                unit="hashes", better="lower", limit=limit if said else None,
                definition=f"Hashes in {SUMS}, in records of a training and in a signature that the files of the "
                "folder do not have; a missing file counts.",
            ),
            metric(
                "files_in_sums",
                counted(sum(one.state == "agrees" for one in sums), len(names)) if sums is not None
                else Estimate.absent(f"there is no {SUMS}: aboveboard package writes it"),
                unit="files", better="higher",
                definition=f"Files of the folder that have the sum that {SUMS} says; n counts the files that it "
                "could list.",
            ),
            metric(
                "signed_share",
                counted(sum(name in agree for name in names) / len(names), len(names)) if signed and names
                else Estimate.absent(why_not or UNSIGNED),
                unit="share of files", better="higher",
                definition="Files of the folder that a signature beside them lists with the hash that they have; "
                "whose signature it is, is another question.",
            ),
            metric(
                "signature_holds", holds, unit=YES_OR_NO, better="higher",
                definition="Whether the signature was made by the public key that was given, over what it lists.",
            ),
        ],
        findings=[*_wrong(wrong, said), *_broken(holds), *_unsigned(path)],
        notes=[*_about(signed, agree), *_unlisted(extra)],
    )  # fmt: skip


def _beside(folder: Path) -> Path | None:
    for name in SIGNATURES:
        try:
            if path := checked(folder, name):
                return path
        except BadInput:  # a link or a pipe; told by the files' part
            continue
    return None


def _signed(path: Path | None, public_key: str | None) -> tuple[Signed | None, str | None, Estimate]:
    """(what it lists, why it cannot be read, whether it holds)."""
    if path is None:
        return None, UNSIGNED, Estimate.absent(UNSIGNED)
    try:
        with path.open("rb") as file:
            bundle = file.read(LARGEST + 1)
        signed = claimed(bundle, where=path.name)
    except OSError as error:
        why = f"{path.name} cannot be read: {error.strerror}"
        return None, why, Estimate.absent(why)
    except ReportError as error:
        return None, error.found, Estimate.absent(error.found)
    if public_key is None:
        return signed, None, Estimate.absent("no public key was given: --set shareability.public_key=key.pub")
    try:
        opened(bundle, public_key=Path(public_key), where=path.name)
    except ReportError as error:
        broken = type(error).__name__ == "SignatureBroken"
        return signed, None, counted(0, 1) if broken else Estimate.absent(error.found)
    return signed, None, counted(1, 1)


def _covered(folder: Path, signed: Signed) -> list[Sum]:
    """The signed files of the checkpoint; the record that was signed with them lies elsewhere."""
    files = {name.removeprefix(CHECKPOINT): sha256 for name, sha256 in signed.files.items() if name != RECORD}
    return list(held(folder, "the signature", files))


def _wrong(wrong: list[Sum], said: list[Sum]) -> list[Finding]:
    if not wrong:
        return []
    names = list(dict.fromkeys(shown(one.file) for one in wrong))
    return [
        finding(
            "hashes", Severity.HIGH,
            f"{len(wrong)} of {plural(len(said), 'hash', 'hashes')} are not those of the files: {some(names)}. "
            "Somebody changed the files after they were listed, or lists of other files lie beside them.",
            metrics=["hashes_wrong"], command=PACKAGE,
            why="first find out which of the two is right, and fetch the files again if it is not yours to say; a "
            "package lists what it holds",
            examples=[{"said by": one.said_by, "file": shown(one.file), "file now": one.state} for one in wrong],
        )
    ]  # fmt: skip


def _broken(holds: Estimate) -> list[Finding]:
    if holds.value != 0:
        return []
    return [
        finding(
            "signature-broken", Severity.HIGH, "The signature was not made by the key that was given, or was changed.",
            metrics=["signature_holds"], command=SIGN, why="do not rely on what it lists; ask the signer, or sign anew",
        )
    ]  # fmt: skip


def _unsigned(path: Path | None) -> list[Finding]:
    if path is not None:
        return []
    return [
        finding(
            "unsigned", Severity.LOW, "Nobody signed these files: who has them cannot tell whose they are.",
            metrics=["signed_share"], command=SIGN,
            why="put audit.sig beside the files: whoever has your public key can tell that weights, configuration and "
            "tokenizer are those that you audited",
        )
    ]  # fmt: skip


def _about(signed: Signed | None, agree: set[str]) -> list[str]:
    if signed is None:
        return []
    names = sorted(shown(name) for name in agree)
    return [
        f"The signature says that it is by key sha256:{signed.key[:16]}, and covers {some(names, most=8) or 'no file'} "
        "as they are now."
    ]


def _unlisted(extra: list[str]) -> list[str]:
    return [f"{SUMS} does not list {some(extra)}."] if extra else []
