"""The sandwich on planted claims and canaries: a bug is found, an honest claim is not accused, silence is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.concerns.privacy.sandwich import Promise, audit_canaries, largest_bound, ways_for
from core_model.tasks import Task
from privacy.canaries import Canaries, make_canaries, write_canaries
from privacy.claim import ClaimedPhase, PrivacyClaim, write_claim
from privacy.one_run import epsilon_lower_bound
from reports.record import Severity, Verdict
from tests.audit.concerns.privacy_subjects import ids, one, planted, run
from tests.privacy import factories

PHASE = ClaimedPhase(noise_multiplier=4.0, sampling_rate=0.02, steps=1000, sampling="poisson", clipping_norm=1.0)
COUNT = 200


def small_claim(**changed: Any) -> PrivacyClaim:
    """A claim of an epsilon that 200 canaries can refute."""
    drawn = factories.claim(PHASE)
    return factories.claim(PHASE, **{"epsilon": drawn.ledger().epsilon(drawn.delta), **changed})


def record(claim: PrivacyClaim, **private: Any) -> dict[str, Any]:
    """A training record that bears the claim out."""
    whole = factories.record()
    whole["privacy"] = {**whole["privacy"], "ledger": claim.ledger().to_json(), **private}
    return whole


def subject(
    folder: Path, claim: PrivacyClaim | None, *, leak: float = 0.0, canaries: int = COUNT, seed: int = 0, **private: Any
) -> Any:
    """A planted classifier with a claim, whose canaries' log odds are `leak` higher where they were included."""
    made = planted(rows=60)
    checkpoint = made.checkpoint
    checkpoint.path = folder
    if claim is not None:
        write_claim(folder, claim)
        checkpoint.training_record = record(claim, **private)
    if canaries:
        random = np.random.default_rng(seed)
        drawn = make_canaries(made.training, Task.CLASSIFICATION, canaries, random=random)
        write_canaries(folder, drawn)
        _plant(made, drawn, leak, random)
    return made


def _plant(made: Any, canaries: Canaries, leak: float, random: np.random.Generator) -> None:
    rows = made.predictor.answer
    answers = {}
    for canary in canaries.canaries:
        p = 1 / (1 + np.exp(-random.normal(leak if canary.included else 0.0, 1.0)))
        answers[canary.text] = [1 - p, p] if canary.wanted == "positive" else [p, 1 - p]
    made.predictor.answer = lambda text: answers.get(text) or rows(text)


def test_a_bound_above_the_claim_has_found_a_bug(tmp_path: Path) -> None:
    claim = small_claim()
    found = run(subject(tmp_path, claim, leak=12.0))
    lower = one(found, "epsilon_lower_bound")
    assert lower.value > claim.epsilon and lower.verdict is Verdict.FAIL and lower.limit == claim.epsilon
    assert 0 < lower.p_value < 0.05  # of so many right guesses, if the claim held: never 0
    [bug] = [f for f in found.findings if f.id == "privacy-claim-refuted"]
    assert bug.severity is Severity.HIGH and "--grad-sample hooks" in bug.mitigation.command
    assert found.findings[0].severity is Severity.HIGH


def test_an_honest_claim_is_not_accused_and_stands_in_one_row(tmp_path: Path) -> None:
    claim = small_claim()
    found = run(subject(tmp_path, claim))
    assert one(found, "epsilon_claimed").value == claim.epsilon
    assert one(found, "epsilon_accounted", accountant="prv").value == pytest.approx(claim.epsilon)
    assert one(found, "epsilon_accounted", accountant="rdp").value > claim.epsilon
    assert one(found, "claim_contradictions").verdict is Verdict.PASS
    lower = one(found, "epsilon_lower_bound")
    assert lower.verdict is Verdict.PASS and lower.interval == (lower.value, claim.epsilon)
    assert lower.p_value > 0.05
    assert not {name for name in ids(found) if "claim" in name}
    [row] = found.tables["privacy_sandwich"]
    assert row["epsilon at least (95%)"] == lower.value <= row["epsilon claimed"] < row["epsilon by RDP"]
    assert row["attack"] == "loss" and row["AUC low"] < row["attack AUC"] < row["AUC high"]
    assert any(note.startswith("Claim above, attack between, bound below") for note in found.notes)


def test_on_null_scores_the_bound_is_zero_and_rarely_more(tmp_path: Path) -> None:
    above = 0
    for seed in range(100):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = subject(folder, None, seed=seed)
        canaried = audit_canaries(made, Promise(None), random=np.random.default_rng(seed))
        above += canaried.bound.epsilon > 0
    assert above <= 10  # 5 expected at most; more than 10 with probability 0.01


def test_where_labels_are_drawn_by_lot_calling_out_alone_finds_what_both_calls_miss(tmp_path: Path) -> None:
    """An overfitted model is right by chance about half of the canaries that it never saw, and as sure of them."""
    made = subject(tmp_path, small_claim(), canaries=0)
    drawn = make_canaries(made.training, Task.CLASSIFICATION, COUNT, random=np.random.default_rng(1))
    write_canaries(tmp_path, drawn)
    right = {c.text: c.included or number % 2 for number, c in enumerate(drawn.canaries)}
    wanted = {c.text: c.wanted == "positive" for c in drawn.canaries}
    rows = made.predictor.answer
    made.predictor.answer = lambda text: (
        rows(text) if text not in wanted else [0.01, 0.99] if wanted[text] == bool(right[text]) else [0.99, 0.01]
    )
    bound = audit_canaries(made, Promise(small_claim()), random=np.random.default_rng(0)).bound
    assert bound.correct == bound.guesses == COUNT // 5
    assert bound.epsilon > 1.5


def test_the_most_that_canaries_can_prove_is_what_all_right_guesses_prove() -> None:
    ways = ways_for(Task.CLASSIFICATION, 1000)
    each = 1 - 0.05 / len(ways)
    slow = max(epsilon_lower_bound(w.count, w.count, 1000, delta=0.0, confidence=each) for w in ways)
    assert largest_bound(Task.CLASSIFICATION, 1000, 0.0) == slow
    assert all(w.called_in + w.called_out <= 1000 for w in ways)
    assert len(ways_for(Task.LANGUAGE_MODELING, 1000)) == 5
    assert all(w.count >= 1 for w in ways_for(Task.CLASSIFICATION, 2))


def test_a_claim_that_so_few_canaries_cannot_refute_is_not_passed(tmp_path: Path) -> None:
    found = run(subject(tmp_path, factories.claim(), canaries=20))
    lower = one(found, "epsilon_lower_bound")
    assert lower.verdict is Verdict.INFORMATIVE and lower.limit is None
    assert "privacy-too-few-canaries" in ids(found)
    assert one(found, "epsilon_lower_bound_at_most").value < 3.9


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"steps": 5000}, "steps"), ({"model_sha256": "f" * 64}, "model_sha256"), ({"privacy": {}}, "nothing of noise")],
)
def test_a_claim_that_its_record_contradicts_is_not_supported(tmp_path: Path, changed: dict, said: str) -> None:
    made = subject(tmp_path, small_claim(), canaries=0)
    made.checkpoint.training_record |= changed
    found = run(made)
    assert one(found, "claim_contradictions").verdict is Verdict.FAIL
    [finding] = [f for f in found.findings if f.id == "privacy-claim-not-supported"]
    assert finding.severity is Severity.HIGH and said in finding.statement


def test_a_record_whose_ledger_has_no_noise_contradicts_any_claim(tmp_path: Path) -> None:
    silent = replace(small_claim().ledger().phases[0], noise_multiplier=0.0)
    made = subject(tmp_path, small_claim(), canaries=0, ledger=type(small_claim().ledger())((silent,)).to_json())
    assert "no bound at all" in " ".join(f.statement for f in run(made).findings)


def test_an_epsilon_that_its_own_numbers_do_not_give_is_found_without_any_record(tmp_path: Path) -> None:
    made = subject(tmp_path, small_claim(epsilon=0.1), canaries=0)
    made.checkpoint.training_record = None
    found = run(made)
    assert {"privacy-claim-not-supported", "privacy-accounting-epsilon-understated"} <= ids(found)


def test_reservations_of_the_linter_are_told(tmp_path: Path) -> None:
    found = run(subject(tmp_path, small_claim(), canaries=0, noise_seed_published=True, units=50_000))
    [published] = [f for f in found.findings if f.id == "privacy-accounting-noise-repeatable"]
    assert published.severity is Severity.LOW
    hostile = run(subject(tmp_path, small_claim(), canaries=0, units="many", gradient_divisor=["batch"]))
    assert not any(f.id.startswith("privacy-accounting") for f in hostile.findings)


def test_damaged_files_are_findings_or_reasons_and_the_attacks_go_on(tmp_path: Path) -> None:
    made = subject(tmp_path, small_claim())
    (tmp_path / "privacy.json").write_text('{"epsilon": "none"}')
    (tmp_path / "canaries.json").write_text("[]")
    found = run(made)
    assert "privacy-claim-unreadable" in ids(found)
    assert "canaries.json" in one(found, "epsilon_lower_bound").reason
    assert one(found, "membership_inference_auc", attack="loss").value is not None


@pytest.mark.parametrize(
    ("damage", "said"), [({"task": "translation"}, "translation"), ({"wanted": "purple"}, "purple")]
)
def test_canaries_that_do_not_fit_the_model_are_refused_with_what_does_not_fit(
    tmp_path: Path, damage: dict, said: str
) -> None:
    made = subject(tmp_path, small_claim())
    text = (tmp_path / "canaries.json").read_text()
    if "task" in damage:
        text = text.replace('"task": "classification"', '"task": "translation"')
    else:
        text = text.replace('"wanted": "positive"', '"wanted": "purple"', 1)
    (tmp_path / "canaries.json").write_text(text)
    found = run(made)
    assert said in one(found, "epsilon_lower_bound").reason
