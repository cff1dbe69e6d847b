"""A record whose evidence rows show no person: for readers who may see the numbers and not the people.

Redacted are the examples of findings: every text in them that stands nowhere else in the record. Names of labels,
groups and words, which the numbers are about, stay; so do numbers. There are two ways:

hash  Every such text is a hash and its length. The hash of a short text can be found by trying, so that each is made
      with a key that is thrown away: equal texts have equal hashes within one redacted record, and no two redactions
      can be laid side by side.
mask  The text stays readable, and each piece of personal data that a detector finds in it is replaced by its kind:
      "write to [EMAIL]". A detector misses some, and the page says so: mask where people may be known, hash where not.

The rows in `evidence.parquet` and in CSV files beside the report are not touched.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Literal

from reports.personal_data import Detector, presidio
from reports.record import Finding, Record, Redaction, Scalar

SHORTEST = 2  # characters; a single one tells nothing
LONGEST_MASKED = 5_000  # characters of a text that a detector reads; what stands behind them is left out
Way = Literal["hash", "mask"]
WAYS: dict[Way, str] = {"hash": "keyed hash and length", "mask": "the kind of personal data"}


def redacted(
    record: Record, way: Way = "hash", *, key: bytes | None = None, detector: Detector | None = None
) -> Record:
    """The record without the texts, or without the personal data, of its evidence rows.

    It is sealed anew, and says which content it was made of.

    Args:
        way: see above.
        key: of the hashes, at least 16 bytes; None draws one that nobody keeps.
        detector: of personal data; None is Presidio.
    Raises: LibraryMissing when Presidio is to mask and is not installed.
    """
    found_by = None
    if way == "mask":
        found_by = detector or presidio()
        hide = _masking(found_by)
    else:
        hide = _hashing(key or secrets.token_bytes(32))
    names = names_in(record)
    count = 0

    def hidden(value: Scalar) -> Scalar:
        nonlocal count
        if not isinstance(value, str) or len(value) < SHORTEST or value in names:
            return value
        text, pieces = hide(value)
        count += pieces
        return text

    def of(finding: Finding) -> Finding:
        rows = [{column: hidden(value) for column, value in row.items()} for row in finding.examples]
        return finding.model_copy(update={"examples": rows})

    audits = [
        audit.model_copy(update={"findings": [of(finding) for finding in audit.findings]}) for audit in record.audits
    ]
    said = Redaction(
        method=WAYS[way], detector=found_by.name if found_by else None, values=count,
        of_content_sha256=record.content_sha256,
    )  # fmt: skip
    return record.model_copy(update={"audits": audits, "redaction": said}).sealed()


def names_in(record: Record) -> frozenset[str]:
    """What the numbers are about: labels, groups, and whatever names a slice."""
    slices = {value for audit in record.audits for metric in audit.metrics for value in metric.slice.values()}
    return frozenset([*record.subject.labels, *slices, *record.data.group_columns])


def _hashing(key: bytes) -> Callable[[str], tuple[str, int]]:
    """A text in the place of another, and how many pieces were replaced in it."""

    def hide(text: str) -> tuple[str, int]:
        digest = hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"[{digest[:12]}, {len(text):,} characters]", 1

    return hide


def _masking(detector: Detector) -> Callable[[str], tuple[str, int]]:
    def hide(text: str) -> tuple[str, int]:
        kept, cut = text[:LONGEST_MASKED], len(text) - LONGEST_MASKED
        spans = detector.spans(kept)
        parts, end = [], 0
        for span in spans:
            parts += [kept[end : span.start], f"[{span.kind}]"]
            end = span.end
        rest = [f" [{cut:,} more characters]"] if cut > 0 else []
        return "".join([*parts, kept[end:], *rest]), len(spans) + len(rest)

    return hide
