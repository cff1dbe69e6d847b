"""Promises about the lines for a terminal."""

from __future__ import annotations

import unicodedata

from rich.console import Console

from reports.terminal import rich_summary, summary
from tests.reports.factories import record, sealed_record
from tests.reports.hostile import hostile_record


def test_the_lines_say_verdict_failures_mends_and_what_is_missing():
    text = summary(sealed_record())
    assert "Verdict: fail: 2 limits are broken" in text
    assert "fairness: equalized_odds_difference[by=target_group] 0.162 (0.147 to 0.177); limit <= 0.1, n=2,293" in text
    assert "    Try: aboveboard train --early-stopping --out out/model-2" in text
    assert "  privacy: no training data was given, so nobody can ask which rows were in it" in text
    assert "    Supply: --train-data FILE" in text
    assert "  explainability: errored, IndexError" in text
    assert "(synthetic)" in text


def test_partial_and_edited_records_say_so():
    assert "This run did not end" in summary(record(complete=False))
    assert "This record was edited" in summary(sealed_record().model_copy(update={"verdict": "pass"}))


def test_hostile_text_steers_no_terminal():
    for line in summary(hostile_record()).split("\n"):
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf")]
        assert len(line) < 2000


def test_rich_prints_brackets_of_data_as_they_are():
    changed = record(verdict_reason="[red]not markup[/red] [/]")
    console = Console(width=400, file=None, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(rich_summary(changed))
    assert "[red]not markup[/red] [/]" in captured.get()
