"""A claim can be computed again by anyone, survives the disk, and does not survive a lie."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError
from pytest import approx

from core_model.errors import CheckpointDamaged, CheckpointMissing
from privacy.claim import NAME, PrivacyClaim, read_claim, recompute, supported, write_claim
from tests.privacy.factories import PHASE, claim, record

LATER = PHASE.model_copy(update={"noise_multiplier": 2.0, "steps": 200})


def test_a_claim_survives_the_disk(tmp_path):
    written = claim(PHASE, LATER, epsilon=4.0)
    assert write_claim(tmp_path, written) == tmp_path / NAME
    assert read_claim(tmp_path) == written


def test_the_file_has_the_fields_that_readers_rely_on(tmp_path):
    write_claim(tmp_path, claim())
    fields = json.loads((tmp_path / NAME).read_text())
    assert {
        "mechanism", "unit", "epsilon", "delta", "accountant", "sampling_rate", "noise_multiplier", "steps",
        "clipping_norm", "phases", "public", "data_sha256", "versions",
    } <= fields.keys()  # fmt: skip
    assert (fields["sampling_rate"], fields["noise_multiplier"], fields["steps"]) == (0.02, 1.0, 1000)


def test_what_changed_between_phases_is_null_at_the_top_and_stands_in_the_phases():
    changed = claim(PHASE, LATER)
    assert changed.noise_multiplier is None and changed.sampling_rate == 0.02 and changed.steps == 1200
    assert [phase.noise_multiplier for phase in changed.phases] == [1.0, 2.0]


def test_epsilon_is_computed_again_from_the_claim_alone():
    assert recompute(claim()) == approx(3.90, abs=0.02)
    assert recompute(claim(accountant="rdp")) == approx(4.324, abs=0.001)


def test_a_claim_that_its_record_bears_out_is_supported():
    assert supported(claim(), record()) == []


@pytest.mark.parametrize("epsilon", [1.0, 3.8, 8.0])
def test_an_epsilon_that_its_own_numbers_do_not_give_is_a_contradiction(epsilon):
    [contradiction] = supported(claim(epsilon=epsilon), record())
    assert contradiction.field == "epsilon" and contradiction.found == approx(3.90, abs=0.02)
    assert ("less privacy than is claimed" in contradiction.statement) == (epsilon < 3.9)


@pytest.mark.parametrize(
    ("planted", "field"),
    [
        ({"data": {"sha256": "0" * 64}}, "data_sha256"),
        ({"data": {}}, "data_sha256"),
        ({"data": "rows.csv"}, "data_sha256"),
        ({"model_sha256": "0" * 64}, "model_sha256"),
        ({"steps": 2000}, "steps"),
        ({"privacy": None}, "mechanism"),
        ({"privacy": "very"}, "mechanism"),
        ({"privacy": {**record()["privacy"], "clipping_norm": 5.0}}, "clipping_norm"),
        ({"privacy": {**record()["privacy"], "unit": "client"}}, "unit"),
        ({"privacy": {**record()["privacy"], "search": "40 trainings, not counted"}}, "search"),
        ({"privacy": {**record()["privacy"], "ledger": None}}, "phases"),
        ({"privacy": {**record()["privacy"], "ledger": {"kind": "privacy ledger"}}}, "phases"),
    ],
)
def test_what_the_record_says_differently_is_a_contradiction(planted, field):
    [contradiction] = supported(claim(), record(**planted))
    assert contradiction.field == field and contradiction.statement


def test_a_record_whose_noise_was_off_contradicts_the_claim():
    silent = record()
    silent["privacy"]["ledger"]["phases"][0]["noise_multiplier"] = 0.0
    [contradiction] = supported(claim(), silent)
    assert contradiction.field == "phases" and "no bound at all" in contradiction.statement


def test_a_record_with_less_noise_contradicts_the_claim():
    louder = record()
    louder["privacy"]["ledger"]["phases"][0]["noise_multiplier"] = 0.8
    [contradiction] = supported(claim(), louder)
    assert contradiction.field == "phases" and "(rdp)" in contradiction.statement


def test_a_checkpoint_without_a_claim_says_so(tmp_path):
    with pytest.raises(CheckpointMissing, match="no privacy claim") as missing:
        read_claim(tmp_path)
    assert "train --private" in missing.value.mend


def damaged(text: str, field: str, value: object) -> str:
    fields = json.loads(text)
    fields[field] = value
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda text: text[:100], "whole"),
        (lambda text: "", "whole"),
        (lambda text: "[1]", "whole"),
        (lambda text: damaged(text, "epsilon", -1), "epsilon"),
        (lambda text: damaged(text, "epsilon", "small"), "epsilon"),
        (lambda text: damaged(text, "delta", 0), "delta"),
        (lambda text: damaged(text, "delta", 1.5), "delta"),
        (lambda text: damaged(text, "sampling_rate", 0), "sampling_rate"),
        (lambda text: damaged(text, "phases", []), "phases"),
        (lambda text: damaged(text, "unit", "household"), "unit"),
        (lambda text: damaged(text, "accountant", "trust me"), "accountant"),
        (lambda text: damaged(text, "anonymous", True), "anonymous"),
        (lambda text: damaged(text, "steps", 10), "steps is 10"),
        (lambda text: damaged(text, "noise_multiplier", 4.0), "noise_multiplier is 4.0"),
    ],
)
def test_a_damaged_claim_is_refused_with_the_field(tmp_path, damage, named):
    file = write_claim(tmp_path, claim())
    file.write_text(damage(file.read_text()))
    with pytest.raises(CheckpointDamaged) as refused:
        read_claim(tmp_path)
    assert named in refused.value.found and str(file) in refused.value.found


def test_a_huge_or_unreadable_file_is_refused(tmp_path):
    (tmp_path / NAME).write_bytes(b" " * 1_000_001)
    with pytest.raises(CheckpointDamaged, match="1,000,000 bytes"):
        read_claim(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(CheckpointDamaged, match="cannot be read"):
        read_claim(tmp_path)
    (tmp_path / NAME).rmdir()
    (tmp_path / NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointDamaged, match="no privacy claim"):
        read_claim(tmp_path)


def test_a_promise_to_users_names_the_column_and_no_other_does():
    assert claim(unit="user", unit_column="author").unit_column == "author"
    for wrong in ({"unit": "user"}, {"unit": "example", "unit_column": "author"}):
        with pytest.raises(ValidationError, match="unit_column"):
            claim(**wrong)


def test_a_claim_without_noise_cannot_be_written():
    with pytest.raises(ValidationError):
        PrivacyClaim.model_validate({**claim().model_dump(), "epsilon": float("inf")})
    with pytest.raises(ValidationError):
        type(PHASE).model_validate({**PHASE.model_dump(), "noise_multiplier": 0.0})
