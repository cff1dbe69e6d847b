"""Promises about the ML-BOM. The validator is CycloneDX's own, with the schema that it carries."""

from __future__ import annotations

import builtins
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from reports.errors import LibraryMissing
from reports.formats.cyclonedx_bom import cyclonedx_json
from reports.record import Record
from tests.reports.factories import record, sealed_record
from tests.reports.formats.hostile_records import hostile_records
from tests.reports.hostile import hostile_record

pytest.importorskip("cyclonedx")


def validated(text: str) -> dict[str, Any]:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return json.loads(text)


def model_of(document: Record) -> dict[str, Any]:
    return validated(cyclonedx_json(document))["metadata"]["component"]


def property_of(properties: list[dict[str, str]], name: str) -> str:
    [value] = [p["value"] for p in properties if p["name"] == f"aboveboard:{name}"]
    return value


def test_the_validator_would_find_a_fault():
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    broken = cyclonedx_json(record()).replace('"machine-learning-model"', '"oracle"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


def test_the_checkpoint_is_a_component_with_its_hash_licence_and_data():
    document = validated(cyclonedx_json(sealed_record()))
    model = document["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": record().subject.sha256}]
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    parts = {part["bom-ref"]: part for part in document["components"]}
    assert parts["data"]["hashes"][0]["content"] == record().data.sha256
    assert property_of(parts["data"]["properties"], "synthetic") == "yes"
    assert {part.get("purl") for part in parts.values()} >= {"pkg:pypi/torch@2.13.0"}


def test_a_number_has_its_interval_in_the_standards_place_and_n_and_verdict_beside_it():
    card = model_of(sealed_record())["modelCard"]
    [gap] = [m for m in card["quantitativeAnalysis"]["performanceMetrics"] if m["type"] == "train_test_gap"]
    assert gap == {"type": "train_test_gap", "value": "0.118",
                   "confidenceInterval": {"lowerBound": "0.099", "upperBound": "0.137"}}  # fmt: skip
    beside = json.loads(property_of(card["properties"], "number:generalization:train_test_gap"))
    assert (beside["n"], beside["limit"], beside["verdict"]) == (2293, 0.05, "fail")


def test_what_was_not_measured_is_no_metric_but_a_property_with_its_reason():
    card = model_of(sealed_record())["modelCard"]
    assert "impact_ratio" not in {m["type"] for m in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert property_of(card["properties"], "not-measured:privacy").startswith("not measured: no training data")
    number = json.loads(property_of(card["properties"], "number:fairness:impact_ratio[target_group=other]"))
    assert (number["value"], number["verdict"]) == (None, "not measured")


def test_a_hash_that_is_none_is_left_out_and_an_unknown_licence_stays_a_name():
    subject = record().subject.model_copy(update={"sha256": "unknown", "licence": "house rules"})
    model = model_of(record(subject=subject))
    assert "hashes" not in model
    assert model["licenses"] == [{"license": {"name": "house rules"}}]


def test_a_missing_library_is_a_letter_with_what_to_type(monkeypatch):
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("cyclonedx"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LibraryMissing) as caught:
        cyclonedx_json(record())
    assert caught.value.mend == "pip install 'aboveboard[formats]'"


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(hostile_records())
def test_whatever_is_written_in_a_record_the_document_is_valid(hostile):
    text = cyclonedx_json(hostile)
    document = validated(text)
    refs = re.findall(r'"bom-ref": ("[^"]*")', text)
    assert len(set(refs)) == len(refs)
    values = document["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert len(values) == sum(m.value is not None for a in hostile.audits for m in a.metrics)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", text)


def test_the_hostile_record_is_valid():
    validated(cyclonedx_json(hostile_record()))
