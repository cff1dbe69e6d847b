"""Promises about the record's JSON Schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from reports.schema import DEFAULT_PATH, schema_text, write_schema
from tests.reports.factories import sealed_record

ROOT = Path(__file__).parents[2]


def check(schema: Path, instance: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema), str(instance)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_schema_in_docs_is_current():
    assert (ROOT / DEFAULT_PATH).read_text(encoding="utf-8") == schema_text(), "run: python -m reports.schema"


def test_a_validator_that_nobody_here_wrote_accepts_a_record_and_refuses_a_broken_one(tmp_path):
    schema = write_schema(tmp_path / "record.schema.json")
    whole, broken = tmp_path / "audit.json", tmp_path / "broken.json"
    whole.write_text(sealed_record().to_json(), encoding="utf-8")
    document = json.loads(sealed_record().to_json())
    document["audits"][0]["metrics"][0]["better"] = "greener"
    broken.write_text(json.dumps(document), encoding="utf-8")
    accepted, refused = check(schema, whole), check(schema, broken)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert refused.returncode == 1
    assert "greener" in refused.stdout
