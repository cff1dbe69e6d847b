"""Promises about a comparison: no conclusion without its interval, and a page that says so."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from reports.comparison import Comparison, Difference, MendGains
from reports.comparison_lines import comparison_lines
from reports.document.build import comparison_html
from tests.reports.factories import record, sha256
from tests.reports.pages import Page


def difference(conclusion: str, interval: tuple[float, float] | None, **more) -> Difference:
    middle = None if interval is None else sum(interval) / 2
    fields = {
        "audit": "fairness", "name": f"{conclusion.replace(' ', '_')}_rate", "unit": "share of rows", "better": "lower",
        "a": 0.3, "b": None if middle is None else 0.3 + middle, "difference": middle, "interval": interval, "n": 2293,
        "paired": True, "method": "Newcombe 1998, paired, method 10", "conclusion": conclusion,
    }  # fmt: skip
    return Difference(**(fields | more))


def comparison(**changes) -> Comparison:
    a = record()
    fields = {
        "a": a.subject,
        "b": a.subject.model_copy(update={"name": "fairer (synthetic record)", "sha256": sha256("fairer")}),
        "data": a.data,
        "rows": [
            difference("better", (-0.08, -0.02), slice={"target_group": "female"}),
            difference("worse", (0.011, 0.034), name="false_negative_rate"),
            difference("no evidence of change", (-0.01, 0.02), name="accuracy"),
            difference("changed", (0.01, 0.02), name="selection_rate", better="none"),
            difference("not comparable", None, name="co2e", reason="one of the two has no interval", n=0),
        ],
        "command": "aboveboard compare a.json b.json",
    }
    return Comparison(**(fields | changes))


def mended() -> Comparison:
    """The comparison with a gain against an attack, a word that nobody should trust, and their price."""
    won = difference("better", (-0.3, -0.12), name="attack_success_rate", audit="security",
                     slice={"attack": "pwws"}, reason="on the 58 rows that count in both")  # fmt: skip
    lost = difference("not comparable", None, name="attack_success_rate", audit="security",
                      slice={"attack": "<b>\u202e"}, reason="measured otherwise", n=0)  # fmt: skip
    paid = difference("worse", (-0.035, -0.002), name="accuracy", audit="evaluability", better="higher")
    return comparison(
        rows=[*comparison().rows, won, lost], mend=MendGains(gains=[won.key, lost.key], price=[paid])
    )  # fmt: skip


def test_gains_stand_before_all_numbers_beside_their_price():
    page = Page(comparison_html(mended()))
    place = [page.text.index(words) for words in (
        "A mend is judged by both tables", "attack = pwws", "on the 58 rows that count in both",
        "The price: on the rows as they are", "a smaller change than the interval's width")]  # fmt: skip
    assert place == sorted(place)
    assert "<b>[U+202E]" in page.text and page.ways_out() == []


def test_a_terminal_tells_the_gain_and_the_price_and_nothing_moves_it():
    lines = list(comparison_lines(mended()))
    at = lines.index("against attacks and noise:")
    assert lines[at + 1].startswith("  attack success rate pwws -0.2100 [-0.3000, -0.1200], better; 0.300 -> 0.0900")
    assert lines[at + 2].endswith(": not comparable, measured otherwise") and "\u202e" not in lines[at + 2]
    assert lines[at + 3] == "the price, where nobody attacks:" and lines[at + 4].startswith("  accuracy -0.0185")


def test_an_unknown_price_says_why_and_gains_must_be_rows():
    won = difference("better", (-0.3, -0.12))
    unpriced = comparison(rows=[won], mend=MendGains(gains=[won.key], price_missing="no labels"))
    assert "The price is not known: no labels." in Page(comparison_html(unpriced)).text
    assert list(comparison_lines(unpriced))[-1] == "  not known: no labels"
    with pytest.raises(ValidationError, match="gains that are no rows"):
        comparison(rows=[], mend=MendGains(gains=[won.key], price_missing="no labels"))
    with pytest.raises(ValidationError, match="gains need their price"):
        MendGains(gains=[won.key])


@pytest.mark.parametrize(
    ("conclusion", "interval", "better"),
    [("better", (-0.1, 0.1), "lower"), ("better", (0.1, 0.2), "lower"), ("worse", (0.1, 0.2), "higher"),
     ("no evidence of change", (0.1, 0.2), "lower"), ("changed", (0.1, 0.2), "lower"), ("better", None, "lower"),
     ("better", (0.1, 0.2), "none"), ("not comparable", None, "lower")],
)  # fmt: skip
def test_a_conclusion_that_does_not_follow_from_its_interval_is_refused(conclusion, interval, better):
    with pytest.raises(ValidationError, match=r"does not follow|needs a|is better"):
        difference(conclusion, interval, better=better)


def test_an_interval_that_touches_zero_is_no_evidence():
    assert difference("no evidence of change", (0.0, 0.2)).conclusion == "no evidence of change"


def test_the_page_has_each_conclusion_with_its_interval():
    page = Page(comparison_html(comparison()))
    for words in ["Better", "Worse", "No evidence of change", "Changed", "Not comparable", "\u22120.080 to \u22120.020",
                  "95%, same rows", "one of the two has no interval", "4 numbers compared", sha256("fairer"),
                  "a smaller change than the interval's width would not show"]:  # fmt: skip
        assert words in page.text, words
    assert "different data" not in page.text
    assert page.ways_out() == []


def test_other_data_on_the_other_side_is_said_on_the_first_screen():
    other = record().data.model_copy(update={"sha256": sha256("other rows")})
    assert "A and B were measured on different data." in Page(comparison_html(comparison(data_b=other))).text


def test_the_same_comparison_gives_the_same_bytes():
    assert comparison_html(comparison()) == comparison_html(comparison())


def test_hostile_names_are_inert_and_visible():
    rows = [difference("better", (-0.2, -0.1), name="<script>x</script>\u202e")]
    page = Page(comparison_html(comparison(rows=rows)))
    assert "<script>x</script>[U+202E]" in page.text
    assert len(page.raw["script"]) == 2


def test_an_empty_comparison_is_a_page():
    assert "0 numbers compared" in Page(comparison_html(comparison(rows=[]))).text
