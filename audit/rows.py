"""The rows behind the numbers: `evidence.parquet`, one line a row, without its text.

A row is named by the first 16 hexadecimal digits of the SHA-256 of its text, so that two records over the same rows can
be compared pair by pair, and a number can be computed again without the model: of a classifier from its probabilities,
of other tasks from each row's statistics (`core_model.corpus_metric`). What rows did under attacks and noise stands in
columns of its own (`audit.outcomes`).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping

import numpy as np

from audit.outcomes import Outcomes, as_columns
from audit.plugin import Need
from audit.subject import Subject
from core_model.predictions import Predictions
from reports.record import Evidence

PROBABILITY, GROUP, STATISTIC = "probability of ", "group ", "statistic "
WORDS, SIGNATURE = "words", "signature "


def evidence_of(
    subject: Subject, *, file: str, outcomes: Mapping[str, Outcomes] | None = None
) -> tuple[Evidence, bytes]:
    """What the model said of each row, as Parquet.

    Columns: row; "group COLUMN" for each group column; and
        of a classifier   target (label index, where there are labels), predicted, "probability of LABEL" for each;
        of other tasks    words (of the text, for slices by length), and "statistic METRIC NUMBER", NUMBER from 0, for
                          each metric of the task, where there are references. The signature of each metric stands in
                          the file's schema, as metadata "signature METRIC";
        of any            "outcome AUDIT METRIC" for each of `outcomes` (audit -> its own), null at rows that do not
                          count, with "protocol AUDIT METRIC" in the schema.
    Returns: the record's entry and the bytes of the file; the same answers give the same bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, object] = {"row": list(subject.data.row_ids)}
    metadata: dict[str, str] = {}
    if isinstance(subject.answers, Predictions):
        columns |= _of_classifier(subject)
    else:
        columns[WORDS] = np.array([len(text.split()) for text in subject.data.texts])
        for metric in subject.metrics if subject.has(Need.LABELS) else ():
            metadata[f"{SIGNATURE}{metric.name}"] = metric.signature
            columns |= {f"{STATISTIC}{metric.name} {i}": values for i, values in enumerate(metric.statistics.T)}
    for name, values in subject.data.groups.items():
        columns[GROUP + name] = [str(value) for value in values]
    of_rows, protocols = as_columns(outcomes or {}, subject.data.rows)
    metadata |= protocols
    table = pa.table(columns | of_rows)
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, buffer, compression="zstd")
    content = buffer.getvalue()
    return Evidence(file=file, sha256=hashlib.sha256(content).hexdigest(), rows=subject.data.rows), content


def _of_classifier(subject: Subject) -> dict[str, object]:
    columns: dict[str, object] = {}
    predictions = subject.predictions
    if subject.data.has_labels:
        columns["target"] = np.asarray(subject.data.targets)
    columns["predicted"] = predictions.predicted
    for place, label in enumerate(subject.labels):
        columns[PROBABILITY + label] = predictions.probabilities[:, place]
    return columns
