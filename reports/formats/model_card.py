"""A Hugging Face model card: metadata that hubs read, and the numbers for people.

The metadata has a place for a value and none for an interval, so n, interval, limit and verdict travel in the
arguments of each metric, and nothing calls itself verified. Numbers without a value are left out of the metadata and
named below with the reason. The card says what was measured; intended use and limits are for its owner to write.

Source: Mitchell et al. 2019, arXiv:1810.03993; Hugging Face's `model-index`, written by huggingface_hub.
"""

from __future__ import annotations

import re
from typing import Any

from reports.document import states
from reports.formats.checks import SEAL_WORDS, Check, checks, number_object, run_state, seal
from reports.formats.markdown import inert, table
from reports.formats.names import said
from reports.record import AuditResult, Finding, Record, Status
from reports.smoothing_words import smoothing_sentence

HEADING = "## Responsible AI audit"
MOST_LINES = 80  # of a table of numbers; audit.json has all of them
PIPELINES = {
    "classification": "text-classification",
    "language-modeling": "text-generation",
    "translation": "translation",
    "summarization": "summarization",
    "question-answering": "question-answering",
    "feature-extraction": "feature-extraction",
}

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")


def model_card(record: Record) -> str:
    """The record as a card: YAML front matter that Hugging Face's own parser reads back, and Markdown."""
    return f"---\n{_front_matter(record)}\n---\n\n{_body(record)}\n"


def _front_matter(record: Record) -> str:
    from huggingface_hub import ModelCardData

    pipeline = PIPELINES.get(record.subject.task.replace("_", "-"))
    results = _results(record, pipeline or said(record.subject.task))
    fields: dict[str, Any] = {
        **_licence(record.subject.licence),
        "library_name": "transformers",
        "pipeline_tag": pipeline,
        "tags": ["aboveboard", "responsible-ai"],
        "model_name": said(record.subject.called) or "unnamed",
        "eval_results": results or None,
    }
    return str(ModelCardData(**{key: value for key, value in fields.items() if value}).to_yaml())


def _licence(licence: str | None) -> dict[str, str]:
    """As hubs name it where it looks like one of their names, else "other" with the name beside it."""
    if not licence:
        return {}
    if _LICENCE.fullmatch(licence.lower()):
        return {"license": licence.lower()}
    return {"license": "other", "license_name": said(licence, longest=200)}


def _results(record: Record, task: str) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=task, dataset_type="custom", dataset_name=said(record.data.name) or "unnamed",
            dataset_args={"sha256": said(record.data.sha256), "rows": record.data.rows,
                          "synthetic": record.data.synthetic},
            metric_type=said(check.metric.name), metric_name=said(check.metric.key), metric_value=check.metric.value,
            metric_args={"audit": said(check.audit.id), **_evidence(check)},
        )
        for check in checks(record)
        if check.metric and check.metric.value is not None
    ]  # fmt: skip


def _evidence(check: Check) -> dict[str, Any]:
    """What the metadata has no field for; absent parts are left out, as the hub's own writer does."""
    assert check.metric is not None  # noqa: S101 - the caller passes numbers only
    number = number_object(check.metric)
    return {key: value for key, value in number.items() if key not in ("metric", "value") and value not in (None, {})}


def _body(record: Record) -> str:
    subject, data, sealed = record.subject, record.data, seal(record)
    about = [
        ("Architecture", f"{subject.architecture}, {subject.parameters:,} parameters, {subject.task}"),
        ("Model sha256", subject.sha256),
        *([("Asked as", smoothing_sentence(subject.smoothing))] if subject.smoothing else []),
        ("Measured on", f"{data.name}, {data.rows:,} rows{', synthetic' if data.synthetic else ''}"),
        ("Data sha256", data.sha256),
        ("Limits of", record.policy.name if record.policy else "the audits themselves"),
        ("Measured by", f"{record.tool.name} {record.tool.version}, seed {record.environment.seed}"),
        ("Record", f"{record.content_sha256 or 'no hash'}: {SEAL_WORDS[sealed]}"),
    ]
    parts = [
        f"# {inert(subject.called)}",
        HEADING,
        f"**{run_state(record).word.capitalize()}.** {inert(record.verdict_reason, longest=1_000)}",
        "Evidence, not a certificate: it holds for these rows, with the uncertainty that stands beside each number.",
        table(("What", "Value"), about),
        *_findings(record),
        *_numbers(record),
        *_not_measured(record),
    ]
    return "\n\n".join(parts)


def _findings(record: Record) -> list[str]:
    found: list[tuple[AuditResult, Finding]] = [(a, f) for a in record.audits for f in a.findings]
    if not found:
        return []
    rows = [(f.severity.value, a.id, f.statement, f.mitigation.why if f.mitigation else "none yet") for a, f in found]
    return ["### Findings", table(("Severity", "Audit", "Finding", "Mend"), rows)]


def _numbers(record: Record) -> list[str]:
    """Numbers with a limit first: those are what a reader is owed."""
    found = [check for check in checks(record) if check.metric and check.metric.value is not None]
    found.sort(key=lambda check: (not check.limited, states.ORDER.index(check.state)))
    if not found:
        return []
    rows = [(check.audit.id, check.metric.key, check.sentence) for check in found[:MOST_LINES] if check.metric]
    parts = ["### Numbers", table(("Audit", "Number", "Verdict, value, interval, n, limit"), rows)]
    if len(found) > MOST_LINES:
        parts.append(f"{len(found) - MOST_LINES} further numbers stand in the record.")
    return parts


def _not_measured(record: Record) -> list[str]:
    rows = [(a.id, a.reason or "", a.supply or "") for a in record.audits if a.status is not Status.MEASURED]
    rows += [(a.id, f"{m.key}: {m.reason}", "") for a in record.audits for m in a.metrics if m.value is None]
    return ["### Not measured", table(("Audit", "Why", "What would supply it"), rows)] if rows else []
