"""Explainability: a shortcut that we planted is found and believed; a model that knows nothing explains nothing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from audit.concerns.explainability import ExplainabilityOptions, explainability, planned_passes, sample_rows
from audit.concerns.explainability.faithfulness import RANDOM, RANDOM_WEIGHTS, erase, rank_correlations, top_counts
from audit.concerns.explainability.influence import _deleted
from audit.plugin import Size, plugin_of
from core_model.attribution import integrated_gradients
from core_model.attribution_path import EmbeddingPath
from reports.record import Severity, Verdict
from tests.audit.concerns.explainability_subjects import (
    SHORTCUT,
    english_only,
    subject_of,
    texts_with_shortcut,
    write_shortcut_checkpoint,
)
from tests.factories import stub_subject

OPTIONS = ExplainabilityOptions(rows=60, stability_rows=6, top_words=3, deletion_rows=60, resamples=500)


@pytest.fixture(scope="module")
def shortcut(tmp_path_factory):
    return write_shortcut_checkpoint(tmp_path_factory.mktemp("shortcut"))


@pytest.fixture(scope="module")
def evidence(shortcut):
    """The model that learned one word, on labels that this word does not decide."""
    texts, holds = texts_with_shortcut(200, seed=1)
    random = np.random.default_rng(7)
    groups = {"source": ["a" if has else "b" for has in holds]}
    subject = subject_of(shortcut, texts, random.integers(0, 2, 200), groups)
    return subject, explainability(subject, OPTIONS, np.random.default_rng(0))


@pytest.fixture(scope="module")
def ignorant(checkpoint):
    """The random-weight twin on the same texts."""
    texts, holds = texts_with_shortcut(200, seed=1)
    subject = subject_of(checkpoint, texts, holds)
    return subject, explainability(subject, OPTIONS, np.random.default_rng(0))


def the(evidence, name, **part):
    [found] = [m for m in evidence.metrics if m.name == name and m.slice == part]
    return found


def test_integrated_gradients_rank_the_planted_word_first_in_most_rows(evidence):
    subject, _ = evidence
    texts, holds = texts_with_shortcut(100, seed=2)
    assert (subject.predict(texts).predicted == holds).mean() > 0.95
    with_word = [text for text, has in zip(texts, holds, strict=True) if has]
    found = integrated_gradients(EmbeddingPath(subject.predictor, with_word), np.ones(len(with_word), dtype=np.int64))
    first = [one.words[one.ranking[0]] for one in found]
    assert np.mean([word == SHORTCUT for word in first]) > 0.9


def test_true_explanations_beat_a_random_order_and_pass(evidence):
    _, found = evidence
    line = the(found, "comprehensiveness_over_random", method="integrated-gradients")
    assert line.interval[0] > 0.05 and line.verdict is Verdict.PASS and line.limit == 0
    assert the(found, "sufficiency_over_random", method="integrated-gradients").interval[0] > 0
    assert the(found, "comprehensiveness_over_random_weights", method="integrated-gradients").interval[0] > 0
    assert "explainability-not-faithful-integrated-gradients" not in {f.id for f in found.findings}


def test_pictures_of_a_faithful_method_are_not_marked(evidence):
    assert {"explainability-word-influence", "explainability-cascade"} <= {f.id for f in evidence[1].figures}
    assert not [f.id for f in evidence[1].figures if "Not faithful" in f.caption]


def test_scores_that_do_not_add_up_are_told_and_those_that_do_are_not(evidence, ignorant, shortcut):
    """The planted model jumps from one answer to the other within a thousandth of the way, and halving finds where;
    only a tolerance below what float32 can tell is missed."""
    for found in (evidence[1], ignorant[1]):
        assert "explainability-scores-do-not-add-up" not in {f.id for f in found.findings}
        assert the(found, "completeness_error", over="largest").value <= 0.02
    texts, holds = texts_with_shortcut(40, seed=6)
    options = OPTIONS.model_copy(update={"rows": 10, "stability_rows": 2, "tolerance": 1e-9})
    found = explainability(subject_of(shortcut, texts, holds), options, np.random.default_rng(0))
    [told] = [f for f in found.findings if f.id == "explainability-scores-do-not-add-up"]
    assert told.severity is Severity.LOW and "miss their sum by more than 1e-09" in told.statement


@pytest.mark.parametrize("name", ["de", "zh"])
def test_its_numbers_and_charts_can_be_read_in_other_languages(evidence, name):
    assert english_only(evidence[1], name) == set()


def test_a_random_weight_model_does_not_beat_random_and_is_told_so(ignorant):
    _, found = ignorant
    for method in OPTIONS.methods:
        line = the(found, "comprehensiveness_over_random", method=method)
        assert line.interval[0] <= 0 <= line.interval[1]
    assert the(found, "comprehensiveness_over_random", method="integrated-gradients").verdict is Verdict.INCONCLUSIVE
    by_id = {f.id: f for f in found.findings}
    told = by_id["explainability-not-faithful-integrated-gradients"]
    assert told.severity is Severity.MEDIUM and "not shown to be faithful" in told.statement
    assert "500" in told.mitigation.command
    assert by_id["explainability-not-faithful-occlusion"].severity is Severity.LOW
    drawn = [f for f in found.figures if f.id in ("explainability-word-influence", "explainability-cascade")]
    assert drawn and all("Not faithful on this model" in figure.caption for figure in drawn)


def test_scores_change_when_the_weights_are_shuffled(evidence):
    line = the(evidence[1], "randomization_rank_correlation", method="integrated-gradients")
    assert line.interval[1] < 0.5


def test_the_shortcut_is_found_proven_by_deletion_and_called_spurious(evidence):
    _, found = evidence
    influence = the(found, "word_influence", word=SHORTCUT, toward="positive")
    others = [m.value for m in found.metrics if m.name == "word_influence" and m.slice["word"] != SHORTCUT]
    assert influence.value > 2 * max(others)
    flips = the(found, "deletion_flip_rate", word=SHORTCUT)
    assert flips.value > 0.9 and flips.n == 60
    assert the(found, "deletion_flip_rate_over_another_word", word=SHORTCUT).interval[0] > 0.5
    association = the(found, "word_label_association", word=SHORTCUT, label="positive")
    assert association.interval[0] < 0 < association.interval[1]  # labels here are tossed coins
    [told] = [f for f in found.findings if f.id == f"explainability-leans-on-{SHORTCUT}"]
    assert told.severity is Severity.MEDIUM and "source = a" in told.statement
    assert told.examples[0]["predicted"] == "positive" and told.examples[0]["predicted_without"] == "negative"


def flips_where(model_says, texts, word: str):
    """What deleting a word does to a model that is a rule: its flips, and those beyond another word's."""
    subject = stub_subject(texts=texts, answer=lambda text: (0.2, 0.8) if model_says(text) else (0.8, 0.2))
    found = _deleted(subject, word, np.arange(len(texts)), np.random.default_rng(0))
    return found.flips, found.over_another


def test_flips_that_any_word_would_cause_are_no_proof_and_those_of_the_word_alone_are():
    """An answer at the edge flips with every word that goes; the planted word flips it alone."""
    texts = [f"a man saw the bird number {row}" for row in range(60)]
    flips, beyond = flips_where(lambda text: len(text.split()) >= 7, texts, "bird")
    assert flips.value == 1.0 and beyond.value == 0.0 and beyond.low < 0  # by deletion alone it would be proven
    flips, beyond = flips_where(lambda text: "bird" in text, texts, "bird")
    assert flips.value == 1.0 and beyond.value == 1.0 and beyond.low > 0.8
    alone = flips_where(lambda text: "bird" in text, ["bird !", "a bird"], "bird")[1]
    assert alone.n == 2 and alone.value == 1.0 and alone.low < 1  # two rows prove little


def test_a_word_that_truly_decides_the_label_is_no_candidate(shortcut):
    texts, holds = texts_with_shortcut(120, seed=3)
    found = explainability(subject_of(shortcut, texts, holds), OPTIONS, np.random.default_rng(0))
    assert the(found, "deletion_flip_rate", word=SHORTCUT).value > 0.9
    assert the(found, "deletion_accuracy_change", word=SHORTCUT).value < -0.9
    assert not [f for f in found.findings if f.id.startswith("explainability-leans-on")]


def test_without_labels_deletion_still_shows_flips_and_says_what_is_missing(shortcut):
    texts, _ = texts_with_shortcut(60, seed=3)
    found = explainability(subject_of(shortcut, texts, None), OPTIONS, np.random.default_rng(0))
    assert the(found, "deletion_flip_rate", word=SHORTCUT).value > 0.9
    accuracy = the(found, "deletion_accuracy_change", word=SHORTCUT)
    assert accuracy.value is None and "--label-column" in accuracy.reason


def test_a_named_word_is_looked_at_whatever_its_influence(shortcut):
    texts, holds = texts_with_shortcut(60, seed=3)
    options = OPTIONS.model_copy(update={"top_words": 1, "words": ("Queen", "nowhere"), "identity_words": 0})
    found = explainability(subject_of(shortcut, texts, holds), options, np.random.default_rng(0))
    assert {m.slice["word"] for m in found.metrics if m.name == "deletion_flip_rate"} == {SHORTCUT, "queen"}
    assert the(found, "deletion_flip_rate", word="queen").value < 0.2


def test_erasing_is_what_a_slow_loop_over_erasers_definition_gives(evidence):
    subject, _ = evidence
    texts, _ = texts_with_shortcut(8, seed=5)
    path = EmbeddingPath(subject.predictor, texts)
    targets = subject.predict(texts).predicted
    random = np.random.default_rng(0)
    rankings = {name: [random.permutation(len(w)) for w in path.worded] for name in ("one", "other")}
    found = erase(subject, path.worded, rankings, targets)
    for name, ranking in rankings.items():
        for row, text in enumerate(texts):
            words, lost, kept = text.split(), [], []
            whole = subject.predict([text]).probabilities[0, targets[row]]
            for share in (0.01, 0.05, 0.1, 0.2, 0.5):
                top = set(ranking[row][: max(1, int(np.ceil(share * len(words))))].tolist())
                without = " ".join(w for place, w in enumerate(words) if place not in top)
                only = " ".join(w for place, w in enumerate(words) if place in top)
                lost.append(whole - subject.predict([without]).probabilities[0, targets[row]])
                kept.append(whole - subject.predict([only]).probabilities[0, targets[row]])
            assert found[name].comprehensiveness[row] == pytest.approx(np.mean(lost), abs=1e-5)
            assert found[name].sufficiency[row] == pytest.approx(np.mean(kept), abs=1e-5)


def test_at_least_one_word_goes_and_at_least_one_stays():
    assert top_counts(2) == [1, 1, 1, 1, 1]
    assert top_counts(40) == [1, 2, 4, 8, 20]


def test_rank_correlations_are_scipys():
    from scipy.stats import spearmanr

    random = np.random.default_rng(0)
    first, second = [random.integers(0, 5, 9) for _ in range(4)], [random.normal(size=9) for _ in range(4)]
    expected = [spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlations(first, second), expected)
    assert len(rank_correlations([np.ones(5), np.arange(2)], [np.arange(5), np.arange(2)])) == 0


def test_the_baselines_stand_beside_every_method(evidence):
    named = {m.slice["method"] for m in evidence[1].metrics if m.name == "comprehensiveness"}
    assert named == {*OPTIONS.methods, RANDOM, RANDOM_WEIGHTS}
    [figure] = [f for f in evidence[1].figures if f.id == "explainability-faithfulness"]
    assert {row["label"] for row in figure.rows} == named
    assert "integrated-gradients" in figure.caption


def test_texts_without_two_words_are_left_out(checkpoint):
    subject = subject_of(checkpoint, ["good", "a good film", "!"], [0, 1, 0])
    rows, path = sample_rows(subject, 10, np.random.default_rng(0))
    assert rows.tolist() == [1] and len(path) == 1


def test_data_without_two_words_in_a_row_are_not_measured_and_never_a_pass(checkpoint):
    found = explainability(subject_of(checkpoint, ["good", "bad"], [0, 1]), OPTIONS, np.random.default_rng(0))
    [line] = found.metrics
    assert line.value is None and "no row has two words" in line.reason and line.verdict is Verdict.INCONCLUSIVE
    assert "--text-column" in found.notes[0]


def test_one_row_of_two_words_is_enough_to_say_something(checkpoint):
    found = explainability(subject_of(checkpoint, ["good film"], [0]), OPTIONS, np.random.default_rng(0))
    assert the(found, "comprehensiveness", method="occlusion").n == 1
    assert the(found, "randomization_rank_correlation", method="integrated-gradients").value is None


def test_methods_that_are_wrong_here_are_refused_before_anything_runs():
    with pytest.raises(ValidationError, match="no rule for embeddings"):
        ExplainabilityOptions(methods=("lrp",))
    assert ExplainabilityOptions(methods="occlusion, shapley-sampling").methods == (
        "integrated-gradients", "occlusion", "shapley-sampling",
    )  # fmt: skip


def test_the_plan_tells_about_what_is_spent(ignorant):
    subject, found = ignorant
    planned = sum(planned_passes(Size(rows=200, training_rows=0, classes=2), OPTIONS).values())
    assert 0.4 * planned < subject.predictor.forward_passes + found.forward_passes < 1.3 * planned


def test_any_number_of_threads_gives_the_same_evidence(shortcut):
    texts, holds = texts_with_shortcut(40, seed=4)
    options = OPTIONS.model_copy(update={"rows": 12, "stability_rows": 3})
    one, two = (
        explainability(subject_of(shortcut, texts, holds, threads=threads), options, np.random.default_rng(0))
        for threads in (1, 2)
    )
    assert one == two
    assert plugin_of(explainability).concern == "explainability"


def test_the_mend_for_an_identity_term_is_the_swap_that_train_makes_and_for_another_word_rows_that_people_make():
    from audit.concerns.explainability.findings import _mend

    assert "--data TRAIN_FILE --text-column t --augment identity-swap" in _mend("muslims", "--text-column t").command
    assert "augmented.jsonl" in _mend("cleaning", "--text-column t").command


def test_a_model_without_gradients_is_explained_by_occlusion_and_says_what_it_cannot_give():
    """Planted: an exported model is a predictor without a torch model behind it; one word decides its answers."""
    from tests.factories import stub_subject

    texts, holds = texts_with_shortcut(60, seed=3)
    subject = stub_subject(
        texts=texts, targets=holds.tolist(), answer=lambda text: (0.1, 0.9) if SHORTCUT in text.split() else (0.8, 0.2)
    )
    found = explainability(subject, OPTIONS.model_copy(update={"identity_words": 0}), np.random.default_rng(0))
    line = the(found, "comprehensiveness_over_random", method="occlusion")
    assert line.interval[0] > 0 and line.verdict is Verdict.PASS
    assert the(found, "deletion_flip_rate", word=SHORTCUT).value > 0.9
    for name, part in (
        ("comprehensiveness_over_random", {"method": "integrated-gradients"}),
        ("infidelity", {"method": "integrated-gradients"}),
        ("completeness_error", {"over": "mean"}),
    ):
        absent = the(found, name, **part)
        assert absent.value is None and "no gradients" in absent.reason and "safetensors" in absent.reason
    assert "no gradients" in found.notes[1]


def test_a_class_that_is_never_predicted_is_named_and_the_others_are_explained(checkpoint):
    """Planted: the head's bias lets one label never win."""
    import torch

    subject = subject_of(checkpoint, ["a good film", "the bad king", "a dog saw it"], [0, 1, 0])
    with torch.no_grad():
        subject.predictor.forward.model.classifier.bias.copy_(torch.tensor([9.0, -9.0]))
    found = explainability(subject, OPTIONS.model_copy(update={"rows": 3}), np.random.default_rng(0))
    assert any("Never predicted, so never explained: positive" in note for note in found.notes)
    assert the(found, "comprehensiveness", method="occlusion").n == 3


def test_texts_longer_than_the_model_are_cut_and_counted(checkpoint):
    subject = subject_of(checkpoint, ["good film " * 60, "a dog saw it", "the bad king"], [0, 1, 0])
    found = explainability(subject, OPTIONS.model_copy(update={"rows": 3}), np.random.default_rng(0))
    assert any("1 texts were longer than the model takes" in note for note in found.notes)


def test_identity_terms_come_first_among_the_candidates_for_spurious_features(evidence):
    from audit.concerns.explainability.findings import leaning_findings

    def candidate(word, swapped):
        return SimpleNamespace(
            word=word, swapped=swapped, spurious_candidate=True, flips=SimpleNamespace(value=0.5, n=10), toward=1,
            over_another=SimpleNamespace(value=0.4), weakly_associated=True, bound_to=None, shown={},
        )  # fmt: skip

    found = leaning_findings([candidate("film", None), candidate("man", "gender"), candidate("dog", None)], evidence[0])
    assert [f.id.removeprefix("explainability-leans-on-") for f in found] == ["man", "film", "dog"]
