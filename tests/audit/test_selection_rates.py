"""Selection rates and impact ratios in the form of 6 RCNY 5-301, against numbers worked out by hand."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pandas as pd
import pytest

from audit.main import run
from audit.selection_rates import QUESTION, selection_of, table_of
from core_model.errors import OptionUnfit
from reports.parts import Attestation, People
from reports.record import DataFacts, Evidence
from tests.reports.factories import record, sha256

# 100 women of whom 30 are selected, 90 men of whom 45 are, 9 of unknown sex, and one person of another category
SEX = ["F"] * 100 + ["M"] * 90 + ["(missing)"] * 9 + ["X"]
CHOSEN = [1] * 30 + [0] * 70 + [1] * 45 + [0] * 45 + [1] * 9 + [1]
RACE = (["A", "B"] * 100)[:200]


def world(tmp_path, *answers, columns=("sex", "race")):
    score = np.linspace(0.01, 0.99, 200)
    rows = pd.DataFrame({"row": range(200), "predicted": CHOSEN, "probability of biased": score})
    for name, values in zip(columns, (SEX, RACE), strict=True):
        rows[f"group {name}"] = values
    buffer = io.BytesIO()
    rows.to_parquet(buffer)
    (tmp_path / "evidence.parquet").write_bytes(buffer.getvalue())
    evidence = Evidence(file="evidence.parquet", sha256=hashlib.sha256(buffer.getvalue()).hexdigest(), rows=200)
    data = DataFacts(name="made up", sha256=sha256("d"), rows=200, text_column="text", group_columns=list(columns),
                     synthetic=True)  # fmt: skip
    done = record(evidence=evidence, data=data).sealed()
    if answers:
        done = done.model_copy(update={"people": People(attestations=list(answers))})
    (tmp_path / "audit.json").write_text(done.to_json(), encoding="utf-8")
    return done


def decision(**changes):
    fields = {"question": QUESTION, "answer": "yes", "name": "R. Oduya", "date": "2026-11-20",
              "statement": "one person", "left_out": {"sex": ["X"]}}  # fmt: skip
    return Attestation(**(fields | changes))


def by_category(table):
    return {row.category: row for row in table.rows}


def test_rates_and_ratios_are_those_worked_out_by_hand(tmp_path):
    found = selection_of(world(tmp_path), tmp_path / "audit.json", {})
    sex, race, both = found.tables
    rows = by_category(sex)
    assert (rows["F"].assessed, rows["F"].selected, rows["F"].rate) == (100, 30, 0.3)
    assert rows["X"].ratio == 1.0  # one person, selected: the highest rate, and nobody left it out
    assert rows["F"].ratio == pytest.approx(0.3)
    assert sex.unknown == 9 and "(missing)" not in rows
    assert "X" in sex.note  # small, and said so
    assert {row.category for row in both.rows} >= {"A & F", "B & M"}
    assert both.unknown == 9 and race.unknown == 0


def test_only_a_typed_decision_leaves_a_small_category_out(tmp_path):
    found = selection_of(world(tmp_path, decision()), tmp_path / "audit.json", {})
    rows = by_category(found.tables[0])
    assert rows["X"].ratio is None
    assert rows["X"].left_out == "left out by decision: one person (R. Oduya, 2026-11-20)"
    assert (rows["X"].assessed, rows["X"].rate) == (1, 1.0)  # its count and rate stay
    assert rows["F"].ratio == pytest.approx(0.3 / 0.5)
    low, high = rows["F"].ratio_interval
    assert low < 0.6 < high


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"left_out": {"sex": ["F"]}}, "only a category below 2%"), ({"left_out": {"sex": ["Y"]}}, "no category 'Y'"),
     ({"statement": None}, "has no reason")],
)  # fmt: skip
def test_a_decision_that_the_rule_does_not_allow_is_refused(tmp_path, changes, words):
    with pytest.raises(OptionUnfit, match=words):
        selection_of(world(tmp_path, decision(**changes)), tmp_path / "audit.json", {})


def test_the_scoring_rate_is_the_share_above_the_median_of_all(tmp_path):
    groups, scores = np.array(["a", "a", "b", "b"], object), np.array([0.1, 0.2, 0.3, 0.9])
    rows = by_category(table_of("T", "g", groups, scores > 0.25, scores, {}))
    assert (rows["a"].scoring_rate, rows["b"].scoring_rate) == (0.0, 1.0)
    assert rows["a"].scoring_ratio == 0.0


def test_evidence_that_is_gone_or_changed_gives_no_table(tmp_path):
    done = world(tmp_path)
    (tmp_path / "evidence.parquet").write_bytes(b"x")
    assert "does not fit its hash" in selection_of(done, tmp_path / "audit.json", {}).missing
    (tmp_path / "evidence.parquet").unlink()
    assert "does not lie beside" in selection_of(done, tmp_path / "audit.json", {}).missing


def test_columns_of_other_names_are_given_their_roles(tmp_path, capsys):
    done = world(tmp_path, columns=("g1", "g2"))
    assert "sex or race" in selection_of(done, tmp_path / "audit.json", {}).missing
    assert len(selection_of(done, tmp_path / "audit.json", {"sex": "g1", "race": "g2"}).tables) == 3
    command = ["report", "--from", str(tmp_path / "audit.json"), "--framework", "nyc-ll144"]
    assert run([*command, "--set", "sex=g1", "--out", str(tmp_path / "d.html")]) == 0
    assert "9 people of unknown category" in (tmp_path / "d.html").read_text(encoding="utf-8")
    assert run([*command, "--set", "sex=g9"]) == 2
    assert "no group column 'g9'" in capsys.readouterr().err
