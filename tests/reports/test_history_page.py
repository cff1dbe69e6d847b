"""Promises about the history page: every number once, absences as absences, its size, and no way out."""

from __future__ import annotations

import json
import re

import pytest

from reports.document.history import MOST_COLUMNS, MOST_LINES, history_html
from reports.document.spark import HEIGHT, WIDTH, spark
from reports.history import History, Point
from reports.history_lines import history_lines
from reports.record import Verdict
from tests.reports.histories import change, history, large_history, line, run
from tests.reports.pages import Page

BUDGET = 3_000_000  # bytes of a page, however many records there are


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(history_html(history()))


def test_the_runs_stand_there_by_name_hash_and_date(page):
    for each in history().runs:
        assert each.name in page.text and each.sha256[:12] in page.text and each.started[:10] in page.text
    assert "in the order of their dates" in page.text


def test_a_number_says_first_and_last_value_change_interval_and_conclusion(page):
    for words in ["impact ratio target_group = female", "0.600 \u2192", "0.850", "+0.250", "better", "came in run 3",
                  "0.230 to 0.270, 95%, same rows",
                  "excludes zero alone, not after the correction (p = 0.40)"]:  # fmt: skip
        assert words in page.text, words


def test_a_pass_by_a_softer_limit_stands_on_the_first_screen(page):
    assert "1 verdict is better only by a limit that moved." in page.text
    assert "fail by the first limit, 0.7" in page.text
    assert "limit 0.7 \u2192 0.55 in run 3 (softer)" in page.text
    assert page.text.index("better only by a limit") < page.text.index("Checkpoint")
    assert "fairness: limit of accuracy moved from 0.7 to 0.55 (softer)" in page.text


def test_only_what_has_a_limit_or_moved_stands_open():
    html = history_html(history())
    folds = re.findall(r"<details>.*?</details>", html, flags=re.DOTALL)
    quiet = [fold for fold in folds if "without a limit and without evidence of change</summary>" in fold]
    assert len(quiet) == 2
    assert sum("quiet number" in fold for fold in quiet) == 1
    assert not any("impact ratio" in fold or "equalized odds" in fold for fold in quiet)


def test_an_absent_number_is_a_dash_with_its_reason_and_never_zero():
    only = history(lines=[line("rate", [0.9, None, 0.8, 0.7])])
    html = history_html(only)
    [table] = re.findall(r'<table class="metrics values">.*?</table>', html, flags=re.DOTALL)
    cells = [Page(cell).text.strip() for cell in re.findall(r"<td.*?</td>", table, flags=re.DOTALL)]
    assert cells[1] == "not measured: \u2013too few rows" and not any(cell.startswith("0 ") for cell in cells)
    held = line("rate", [0.9, 0.9, 0.8, 0.7])
    gone = held.model_copy(update={"points": held.points[:2], "went": 3})
    assert "gone since run 3" in Page(history_html(history(lines=[gone]))).text


def test_every_number_has_a_drawing_and_the_values_behind_it(page):
    drawings = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("class") == "spark"]
    assert len(drawings) == len(history().lines)
    assert sum(tag == "table" and attrs.get("class") == "metrics values" for tag, attrs in page.tags) == 2


def test_the_same_history_gives_the_same_bytes_and_the_page_carries_it():
    html = history_html(history())
    assert html == history_html(history())
    found = re.search(r'<script type="application/json" id="audit-history">(.*?)</script>', html)
    assert found and History.model_validate(json.loads(found.group(1))) == history()


def test_hostile_text_is_inert_and_visible():
    bad = "<script>alert(1)</script>\u202e"
    hostile = history(
        runs=[run(1), run(2, name=bad, policy=bad), run(3), run(4, name=bad, started=bad, verdict_reason=bad)],
        lines=[line("quiet", [0.1, None, 0.1, 0.1], slice={bad: bad}, unit=bad, audit=bad),
               line(bad, [0.2, 0.2, 0.2, 0.2], last_step=change(3, 4, None, reason=bad))],
        command=bad,
    )  # fmt: skip
    page = Page(history_html(hostile))
    assert "<script>alert(1)</script>[U+202E]" in page.text
    assert len(page.raw["script"]) == 2 and page.ways_out() == []
    assert not any("\x1b" in said or "\u202e" in said for said in history_lines(hostile))


@pytest.mark.parametrize(("runs", "numbers"), [(20, 250), (24, 700), (150, 450)])
def test_a_page_of_many_runs_and_numbers_stays_within_its_budget_and_says_what_it_leaves_out(runs, numbers):
    page = history_html(large_history(runs, numbers))
    assert len(page.encode()) < BUDGET
    if numbers > MOST_LINES:
        assert f"{MOST_LINES} of {numbers} numbers are shown; history.json has all." in page
    if runs > MOST_COLUMNS:
        assert f"the last {MOST_COLUMNS} of {runs} runs" in page


# ---- the drawing ----


def numbers_of(path: str) -> list[float]:
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", path)]


def test_a_higher_value_stands_higher_and_everything_stays_in_the_box():
    drawn = spark(line("rate", [0.1, 0.5, 0.9], limit=0.5), range(1, 4))
    places = numbers_of(drawn.line)
    assert places[::2] == [6.0, WIDTH / 2, WIDTH - 6.0]
    assert places[1::2] == sorted(places[1::2], reverse=True)
    assert all(0 <= y <= HEIGHT for y in places[1::2] + numbers_of(drawn.band)[1::2])
    assert (drawn.broken.count("M"), drawn.dots.count("M")) == (2, 1)  # 0.1 and 0.5 do not exceed 0.5


def test_a_gap_breaks_the_line_and_is_marked():
    drawn = spark(line("rate", [0.1, 0.2, None, 0.3, 0.4]), range(1, 6))
    assert drawn.line.count("M") == 2 and drawn.crosses.count("M") == 1
    alone = spark(line("rate", [0.1, None, 0.3, None, 0.4]), range(1, 6))
    assert alone.line == "" and alone.whiskers.count("M") == alone.dots.count("M") == 3


def test_a_limit_that_moved_is_a_stair():
    steady, moved = line("rate", [0.5, 0.6, 0.7], limit=0.6), line("rate", [0.5, 0.6, 0.7], limit=0.6)
    points = [*moved.points[:2], moved.points[2].model_copy(update={"limit": 0.4})]
    stair = spark(moved.model_copy(update={"points": points}), range(1, 4)).limit
    heights = set(re.findall(r"(?:V|M\S+ )([\d.]+)", stair))
    assert len(set(re.findall(r"V([\d.]+)", spark(steady, range(1, 4)).limit))) == 1
    assert len(heights) == 2


def test_a_number_without_a_value_has_no_drawing():
    none = [Point(run=1, value=None, reason="too few rows", verdict=Verdict.INFORMATIVE)]
    assert spark(line("rate", [0.1, 0.1, 0.1]).model_copy(update={"points": none}), range(1, 4)) is None
