"""A record whose evidence rows are hashes and lengths: for readers who may see the numbers and not the people.

Redacted are the examples of findings: every text in them that stands nowhere else in the record. Names of labels,
groups and words, which the numbers are about, stay; so do numbers. The hash of a short text can be found by trying, so
that each is made with a key that is thrown away: equal texts have equal hashes within one redacted record, and no two
redactions can be laid side by side. The rows in `evidence.parquet` and in CSV files beside the report are not touched.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from reports.record import Finding, Record, Redaction, Scalar

SHORTEST = 2  # characters; a single one tells nothing


def redacted(record: Record, *, key: bytes | None = None) -> Record:
    """The record without the texts of its evidence rows, sealed anew; it says which content it was made of.

    Args:
        key: of the hashes, at least 16 bytes; None draws one that nobody keeps.
    """
    key = key or secrets.token_bytes(32)
    names = names_in(record)
    count = 0

    def hidden(value: Scalar) -> Scalar:
        nonlocal count
        if not isinstance(value, str) or len(value) < SHORTEST or value in names:
            return value
        count += 1
        digest = hmac.new(key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"[{digest[:12]}, {len(value):,} characters]"

    def of(finding: Finding) -> Finding:
        rows = [{column: hidden(value) for column, value in row.items()} for row in finding.examples]
        return finding.model_copy(update={"examples": rows})

    audits = [
        audit.model_copy(update={"findings": [of(finding) for finding in audit.findings]}) for audit in record.audits
    ]
    said = Redaction(method="keyed hash and length", values=count, of_content_sha256=record.content_sha256)
    return record.model_copy(update={"audits": audits, "redaction": said}).sealed()


def names_in(record: Record) -> frozenset[str]:
    """What the numbers are about: labels, groups, and whatever names a slice."""
    slices = {value for audit in record.audits for metric in audit.metrics for value in metric.slice.values()}
    return frozenset([*record.subject.labels, *slices, *record.data.group_columns])
