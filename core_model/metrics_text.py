"""Is the translation the reference's? BLEU and chrF, by sacrebleu, as functions of sums.

sacrebleu counts each sentence (its own tokenizer, n-grams and closest reference length); the two formulas stand here
once more, over any number of sums at a time, because resampling needs thousands of them. They equal sacrebleu's corpus
score to 1e-9 on the same rows (tests/core_model/test_metrics_text.py).

Sources: Papineni et al. 2002, BLEU; Popović 2015, chrF; Post 2018, arXiv:1804.08771 (signatures).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core_model.corpus_metric import Array, CorpusMetric

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

ORDER = 4  # BLEU's longest n-gram
BETA = 2  # chrF weighs recall BETA times as much as precision


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> CorpusMetric:
    """BLEU of hypotheses against one reference each, 0 to 100.

    Args:
        hypotheses, references: (rows,); a hypothesis may be empty.
    Returns: statistics (rows, 10): length, reference length, matched 1- to 4-grams, 1- to 4-grams.
    """
    from sacrebleu.metrics import BLEU

    metric = BLEU(force=True)  # no warning about tokenized input on stderr
    return _counted("bleu", metric, bleu_of_sums, "BLEU points, 0 to 100", hypotheses, references)


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> CorpusMetric:
    """chrF2 of hypotheses against one reference each, 0 to 100.

    Args:
        hypotheses, references: (rows,); a hypothesis may be empty.
    Returns: statistics (rows, 18): for each order from 1 to 6, n-grams of the hypothesis, of the reference, matched.
    """
    from sacrebleu.metrics import CHRF

    return _counted("chrf", CHRF(), chrf_of_sums, "chrF2 points, 0 to 100", hypotheses, references)


def _counted(
    name: str, metric: Metric, value: object, unit: str, hypotheses: Sequence[str], references: Sequence[str]
) -> CorpusMetric:
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} references")
    counts = metric._extract_corpus_statistics(hypotheses, [references])
    return CorpusMetric(
        name, np.array(counts, dtype=np.float64), value, str(metric.get_signature()), unit, "higher"  # type: ignore[arg-type]
    )  # fmt: skip


def bleu_of_sums(sums: Array) -> Array:
    """BLEU of summed statistics, (..., 10) -> (...), 0 to 100; an order without a match is smoothed ("exp").

    Source: sacrebleu 2.6, `BLEU.compute_bleu`; smoothing: Chen and Cherry 2014, method 3.
    """
    length, reference = sums[..., 0], sums[..., 1]
    matched, total = sums[..., 2 : 2 + ORDER], sums[..., 2 + ORDER :]
    unmatched = matched < 0.5  # counts: a bootstrap's small nudge must not make half a match of none
    with np.errstate(divide="ignore", invalid="ignore"):
        halved = 0.5 ** np.cumsum(unmatched, axis=-1)
        precision = np.where(unmatched, halved, matched) / total
        brevity = np.exp(np.minimum(0.0, 1 - reference / length))
        score = 100 * brevity * np.exp(np.log(precision).mean(axis=-1))
    judged = ~unmatched.all(axis=-1) & (total >= 0.5).all(axis=-1) & (length > 0)
    return np.where(judged, score, 0.0)


def chrf_of_sums(sums: Array) -> Array:
    """chrF2 of summed statistics, (..., 18) -> (...), 0 to 100; orders that either side lacks are left out.

    Source: sacrebleu 2.6, `CHRF._compute_f_score` without epsilon smoothing.
    """
    counts = sums.reshape(*sums.shape[:-1], -1, 3)
    hypothesis, reference, matched = counts[..., 0], counts[..., 1], counts[..., 2]
    there = (hypothesis >= 0.5) & (reference >= 0.5)
    orders = np.maximum(there.sum(axis=-1), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(there, matched / hypothesis, 0.0).sum(axis=-1) / orders
        recall = np.where(there, matched / reference, 0.0).sum(axis=-1) / orders
        score = 100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
    return np.where(precision + recall > 0, score, 0.0)
