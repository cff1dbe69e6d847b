"""When the run began, as formats write it; nothing where the record's text is no time."""

from __future__ import annotations

from datetime import UTC, datetime

from reports.record import Record


def moment(record: Record) -> str | None:
    """RFC 3339 in UTC ("2026-11-20T10:00:00Z"); None where it is no time, or a time without a zone."""
    try:
        started = datetime.fromisoformat(record.run.started)
        return None if started.tzinfo is None else started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return None
