"""What a reader should act on: answers that turn, files other than the recorded ones, trainings that cannot be run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.concerns.reproducibility.asked_again import SAME, SHORT
from audit.concerns.reproducibility.recorded import changed_files
from audit.concerns.reproducibility.trained_again import TrainedAgain
from audit.evidence import line_of
from audit.mending import audit_command, column_flags, train_command
from core_model.retraining import missing_facts, other_versions
from reports.record import Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject

SHOWN = 6


def findings_of(subject: Subject, metrics: Sequence[Metric], again: TrainedAgain) -> list[Finding]:
    """Gravest first."""
    found = [
        *_turned(subject, metrics),
        *_other_files(subject, metrics),
        *_retrained(subject, metrics, again),
        *_record(subject, metrics),
        *_short(subject, metrics),
    ]
    order = list(Severity)
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _turned(subject: Subject, metrics: Sequence[Metric]) -> list[Finding]:
    """The same request, and other bits."""
    bits, turned = (line_of(metrics, name, asked=SAME) for name in ("rows_with_same_bits", "answers_turned"))
    if bits.value is None or bits.value == 1:
        return []
    broken = turned.verdict is Verdict.FAIL
    some = "" if turned.value is None else f", and {turned.value:.1%} of the answers turned"
    return [
        Finding(
            id="reproducibility-same-request", severity=Severity.HIGH if broken else Severity.MEDIUM,
            statement=f"The very same request gave other bits for {1 - bits.value:.1%} of {bits.n:,} rows{some}: the "
            "model is not computed in a repeatable way here.",
            metrics=[bits.key, turned.key],
            mitigation=Mitigation(
                command=f"CUBLAS_WORKSPACE_CONFIG=:4096:8 {audit_command(subject, '--only reproducibility')}",
                why="some kernels of accelerators add in an order of their own; with this setting matrix products on "
                "NVIDIA cards are repeatable, and on a CPU they are",
            ),
        )
    ]  # fmt: skip


def _other_files(subject: Subject, metrics: Sequence[Metric]) -> list[Finding]:
    changed = changed_files(subject.checkpoint)
    if not changed:
        return []
    named = ", ".join(changed[:SHOWN]) + (f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else "")
    return [
        Finding(
            id="reproducibility-other-files", severity=Severity.HIGH,
            statement=f"{len(changed)} of {len(subject.checkpoint.files)} files are not those that the training record "
            f"speaks of: {named}. What it says of data, options and cost is not of this model.",
            metrics=[line_of(metrics, "files_other_than_recorded").key],
            mitigation=Mitigation(
                command=train_command(subject),
                why="put back the files that were written with the record, or train again: the record is written anew",
            ),
        )
    ]  # fmt: skip


def _retrained(subject: Subject, metrics: Sequence[Metric], again: TrainedAgain) -> list[Finding]:
    found = []
    for compared, part, what in (
        (again.twice, "some steps, twice", "Two short trainings by the record's options"),
        (again.whole, "whole, against this checkpoint", "The whole recorded training, run here, and this checkpoint"),
    ):
        if compared is None or compared.same == compared.tensors:
            continue
        threads = ((subject.checkpoint.training_record or {}).get("hardware") or {}).get("threads") or 1
        found.append(
            Finding(
                id=f"reproducibility-retrained-{'twice' if compared is again.twice else 'whole'}",
                severity=Severity.MEDIUM,
                statement=f"{what} agree in {compared.same} of {compared.tensors} tensors, bit for bit.",
                metrics=[line_of(metrics, "retraining_same_weights", trained=part).key],
                mitigation=Mitigation(
                    command=f"OMP_NUM_THREADS={threads} {train_command(subject, '--precision float32')}",
                    why="the same bits need the same versions, kind of processor and number of threads; "
                    "deterministic kernels are asked for, and float32 hides least",
                ),
            )
        )
    return found


def _record(subject: Subject, metrics: Sequence[Metric]) -> list[Finding]:
    record = subject.checkpoint.training_record
    facts = line_of(metrics, "training_facts_recorded")
    if record is None:
        return [
            Finding(
                id="reproducibility-no-record", severity=Severity.MEDIUM,
                statement="The checkpoint has no training record: from which rows, base, options, seed and versions it "
                "was made is not known, and nobody can make it again.",
                metrics=[facts.key],
                mitigation=Mitigation(
                    command=train_command(subject, "--seed 0"),
                    why="leaves training_record.json: every option, seed, hashes of rows and base, versions, threads",
                ),
            )
        ]  # fmt: skip
    found = []
    if missing := missing_facts(record):
        found.append(
            Finding(
                id="reproducibility-facts", severity=Severity.MEDIUM,
                statement=f"The training record does not say: {', '.join(missing[:SHOWN])}.", metrics=[facts.key],
                mitigation=Mitigation(
                    command=train_command(subject), why="a record of this version says all of them",
                ),
            )
        )  # fmt: skip
    if others := other_versions(record):
        listed = ", ".join(
            f"{name} {then} (here {here or 'none'})" for name, (then, here) in list(others.items())[:SHOWN]
        )
        pins = " ".join(f"{name}=={then.split('+')[0]}" for name, (then, _) in others.items() if name != "python")
        found.append(
            Finding(
                id="reproducibility-versions", severity=Severity.LOW,
                statement=f"Trained with other versions than are here: {listed}. Numbers may differ in the last "
                "digits, or more.",
                metrics=[line_of(metrics, "packages_other_than_recorded").key],
                mitigation=Mitigation(
                    command=f"python -m pip install {pins}" if pins else "aboveboard doctor",
                    why="in an environment of its own, for whoever wants to make the model again",
                ),
            )
        )  # fmt: skip
    return found


def _short(subject: Subject, metrics: Sequence[Metric]) -> list[Finding]:
    """Answers that a shorter number format turns."""
    turned = line_of(metrics, "answers_turned", asked=SHORT)
    if turned.value is None or turned.interval is None or turned.value == 0:
        return []
    return [
        Finding(
            id="reproducibility-bfloat16", severity=Severity.LOW,
            statement=f"In bfloat16 {turned.value:.1%} of {turned.n:,} rows are answered otherwise: what was audited "
            "is the model in float32.",
            metrics=[turned.key],
            mitigation=Mitigation(
                command=f"aboveboard export CHECKPOINT --data TEST_FILE {column_flags(subject)} --out exported",
                why="an exported graph keeps float32 wherever it is served; its parity is measured",
            ),
        )
    ]  # fmt: skip
