"""Promises of `aboveboard track`: what the trackers' own readers give back is what the record says, and no more."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from audit.main import run
from audit.tracking import entries, track
from core_model.errors import OptionUnfit
from reports.reading import hash_matches, read_record
from reports.record import AuditResult, Metric, Status
from tests.reports.factories import record, sealed_record
from tests.reports.hostile import hostile_record

GAP = "fairness/equalized_odds_difference_by_target_group_"
ABSENT = "fairness/impact_ratio_target_group_other_"


def the_gap() -> Metric:
    found = sealed_record().audit("fairness")
    assert found is not None
    return found.metrics[0]


def test_no_two_numbers_share_a_name_and_every_tracker_takes_it():
    for made in (sealed_record(), hostile_record()):
        found = list(entries(made))
        names = [entry.name for entry in found]
        metrics = sum(len(audit.metrics) for audit in made.audits)
        silent = sum(audit.status is not Status.MEASURED for audit in made.audits)
        assert len(set(names)) == len(names) == metrics + silent
        for name in names:
            audit, _, metric = name.partition("/")
            assert audit.strip() and len(name) <= 213 and not set(name) & set('."<>=[]{}\\') and "/" not in metric


def test_names_that_differ_only_in_what_is_replaced_stay_apart():
    pair = [Metric(name="m", slice={"g": g}, value=0.1, n=9, unit="u") for g in ("a.b", "a/b")]
    one, other = entries(record(audits=[AuditResult(id="x", concern="x", status=Status.MEASURED, metrics=pair)]))
    assert one.name == "x/m_g_a_b_" and other.name.startswith("x/m_g_a_b_-")


def test_what_was_not_measured_has_words_and_no_number():
    found = {entry.name: entry for entry in entries(sealed_record())}
    assert found[ABSENT].numbers == {} and "30 are needed" in found[ABSENT].words
    assert found["privacy"].numbers == {} and "no training data was given" in found["privacy"].words
    assert found["explainability"].state == "errored"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the made-up record as `audit.json`."""
    folder = tmp_path_factory.mktemp("record")
    (folder / "audit.json").write_text(sealed_record().to_json(), encoding="utf-8")
    return folder


def test_tensorboard_reads_the_numbers_back(written, tmp_path, capsys):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    to = tmp_path / "runs"
    assert run(["track", str(written / "audit.json"), "--with", "tensorboard", "--to", str(to), "--json"]) == 0
    folder = Path(json.loads(capsys.readouterr().out)["run"])
    read = accumulators.EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0}).Reload()
    tags = read.Tags()
    assert not [tag for tag in tags["scalars"] + tags["tensors"] if tag.startswith(ABSENT) and "verdict" not in tag]

    def number(tag: str) -> float:
        [event] = read.Scalars(tag) if tag in tags["scalars"] else read.Tensors(tag)
        return float(event.value) if tag in tags["scalars"] else float(event.tensor_proto.double_val[0])

    gap = the_gap()
    assert gap.interval is not None
    shown = [number(f"{GAP}{end}") for end in ("", ".low", ".high", ".n", ".limit")]
    assert shown == pytest.approx([gap.value, *gap.interval, gap.n, gap.limit], rel=1e-6)

    def words(tag: str) -> str:
        [event] = read.Tensors(f"{tag}.verdict/text_summary")
        return str(event.tensor_proto.string_val[0].decode("utf-8"))

    assert words(GAP).startswith("fail: ") and "30 are needed" in words(ABSENT)
    assert hash_matches(read_record(folder / "audit.json")) and (folder / "report.html").stat().st_size > 10_000
    assert run(["track", str(written / "audit.json"), "--with", "tensorboard", "--to", str(to)]) == 2
    assert "already" in capsys.readouterr().err


def test_mlflow_reads_the_numbers_back(written, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    run_id = track(sealed_record(), "mlflow", to=tmp_path / "ml")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'ml' / 'mlflow.db'}")
    read = client.get_run(run_id)
    gap = the_gap()
    assert gap.interval is not None
    shown = [read.data.metrics[f"{GAP}{end}"] for end in ("", ".low", ".high", ".n", ".limit")]
    assert shown == pytest.approx([gap.value, *gap.interval, gap.n, gap.limit])
    valued = [m for a in sealed_record().audits for m in a.metrics if m.value is not None]
    assert sum("." not in name for name in read.data.metrics) == len(valued)
    assert not [name for name in read.data.metrics if name.startswith(ABSENT)]
    assert "30 are needed" in read.data.tags[f"{ABSENT}.words"]
    assert read.data.tags[f"{GAP}.verdict"] == "fail" and read.data.tags["aboveboard.verdict"] == "fail"
    assert read.info.status == "FINISHED"
    kept = Path(client.download_artifacts(run_id, "audit.json", str(tmp_path)))
    assert hash_matches(read_record(kept)) and {a.path for a in client.list_artifacts(run_id)} == {
        "audit.json",
        "report.html",
    }
    assert {path.name for path in tmp_path.iterdir()} == {"ml", "audit.json"}  # nothing is left in the working folder
    track(hostile_record(), "mlflow", to=tmp_path / "ml")


def test_a_redacted_record_is_logged_redacted(written, tmp_path, monkeypatch):
    logged: list[Any] = []
    monkeypatch.setattr("audit.tracking.track", lambda made, tracker, to: logged.append(made) or "there")
    arguments = ["track", str(written / "audit.json"), "--with", "mlflow", "--to", str(tmp_path)]
    assert run([*arguments, "--redact"]) == 0 and run(arguments) == 0
    assert logged[0].redaction is not None and logged[1].redaction is None


def test_bad_input_is_a_letter(written, tmp_path, monkeypatch, capsys):
    with pytest.raises(OptionUnfit, match="no tracker"):
        track(sealed_record(), "wandb", to=tmp_path)
    for tracker, package in (("mlflow", "mlflow"), ("tensorboard", "torch.utils.tensorboard")):
        monkeypatch.setitem(sys.modules, package, None)
        assert run(["track", str(written / "audit.json"), "--with", tracker, "--to", str(tmp_path)]) == 2
        assert f"aboveboard[{tracker}]" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert run(["track", str(tmp_path / "none.json"), "--with", "mlflow", "--to", str(tmp_path)]) == 2
