"""Audits in somebody's own test suite: a broken limit fails the test by name, and one that holds lets it pass."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from audit.pytest_plugin import why_it_fails
from tests.audit.rows import write_made_up_rows
from tests.reports.factories import sealed_record

SUITE = """
def test_release(assert_audit):
    record = assert_audit({checkpoint!r}, data={data!r}, only=["evaluability"], policy={policy!r})
    assert record.subject.task == "classification"
"""


@pytest.mark.parametrize(("limit", "passes"), [(0.001, True), (0.999, False)])
def test_a_limit_that_holds_passes_and_one_that_breaks_fails_with_its_name(checkpoint, tmp_path, limit, passes):
    data, policy = tmp_path / "rows.jsonl", tmp_path / "policy.toml"
    write_made_up_rows(data, 40)
    policy.write_text(f'[[limits]]\nmetric = "accuracy"\nlimit = {limit}\n', encoding="utf-8")
    suite = tmp_path / "test_own.py"
    suite.write_text(SUITE.format(checkpoint=str(checkpoint), data=str(data), policy=str(policy)), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
               "--aboveboard-out", str(tmp_path / "kept"), str(suite)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=dict(os.environ))
    assert (done.returncode == 0) is passes, done.stdout + done.stderr
    assert (tmp_path / "kept" / "test_release-1" / "report.html").exists()
    if not passes:
        assert "evaluability: accuracy breaks its limit" in done.stdout and "report.html" in done.stdout
        assert "Traceback" not in done.stdout


def test_strict_fails_on_what_is_not_decided():
    record = sealed_record()
    plain, strict = why_it_fails(record, strict=False), why_it_fails(record, strict=True)
    assert set(plain) < set(strict)
    assert any("undecided" in line or "not measured" in line for line in strict)
