"""A third party's audit, installed as a package of its own, runs beside ours without a line changed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.audit.rows import write_made_up_rows

EXAMPLE = Path(__file__).parent.parent / "examples" / "third_party_audit"


def test_the_worked_example_is_installed_listed_and_measured(checkpoint, tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--disable-pip-version-check", "--target", str(tmp_path / "site"), str(EXAMPLE)],
        check=True, capture_output=True,
    )  # fmt: skip
    data = write_made_up_rows(tmp_path / "test.jsonl", 40)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [
        sys.executable, "-c", "from audit.main import main; main()", "audit", str(checkpoint), "--data", str(data),
        "--only", "full_stop_sensitivity", "--out", str(tmp_path / "out"), "--json",
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["audits"] == {"full_stop_sensitivity": "measured"}
    record = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    [metric] = record["audits"][0]["metrics"]
    assert metric["n"] == 40 and metric["interval"][0] <= metric["value"] <= metric["interval"][1]
