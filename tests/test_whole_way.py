"""The whole way: a checkpoint and a file in, a record and a report out, the same bytes twice, checked again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import audit
from audit.main import run
from reports.reading import read_record
from tests.audit.rows import made_up_rows, write_made_up_rows
from tests.factories import write_rows


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("rows")
    return write_made_up_rows(folder / "test.jsonl", 120), write_made_up_rows(folder / "train.jsonl", 160, seed=1)


def arguments(checkpoint, files, out, *more) -> list[str]:
    test, train = files
    return [str(a) for a in (
        "audit", checkpoint, "--data", test, "--train-data", train, "--label-column", "label",
        "--group-column", "sex", "--profile", "quick", "--out", out, *more,
    )]  # fmt: skip


@pytest.fixture(scope="module")
def audited(checkpoint, files, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("audited") / "out"
    with pytest.MonkeyPatch.context() as patch:  # a cache that other audits filled may differ in the last bits
        patch.setenv("ABOVEBOARD_CACHE_DIR", str(tmp_path_factory.mktemp("own cache")))
        assert run(arguments(checkpoint, files, out)) == 0
    return out


def test_a_run_leaves_a_record_a_report_and_its_rows(audited):
    record = read_record(audited / "audit.json")
    assert record.complete
    assert {a.id: a.status.value for a in record.audits if a.id in ("evaluability", "generalization", "fairness")} == {
        "evaluability": "measured", "generalization": "measured", "fairness": "measured",
    }  # fmt: skip
    assert (audited / "report.html").stat().st_size < 2_000_000
    assert (audited / "evidence.parquet").exists() and (audited / "review_queue.csv").exists()


def test_the_same_subject_data_options_and_seed_give_the_same_content(
    checkpoint, files, audited, tmp_path, monkeypatch
):
    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(tmp_path / "another cache"))
    assert run(arguments(checkpoint, files, tmp_path / "again")) == 0
    first, again = (read_record(out / "audit.json") for out in (audited, tmp_path / "again"))
    assert first.content() == again.content()
    assert first.content_sha256 == again.content_sha256
    assert (audited / "evidence.parquet").read_bytes() == (tmp_path / "again" / "evidence.parquet").read_bytes()


def test_the_report_gives_its_record_back_and_is_built_again_byte_for_byte(audited, tmp_path):
    assert run(["report", "--extract", str(audited / "report.html"), "--out", str(tmp_path / "audit.json")]) == 0
    assert read_record(tmp_path / "audit.json") == read_record(audited / "audit.json")
    assert run(["report", "--from", str(tmp_path / "audit.json"), "--out", str(tmp_path / "report.html")]) == 0
    assert (tmp_path / "report.html").read_bytes() == (audited / "report.html").read_bytes()


def test_an_honest_report_is_verified(audited, capsys):
    assert run(["verify", str(audited / "report.html"), "--sample", "6"]) == 0
    said = capsys.readouterr().out
    assert "0 differs" in said and "0 not checked" in said


def test_an_edited_number_is_found(audited, tmp_path, capsys):
    document = json.loads((audited / "audit.json").read_text(encoding="utf-8"))
    accuracy = next(m for a in document["audits"] for m in a["metrics"] if m["name"] == "accuracy" and not m["slice"])
    accuracy["value"] = 0.99
    (tmp_path / "audit.json").write_text(json.dumps(document), encoding="utf-8")
    assert run(["verify", str(tmp_path / "audit.json"), "--sample", "500"]) == 1
    said = capsys.readouterr().out
    assert "differs      content hash" in said
    assert "differs      evaluability: accuracy" in said


def test_a_report_of_another_checkpoint_is_found(audited, tmp_path, capsys):
    from tests.factories import write_checkpoint

    other = write_checkpoint(tmp_path / "other", seed=5)
    assert run(["verify", str(audited / "report.html"), "--checkpoint", str(other), "--sample", "0"]) == 1
    assert "differs      checkpoint" in capsys.readouterr().out


def test_a_checkpoint_compared_with_itself_shows_no_evidence_of_change(audited, tmp_path, capsys):
    record = str(audited / "audit.json")
    assert run(["compare", record, record, "--out", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert any(row["paired"] for row in rows)
    for row in rows:
        if row["difference"] is not None:
            assert row["difference"] == 0 and row["conclusion"] in ("no evidence of change", "not comparable"), row
    assert (tmp_path / "comparison.html").exists()


def test_records_of_other_data_are_compared_only_unpaired(checkpoint, audited, tmp_path, capsys):
    other = write_rows(tmp_path / "other.jsonl", made_up_rows(60, seed=7))
    out = tmp_path / "out"
    assert run([
        "audit", str(checkpoint), "--data", str(other), "--label-column", "label", "--only", "evaluability",
        "--out", str(out),
    ]) == 0  # fmt: skip
    pair = [str(audited / "audit.json"), str(out / "audit.json"), "--out", str(tmp_path / "compared")]
    capsys.readouterr()
    assert run(["compare", *pair]) == 2
    assert "--unpaired" in capsys.readouterr().err
    assert run(["compare", *pair, "--unpaired"]) == 0


def test_the_gate_answers_by_its_exit_code(checkpoint, files, tmp_path, capsys):
    policy = tmp_path / "policy.toml"
    policy.write_text('[[limits]]\nmetric = "accuracy"\nlimit = 0.999\n', encoding="utf-8")
    only = ["--only", "evaluability", "--policy", str(policy)]
    assert run(arguments(checkpoint, files, tmp_path / "out", *only)) == 0
    assert run(arguments(checkpoint, files, tmp_path / "out", *only, "--gate")) == 1
    policy.write_text('[[limits]]\nmetric = "accuracy"\nlimit = 0.001\n', encoding="utf-8")
    assert run(arguments(checkpoint, files, tmp_path / "out", *only, "--gate")) == 0


def test_from_python_the_record_comes_back(checkpoint, files, tmp_path):
    record = audit.run(
        checkpoint, data=files[0], out=tmp_path / "out", label_column="label", only=("evaluability",), profile="quick"
    )
    assert record.audit("evaluability") is not None
    assert "<script" not in record._repr_html_() and record.verdict in record._repr_html_()
