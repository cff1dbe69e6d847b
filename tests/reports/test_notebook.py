"""A record in a notebook: what a reader asks first, and nothing that a stranger wrote comes alive."""

from __future__ import annotations

from lxml import html as lxml_html

from reports.notebook import card
from reports.record import AuditResult, Metric, Status
from tests.reports.factories import record, sealed_record
from tests.reports.hostile import hostile_record

ELEMENTS = {"div", "p", "strong", "ul", "li", "code", "table", "caption", "thead", "tbody", "tr", "th", "td"}


def test_it_says_verdict_findings_what_is_missing_and_the_numbers_with_a_limit():
    shown = lxml_html.fromstring(sealed_record()._repr_html_())
    text = shown.text_content()
    assert "fail" in text and "2 limits are broken" in text and "wrongly flagged as biased" in text
    assert "privacy: no training data was given" in text and "--train-data FILE" in text
    rows = {row[1].text: [cell.text for cell in row] for row in shown.iter("tr") if row[0].tag == "td"}
    limited = {m.key: m for a in sealed_record().audits for m in a.metrics if m.limit is not None}
    assert set(rows) == set(limited)
    gap = rows["equalized_odds_difference[by=target_group]"]
    assert gap[2].startswith("0.16") and gap[4] == "2,293" and gap[6] == "fail"
    assert next(iter(rows.values()))[6] == "fail"  # the most pressing first


def test_an_edited_or_unfinished_record_says_so():
    edited = sealed_record().model_copy(update={"verdict": "pass"})
    assert "was edited" in card(edited) and "was edited" not in card(sealed_record())
    assert "did not end" in card(record(complete=False))


def test_what_was_not_measured_has_a_dash_and_its_reason_never_a_zero():
    absent = Metric(name="epsilon", value=None, n=0, unit="epsilon", limit=3.0, reason="no accountant")
    audit = AuditResult(id="privacy", concern="privacy", status=Status.MEASURED, metrics=[absent])
    row = next(r for r in lxml_html.fromstring(card(record(audits=[audit]))).iter("tr") if r[0].tag == "td")
    assert [cell.text for cell in row][2:4] == ["-", "-"] and "no accountant" in row[6].text


def test_hostile_text_stays_text():
    whole = card(hostile_record())
    page = lxml_html.fromstring(whole)
    assert {element.tag for element in page.iter()} <= ELEMENTS
    assert not [element for element in page.iter() if element.attrib]
    assert not [c for c in whole if c in "\u202e\u200b\x1b\x07\x00"]
    assert "<script>window.PWNED=1</script>" in page.text_content()
    assert len(whole) < 100_000
