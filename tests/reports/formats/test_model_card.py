"""Promises about the model card. Its metadata is read by Hugging Face's own parser, its text by a CommonMark one."""

from __future__ import annotations

import re

import pytest
from huggingface_hub import EvalResult, ModelCard
from hypothesis import HealthCheck, given, settings

from reports.formats.model_card import model_card
from reports.record import Record
from tests.reports.factories import record, sealed_record
from tests.reports.formats.hostile_records import hostile_records
from tests.reports.hostile import hostile_record

markdown_it = pytest.importorskip("markdown_it")


def results(document: Record) -> dict[str, EvalResult]:
    found = ModelCard(model_card(document)).data.eval_results
    return {f"{r.metric_args['audit']}: {r.metric_name}": r for r in found or []}


def test_the_hub_reads_back_each_value_with_its_n_interval_and_verdict():
    gap = results(sealed_record())["generalization: train_test_gap"]
    assert (gap.metric_value, gap.dataset_name, gap.task_type) == (0.118, "comments.csv", "text-classification")
    assert gap.metric_args["interval"] == [0.099, 0.137]
    assert (gap.metric_args["n"], gap.metric_args["limit"], gap.metric_args["verdict"]) == (2293, 0.05, "fail")
    assert not gap.verified
    assert gap.dataset_args["synthetic"] is True


def test_what_was_not_measured_is_in_the_text_with_its_reason_and_not_in_the_metadata():
    card = model_card(sealed_record())
    assert not any("impact_ratio" in name for name in results(sealed_record()))
    part = card.partition("### Not measured")[2]
    assert "7 rows; 30 are needed for a group of its own" in part
    assert "| privacy | no training data was given" in part


def test_the_card_says_the_verdict_and_calls_itself_evidence():
    card = model_card(sealed_record())
    assert "**Fail.** 2 limits are broken" in card
    assert "Evidence, not a certificate" in card


@pytest.mark.parametrize(
    ("licence", "front_matter"),
    [("Apache-2.0", {"license": "apache-2.0"}), (None, {}),
     ("House rules, 2nd", {"license": "other", "license_name": "House rules, 2nd"})],
)  # fmt: skip
def test_a_licence_that_no_hub_knows_is_called_other(licence, front_matter):
    subject = record().subject.model_copy(update={"licence": licence})
    data = ModelCard(model_card(record(subject=subject))).data.to_dict()
    assert {k: v for k, v in data.items() if k.startswith("license")} == front_matter


def test_an_edited_record_is_called_edited():
    edited = sealed_record().model_copy(update={"verdict": "pass"})
    assert "**Inconclusive.**" in model_card(edited)
    assert "the record was edited" in model_card(edited)


def markup(card: str) -> set[str]:
    """Kinds of CommonMark tokens of the body, with HTML and links on."""
    body = card.split("\n---\n", 1)[1]
    tokens = markdown_it.MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").parse(body)
    return {inner.type for token in tokens for inner in [token, *(token.children or [])]}


@pytest.fixture(scope="module")
def own_markup() -> set[str]:
    return markup(model_card(sealed_record())) | {"text_special", "softbreak"}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(hostile=hostile_records())
def test_whatever_is_written_in_a_record_the_card_reads_back_and_holds_no_markup_of_others(own_markup, hostile):
    card = model_card(hostile)
    values = [m.value for a in hostile.audits for m in a.metrics if m.value is not None]
    assert sorted(r.metric_value for r in ModelCard(card).data.eval_results or []) == sorted(values)
    assert markup(card) <= own_markup
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", card)


def test_the_hostile_record_reads_back():
    assert len(ModelCard(model_card(hostile_record())).data.eval_results) == len(results(sealed_record()))
