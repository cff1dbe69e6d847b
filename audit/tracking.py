"""A record among the runs of an experiment tracker: each number with its interval, its n and its verdict.

MLflow (the extra `mlflow`) gets a run with metrics, tags, and record and report as artifacts; TensorBoard (the extra
`tensorboard`) a folder of events with the same numbers, verdicts as text, and record and report beside them. A number
that was not measured has no value in either: its reason stands where its verdict would. Names of metrics hold no
value, so that a tracker can lay runs beside each other.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from core_model.errors import OptionUnfit
from core_model.files import replace_folder, write_atomically
from reports.document.build import report_html
from reports.formats.checks import SEAL_WORDS, checks, run_state, seal
from reports.formats.markdown import inert
from reports.formats.times import moment
from reports.record import Metric, Record

LONGEST_NAME = 200  # MLflow takes 250 characters, and ends such as ".high" come behind
LONGEST_TAG = 5_000
EXPERIMENT = "aboveboard"


@dataclass(frozen=True)
class Entry:
    """A number of an audit, or an audit without numbers, as a tracker shows it.

    Attributes:
        name: "audit/metric", in characters that every tracker takes; no two entries share one.
        numbers: end of the name ("" for the value itself) -> what it is; nothing that is absent.
        words: verdict, interval, n and limit in a sentence, or why there is no number.
    """

    name: str
    numbers: dict[str, float]
    state: str
    words: str


def entries(record: Record) -> Iterator[Entry]:
    """Every number of a record, and every audit that found none."""
    taken: set[str] = set()
    for check in checks(record):
        raw = [check.audit.id, *([check.metric.key] if check.metric else [])]
        # No dot and no slash but ours: dots part the ends from the name, slashes the audits from their numbers.
        name = "/".join(re.sub(r"[^\w -]", "_", part, flags=re.ASCII).strip() or "_" for part in raw)[:LONGEST_NAME]
        if name in taken:  # two names that differ in what was replaced or cut
            name = f"{name}-{hashlib.sha256(repr(raw).encode()).hexdigest()[:12]}"
        taken.add(name)
        yield Entry(name, _numbers(check.metric), check.state.word, check.sentence)


def _numbers(metric: Metric | None) -> dict[str, float]:
    if metric is None or metric.value is None:
        return {}
    low, high = metric.interval or (None, None)
    found = {"": metric.value, "low": low, "high": high, "n": float(metric.n), "limit": metric.limit}
    return {end: value for end, value in found.items() if value is not None}


def track(record: Record, tracker: str, *, to: str | Path) -> str:
    """Log a record; returns where: the run's id (MLflow) or its folder (TensorBoard).

    Args:
        tracker: "mlflow" or "tensorboard".
        to: a folder; for MLflow also the address of a tracking server or of a database.
    Raises: OptionUnfit for an unknown tracker, one that is not installed, or a place that does not take the run.
    """
    known: dict[str, Callable[[Record, str], str]] = {"mlflow": _mlflow, "tensorboard": _tensorboard}
    if tracker not in known:
        raise OptionUnfit(f"there is no tracker {tracker!r}", mend=f"one of {', '.join(known)}")
    return known[tracker](record, str(to))


def _files(record: Record, folder: Path) -> list[Path]:
    """The record and its report, written into a folder."""
    return [
        write_atomically(folder / "audit.json", record.to_json()),
        write_atomically(folder / "report.html", report_html(record)),
    ]


def _facts(record: Record) -> dict[str, str]:
    """What a tracker should be able to search for."""
    facts = {
        "verdict": run_state(record).word,
        "verdict_reason": record.verdict_reason,
        "record": SEAL_WORDS[seal(record)],
        "content_sha256": record.content_sha256,
        "checkpoint": record.subject.called,
        "checkpoint_sha256": record.subject.sha256,
        "data_sha256": record.data.sha256,
        "policy": record.policy.name if record.policy else None,
        "version": record.tool.version,
    }
    return {name: inert(value, longest=LONGEST_TAG) for name, value in facts.items() if value}


def _mlflow(record: Record, to: str) -> str:
    for setting in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):  # it would tell its makers that it was used
        os.environ.setdefault(setting, "true")
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric as Logged
        from mlflow.entities import RunTag
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise package_missing("mlflow", error) from error
    artifacts = None
    if "://" not in to:
        folder = Path(to).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        to, artifacts = f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()
    started = moment(record)
    when = int(datetime.fromisoformat(started).timestamp() * 1000) if started else 0
    tags = {f"aboveboard.{name}": value for name, value in _facts(record).items()}
    logged = []
    for entry in entries(record):
        tags[f"{entry.name}.verdict"] = entry.state
        tags[f"{entry.name}.words"] = inert(entry.words, longest=LONGEST_TAG)
        logged += [
            Logged(".".join(filter(None, (entry.name, end))), value, when, 0) for end, value in entry.numbers.items()
        ]
    try:
        client = MlflowClient(tracking_uri=to)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, artifacts)
        run = client.create_run(experiment_id, start_time=when or None, run_name=inert(record.subject.name))
        run_id = str(run.info.run_id)
        for start in range(0, len(logged), 1000):
            client.log_batch(run_id, metrics=logged[start : start + 1000])
        listed = [RunTag(name, value) for name, value in tags.items()]
        for start in range(0, len(listed), 100):
            client.log_batch(run_id, tags=listed[start : start + 100])
        with tempfile.TemporaryDirectory(prefix="aboveboard-track-") as written:
            for file in _files(record, Path(written)):
                client.log_artifact(run_id, str(file))
        client.set_terminated(run_id)
    except (MlflowException, OSError) as error:
        raise OptionUnfit(
            f"MLflow at {to} does not take the run: {str(error).splitlines()[0][:300]}",
            mend="--to a folder, or the address of a server",
        ) from error
    return run_id


def _tensorboard(record: Record, to: str) -> str:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise package_missing("tensorboard", error) from error
    name = re.sub(r"[^\w.-]", "-", record.subject.name, flags=re.ASCII)[:60].strip(".-") or "run"
    folder = Path(to) / f"{name}-{(record.content_sha256 or record.subject.sha256)[:12]}"
    if folder.exists():
        raise OptionUnfit(f"{folder} holds this record already", mend="--to another folder, or remove that one")
    with replace_folder(folder) as fresh:
        writer: Any = SummaryWriter(str(fresh))
        for fact, words in _facts(record).items():
            writer.add_text(f"aboveboard/{fact}", words, 0)
        for entry in entries(record):
            for end, value in entry.numbers.items():
                writer.add_scalar(".".join(filter(None, (entry.name, end))), value, 0, double_precision=True)
            writer.add_text(f"{entry.name}.verdict", f"{entry.state}: {inert(entry.words, longest=LONGEST_TAG)}", 0)
        writer.close()
        _files(record, fresh)
    return str(folder)


def package_missing(tracker: str, error: ImportError) -> OptionUnfit:
    """The letter for a tracker whose package is not installed: the extra has its name."""
    return OptionUnfit(f"tracking needs a package ({error})", mend=f"pip install 'aboveboard[{tracker}]'")
