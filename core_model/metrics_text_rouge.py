"""Does the summary say what the reference says? ROUGE-1, ROUGE-2 and ROUGE-L, by rouge-score.

A row's F measure is rouge-score's; the metric is the mean over rows. rouge-score reads letters a to z and digits alone,
in lower case: of a text in another script nothing is left, and its rows score 0.

Source: Lin 2004, ROUGE; rouge-score (Google Research), without stemming.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from core_model.corpus_metric import CorpusMetric, mean_of_rows, values_and_rows

NAMES = ("rouge1", "rouge2", "rougeL")


def rouge(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[CorpusMetric, ...]:
    """Mean F of ROUGE-1, ROUGE-2 and ROUGE-L, each 0 to 1.

    Args:
        hypotheses, references: (rows,); a hypothesis may be empty and then scores 0.
    Returns: one metric each, statistics (rows, 2): F and 1.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(NAMES, use_stemmer=False)
    rows = [scorer.score(reference, text) for text, reference in zip(hypotheses, references, strict=True)]
    signature = f"nrefs:1|case:lc|stem:no|measure:f1|tok:rouge-score|version:{version('rouge-score')}"
    return tuple(
        CorpusMetric(
            name, values_and_rows(np.array([row[name].fmeasure for row in rows])), mean_of_rows, signature,
            "mean F1 of rows, 0 to 1", "higher", "mean",
        )
        for name in NAMES
    )  # fmt: skip
