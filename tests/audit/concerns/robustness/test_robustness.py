"""Promises of the robustness audit: the noise that was made to hurt is found, a twin that does not mind it passes."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from audit.concerns.robustness import RobustnessOptions, planned_passes, robustness
from audit.plugin import Evidence, Size
from core_model.tasks import Task
from reports.record import Severity, Verdict
from tests.factories import stub_subject, stub_writing_subject

RANDOM = np.random.default_rng(0)
NOISE = "the film was seen on a day in my city with an old friend".split()
QUICK = RobustnessOptions(rows=None, smoothed_rows=30, smoothing_looks=30)


def rows(count: int = 120) -> tuple[list[str], list[int]]:
    """Texts of ten words in which "good" or "bad" tells the label."""
    random = np.random.default_rng(1)
    texts, targets = [], []
    for row in range(count):
        words = [*random.choice(NOISE, 9).tolist(), ("bad", "good")[row % 2]]
        random.shuffle(words)
        texts.append(" ".join(words))
        targets.append(row % 2)
    return texts, targets


def brittle(text: str) -> list[float]:
    """Reads "good" and "bad" in small letters only; what has neither is negative."""
    return [0.1, 0.9] if "good" in text.split() else [0.9, 0.1]


def deaf_to_case(text: str) -> list[float]:
    """The twin: it reads letters in any case and any spelling, by what the two words begin with."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [0.1, 0.9] if folded.count("g") > folded.count("b") else [0.9, 0.1]


def audited(answer, options: RobustnessOptions = QUICK, **changes) -> Evidence:
    texts, targets = rows()
    subject = stub_subject(**{"texts": texts, "targets": targets, "answer": answer, **changes})
    return robustness(subject, options, np.random.default_rng(0))


def value(evidence: Evidence, name: str, **part: str) -> float | None:
    return next(m for m in evidence.metrics if m.name == name and m.slice == part).value


def test_a_model_that_minds_capitals_is_found_with_the_rows_and_the_mend():
    evidence = audited(brittle)
    assert value(evidence, "accuracy", noise="none") == 1.0
    assert value(evidence, "accuracy", noise="upper_case") == 0.5  # only the negative rows are still right
    assert value(evidence, "accuracy_drop", noise="upper_case") == 0.5
    assert value(evidence, "invariance_rate", noise="upper_case") == 0.5
    worst = next(m for m in evidence.metrics if m.name == "worst_noise_accuracy_drop")
    assert worst.slice == {"noise": "upper_case"} and worst.verdict is Verdict.FAIL
    assert "Bonferroni over" in worst.interval_method and worst.interval[0] > 0.35
    [finding] = [f for f in evidence.findings if f.id == "robustness-noise"]
    assert finding.severity is Severity.HIGH and "--augment noise" in finding.mitigation.command
    assert finding.examples_total == 60 and finding.examples[0]["with noise"].isupper()


def test_its_twin_that_does_not_mind_passes():
    texts = [text.replace("good", "ggggg").replace("bad", "bbbbb") for text, _ in zip(*rows(600), strict=True)]
    evidence = audited(deaf_to_case, texts=texts, targets=rows(600)[1])
    worst = next(m for m in evidence.metrics if m.name == "worst_noise_accuracy_drop")
    assert worst.verdict is Verdict.PASS
    assert not [f for f in evidence.findings if f.id == "robustness-noise"]


def test_a_row_that_a_noise_leaves_alone_counts_for_accuracy_and_not_for_invariance():
    texts, targets = rows()
    texts[0] = "café " + texts[0]
    line = next(
        m for m in audited(brittle, texts=texts, targets=targets).metrics
        if m.name == "invariance_rate" and m.slice == {"noise": "no_accents"}
    )  # fmt: skip
    assert line.n == 1 and line.value == 1.0
    untouched = next(
        m for m in audited(brittle).metrics if m.name == "invariance_rate" and m.slice["noise"] == "no_accents"
    )
    assert untouched.value is None and "touches no sampled row" in untouched.reason


def test_groups_that_noise_hits_unequally_are_told_apart():
    texts, targets = rows(400)
    group = ["loud" if "good" in text.split() else "quiet" for text in texts]
    evidence = audited(brittle, texts=texts, targets=targets, groups={"voice": group})
    assert value(evidence, "invariance_rate_all_noises", voice="quiet") == 1.0
    assert value(evidence, "invariance_rate_all_noises", voice="loud") == 0.0
    assert value(evidence, "invariance_rate_gap", by="voice") == 1.0
    assert any("'loud' 0.0%" in f.statement for f in evidence.findings)


def test_without_labels_what_stays_is_still_measured():
    evidence = audited(brittle, targets=None)
    assert value(evidence, "invariance_rate", noise="upper_case") == 0.5
    absent = [m for m in evidence.metrics if m.name in ("accuracy", "accuracy_drop", "certified_accuracy")]
    assert absent and all(m.value is None and "--label-column" in m.reason for m in absent)
    assert value(evidence, "abstention_rate") is not None


def test_what_is_proven_is_what_the_votes_allow():
    """A model that reads one of ten words: 36 of 120 looks at three hold it, too few to answer "positive" ever."""
    every_look = RobustnessOptions(rows=None, smoothed_rows=None, smoothing_looks=120)
    evidence = audited(brittle, every_look)
    assert value(evidence, "plain_accuracy") == 1.0
    assert value(evidence, "certified_accuracy", radius="0") == 0.5
    constant = audited(lambda text: [0.1, 0.9], every_look, targets=[1] * 120)
    # Its answer cannot be turned, yet no more is claimed than the formula gives: 1 - C(9, 3) / C(10, 3) = 0.3 < 1/2.
    proven = [value(constant, "certified_accuracy", radius=radius) for radius in "0123"]
    assert proven == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("texts", [["good", "bad"] * 10, ["!", "?"] * 10])
def test_texts_of_one_word_or_of_none_but_marks_are_taken(texts):
    evidence = audited(brittle, texts=texts, targets=[1, 0] * 10)
    assert value(evidence, "certified_accuracy", radius="1") == 0.0


def test_a_budget_of_nothing_is_not_measured_and_says_what_would_be():
    evidence = audited(brittle, RobustnessOptions(rows=50, smoothed_rows=0))
    line = next(m for m in evidence.metrics if m.name == "certified_accuracy")
    assert line.value is None and "robustness.smoothed_rows" in line.reason


def test_a_question_with_typos_loses_its_answer_and_the_limit_says_so():
    questions = [f"who wrote the letter number {i} to them" for i in range(60)]
    evidence = robustness(
        stub_writing_subject(
            Task.QUESTION_ANSWERING, texts=questions, pairs=["the king said so"] * 60, references=["the king"] * 60,
            write=lambda question, context: "the king" if "letter" in question.split() else "so",
        ),
        RobustnessOptions(rows=None), np.random.default_rng(0),
    )  # fmt: skip
    worst = next(m for m in evidence.metrics if m.name == "worst_noise_loss")
    assert worst.slice == {"noise": "upper_case"} and worst.value == 1.0 and worst.verdict is Verdict.FAIL
    assert value(evidence, "token_f1_loss", noise="spaces_added", rate="0.3") == 0.0
    assert [f.id for f in evidence.findings] == ["robustness-noise"]


def test_references_that_become_less_likely_are_measured_without_writing():
    evidence = robustness(
        stub_writing_subject(
            Task.TRANSLATION, texts=[f"a good day number {i}" for i in range(40)], references=["ein guter Tag"] * 40,
            nats=lambda source, target: 3.0 if "good" in source else 9.0,
        ),
        RobustnessOptions(rows=None, written_rows=0), np.random.default_rng(0),
    )  # fmt: skip
    assert value(evidence, "negative_log_likelihood_loss", noise="upper_case") == pytest.approx(2.0)  # 6 nats, 3 tokens


def test_the_plan_knows_what_smoothing_costs():
    size = Size(rows=1000, training_rows=0, classes=2)
    assert planned_passes(size, RobustnessOptions())["parts of texts"] == 60 * 100
