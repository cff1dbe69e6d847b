"""Promises of the security audit's attacks: a planted weakness is found with its mend, a healthy twin has none."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from audit.concerns.security import SecurityOptions, joined, planned_passes, security
from audit.concerns.security.attacks import NO_WORD, attack_answers
from audit.concerns.security.findings import _within
from audit.concerns.security.word_attacks import CONSTANT, changed_words
from audit.evidence import metric
from audit.plugin import Evidence, Size
from audit.statistics import median, proportion
from core_model.attacks.lock_step import Attacked
from core_model.attacks.sentence import Sentence
from core_model.errors import DataMissing
from reports.record import AuditResult, Severity, Status, Verdict
from tests.factories import stub_subject

OPTIONS = SecurityOptions(attack_rows=40, recipes=("deepwordbug", "look-alikes"), resamples=200)
NOUNS = "film meal book king queen dog cat bird city friend".split()
TEXTS = [f"{a} {b} awful {c}" for a in NOUNS[:4] for b in NOUNS[4:] for c in ("story", "song")]
TARGETS = [0] * len(TEXTS)
GROUPS = {"kind": np.array(["story" if text.endswith("story") else "song" for text in TEXTS])}


def leans_on_a_word(text):
    """Negative (class 0) as long as the word "awful" stands there: sick."""
    return (0.9, 0.1) if "awful" in text.split() else (0.2, 0.8)


def reads_the_length(text):
    """No edit of letters or words changes how many words there are: healthy, against these attacks."""
    return (0.9 - 0.001 * (len(text) % 7), 0.1 + 0.001 * (len(text) % 7)) if len(text.split()) > 2 else (0.1, 0.9)


def run(answer, *, texts=TEXTS, targets=TARGETS, groups=GROUPS, options=OPTIONS) -> Evidence:
    subject = stub_subject(texts=texts, answer=answer, targets=targets, groups=groups)
    return attack_answers(subject, options, np.random.default_rng(0))


def lines(evidence):
    return {metric.key: metric for metric in evidence.metrics}


@pytest.fixture(scope="module")
def sick():
    return run(leans_on_a_word)


def test_the_planted_word_is_found_by_every_attack_with_interval_classes_and_groups(sick):
    found = lines(sick)
    for name in OPTIONS.recipes:
        success = found[f"attack_success_rate[attack={name}]"]
        assert (success.value, success.n) == (1.0, 40) and success.interval[0] > 0.9
        assert found[f"accuracy_under_attack[attack={name}]"].value == 0
        change = found[f"word_change_rate[attack={name}]"]
        assert change.value == 0.25 and change.interval is not None  # one word of four
        assert 1 < found[f"queries_median[attack={name}]"].value < 12
        kinds = [found[f"attack_success_rate[attack={name}, kind={kind}]"] for kind in ("story", "song")]
        assert sum(kind.n for kind in kinds) == 40


def test_a_class_that_is_never_predicted_is_not_measured_and_says_so(sick):
    absent = lines(sick)["attack_success_rate[attack=deepwordbug, class=positive]"]
    assert absent.value is None and "none of the 0 drawn rows labelled 'positive'" in absent.reason


def test_invisible_marks_are_found_with_their_mend_and_a_twin_that_leaves_them_out_has_none():
    options = OPTIONS.model_copy(update={"recipes": ("invisible-marks",)})
    marked = run(leans_on_a_word, options=options)
    [finding] = marked.findings
    assert finding.id == "security-attack-invisible-marks" and finding.severity is Severity.HIGH
    assert finding.mitigation.command.startswith("aboveboard normalize CHECKPOINT")
    assert "U+200B" in finding.examples[0]["change"]
    twin = run(lambda text: leans_on_a_word(text.replace("\u200b", "")), options=options)
    success = lines(twin)["attack_success_rate[attack=invisible-marks]"]
    assert (success.value, success.n) == (0.0, 40) and not twin.findings


def test_findings_name_the_weakness_show_the_change_and_print_the_mend(sick):
    by_id = {finding.id: finding for finding in sick.findings}
    letters, disguise = by_id["security-attack-deepwordbug"], by_id["security-attack-look-alikes"]
    assert letters.severity is disguise.severity is Severity.HIGH
    assert letters.statement.startswith("deepwordbug changes 40 of 40 right answers (100%")
    assert "--adversarial freelb" in letters.mitigation.command
    assert disguise.mitigation.command.startswith("aboveboard normalize CHECKPOINT")
    assert all("[awful -> " in example["change"] for example in letters.examples)
    assert "U+04" in disguise.examples[0]["change"]
    assert letters.examples[0]["before"] == "negative" and letters.examples[0]["after"] == "positive"
    assert letters.examples_total == 40


@pytest.mark.parametrize(
    ("success", "flag"),
    [
        ({0.02: 0.2, 0.05: 0.4, 0.1: 0.9}, " --adversarial-radius 0.05"),  # the largest that leaves most answers
        ({0.05: 0.7, 0.1: 0.9}, " --adversarial-radius 0.05"),  # none does: the smallest
        ({}, ""),  # nothing was measured
    ],
)
def test_the_printed_radius_is_one_at_which_most_answers_stand(success, flag):
    found = [
        metric(
            "attack_success_rate", proportion(int(100 * share), 100), unit="share", better="lower", definition="d",
            slice={"attack": "pgd-L2", "radius": f"{radius:g}"},
        )
        for radius, share in success.items()
    ]  # fmt: skip
    assert _within(found) == flag


def test_the_evidence_makes_a_record_with_its_chart(sick):
    result = AuditResult(
        id="security", concern="security", status=Status.MEASURED, metrics=list(sick.metrics),
        findings=list(sick.findings), figures=list(sick.figures), notes=list(sick.notes),
    )  # fmt: skip
    [figure] = result.figures
    assert figure.id == "security-attack-success" and {row["series"] for row in figure.rows} == set(OPTIONS.recipes)


def test_a_healthy_twin_withstands_and_has_no_finding():
    evidence = run(reads_the_length)
    found = lines(evidence)
    success = found["attack_success_rate[attack=deepwordbug]"]
    assert success.value == 0 and 0 < success.interval[1] < 0.15
    assert found["accuracy_under_attack[attack=deepwordbug]"].value == 1
    assert found["word_change_rate[attack=deepwordbug]"].reason == "the attack changed no answer"
    assert evidence.findings == []


def test_a_constant_model_cannot_be_attacked_and_that_is_no_pass():
    strict = OPTIONS.model_copy(update={"max_attack_success": 0.5})
    evidence = run(lambda text: (0.7, 0.3), options=strict)
    rates = [lines(evidence)[f"attack_success_rate[attack={name}]"] for name in OPTIONS.recipes]
    assert all(rate.value is None and rate.reason == CONSTANT and rate.n == 40 for rate in rates)
    assert rates[0].verdict is Verdict.INCONCLUSIVE and evidence.findings == []


def test_a_limit_is_held_against_the_interval():
    strict = OPTIONS.model_copy(update={"max_attack_success": 0.3})
    verdicts = [
        lines(run(answer, options=strict))["attack_success_rate[attack=deepwordbug]"].verdict
        for answer in (leans_on_a_word, reads_the_length)
    ]
    assert verdicts == [Verdict.FAIL, Verdict.PASS]


def test_without_labels_answers_are_attacked_and_accuracy_is_absent():
    found = lines(run(leans_on_a_word, targets=None, groups=None))
    assert found["attack_success_rate[attack=deepwordbug]"].value == 1
    assert "--label-column" in found["accuracy_under_attack[attack=deepwordbug]"].reason


def test_a_model_without_gradients_is_attacked_by_words_and_the_rest_is_not_measured(sick):
    found = lines(sick)
    for key in ("attack_success_rate[attack=pgd-L2]", "trigger_success_over_random[class=negative]"):
        assert found[key].value is None and "gives no gradients" in found[key].reason


def test_rows_without_a_word_are_left_out_and_counted():
    texts = ["?!", "...", *TEXTS[:20]]
    evidence = run(leans_on_a_word, texts=texts, targets=[0] * 22, groups=None)
    assert lines(evidence)["attack_success_rate[attack=deepwordbug]"].n == 20
    assert any(note.startswith("2 rows hold no word") for note in evidence.notes)
    nothing = run(leans_on_a_word, texts=["?!", "."], targets=[0, 0], groups=None)
    assert lines(nothing)["attack_success_rate[attack=deepwordbug]"].reason == NO_WORD


def test_a_missing_wordnet_takes_one_attack_away_and_names_the_mend(monkeypatch):
    def missing():
        raise DataMissing("WordNet is not installed", mend="pip install 'aboveboard[attacks]'")

    monkeypatch.setattr("core_model.attacks.recipes.find_wordnet", missing)
    evidence = run(leans_on_a_word, options=OPTIONS.model_copy(update={"recipes": ("pwws", "deepwordbug")}))
    found = lines(evidence)
    assert "aboveboard[attacks]" in found["attack_success_rate[attack=pwws]"].reason
    assert found["attack_success_rate[attack=deepwordbug]"].value == 1
    assert any(note.startswith("Not measured: pwws") for note in evidence.notes)


def test_what_the_time_limit_cut_is_told():
    evidence = run(leans_on_a_word, options=OPTIONS.model_copy(update={"attack_seconds": 1e-9}))
    found = lines(evidence)
    for name in ("attack_success_rate", "accuracy_under_attack", "queries_median"):
        line = found[f"{name}[attack=deepwordbug]"]
        assert line.value is None and "stopped the attack on 40 of 40 rows before its end" in line.reason, name
    assert any("was stopped for 40 rows by its time limit" in note for note in evidence.notes)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"query_budget": 0}, "greater than or equal to 1"),
        ({"recipes": "deepwordbag"}, "try one of deepwordbug"),
        ({"radii": "0.2, 0.1"}, "do not ascend"),
    ],
)
def test_options_that_cannot_be_are_refused(option, message):
    with pytest.raises(ValidationError, match=message):
        SecurityOptions(**option)


def test_options_may_be_given_as_text():
    given = SecurityOptions(recipes="pwws, deepwordbug", radii="0.1,0.2")
    assert given.recipes == ("pwws", "deepwordbug") and given.radii == (0.1, 0.2)
    assert SecurityOptions(radii=0.3).radii == (0.3,)


def test_a_real_checkpoint_gets_every_part_and_the_same_bytes_twice(checkpoint):
    from audit.subject import Subject
    from core_model.checkpoint import open_checkpoint
    from core_model.data import Table
    from core_model.prediction import Predictor

    options = SecurityOptions(
        attack_rows=10, recipes=("deepwordbug",), gradient_rows=10, radii=(0.1, 1.0), pgd_steps=2, trigger_rows=8,
        trigger_candidates=2, trigger_length=1, resamples=200,
    )  # fmt: skip
    results = []
    for _ in range(2):
        opened = open_checkpoint(checkpoint)
        texts = ["a good king", "an awful day", "the dog was kind"] * 20
        predicted = Predictor(opened, threads=1).predict(texts).predicted
        data = Table.from_rows(name="planted", texts=texts, targets=predicted, label_names=opened.labels, groups={},
                               synthetic=True)  # fmt: skip
        subject = Subject(checkpoint=opened, data=data, predictor=Predictor(opened, threads=1))
        results.append(security(subject, options, np.random.default_rng(0)))
    first, second = results
    assert first == second
    by_key = lines(first)
    assert {key.partition("[")[0] for key in first.outcomes} == {
        "attack_success_rate", "accuracy_under_attack", "trigger_success_rate"
    }  # fmt: skip
    for key, outcome in first.outcomes.items():
        assert (np.mean(outcome.values), len(outcome.rows)) == (pytest.approx(by_key[key].value), by_key[key].n), key
    found = lines(first)
    assert found["attack_success_rate[attack=pgd-Linf, radius=1]"].n == 10
    assert found["files_scanned"].value > 0 and first.forward_passes > 0
    assert {figure.id for figure in first.figures} >= {"security-accuracy-against-radius"}
    planned = planned_passes(Size(rows=60, training_rows=0, classes=2), options)
    assert planned["data"] == 60 and all(passes >= 0 for passes in planned.values())


def test_a_change_is_shown_word_by_word_as_inert_text():
    original = Sentence.of("<b>good</b> film!")
    final = original.with_word(1, "g\u043eod")
    shown = changed_words(Attacked("succeeded", "goal reached", 3, original, final, 1, 0))
    assert shown == "<b>[good -> g\u043eod (U+043E)]</b> film!"


def test_parts_are_joined_in_their_order(sick):
    both = joined([Evidence(metrics=[], notes=["first"], forward_passes=2), sick])
    assert both.notes[0] == "first" and both.metrics == list(sick.metrics)
    assert both.forward_passes == 2 + sick.forward_passes


def test_a_median_has_the_tabled_interval_of_order_statistics():
    """Ten values: ranks 2 and 9 (Conover 1999, table A3)."""
    found = median(np.arange(1, 11))
    assert (found.value, found.low, found.high) == (5.5, 2, 9)
    assert median(np.array([1, 2, 3])).interval is None and median(np.zeros(0)).value is None
