"""The winner of a search on rows that no trial has seen: an honest value, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.corpus_estimates import estimate
from core_model.checkpoint import open_checkpoint
from core_model.corpus_metric import CorpusMetric, mean_of_rows, values_and_rows
from core_model.errors import DataMissing
from core_model.evaluation import evaluate
from core_model.metrics import negative_log_likelihood
from core_model.prediction import Predictor
from core_model.tasks import Task

if TYPE_CHECKING:
    from core_model.data import Table


def unseen(test: Table, seen: Sequence[Table]) -> Table:
    """The rows that do not stand, word for word, in the rows that trials are trained and chosen on.

    Raises: DataMissing when none is left.
    """
    known = {name[:16] for table in seen for name in table.row_ids}
    fresh = np.array([name[:16] not in known for name in test.row_ids], dtype=bool)
    if not fresh.any():
        raise DataMissing(
            f"{test.name}: all {test.rows:,} rows stand in the data that the search saw", mend="--test-data with others"
        )
    return test if fresh.all() else test.select(fresh)


def tested(best: Path, rows: Table, *, left_out: int, task: Task, seed: int) -> dict[str, Any]:
    """The best checkpoint's numbers, for `TuningRecord.test`.

    Args:
        rows: with labels or references, of `unseen`.
        left_out: how many rows `unseen` left out.
    Raises: TaskUnfit, LabelsUnfit and ColumnMissing as `core_model.evaluation.evaluate`.
    """
    predictor = Predictor(open_checkpoint(best))
    random = np.random.default_rng(seed)
    measures = []
    for metric in (*_losses(predictor, rows, task), *evaluate(predictor, rows, task)):
        found = estimate(metric, random)
        measures.append(
            {
                "name": metric.name, "value": found.value, "interval": found.interval, "confidence": found.confidence,
                "method": found.method, "n": found.n, "unit": metric.unit, "reason": found.reason,
            }
        )  # fmt: skip
    return {
        "data": {"name": rows.name, "sha256": rows.sha256, "rows": rows.rows, "synthetic": rows.synthetic},
        "rows_left_out": left_out,
        "measures": measures,
    }


def _losses(predictor: Predictor, rows: Table, task: Task) -> list[CorpusMetric]:
    """The loss that training evaluates by, where the Predictor gives it for each row."""
    if task is Task.CLASSIFICATION:
        values = negative_log_likelihood(predictor.predict(rows.texts, rows.pairs).logits, rows.targets)
        return [CorpusMetric("loss", values_and_rows(values), mean_of_rows, "", "nats a row", "lower")]
    if task is Task.QUESTION_ANSWERING:
        return []
    scores = predictor.score(rows.texts, rows.references)
    sums = np.stack([scores.nll, scores.tokens], axis=1).astype(np.float64)
    return [CorpusMetric("loss", sums, mean_of_rows, "", "nats a token", "lower")]
