"""Evaluability where a model writes or foresees text: planted faults are found, a healthy twin has none of them."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu

from audit.concerns.evaluability import EvaluabilityOptions, evaluability
from audit.concerns.evaluability.corpus_baselines import byte_unigram, first_sentence
from reports.record import Severity, Verdict
from tests.audit.concerns.writing_subjects import language, questions, spoiled, summarization, translated, translation

OPTIONS = EvaluabilityOptions()


def measure(subject):
    evidence = evaluability(subject, OPTIONS, np.random.default_rng(0))
    return evidence, {m.key: m for m in evidence.metrics}, {f.id: f for f in evidence.findings}


class TestTranslation:
    def test_bleu_and_chrf_are_sacrebleus_with_interval_and_signature(self):
        subject = translation()
        _, by_key, _ = measure(subject)
        said = [spoiled(text, 0.2) for text in subject.texts]
        theirs = {
            "bleu": sacrebleu.corpus_bleu(said, [list(subject.references)]).score,
            "chrf": sacrebleu.corpus_chrf(said, [list(subject.references)]).score,
        }
        for name, score in theirs.items():
            metric = by_key[name]
            assert metric.value == pytest.approx(score, abs=1e-9)
            assert metric.interval[0] < score < metric.interval[1] and metric.n == 150
            assert f"version:{sacrebleu.__version__}" in metric.definition

    def test_a_healthy_translator_has_no_grave_finding(self):
        _, by_key, findings = measure(translation(training=300))
        assert all(f.severity is Severity.LOW for f in findings.values())
        assert by_key["bleu_gain_over_baseline[system=source copied]"].verdict is Verdict.PASS
        assert by_key["exact_duplicate_overlap"].value == 0

    def test_a_model_that_copies_the_source_is_no_better_than_copying(self):
        _, by_key, findings = measure(translation(write=str))
        assert by_key["bleu"].value == by_key["bleu[system=source copied]"].value
        found = findings["evaluability-no-better-than-baseline"]
        assert found.examples[0].keys() >= {"row", "text", "reference", "written", "chrf"}
        assert "--source-column text --target-column reference" in found.mitigation.command

    def test_leaked_rows_are_found_and_what_they_add(self):
        known = set(translation(leaked=60).texts[:60])
        memory = translation(lambda t: translated(t) if t in known else spoiled(t, 0.6), training=100, leaked=60)
        evidence, by_key, findings = measure(memory)
        assert findings["evaluability-train-test-overlap"].severity is Severity.HIGH
        assert by_key["exact_duplicate_overlap"].value == 0.4
        assert by_key["exact_duplicate_overlap[side=target]"].value == 0.4
        assert by_key["leakage_inflation[metric=bleu]"].interval[0] > 5
        rest = [row for row, text in enumerate(memory.texts) if text not in known]
        clean = sacrebleu.corpus_bleu(
            [spoiled(memory.texts[r], 0.6) for r in rest], [[translated(memory.texts[r]) for r in rest]]
        )
        assert by_key["bleu_without_overlap"].value == pytest.approx(clean.score, abs=1e-9)
        table = evidence.tables["test_rows_without_overlap"]
        assert len(table) == 90 and table[0].keys() == {"text", "reference"}

    def test_texts_that_never_end_are_found(self):
        subject = translation()
        subject.generation = type(subject.generation)(max_new_tokens=5)
        _, by_key, findings = measure(subject)
        assert by_key["cut_outputs"].value > 0.8
        assert "--max-new-tokens 10" in findings["evaluability-outputs-cut"].mitigation.command

    def test_a_silent_model_is_found(self):
        _, by_key, findings = measure(translation(lambda text: ""))
        assert by_key["bleu"].value == 0 and by_key["empty_outputs"].value == 1
        assert {"evaluability-outputs-empty", "evaluability-no-better-than-baseline"} <= set(findings)

    def test_the_worst_rows_are_those_that_sacrebleu_scores_lowest(self):
        subject = translation()
        _, _, findings = measure(subject)
        scores = [
            sacrebleu.sentence_chrf(spoiled(text, 0.2), [truth]).score
            for text, truth in zip(subject.texts, subject.references, strict=True)
        ]
        finding = findings["evaluability-worst-rows"]
        shown = [example["chrf"] for example in finding.examples]
        assert finding.examples_worst == 20 and finding.examples_total == len(scores)
        assert shown[:20] == pytest.approx(sorted(scores)[:20], abs=1e-4)

    def test_short_and_long_texts_are_told_apart(self):
        subject = translation(lambda t: spoiled(t, 0.7 if len(t.split()) > 8 else 0.0))
        _, by_key, _ = measure(subject)
        lengths = [m for key, m in by_key.items() if key.startswith("bleu[words=")]
        assert sum(m.n for m in lengths) == 150
        assert lengths[0].value > 90 > 50 > lengths[-1].value


class TestSummarization:
    def test_the_first_words_are_the_baseline(self):
        evidence, by_key, findings = measure(summarization(lambda text: " ".join(text.split()[:3])))
        assert by_key["rougeL"].value == by_key["rougeL[system=first words]"].value
        assert "evaluability-no-better-than-baseline" in findings
        assert "first 3 words" in evidence.notes[0]

    def test_a_summary_of_the_end_beats_it(self):
        _, by_key, findings = measure(summarization(lambda text: " ".join(text.split()[-3:]), training=50))
        assert by_key["rouge1"].value == 1.0 and by_key["rouge1"].interval[0] > 0.95
        assert by_key["rougeL_gain_over_baseline[system=first words]"].verdict is Verdict.PASS
        assert "evaluability-no-better-than-baseline" not in findings


class TestQuestionAnswering:
    def test_answers_count_when_acceptable(self):
        _, by_key, findings = measure(questions(lambda question, context: context.split()[7]))
        assert by_key["exact_match"].value == 1.0 and by_key["exact_match"].interval_method.startswith("Wilson")
        assert "evaluability-no-better-than-baseline" not in findings

    def test_the_first_sentence_is_the_baseline(self):
        _, by_key, findings = measure(questions(lambda question, context: context.split(". ")[0]))
        assert by_key["token_f1_gain_over_baseline[system=first sentence]"].verdict is not Verdict.PASS
        assert "evaluability-no-better-than-baseline" in findings

    def test_a_sentence_ends_where_a_blank_follows(self):
        assert first_sentence("It costs 3.50 euros! Take two.") == "It costs 3.50 euros!"


class TestLanguageModeling:
    def test_a_model_worse_than_frequencies_of_bytes_is_found(self):
        _, by_key, findings = measure(language(lambda text: 6 * np.log(2) * len(text)))
        assert by_key["bits_per_byte"].value == pytest.approx(6)
        assert findings["evaluability-no-better-than-baseline"].severity is Severity.HIGH

    def test_a_healthy_one_is_not(self):
        _, by_key, findings = measure(language(lambda text: (1 + 0.1 * (len(text) % 7)) * np.log(2) * len(text)))
        assert by_key["bits_per_byte_gain_over_baseline[system=byte frequencies]"].verdict is Verdict.PASS
        assert all(f.severity is Severity.LOW for f in findings.values())

    def test_frequencies_of_bytes_cost_what_a_slow_loop_says(self):
        training, texts = ["abab", "ccü"], ["ab", "z"]
        counts = dict.fromkeys(range(256), 1)
        for text in training:
            for byte in text.encode():
                counts[byte] += 1
        expected = [-sum(np.log(counts[b] / sum(counts.values())) for b in text.encode()) for text in texts]
        nll, size = byte_unigram(texts, training)
        np.testing.assert_allclose(nll, expected)
        np.testing.assert_array_equal(size, [2, 1])

    def test_without_training_rows_a_row_does_not_know_itself(self):
        nll, _ = byte_unigram(["aaaa", "bbbb", "bbbb"], None)
        assert nll[0] == pytest.approx(4 * np.log(8 + 256))  # 8 other bytes, none of them an a
