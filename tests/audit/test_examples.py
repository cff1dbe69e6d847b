"""Rows of a finding: the worst in order, others at random by the seed, each once, and of how many they were taken."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from audit.examples import AT_RANDOM, LONGEST, WORST, examples_of, shortened, within_bounds
from reports.record import Finding, Severity


def shown(count: int, *, seed: int = 0, finding: str = "a-finding", worst: int = WORST):
    return examples_of(range(count), lambda row: {"row": row}, finding=finding, seed=seed, worst=worst)


def rows_of(found) -> list[int]:
    return [example["row"] for example in found["examples"]]


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 40, 41, 4812])
def test_the_worst_come_first_then_others_each_once(count):
    found = shown(count)
    rows = rows_of(found)
    assert rows[: found["examples_worst"]] == list(range(min(WORST, count)))
    assert len(set(rows)) == len(rows) == min(count, WORST + AT_RANDOM)
    assert all(row >= WORST for row in rows[WORST:]) and found["examples_total"] == count


def test_the_seed_and_the_findings_name_draw_the_others_and_nothing_else_does():
    assert shown(500) == shown(500)
    assert rows_of(shown(500))[WORST:] != rows_of(shown(500, seed=1))[WORST:]
    assert rows_of(shown(500))[WORST:] != rows_of(shown(500, finding="another"))[WORST:]


def test_every_other_row_is_drawn_equally_often():
    """Over 3,000 seeds each of the 60 others is drawn as often as the next, by a chi-squared test at 0.1%."""
    drawn = Counter(row for seed in range(3000) for row in rows_of(shown(80, seed=seed))[WORST:])
    counts = np.array([drawn[row] for row in range(WORST, 80)])
    assert counts.sum() == 3000 * AT_RANDOM
    assert chisquare(counts).pvalue > 0.001


def test_rows_without_an_order_are_all_drawn_at_random():
    found = shown(300, worst=0)
    assert found["examples_worst"] == 0 and len(found["examples"]) == AT_RANDOM
    assert max(rows_of(found)) > AT_RANDOM


def test_lines_are_made_for_shown_rows_only():
    made: list[int] = []
    examples_of(range(100_000), lambda row: made.append(row) or {"row": row}, finding="f", seed=0)
    assert len(made) == WORST + AT_RANDOM


def test_a_plugin_that_hands_on_all_its_rows_is_cut_to_what_is_shown():
    rows = [{"row": row} for row in range(1000)]
    whole = Finding(id="f", severity=Severity.LOW, statement="s", examples=rows, examples_total=4812)
    cut = within_bounds(whole, seed=0)
    assert len(cut.examples) == WORST + AT_RANDOM and cut.examples[:WORST] == rows[:WORST]
    assert (cut.examples_worst, cut.examples_total) == (WORST, 4812)
    few = whole.model_copy(update={"examples": rows[:5]})
    assert within_bounds(few, seed=0) is few


def test_a_long_text_is_cut():
    assert shortened("a" * 5000) == "a" * (LONGEST - 1) + "…" and shortened("short") == "short"
