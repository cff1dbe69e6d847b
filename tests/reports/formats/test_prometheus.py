"""Promises about Prometheus text. The reader is the Prometheus client's own parser."""

from __future__ import annotations

from math import isfinite
from typing import Any

from hypothesis import HealthCheck, given, settings
from prometheus_client.parser import text_string_to_metric_families

from reports.formats.prometheus import prometheus_text
from reports.record import Metric, Record
from tests.reports.factories import record, sealed_record
from tests.reports.formats.hostile_records import hostile_records
from tests.reports.hostile import hostile_record


def samples(document: Record) -> list[Any]:
    return [s for family in text_string_to_metric_families(prometheus_text(document)) for s in family.samples]


def value(document: Record, name: str, **labels: str) -> list[float]:
    return [s.value for s in samples(document) if s.name == f"aboveboard_{name}" and labels.items() <= s.labels.items()]


def test_a_number_is_read_with_its_interval_n_unit_and_limit():
    gap = {"audit": "generalization", "metric": "train_test_gap", "slice": "", "unit": "accuracy"}
    found = {name: value(sealed_record(), f"metric_{name}", **gap)
             for name in ("value", "interval_low", "interval_high", "confidence", "rows", "limit")}  # fmt: skip
    assert found == {"value": [0.118], "interval_low": [0.099], "interval_high": [0.137], "confidence": [0.95],
                     "rows": [2293], "limit": [0.05]}  # fmt: skip
    assert value(sealed_record(), "metric_state", **gap, state="fail") == [1]
    assert value(sealed_record(), "metric_state", **gap, state="pass") == [0]


def test_what_was_not_measured_has_a_state_and_no_value():
    ratio = {"audit": "fairness", "metric": "impact_ratio"}
    assert value(sealed_record(), "metric_value", **ratio) == []
    assert value(sealed_record(), "metric_state", **ratio, state="not_measured") == [1]
    assert value(sealed_record(), "audit_state", audit="privacy", state="not_measured") == [1]
    assert value(sealed_record(), "findings", audit="privacy") == []  # nobody looked: none is not zero
    assert value(sealed_record(), "findings", audit="evaluability", severity="high") == [0]


def test_numbers_whose_names_look_alike_stay_two_series():
    hidden, shown = (
        Metric(name="accuracy", slice={"group": group}, value=share, n=9, unit="share of rows")
        for group, share in (("a\u200b", 0.1), ("a[U+200B]", 0.9))
    )
    audit = sealed_record().audits[0].model_copy(update={"metrics": [hidden, shown], "findings": []})
    found = [s for s in samples(record(audits=[audit])) if s.name == "aboveboard_metric_value"]
    assert [s.value for s in found] == [0.1, 0.9]
    assert found[0].labels["slice"] == "group=a[U+200B]"
    assert found[1].labels != found[0].labels


def test_an_edited_record_does_not_pass():
    edited = sealed_record().model_copy(update={"verdict": "pass"})
    assert value(edited, "run_state", state="pass") == [0]
    assert value(edited, "run_state", state="inconclusive") == [1]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(hostile_records())
def test_whatever_is_written_in_a_record_the_text_reads_back_and_no_series_twice(hostile):
    found = samples(hostile)
    series = [(s.name, tuple(sorted(s.labels.items()))) for s in found]
    assert len(set(series)) == len(series)
    assert all(isfinite(s.value) for s in found)
    numbers = [s for s in found if s.name == "aboveboard_metric_value"]
    assert sorted(s.value for s in numbers) == sorted(
        m.value for a in hostile.audits for m in a.metrics if m.value is not None
    )
    states = [s for s in found if s.name == "aboveboard_metric_state" and s.value == 1]
    assert len(states) == sum(len(a.metrics) for a in hostile.audits)


def test_the_hostile_record_reads_back():
    assert len(samples(hostile_record())) == len(samples(sealed_record())) - 1  # its time is no time
