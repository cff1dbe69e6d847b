"""Promises of the security audit's look at files: a planted fault fails it, a clean checkpoint passes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tarfile import TarInfo

import pytest

from audit.concerns.security import SecurityOptions
from audit.concerns.security.supply_chain import examine_files
from audit.plugin import Evidence
from core_model.supply_chain import verdicts
from core_model.supply_chain.issues import Kind
from reports.record import Metric, Severity, Verdict
from tests.core_model.supply_chain.planted import ORDERED, SYSTEM, tarred, zipped

pytest.importorskip("picklescan")
pytest.importorskip("fickling")


@pytest.fixture
def model(checkpoint, tmp_path) -> Path:
    return shutil.copytree(checkpoint, tmp_path / "model")


def run(folder: Path, **options: int) -> Evidence:
    given = SecurityOptions(**options)
    return examine_files(folder, max_high=given.max_high_issues, examples=given.examples)


def one(evidence: Evidence, key: str) -> Metric:
    return next(metric for metric in evidence.metrics if metric.key == key)


HIGH = "supply_chain_findings[severity=high]"


def test_a_clean_checkpoint_passes_with_its_files_counted(model):
    evidence = run(model)
    high = one(evidence, HIGH)
    assert (high.value, high.interval, high.verdict) == (0, (0, 0), Verdict.PASS)
    assert high.n == one(evidence, "files_scanned").value == sum(path.is_file() for path in model.rglob("*"))
    assert evidence.findings == []


def test_a_planted_pickle_fails_it_and_its_removal_mends_it(model):
    (model / "pytorch_model.bin").write_bytes(zipped(archive__pkl=SYSTEM))
    evidence = run(model)
    assert one(evidence, HIGH).verdict is Verdict.FAIL and one(evidence, "pickles_found").value == 1
    [finding] = evidence.findings
    assert finding.severity is Severity.HIGH and finding.metrics == [HIGH] and finding.examples_total == 1
    [example] = finding.examples
    assert example["file"] == "pytorch_model.bin!archive/pkl" and example["offset"] == 0
    assert "posix.system" in example["what"] and "rm -- pytorch_model.bin" in example["mend"]
    (model / "pytorch_model.bin").unlink()
    assert one(run(model), HIGH).verdict is Verdict.PASS


def test_a_harmless_pickle_is_told_and_does_not_fail_it(model):
    (model / "extra.bin").write_bytes(ORDERED)
    evidence = run(model)
    assert one(evidence, HIGH).verdict is Verdict.PASS
    assert [finding.severity for finding in evidence.findings] == [Severity.LOW]


def test_each_kind_is_a_finding_of_its_own_in_plain_words(model):
    (model / "modeling.py").write_text("print()")
    (model / "more.py").write_text("print()")
    (model / "out").symlink_to("/etc/hostname")
    (model / "empty.txt").touch()
    (model / "chat_template.jinja").write_text("{{ x.__class__ }}")
    (model / "a.tar").write_bytes(tarred((TarInfo("../x"), b"")))
    found = {finding.id: finding for finding in run(model).findings}
    start = "security-supply-chain-"
    assert set(found) == {
        start + name for name in ("remote-code-medium", "link-high", "empty-file-low", "template-high", "archive-high")
    }
    assert found[start + "remote-code-medium"].statement == (
        "2 places bring or name code (modeling.py, more.py): it runs when it is trusted."
    )


def test_examples_are_cut_and_all_are_counted(model):
    for number in range(5):
        (model / f"{number}.py").write_text("")
    [empty, code] = sorted(run(model, examples=2).findings, key=lambda finding: finding.severity)
    assert {len(empty.examples), len(code.examples)} == {2}
    assert empty.examples_total == code.examples_total == 5


def test_without_the_scanners_a_pickle_is_not_measured_and_a_folder_without_one_is(model, monkeypatch):
    monkeypatch.setattr(verdicts, "SCANNERS", ("a_scanner_that_is_not_here",))
    assert one(run(model), HIGH).verdict is Verdict.PASS
    (model / "a.pkl").write_bytes(ORDERED)
    high = one(run(model), HIGH)
    assert high.value is None and "pip install 'aboveboard[security]'" in high.reason
    assert high.verdict is Verdict.INCONCLUSIVE


def test_a_hostile_name_is_inert_in_the_record(model):
    name = "a\x1b[31m\u202e.py"
    (model / name).write_text("")
    said = json.dumps([finding.model_dump(mode="json") for finding in run(model).findings], ensure_ascii=False)
    assert "a\\\\x1b[31m\\\\u202e.py" in said and said.isprintable()


def test_every_kind_has_its_words():
    from audit.concerns.security.supply_chain import STATEMENTS

    assert set(STATEMENTS) == set(Kind)
