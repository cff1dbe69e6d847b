"""How long a report takes to build and how large it is: of the demo's size, of 10,000 evidence rows, through 20 runs.

    python -m benchmarks.report [--record audit.json] [--json]

Records: synthetic, of the size of the demo's (7 audits, 226 numbers, 20 findings, 14 figures), unless --record names
one. "Rows of data" is a run over 10,000 rows of which every finding is about thousands, so that each shows its 40;
"rows in the record" is a record that holds 10,000 examples, 40 in each of 250 findings. Each build runs in a process
that has built nothing before, as on the command line, where the first drawing costs most; imports are counted. Times
are the clock's and the processor's: a busy machine changes the first. The history has 20 runs of the record, whose
numbers drift; its evidence rows are paired where --record names a record with its evidence file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audit.examples import examples_of
from benchmarks.figures import Figure, print_figures
from reports.reading import read_record
from reports.record import (
    AuditResult,
    DataFacts,
    Environment,
    Finding,
    Metric,
    Mitigation,
    Record,
    Run,
    Severity,
    Status,
    SubjectFacts,
    Tool,
    Verdict,
)
from reports.record import Figure as Drawing

ROWS = 10_000
AUDITS, NUMBERS, FINDINGS, DRAWINGS, RUNS = 7, 226, 20, 14, 20
WORDS = ["film", "scene", "music", "nobody", "asked", "people", "liked", "well", "rather", "many"]
DEMO_BYTES, HISTORY_BYTES, ROWS_BYTES = 2_000_000, 3_000_000, 8_000_000
TIMED = """
import json, sys, time
begun, used = time.perf_counter(), time.process_time()
{work}
seconds, processor = time.perf_counter() - begun, time.process_time() - used
print(json.dumps({{"seconds": seconds, "processor": processor, "bytes": len(made)}}))
"""
HTML = """
from reports.document.build import report_html
from reports.reading import read_record
made = report_html(read_record(sys.argv[1])).encode()
"""
PDF = """
from reports.formats.pdf import report_pdf
from reports.reading import read_record
made = report_pdf(read_record(sys.argv[1]))
"""
HISTORY = """
from pathlib import Path
from audit.history import Kept, history
from reports.document.history import history_html
from reports.reading import read_record
kept = [Kept(read_record(path), path, Path(path).parent) for path in sys.argv[1:]]
made = history_html(history(kept)).encode()
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, help="a record instead of the synthetic one of the demo's size")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    demo = read_record(given.record) if given.record else synthetic(FINDINGS)
    with tempfile.TemporaryDirectory() as folder:
        print_figures("report", figures(demo, Path(folder), given.record), given.json)


def figures(demo: Record, folder: Path, place: Path | None) -> list[Figure]:
    """Time and size of each build."""
    of_demo = timed(HTML, written(demo, folder / "demo.json"))
    of_rows = timed(HTML, written(synthetic(FINDINGS, about=ROWS // 2), folder / "rows.json"))
    of_examples = timed(HTML, written(synthetic(ROWS // 40), folder / "examples.json"))
    pdf = timed(PDF, folder / "demo.json")
    runs = [written(drifted(demo, run), _beside(folder / f"run-{run}", demo, place)) for run in range(RUNS)]
    history = timed(HISTORY, *runs)
    return [
        *_of("demo_report", of_demo, "the demo's size", seconds=None, most=DEMO_BYTES),
        *_of("report_of_10000_rows_of_data", of_rows, "40 rows a finding", seconds=10, most=DEMO_BYTES),
        *_of("report_of_10000_rows_in_the_record", of_examples, "250 findings", seconds=10, most=ROWS_BYTES),
        *_of("demo_pdf", pdf, "WeasyPrint", seconds=None, most=None),
        *_of("history_of_20_records", history, f"{len(demo.audits)} audits each", seconds=None, most=HISTORY_BYTES),
    ]


def _of(name: str, found: dict[str, float], what: str, *, seconds: float | None, most: int | None) -> list[Figure]:
    return [
        Figure(f"{name}_seconds", round(found["seconds"], 2), f"s, {what}", f"<= {seconds}" if seconds else None),
        Figure(f"{name}_processor_seconds", round(found["processor"], 2), f"s of processor, {what}"),
        Figure(f"{name}_bytes", found["bytes"], "bytes", f"<= {most:,}" if most else None),
    ]


def timed(work: str, *paths: Path) -> dict[str, float]:
    """Seconds of the clock and of the processor, and bytes, of work in a fresh process."""
    command = [sys.executable, "-c", TIMED.format(work=work), *map(str, paths)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(told.stdout)
    return found


def written(record: Record, path: Path) -> Path:
    """The record in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.to_json(), encoding="utf-8")
    return path


def _beside(folder: Path, demo: Record, place: Path | None) -> Path:
    """Where a run's record goes; its evidence file, where there is one, is put beside it."""
    folder.mkdir()
    if place is not None and demo.evidence is not None and (place.parent / demo.evidence.file).is_file():
        (folder / demo.evidence.file).hardlink_to(place.parent / demo.evidence.file)
    return folder / "audit.json"


def drifted(record: Record, run: int) -> Record:
    """The record of a later run: a share of rows moves a little with each."""

    def moved(metric: Metric) -> Metric:
        if metric.value is None or metric.interval is None or metric.unit != "share of rows":
            return metric
        shift = min(1 - metric.interval[1], 0.002 * run)
        low, high = metric.interval
        return metric.model_copy(update={"value": metric.value + shift, "interval": (low + shift, high + shift)})

    audits = [audit.model_copy(update={"metrics": [moved(m) for m in audit.metrics]}) for audit in record.audits]
    started = record.run.model_copy(update={"started": f"2026-11-{1 + run:02d}T10:00:00+00:00"})
    return record.model_copy(update={"audits": audits, "run": started}).sealed()


def synthetic(findings: int, *, about: int = 40) -> Record:
    """A made-up record of the demo's size.

    Args:
        findings: how many.
        about: rows that each is about; it shows its 40 of them.
    """
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, size=30)) for _ in range(997)]

    def finding(place: int, metrics: Sequence[Metric]) -> Finding:
        identity = f"made-up-{place}"
        line = lambda row: {  # noqa: E731 - one expression of the row
            "row": row + 1, "text": f"{texts[(row + place) % 997]} {row}", "label": "yes", "predicted": "no",
            "probability": round(0.99 - row / (2 * about), 4), "group": f"g{row % 5}",
        }  # fmt: skip
        return Finding(
            id=identity, severity=list(Severity)[place % 3], statement=f"A made-up finding of {about:,} rows.",
            metrics=[metrics[place % len(metrics)].key],
            mitigation=Mitigation(command="aboveboard train --base CHECKPOINT --data TRAIN_FILE --out mended", why="-"),
            **examples_of(range(about), line, finding=identity, seed=0),
        )  # fmt: skip

    audits = []
    for audit in range(AUDITS):
        metrics = [_number(audit, place) for place in range(NUMBERS // AUDITS + (audit < NUMBERS % AUDITS))]
        own = AuditResult(
            id=f"audit-{audit}", concern=f"audit-{audit}", status=Status.MEASURED, metrics=metrics,
            findings=[finding(place, metrics) for place in range(audit, findings, AUDITS)],
            figures=[_drawing(place) for place in range(audit, DRAWINGS, AUDITS)], signature="seed:0 | rows:2293",
        )  # fmt: skip
        audits.append(own)
    return Record(
        tool=Tool(version="benchmark"),
        subject=SubjectFacts(
            name="made up", sha256="ab" * 32, task="classification", architecture="BertForSequenceClassification",
            parameters=22_713_986, labels=["no", "yes"],
        ),
        data=DataFacts(name="made-up.jsonl", sha256="cd" * 32, rows=ROWS, text_column="text", synthetic=True),
        environment=Environment(python="3.11", platform="made up"),
        audits=audits,
        run=Run(started="2026-11-25T10:00:00+00:00"),
    ).sealed()  # fmt: skip


def _number(audit: int, place: int) -> Metric:
    value = 0.3 + 0.6 * (place % 11) / 11
    limit = 0.5 if place % 10 == 0 else None
    return Metric(
        name=f"number_{audit}_{place // 5}", slice={"group": f"g{place % 5}"}, value=value,
        interval=(value - 0.03, value + 0.03), interval_method="Wilson", n=2293, unit="share of rows",
        better="higher", limit=limit, limit_source="made up" if limit else None,
        verdict=Verdict.INFORMATIVE if limit is None else Verdict.PASS if value > 0.53 else Verdict.FAIL,
        definition="A made-up share of rows.", source="Wilson 1927",
    )  # fmt: skip


def _drawing(place: int) -> Drawing:
    rows = [{"label": f"group {i}", "value": 0.1 * i, "low": 0.1 * i - 0.02, "high": 0.1 * i + 0.03} for i in range(8)]
    return Drawing(id=f"drawing-{place}", kind="intervals", title="Made up", caption="Nothing follows.", rows=rows)


if __name__ == "__main__":
    main()
