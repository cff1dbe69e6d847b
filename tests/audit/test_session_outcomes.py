"""Promises of a run about its rows' outcomes: kept through an interruption, and a mend's proof on a real checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit.configuration import Configuration
from audit.engine import Event
from audit.main import run
from audit.outcomes import OUTCOME
from audit.session import EVIDENCE, prepare
from reports.record import Record
from tests.audit.concerns.explainability_subjects import texts_with_shortcut, write_shortcut_checkpoint
from tests.audit.rows import write_made_up_rows
from tests.factories import write_rows

SMALL = ["--set", "security.recipes=look-alikes", "--set", "security.trigger_rows=0", "--set",
         "security.backdoor_rows=0", "--set", "security.gradient_rows=2", "--set", "security.radii=0.05"]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_made_up_rows(tmp_path_factory.mktemp("data") / "test.jsonl", 60)


def session(checkpoint: Path, data: Path, out: Path):
    asked = {"robustness": {"rows": 10, "smoothed_rows": 4, "smoothing_looks": 20}}
    return prepare(
        checkpoint,
        Configuration(
            data=str(data), text_column="text", label_column="label", out=str(out), audits=asked, threads=1,
            only=["robustness", "evaluability"],
        ),
    )  # fmt: skip


def test_an_interrupted_run_goes_on_with_the_outcomes_that_it_had(checkpoint, data, tmp_path):
    import pandas as pd

    whole = session(checkpoint, data, tmp_path / "whole").run()
    begun: list[str] = []

    def stop_at_the_second(event: Event) -> None:
        if event.stage == "started":
            begun.append(event.audit)
            if len(begun) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session(checkpoint, data, tmp_path / "cut").run(tell=stop_at_the_second)
    resumed = session(checkpoint, data, tmp_path / "cut").run(tell=lambda event: begun.append(event.audit))
    assert resumed.evidence == whole.evidence and resumed.content_sha256 == whole.content_sha256
    columns = pd.read_parquet(tmp_path / "cut" / EVIDENCE).columns
    assert any(column.startswith(f"{OUTCOME}robustness invariance_rate") for column in columns)


def test_normalization_is_proven_by_compare_and_a_twin_is_not(tmp_path, capsys):
    """The audit finds look-alike letters, its own command mends them, and the new audit shows the gain at no price."""
    checkpoint = write_shortcut_checkpoint(tmp_path / "sick")
    texts, labels = texts_with_shortcut(60, seed=0)
    lines = [
        {"text": text, "label": ("negative", "positive")[label]} for text, label in zip(texts, labels, strict=True)
    ]
    data = write_rows(tmp_path / "test.jsonl", lines)

    def audited(folder: Path, out: str) -> Record:
        assert run(["audit", str(folder), "--data", str(data), "--label-column", "label", "--only", "security",
                    "--out", str(tmp_path / out), *SMALL]) == 0  # fmt: skip
        return Record.model_validate_json((tmp_path / out / "audit.json").read_text(encoding="utf-8"))

    [finding] = [one for one in audited(checkpoint, "a").audits[0].findings if one.id == "security-attack-look-alikes"]
    assert finding.mitigation.command.startswith("aboveboard normalize")
    assert run(["normalize", str(checkpoint), "--out", str(tmp_path / "normalized")]) == 0
    audited(tmp_path / "normalized", "b")
    audited(checkpoint, "twin")
    capsys.readouterr()

    def compared(b: str) -> dict:
        paths = [str(tmp_path / name / "audit.json") for name in ("a", b)]
        assert run(["compare", *paths, "--out", str(tmp_path / f"a-{b}"), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    mended, twin = compared("b"), compared("twin")
    key = ("attack_success_rate", {"attack": "look-alikes"})
    [success] = [row for row in mended["rows"] if (row["name"], row["slice"]) == key]
    assert success["paired"] and success["b"] == 0 and success["conclusion"] == "better"
    assert all(line["difference"] == 0 for line in mended["mend"]["price"])
    assert {row["conclusion"] for row in twin["rows"]} <= {"no evidence of change", "not comparable"}
