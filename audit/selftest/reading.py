"""Reading `selftest.json`: to go on from it, and to cite it in a record."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from audit.selftest.results import FILE, SCHEMA_VERSION, Selftest
from core_model.errors import DataDamaged, DataMissing, OptionUnfit
from reports.selftest import SelftestFacts

LARGEST_FILE = 20_000_000  # bytes; a selftest of 20 controls has some 20,000


def cited(path: Path) -> SelftestFacts:
    """What a record says of the selftest in this file.

    Raises: as `read_selftest`; OptionUnfit where nothing was put on trial in it.
    """
    selftest = read_selftest(path)
    if not any(control.verdict for control in selftest.controls):
        raise OptionUnfit(f"{path} holds no control that was run", mend="aboveboard selftest, and let it end")
    return selftest.facts(file=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def read_selftest(path: Path) -> Selftest:
    """A selftest from its file.

    Raises: DataMissing, DataDamaged (truncated, not JSON, not a selftest), OptionUnfit for one of a later version.
    """
    again = "aboveboard selftest --out DIR writes one"
    if path.is_dir():
        raise DataMissing(f"{path} is a folder", mend=f"--selftest {path / FILE}")
    if not path.is_file():
        raise DataMissing(f"there is no selftest at {path}", mend=again)
    if path.stat().st_size > LARGEST_FILE:
        raise DataDamaged(f"{path} is larger than any selftest ({path.stat().st_size:,} bytes)", mend=again)
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
    except OSError as error:
        raise DataMissing(f"{path} cannot be read: {error.strerror}", mend="check its permissions") from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DataDamaged(f"{path} is not a selftest: it is not JSON ({error})", mend=again) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, str):
        raise DataDamaged(f"{path} is not a selftest: it has no schema_version", mend=again)
    if version != SCHEMA_VERSION:
        raise OptionUnfit(f"{path} has schema {version[:20]!r}; this version reads {SCHEMA_VERSION}", mend=again)
    try:
        return Selftest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])[:200]
        raise DataDamaged(f"{path} is not a selftest: {place}: {first['msg']}", mend=again) from error
