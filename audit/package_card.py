"""The card of a package: what the checkpoint is, where it comes from, and what was measured, with intervals.

Everything that somebody else wrote (names, labels, notes, an earlier card) is inert: hidden characters are boxes,
Markdown and HTML are escaped, and an earlier card stands in a block of plain text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from core_model.compression.writing import PIPELINES
from core_model.errors import OptionUnfit
from core_model.packaging import lineage
from reports.formats.markdown import inert, table
from reports.numbers import measured
from reports.text import visible

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from reports.record import Metric, Record

MOST_LINES = 80  # of the table of numbers; audit.json has all of them
LONGEST_CARD = 20_000  # characters of an earlier card
HUB_METRICS = {"accuracy": "accuracy", "macro_f1": "f1", "bleu": "bleu", "chrf": "chrf", "rougeL": "rouge",
               "perplexity": "perplexity", "exact_match": "exact_match"}  # fmt: skip


def card_of(checkpoint: Checkpoint, *, licence: str, record: Record | None) -> str:
    """The card as Markdown with front matter that Hugging Face's own parser reads back.

    Args:
        licence: as hubs name it. record: of an audit of this very checkpoint.
    Raises: OptionUnfit when the front matter does not come back as it was written.
    """
    from huggingface_hub import ModelCard

    content = f"---\n{_front_matter(checkpoint, licence, record)}\n---\n\n{_body(checkpoint, licence, record)}"
    unfit = OptionUnfit(f"the card cannot carry the licence {licence!r}", mend="--licence apache-2.0")
    try:
        read = ModelCard(content).data.to_dict()
    except (ValueError, TypeError):
        raise unfit from None
    if read.get("license") != licence:
        raise unfit
    return content


def _front_matter(checkpoint: Checkpoint, licence: str, record: Record | None) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    bases = [name for name, _ in lineage(checkpoint)]
    fields: dict[str, Any] = {
        "license": licence,
        "library_name": "transformers",
        "pipeline_tag": PIPELINES[checkpoint.task],
        "tags": ["aboveboard"],
    }
    if bases:
        fields["base_model"] = bases[0]
    if record is not None:
        fields["model_name"] = checkpoint.name
        fields["eval_results"] = [
            EvalResult(
                task_type=PIPELINES[checkpoint.task], dataset_type="custom", dataset_name=record.data.name,
                metric_type=HUB_METRICS[metric.name], metric_value=metric.value, metric_name=metric.name,
            )
            for metric in _numbers(record)
            if metric.name in HUB_METRICS and not metric.slice
        ]  # fmt: skip
    return str(ModelCardData(**{key: value for key, value in fields.items() if value}).to_yaml())


def _body(checkpoint: Checkpoint, licence: str, record: Record | None) -> str:
    facts = [
        ("Task", checkpoint.task.value),
        ("Architecture", checkpoint.architecture),
        ("Parameters", f"{checkpoint.parameters:,}"),
        ("Labels", ", ".join(checkpoint.labels) or "none"),
        ("Longest input", f"{checkpoint.max_length:,} tokens"),
        ("Numbers", str(checkpoint.facts.get("quantization") or checkpoint.facts.get("dtype"))),
        ("Licence", licence),
        ("Content sha256", checkpoint.sha256),
    ]
    parts = [
        f"# {inert(checkpoint.name)}",
        "Weights are safetensors; nothing in this folder runs code. `sha256sum -c SHA256SUMS` checks every file.",
        table(("What", "Value"), facts),
        "## Lineage",
        _lineage(checkpoint),
        "## What was measured",
        _measured(record),
    ]
    if checkpoint.card:
        parts += ["## What an earlier card said", _plain_block(_without_front_matter(checkpoint.card))]
    return "\n\n".join(parts) + "\n"


def _lineage(checkpoint: Checkpoint) -> str:
    found = lineage(checkpoint)
    if not found:
        return "Nothing in this folder says what it was made of."
    return table(("Made of", "Content sha256"), [(name, sha256 or "not recorded") for name, sha256 in found])


def _measured(record: Record | None) -> str:
    if record is None:
        return "Nothing: no audit was named. Measure it with `aboveboard audit FOLDER --data FILE`."
    data = record.data
    about = (
        f"By aboveboard {inert(record.tool.version)} on {inert(data.name)}, {data.rows:,} rows"
        f"{', synthetic' if data.synthetic else ''}, sha256 {data.sha256}. Evidence, not a certificate: it holds for "
        "these rows."
    )
    metrics = _numbers(record)
    rows = [_line(metric) for metric in metrics[:MOST_LINES]]
    numbers = table(("Number", "Value", "Interval", "n", "Unit"), rows)
    more = f"\n\n{len(metrics) - MOST_LINES} further numbers stand in the record." if len(metrics) > MOST_LINES else ""
    absent = [(audit.id, audit.reason or "") for audit in record.audits if audit.status.value != "measured"]
    missing = f"\n\nNot measured:\n\n{table(('Audit', 'Why'), absent)}" if absent else ""
    return f"{about}\n\n{numbers}{more}{missing}"


def _numbers(record: Record) -> list[Metric]:
    """Numbers that hold on another machine, too: those of the clock and the meter are left to the record."""
    return [m for audit in record.audits for m in audit.metrics if m.value is not None and not m.volatile]


def _line(metric: Metric) -> tuple[str, ...]:
    value, interval = measured(metric.value, metric.interval)
    confidence = f" ({metric.confidence * 100:g}%)" if metric.interval else f"none: {metric.reason or 'counted'}"
    return metric.key, value, (interval if metric.interval else "") + confidence, f"{metric.n:,}", metric.unit


def _without_front_matter(card: str) -> str:
    if not card.startswith("---"):
        return card
    _, end, rest = card[3:].partition("\n---")
    return rest.lstrip("-").lstrip() if end else card


def _plain_block(text: str) -> str:
    """A fenced block whose fence is longer than any run of backticks in the text."""
    shown = visible(text.strip(), longest=LONGEST_CARD)
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", shown)), 3)
    return f"{fence}text\n{shown}\n{fence}"
