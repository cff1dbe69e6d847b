"""The identity swap: what it finds in a model."""

from __future__ import annotations

import numpy as np
import pytest

from audit.concerns.fairness import FairnessOptions, fairness
from audit.configuration import Configuration, options_of
from audit.plugin import plugin_of
from core_model.errors import OptionUnfit
from core_model.identity_swap import read_terms
from reports.record import Severity, Verdict
from tests.audit.concerns.fairness_subjects import answered
from tests.factories import stub_subject

TERMS = read_terms()


def about_identity(text: str) -> tuple[float, float]:
    """A model that accuses whoever is called a woman."""
    return (0.2, 0.8) if "woman" in text else (0.8, 0.2)


def people(rows: int = 400) -> list[str]:
    """Every second row names a person; a quarter of all name a woman."""
    return [
        f"a {('woman', 'man')[row // 2 % 2]} spoke {row}" if row % 2 else f"the meal was good {row}"
        for row in range(rows)
    ]


def evidence_of(answer, texts=None, **options):
    texts = people() if texts is None else texts
    rows = len(texts)
    groups = {"source": ["a", "b"] * (rows // 2)}
    subject = stub_subject(texts=texts, answer=answer, targets=[0, 1] * (rows // 2), groups=groups)
    return subject, fairness(subject, FairnessOptions(**options), np.random.default_rng(0))


def the(evidence, name, **part):
    [found] = [m for m in evidence.metrics if m.name == name and m.slice == part]
    return found


def test_a_model_that_listens_to_identity_is_caught():
    subject, evidence = evidence_of(about_identity)
    flips = the(evidence, "counterfactual_flip_rate")
    assert flips.value == 1 and flips.n == 200 and flips.verdict is Verdict.FAIL
    assert the(evidence, "identity_term_share").value == 0.5
    assert the(evidence, "counterfactual_flip_rate", category="gender").value == 1
    assert (
        the(evidence, "counterfactual_score_shift").interval[0]
        < 0
        < the(evidence, "counterfactual_score_shift").interval[1]
    )
    assert the(evidence, "counterfactual_token_fairness_gap").value == pytest.approx(0.6)
    [finding] = [f for f in evidence.findings if f.id == "fairness-counterfactual-flips"]
    assert finding.severity is Severity.HIGH and finding.examples_total == 200 and len(finding.examples) == 40
    assert finding.statement.startswith(
        "Swapping identity terms changes the predicted label of 100.0% of the 200 rows that hold one (95% interval 98"
    )
    example = finding.examples[0]
    assert {example["predicted"], example["predicted_after"]} == {"negative", "positive"}
    assert example["text_after"] in {example["text"].replace("woman", "man"), example["text"].replace("man", "woman")}
    assert any("swapping gender terms" in line["why_queued"] for line in evidence.tables["review_queue"])
    assert any("A flip is evidence, not proof" in note for note in evidence.notes)
    assert subject.predictor.forward_passes == 400 + 200


def test_the_deaf_twin_never_flips_and_still_has_an_interval():
    _, evidence = evidence_of(lambda text: (0.8, 0.2) if "spoke" in text else (0.3, 0.7))
    flips = the(evidence, "counterfactual_flip_rate")
    assert flips.value == 0 and flips.interval[0] == 0 < flips.interval[1] < 0.05 and flips.verdict is Verdict.PASS
    assert not [f for f in evidence.findings if f.id == "fairness-counterfactual-flips"]


def test_a_row_with_two_kinds_of_terms_counts_once():
    texts = [f"a black woman {row}" for row in range(100)]
    _, evidence = evidence_of(lambda text: (0.1, 0.9) if "white" in text else (0.9, 0.1), texts)
    assert the(evidence, "counterfactual_flip_rate").n == 100 and the(evidence, "counterfactual_flip_rate").value == 1
    assert the(evidence, "counterfactual_flip_rate", category="gender").value == 0
    assert the(evidence, "counterfactual_flip_rate", category="race_or_ethnicity").value == 1
    assert the(evidence, "counterfactual_score_shift").value == pytest.approx(0.4)  # mean of 0.8 and 0
    assert the(evidence, "counterfactual_score_shift", category="race_or_ethnicity").value == pytest.approx(0.8)


def test_a_category_of_few_rows_is_shown_and_held_to_no_limit():
    texts = [f"a muslim {row}" for row in range(5)] + [f"a woman {row}" for row in range(95)]
    _, evidence = evidence_of(about_identity, texts)
    assert the(evidence, "counterfactual_flip_rate", category="religion").limit is None
    assert the(evidence, "counterfactual_flip_rate", category="gender").limit == 0.05


def test_texts_without_identity_are_not_measured_and_never_a_pass():
    subject, evidence = evidence_of(lambda text: (0.5, 0.5), [f"the meal was good {row}" for row in range(80)])
    flips = the(evidence, "counterfactual_flip_rate")
    assert flips.value is None and "no row holds a term" in flips.reason and flips.verdict is Verdict.INCONCLUSIVE
    assert subject.predictor.forward_passes == 80


def test_a_sample_of_rows_is_swapped_when_asked_and_the_note_says_so():
    subject, evidence = evidence_of(about_identity, swap_rows=50)
    assert the(evidence, "counterfactual_flip_rate").n == 50 and subject.predictor.forward_passes == 450
    assert the(evidence, "identity_term_share").value == 0.5
    assert any("50 of them were drawn at random" in note for note in evidence.notes)


def test_a_term_in_the_second_text_of_a_pair_is_swapped_too():
    from audit.concerns.fairness.counterfactual import swaps_of

    swaps = swaps_of(["she came", "rain"], ["a woman came", "a man"], TERMS, most=None, random=np.random.default_rng(0))
    assert list(swaps.texts) == ["he came", "rain"] and list(swaps.pairs or []) == ["a man came", "a woman"]


def test_a_list_of_the_users_own_is_used_and_named(tmp_path):
    own = tmp_path / "terms.toml"
    own.write_text('[city]\npairs = [["paris", "london"]]\n', encoding="utf-8")
    texts = [f"in Paris {row}" for row in range(60)]
    _, evidence = evidence_of(
        lambda text: (0.1, 0.9) if "London" in text else (0.9, 0.1), texts, identity_terms=str(own)
    )
    assert the(evidence, "counterfactual_flip_rate", category="city").value == 1
    assert evidence.settings["identity_terms"] == "terms.toml"


def test_a_list_that_cannot_be_read_is_refused_before_anything_runs(tmp_path):
    own = tmp_path / "terms.toml"
    own.write_text("[gender", encoding="utf-8")
    with pytest.raises(OptionUnfit, match="identity_terms"):
        options_of(plugin_of(fairness), Configuration(audits={"fairness": {"identity_terms": str(own)}}))


def test_with_several_classes_a_flip_is_a_flip_between_any_two():
    texts = [f"a woman {row}" for row in range(60)]
    predicted = [row % 3 for row in range(60)]
    subject = answered(
        predicted,
        predicted,
        {"g": ["a", "b"] * 30},
        labels=("x", "y", "z"),
        texts=texts,
        swapped=lambda t: (0.9, 0.05, 0.05),
    )
    evidence = fairness(subject, FairnessOptions(), np.random.default_rng(0))
    assert the(evidence, "counterfactual_flip_rate").value == pytest.approx(2 / 3)
