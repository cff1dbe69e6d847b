"""ROUGE: rouge-score's own F of each row, and its own mean."""

from __future__ import annotations

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.scoring import BootstrapAggregator

from core_model.metrics_text_rouge import NAMES, rouge

REFERENCES = ["Fast JSON parser for C", "tool to convert images, in batches", "Python bindings for libfoo", "a game"]
SUMMARIES = ["fast parser for JSON", "convert images", "", "a game"]


def test_the_mean_is_that_of_rouge_scores_own_aggregation():
    scorer, aggregator = RougeScorer(NAMES), BootstrapAggregator()
    for summary, reference in zip(SUMMARIES, REFERENCES, strict=True):
        aggregator.add_scores(scorer.score(reference, summary))
    values = {name: [scorer.score(r, s)[name].fmeasure for s, r in zip(SUMMARIES, REFERENCES, strict=True)]
              for name in NAMES}  # fmt: skip
    aggregated = aggregator.aggregate()
    for metric in rouge(SUMMARIES, REFERENCES):
        assert metric.score == pytest.approx(np.mean(values[metric.name]), abs=1e-12)
        low, high = aggregated[metric.name].low.fmeasure, aggregated[metric.name].high.fmeasure
        assert low <= metric.score <= high


def test_a_worked_example_by_hand():
    """Lin 2004, section 3: "police kill the gunman" has 3 of 4 words of "police killed the gunman", 1 of 3 pairs."""
    by_name = {m.name: m.score for m in rouge(["police kill the gunman"], ["police killed the gunman"])}
    assert by_name == {"rouge1": pytest.approx(3 / 4), "rouge2": pytest.approx(1 / 3), "rougeL": pytest.approx(3 / 4)}


def test_an_empty_summary_scores_nothing_and_keeps_its_row():
    [rouge1, *_] = rouge(["", "a game"], ["a tool", "a game"])
    np.testing.assert_allclose(rouge1.of_each_row, [0, 1])
    assert len(rouge1) == 2


def test_the_signature_names_the_library_and_its_settings():
    [metric, *_] = rouge(["a"], ["a"])
    assert metric.signature == "nrefs:1|case:lc|stem:no|measure:f1|tok:rouge-score|version:0.1.2"
