"""The record's JSON Schema, for readers who do not use this package: `python -m reports.schema` writes it to docs/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reports.record import SCHEMA_VERSION, Record

DEFAULT_PATH = Path("docs/record.schema.json")


def record_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `audit.json`."""
    schema = Record.model_json_schema(mode="validation")
    schema["title"] = "Aboveboard audit record"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:aboveboard:record:{SCHEMA_VERSION}",
        **schema,
    }


def schema_text() -> str:
    """The bytes of the schema file."""
    return json.dumps(record_schema(), indent=2, ensure_ascii=False) + "\n"


def write_schema(path: Path = DEFAULT_PATH) -> Path:
    """Write the schema; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(schema_text(), encoding="utf-8")
    return path


if __name__ == "__main__":
    print(write_schema())
