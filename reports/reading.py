"""Reading a record back: from `audit.json`, or from the report that carries it.

A record that is truncated, foreign or written by a later version is refused with a letter that says so. A record whose
content was edited is read, since the report has to show it; `hash_matches` tells, and `require_hash` refuses.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

import rfc8785
from pydantic import ValidationError

from reports.errors import RecordDamaged, RecordEdited, RecordMissing, RecordTooNew
from reports.record import SCHEMA_VERSION, Record
from reports.text import terminal_text

RECORD_ELEMENT = '<script type="application/json" id="audit-record">'
_EMBEDDED = re.compile(re.escape(RECORD_ELEMENT) + r"(.*?)</script>", re.DOTALL)
_AGAIN = "run `aboveboard audit` again; it resumes from the last audit that was written whole"


def read_record(path: Path | str) -> Record:
    """The record in an `audit.json` or in a `report.html`.

    Raises: RecordMissing, RecordDamaged (truncated, not UTF-8, not JSON, not a record), RecordTooNew.
    """
    path = Path(path)
    if not path.exists():
        raise RecordMissing(f"{path} does not exist", mend="name the audit.json or report.html that an audit wrote")
    if path.is_dir():
        raise RecordMissing(f"{path} is a folder", mend=f"name the file in it: {path / 'audit.json'}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise RecordMissing(f"{path} cannot be read: {error.strerror}", mend="check its permissions") from error
    except UnicodeDecodeError as error:
        raise RecordDamaged(f"{path} is not UTF-8 (byte {error.start})", mend=_AGAIN) from error
    if text.lstrip()[:1] == "<":
        return extract_record(text, where=str(path))
    return parse_record(text, where=str(path))


def extract_record(html_text: str, *, where: str = "the page") -> Record:
    """The record that a report carries.

    Raises: RecordDamaged when the page carries none, or a broken one; RecordTooNew.
    """
    found = _EMBEDDED.search(html_text)
    if found is None:
        cut = "" if "</html>" in html_text else " (the page breaks off before its end)"
        raise RecordDamaged(f"{where} carries no audit record{cut}", mend="name a report.html of this suite, whole")
    return parse_record(found.group(1), where=where)


def parse_record(text: str, *, where: str) -> Record:
    """A record from its JSON text; `where` is named in the errors.

    Raises: RecordDamaged, RecordTooNew.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise RecordDamaged(f"{where} is empty", mend=_AGAIN) from error
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
            raise RecordDamaged(f"{where} is truncated: it breaks off in line {error.lineno}", mend=_AGAIN) from error
        raise RecordDamaged(
            f"{where} is not JSON: {error.msg}, line {error.lineno}, column {error.colno}", mend=_AGAIN
        ) from error
    except (ValueError, RecursionError) as error:
        raise RecordDamaged(f"{where} cannot be read as JSON: {error}", mend=_AGAIN) from error
    if not isinstance(document, dict) or "schema_version" not in document:
        raise RecordDamaged(f"{where} is not an audit record: it has no schema_version", mend="name an audit.json")
    _refuse_newer(document, where)
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_input=False)
        place = terminal_text(".".join(str(step) for step in first["loc"]), longest=200) or "the record"
        more = f", and {len(others)} more" if others else ""
        raise RecordDamaged(
            f"{where} does not keep the record's contract: {place}: {terminal_text(first['msg'])}{more}", mend=_AGAIN
        ) from error


def hash_matches(record: Record) -> bool:
    """Whether the record carries a content hash, and its content still fits it."""
    if record.content_sha256 is None:
        return False
    try:
        return record.sealed().content_sha256 == record.content_sha256
    except rfc8785.CanonicalizationError:  # a number that canonical JSON does not hold: nobody sealed this
        return False


def require_hash(record: Record, *, where: str) -> Record:
    """The record, held to its own content hash.

    Raises: RecordEdited when the content does not fit.
    """
    if not hash_matches(record):
        what = "carries no content hash" if record.content_sha256 is None else "does not fit its own content hash"
        raise RecordEdited(f"{where} {what}: it was edited, or its run never ended", mend=_AGAIN)
    return record


def _refuse_newer(document: dict[str, Any], where: str) -> None:
    theirs, ours = _version(document["schema_version"]), _version(SCHEMA_VERSION)
    if theirs is None or ours is None:
        version = terminal_text(repr(document["schema_version"]), longest=40)
        raise RecordDamaged(f"{where}: schema_version is {version}, not a version", mend=_AGAIN)
    if theirs > ours:
        tool = document.get("tool")
        writer = terminal_text(str(tool.get("version", "")), longest=40) if isinstance(tool, dict) else ""
        newer = f">={writer}" if re.fullmatch(r"\d+(\.\d+)*\w*", writer) else ""
        raise RecordTooNew(
            f"{where} has schema {'.'.join(map(str, theirs))}"
            f"{f', written by aboveboard {writer}' if writer else ''}; this version reads up to {SCHEMA_VERSION}",
            mend=f"pip install --upgrade 'aboveboard{newer}'",
        )


def _version(text: object) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,6})\.(\d{1,6})", text) if isinstance(text, str) else None
    return (int(found.group(1)), int(found.group(2))) if found else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is not JSON")
