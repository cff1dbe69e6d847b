"""What a reader should act on: clients that lose, that harm, or are served worse; each with a mend."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from audit.concerns.collaboration.clients import column_of
from audit.concerns.collaboration.contributions import NAME as SHAPLEY
from audit.mending import column_flags
from reports.record import Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject
    from federated.record import FederatedRecord

LEARNING = ("local_epochs", "local_steps", "batch_size", "learning_rate", "optimizer", "max_length")


def findings_of(metrics: Sequence[Metric], subject: Subject, record: FederatedRecord) -> list[Finding]:
    """All findings, gravest first."""
    found = [*_losing(metrics, subject, record), *_harmful(metrics, subject, record)]
    found += [*_unequal(metrics, subject, record), *_behind_pooled(metrics, subject, record)]
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


def _losing(metrics: Sequence[Metric], subject: Subject, record: FederatedRecord) -> list[Finding]:
    losing = [m for m in metrics if m.name == "gain_over_solo" and m.slice and m.interval and m.interval[1] < 0]
    return [
        Finding(
            id=f"collaboration-loses-{place}",
            severity=Severity.HIGH if one.verdict is Verdict.FAIL else Severity.MEDIUM,
            statement=f"Client {one.slice['client']} loses by taking part: its own model answers "
            f"{-(one.value or 0):.1%} more of {one.n:,} rows right than the federated one.",
            metrics=[one.key],
            mitigation=Mitigation(
                command=_federate(subject, record, "--personalize head"),
                why="with a head of its own a client keeps the body that all trained, and unlearns what others' rows "
                "taught the answer; then audit again",
            ),
        )
        for place, one in enumerate(losing, start=1)
    ]


def _harmful(metrics: Sequence[Metric], subject: Subject, record: FederatedRecord) -> list[Finding]:
    harmful = [m for m in metrics if m.name == SHAPLEY and m.interval and m.interval[1] < 0]
    enough = len(record.partition.get("clients") or ()) >= 2 * len(harmful) + 3  # Blanchard et al. 2017
    robust = f"--strategy krum --malicious {len(harmful)}" if enough else "--strategy fedmedian"
    return [
        Finding(
            id=f"collaboration-harms-{place}",
            severity=Severity.MEDIUM,
            statement=f"Client {one.slice['client']} makes the model worse: its updates are worth {one.value:.3f} "
            f"({one.unit}), {one.interval[1]:.3f} at best. Its labels may be wrong, or its rows unlike the others'.",
            metrics=[one.key],
            mitigation=Mitigation(
                command=_federate(subject, record, robust, base=shlex.quote(str(record.base.get("name")))),
                why="look at that client's rows first; a robust strategy, from the same base, keeps single updates "
                "from moving the model",
            ),
        )
        for place, one in enumerate(harmful, start=1)
        if one.interval
    ]


def _unequal(metrics: Sequence[Metric], subject: Subject, record: FederatedRecord) -> list[Finding]:
    spread = next((m for m in metrics if m.name == "client_accuracy_spread"), None)
    if spread is None or spread.interval is None or spread.interval[0] <= 0:
        return []
    worst = next(m for m in metrics if m.name == "worst_client_accuracy")
    limited = spread.limit is not None
    return [
        Finding(
            id="collaboration-unequal",
            severity=Severity.HIGH if spread.verdict is Verdict.FAIL
            else Severity.LOW if limited and spread.verdict is Verdict.PASS
            else Severity.MEDIUM,
            statement=f"Clients are served unequally: accuracy differs by {spread.value:.3f} between them, and is "
            f"lowest for {worst.slice.get('client')} ({worst.value:.3f}).",
            metrics=[spread.key, worst.key],
            mitigation=Mitigation(
                command=_federate(subject, record, "--personalize head"),
                why="a head of its own serves a client whose rows are unlike the others'",
            ),
        )
    ]  # fmt: skip


def _behind_pooled(metrics: Sequence[Metric], subject: Subject, record: FederatedRecord) -> list[Finding]:
    price = next((m for m in metrics if m.name == "difference_from_pooled"), None)
    if price is None or price.interval is None or price.interval[1] >= 0:
        return []
    return [
        Finding(
            id="collaboration-behind-pooled",
            severity=Severity.MEDIUM,
            statement=f"Federation costs accuracy: training on all rows in one place answers {-(price.value or 0):.1%} "
            f"more of {price.n:,} rows right.",
            metrics=[price.key],
            mitigation=Mitigation(
                command=_federate(subject, record, f"--rounds {2 * max(len(record.rounds), 1)}"),
                why="more rounds from this model on: averages of clients' steps need more of them than steps on all "
                "rows",
            ),
        )
    ]


def _federate(subject: Subject, record: FederatedRecord, flags: str, *, base: str = "CHECKPOINT") -> str:
    """`aboveboard federate` over the same clients, with more flags."""
    options, column = record.options, column_of(record)
    partition = f"column:{column}" if column else str(options["partition"])
    clients = "" if column else f" --clients {options['clients']}"
    rounds = "" if "--rounds" in flags else f" --rounds {options['rounds']}"
    return (
        f"aboveboard federate --task {subject.task} --base {base} --data TRAIN_FILE {column_flags(subject)} "
        f"--partition {shlex.quote(partition)}{clients}{rounds}{_learnt_as_before(options)} {flags} "
        "--out federated-again"
    )


def _learnt_as_before(options: Mapping[str, Any]) -> str:
    """How clients learnt, as flags, where it was not the default."""
    from federated.options import FederationOptions

    given = {name: options[name] for name in LEARNING if options[name] != FederationOptions.model_fields[name].default}
    return "".join(f" --{name.replace('_', '-')} {value}" for name, value in given.items())
