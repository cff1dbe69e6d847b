"""The rows behind the numbers: `evidence.parquet`, one line a row, without its text.

A row is named by the first 16 hexadecimal digits of the SHA-256 of its text, so that two records over the same rows can
be compared pair by pair, and a number can be computed again without the model.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np

from audit.subject import Subject
from reports.record import Evidence

PROBABILITY, GROUP = "probability of ", "group "


def evidence_of(subject: Subject, *, file: str) -> tuple[Evidence, bytes]:
    """What the model said of each row, as Parquet.

    Columns: row, target (label index, where there are labels), predicted, "probability of LABEL" for each label, and
    "group COLUMN" for each group column.
    Returns: the record's entry and the bytes of the file; the same predictions give the same bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    predictions = subject.predictions
    columns: dict[str, object] = {"row": list(subject.data.row_ids)}
    if subject.data.has_labels:
        columns["target"] = np.asarray(subject.data.targets)
    columns["predicted"] = predictions.predicted
    for place, label in enumerate(subject.labels):
        columns[PROBABILITY + label] = predictions.probabilities[:, place]
    for name, values in subject.data.groups.items():
        columns[GROUP + name] = [str(value) for value in values]
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    content = buffer.getvalue()
    return Evidence(file=file, sha256=hashlib.sha256(content).hexdigest(), rows=len(predictions)), content
