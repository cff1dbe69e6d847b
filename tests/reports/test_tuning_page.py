"""Promises of the page of a search: every number with its table, the winner's optimism said, and nothing that runs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from reports.document.tuning import tuning_html
from tests.reports.factories import sha256
from tests.reports.pages import Page

ROWS = {"name": "rows.jsonl (synthetic)", "sha256": sha256("rows"), "rows": 900, "synthetic": True}


def trial(number: int, ending: str = "complete", value: float | None = 0.5, **more: Any) -> dict[str, Any]:
    parameters = {"learning_rate": 10 ** -(number % 4 + 2), "batch_size": 16}
    return {
        "number": number, "ending": ending, "value": value, "parameters": parameters, "curve": [], "seconds": 2.5
    } | more  # fmt: skip


def record(**changes: Any) -> dict[str, Any]:
    return {
        "task": "classification",
        "objective": {"name": "loss", "direction": "lower", "of": "the evaluation rows, at the end"},
        "data": ROWS,
        "evaluation_data": {**ROWS, "rows": 100},
        "base": {"name": "tiny (synthetic)", "sha256": sha256("base")},
        "architecture": None,
        "space": {
            "learning_rate": {"low": 1e-5, "high": 0.01, "log": True, "step": None},
            "batch_size": {"choices": [16, 32]},
        },
        "options": {"epochs": 3, "clip_norm": None},
        "seed": 0,
        "sampler": "TPE",
        "pruner": "median",
        "trials_asked": 5,
        "trials": [
            trial(0, value=0.69), trial(1, value=0.41), trial(2, "pruned", None, reason="worse than the median"),
            trial(3, "infeasible", None, reason="hidden = 18 is not divisible by heads = 4"), trial(4, value=0.43),
        ],
        "best": {"trial": 1, "value": 0.41, "n": 100, "model_sha256": sha256("best")},
        "usual": {"trial": 0, "value": 0.69},
        "importance": {
            "method": "fANOVA", "shares": {"learning_rate": 0.8, "batch_size": 0.2},
            "intervals": {"learning_rate": [0.5, 0.95], "batch_size": [0.05, 0.5]}, "n": 3, "reason": None,
            "caveat": "Few trials say little.",
        },
        "test": None,
        "privacy": {"note": "The search costs privacy."},
        "seconds": 12.5,
        "notes": ["All trials share one training seed."],
        "a key of a later version": 1,
    } | changes  # fmt: skip


MEASURE = {
    "name": "loss", "value": 0.46, "interval": [0.4, 0.53], "confidence": 0.95, "method": "studentized bootstrap",
    "n": 300, "unit": "nats a row", "reason": None,
}  # fmt: skip


def test_the_page_has_each_number_and_each_ending():
    page = Page(tuning_html(record(), command="aboveboard tune --base tiny"))
    for words in ["Best evaluation loss: 0.41", "The default parameters had 0.69 (trial 0).", "lower is better",
                  "3 complete", "1 pruned", "1 infeasible", "hidden = 18 is not divisible by heads = 4",
                  "worse than the median", "Few trials say little.", "The search costs privacy.", sha256("base"),
                  "All trials share one training seed.", "aboveboard tune --base tiny", "synthetic"]:  # fmt: skip
        assert words in page.text, words


def test_the_winner_s_optimism_is_said_until_unseen_rows_are_there():
    assert "would give an honest one" in Page(tuning_html(record())).text
    tested = record(test={"data": {**ROWS, "rows": 300}, "rows_left_out": 4, "measures": [MEASURE]})
    text = Page(tuning_html(tested)).text
    assert "would give an honest one" not in text and "so that value is optimistic" in text
    assert "0.460" in text and "0.400 to 0.530" in text and "4 that the search had seen are left out" in text


def test_both_figures_are_drawn_and_have_their_tables():
    html = tuning_html(record())
    page = Page(html)
    assert sum(tag == "svg" and attrs.get("class") == "chart" for tag, attrs in page.tags) == 2
    assert page.text.count("Data of the figure") == 2
    assert "best so far" in page.text and "share of the variance" in html


def test_the_best_so_far_falls_and_never_rises():
    table = Page(tuning_html(record()).replace("</td>", " </td>")).text.split("Data of the figure")[1]
    assert "0 0.69 best so far 1 0.41 best so far 4 0.41 best so far" in re.sub(r"\s+", " ", table)


def test_importance_that_is_not_known_is_said_with_its_reason():
    importance = record()["importance"] | {"shares": {}, "intervals": {}, "reason": "4 complete trials; 10 are needed"}
    assert "Importance is not measured: 4 complete trials; 10 are needed." in Page(
        tuning_html(record(importance=importance))
    ).text  # fmt: skip


def test_a_search_without_a_winner_is_a_page():
    failed = record(trials=[trial(0, "diverged", None, reason="no number")], best=None, usual=None)
    text = Page(tuning_html(failed)).text
    assert "No trial came to its end" in text and "looks better than it is" not in text


def test_the_same_record_gives_the_same_bytes_and_no_way_out():
    assert tuning_html(record()) == tuning_html(record())
    assert Page(tuning_html(record())).ways_out() == []


def test_hostile_text_is_inert_and_visible():
    evil = "<script>x</script>\u202e"
    hostile = record(
        base={"name": evil, "sha256": sha256("b")}, notes=[evil], data={**ROWS, "name": evil},
        trials=[trial(1, value=0.41), trial(2, "pruned", None, reason=evil)], space={evil: {"choices": [evil, 1]}},
    )  # fmt: skip
    page = Page(tuning_html(hostile, command=evil))
    assert "<script>x</script>[U+202E]" in page.text
    assert len(page.raw["script"]) == 2
    assert page.ways_out() == []


@pytest.mark.parametrize(
    "broken", [trial(0, "pruned", 0.4), trial(0, "complete", None), trial(0, "complete", float("nan"))]
)
def test_a_value_that_its_ending_does_not_have_is_refused(broken):
    with pytest.raises(ValidationError):
        tuning_html(record(trials=[broken]))
