"""Promises of `aboveboard selftest`, and of the commands that cite it: exit codes, the file, letters, interruption."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from audit.main import run
from audit.plugin import Evidence
from audit.registry import Registry
from audit.selftest.reading import cited, read_selftest
from audit.selftest.registry import Controls
from audit.selftest.trials import Plan, run_selftest
from core_model.errors import DataDamaged, DataMissing, OptionUnfit
from tests.audit import selftest_toys as toys
from tests.reports.factories import sealed_record


@pytest.fixture
def toy(monkeypatch):
    """The toy audit alone is installed; returns what makes it say the same of everything."""

    def install(registry: Registry = toys.REGISTRY) -> None:
        monkeypatch.setattr("audit.registry.installed", lambda: registry)

    install()
    monkeypatch.setattr(
        "audit.selftest.trials.controls_of", lambda registry: Controls({"testability": toys.CONTROLS}, {})
    )
    return install


def selftest(out, *more: str) -> int:
    return run(["selftest", "--profile", "quick", "--out", str(out), *more])


def test_a_sound_audit_is_0_with_a_table_and_a_file_that_says_where_it_ran(toy, tmp_path, capsys):
    assert selftest(tmp_path) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split()[:9] == "testability too-sure 100% (54 to 100) 0% (0 to".split()
    assert "[2/2] testability, by-its-limit: power 100%" in said.err
    document = json.loads((tmp_path / "selftest.json").read_text(encoding="utf-8"))
    assert document["schema_version"] == "1.0" and document["complete"] is True
    assert document["environment"]["packages"]["torch"] and document["environment"]["seed"] == 0
    assert document["tool"]["version"] and document["repetitions"] == 6
    assert [control["sick"] for control in document["controls"]] == [["yes"] * 6] * 2


def test_a_broken_audit_is_1_and_is_named(toy, tmp_path, capsys):
    toy(Registry((replace(toys.PLUGIN, run=lambda *_: Evidence(metrics=[])),)))
    assert selftest(tmp_path) == 1
    said = capsys.readouterr().out
    assert "fail: testability, too-sure: 0 of 6 sick checkpoints were found" in said
    assert "fail: testability, by-its-limit: 0 of 6" in said


def test_json_on_stdout_alone(toy, tmp_path, capsys):
    assert selftest(tmp_path, "--json", "--repetitions", "2", "--seed", "5") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == "inconclusive" and answer["environment"]["seed"] == 5
    assert "6 repetitions at least" in answer["troubles"][0]


@pytest.mark.parametrize(("wrong", "says"), [
    (["--only", "testabilty"], "Try: --only testability"),
    (["--repetitions", "0"], "0 is not in the range"),
    (["--profile", "full"], "'full' is not one of"),
    (["--seed", "-1"], "-1 is not in the range"),
])  # fmt: skip
def test_bad_input_is_2_with_a_mend_and_nothing_is_run(toy, tmp_path, capsys, wrong, says):
    assert selftest(tmp_path, *wrong) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "selftest.json").exists()


def test_interrupted_it_prints_what_was_done_is_130_and_goes_on(toy, tmp_path, capsys, monkeypatch):
    made = iter(range(1000))

    def make(sick, random, folder):
        if next(made) == 7:
            raise KeyboardInterrupt
        return toys.make(sick, random, folder)

    breaking = {"testability": tuple(replace(control, make=make) for control in toys.CONTROLS)}
    with monkeypatch.context() as patched:
        patched.setattr("audit.selftest.trials.controls_of", lambda registry: Controls(breaking, {}))
        assert selftest(tmp_path) == 130
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split()[2:9] == "100% (29 to 100) 0% (0 to".split()
    assert "the same command goes on" in said.err
    toys.SEEN.clear()
    assert selftest(tmp_path) == 0
    assert len(toys.SEEN) == 2 * (12 - 3)
    resumed = capsys.readouterr().out.splitlines()
    assert selftest(tmp_path / "whole") == 0
    whole = capsys.readouterr().out.splitlines()
    assert [line.split()[:6] for line in resumed[:3]] == [line.split()[:6] for line in whole[:3]]


def test_a_file_that_cannot_be_read_is_begun_anew(toy, tmp_path):
    (tmp_path / "selftest.json").write_text("{", encoding="utf-8")
    assert selftest(tmp_path) == 0


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    state = run_selftest(toys.REGISTRY, Plan(profile="quick"), controls=Controls({"testability": toys.CONTROLS}, {}))
    path = tmp_path_factory.mktemp("selftest") / "selftest.json"
    path.write_text(state.to_json(), encoding="utf-8")
    return path


def test_a_record_cites_it_by_report_and_keeps_its_own_hash(file, tmp_path, capsys):
    source = tmp_path / "audit.json"
    source.write_text(sealed_record().to_json(), encoding="utf-8")
    page, again = tmp_path / "report.html", tmp_path / "again.json"
    assert run(["report", "--from", str(source), "--selftest", str(file), "--out", str(page)]) == 0
    assert run(["report", "--extract", str(page), "--out", str(again)]) == 0
    record = json.loads(again.read_text(encoding="utf-8"))
    assert record["content_sha256"] == sealed_record().content_sha256
    assert record["selftest"]["file"] == "selftest.json" and len(record["selftest"]["controls"]) == 2
    assert "edited" not in capsys.readouterr().err


def test_an_audit_cites_it(file, checkpoint, tmp_path):
    from audit.configuration import Configuration
    from audit.session import prepare
    from tests.audit.rows import write_made_up_rows

    data = write_made_up_rows(tmp_path / "test.jsonl", 30)
    session = prepare(checkpoint, Configuration(data=str(data), out=str(tmp_path / "out"), selftest=str(file)))
    assert session.frame().selftest == cited(file)


@pytest.mark.parametrize(("content", "error", "says"), [
    (None, DataMissing, "there is no selftest at"),
    ("", DataDamaged, "it is not JSON"),
    ('{"schema_version": "1.0", "tool"', DataDamaged, "it is not JSON"),
    ("[1]", DataDamaged, "it has no schema_version"),
    ('{"schema_version": "9.0"}', OptionUnfit, "has schema '9.0'; this version reads 1.0"),
    ('{"schema_version": "1.0"}', DataDamaged, "tool: Field required"),
])  # fmt: skip
def test_what_is_no_selftest_is_refused_by_its_fault(tmp_path, content, error, says):
    path = tmp_path / "selftest.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(error, match=says):
        read_selftest(path)
    with pytest.raises(DataMissing, match="is a folder"):
        read_selftest(tmp_path)


def test_an_edited_share_is_refused_and_one_without_a_trial_is_not_cited(file, tmp_path):
    document = json.loads(file.read_text(encoding="utf-8"))
    edited, empty = tmp_path / "edited.json", tmp_path / "empty.json"
    edited.write_text(
        json.dumps({**document, "controls": [{**document["controls"][0], "sick": ["maybe"]}]}), encoding="utf-8"
    )
    empty.write_text(json.dumps({**document, "controls": []}), encoding="utf-8")
    with pytest.raises(DataDamaged, match=r"controls\.0\.sick\.0"):
        cited(edited)
    with pytest.raises(OptionUnfit, match="no control that was run"):
        cited(empty)
