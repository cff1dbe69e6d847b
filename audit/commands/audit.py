"""`aboveboard audit`: measure a checkpoint, write the record and the report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import configured, json_option, print_json, subject_options
from audit.commands.gate import gate_answer, say_gate
from audit.commands.language import language_options

if TYPE_CHECKING:
    from audit.session import Session
    from reports.record import Record


@click.command()
@subject_options
@click.option(
    "--gate",
    is_flag=False,
    flag_value="limits",
    type=click.Choice(["limits", "strict"]),
    default=None,
    help="Exit with 1 when a limit is broken, or what the policy requires is missing; 'strict': also when anything is "
    "inconclusive or not measured.",
)
@click.option("--selftest", metavar="FILE", help="selftest.json of `aboveboard selftest`, for the report to cite.")
@click.option("--fresh", is_flag=True, help="Start over, also where an interrupted run left results.")
@language_options
@json_option
def audit(checkpoint: str, gate: str | None, fresh: bool, as_json: bool, **arguments: Any) -> int:
    """Audit CHECKPOINT (a folder, a hub id, or a folder or file of `aboveboard export`) on rows of text.

    Writes audit.json, evidence.parquet and report.html into --out. An interrupted run goes on where it stopped when the
    same command is given again.

    \b
    Examples:
      aboveboard audit ./checkpoint --data test.jsonl --label-column label --group-column sex
      aboveboard audit ./checkpoint --data test.csv --train-data train.csv --profile quick --gate
      aboveboard audit ./checkpoint --data test.csv --label-column label --policy screening --gate strict
      aboveboard audit ./checkpoint --data test.jsonl --selftest selftest-out/selftest.json
      aboveboard audit ./checkpoint --data test.jsonl --only fairness --set fairness.minimum_group_rows=50
      aboveboard audit ./translator --data test.jsonl --source-column en --target-column de --beams 4
      aboveboard audit ./summarizer --task summarization --data test.jsonl --source-column text --target-column summary
      aboveboard audit ./checkpoint --data test.jsonl --label-column label --smoothing-keep 0.3 --out smoothed
      aboveboard audit ./onnx/model.int8.onnx --data test.jsonl --label-column label
      aboveboard audit ./reader --data squad.jsonl --question-column question --context-column context
    """
    configuration = configured(**arguments)

    from audit.commands.progress import narrator
    from audit.session import prepare

    session = prepare(checkpoint, configuration)
    for what, column in session.subject.data.guessed.items():
        click.echo(f"guessed: --{what.replace('_', '-')} {column}", err=True)
    with narrator(session) as tell:
        record = session.run(command=_command(), tell=tell, fresh=fresh)
    return conclude(session, record, as_json=as_json, gate=gate)


def conclude(session: Session, record: Record, *, as_json: bool, gate: str | None) -> int:
    """Say what a run found and where it was written; returns the exit code."""
    from audit.session import RECORD, REPORT
    from reports.record import Status
    from reports.terminal import summary

    record_path, report_path = session.out / RECORD, session.out / REPORT
    if as_json:
        print_json(
            {
                "verdict": record.verdict,
                "reason": record.verdict_reason,
                "record": str(record_path),
                "report": str(report_path),
                "content_sha256": record.content_sha256,
                "audits": {a.id: a.status.value for a in record.audits},
                "findings": [f.id for a in record.audits for f in a.findings],
                **({"gate": gate_answer(record, gate)} if gate else {}),
            }
        )
    else:
        click.echo(summary(record))
        click.echo(f"\nreport: {report_path}\nrecord: {record_path}")
        if gate:
            say_gate(record, gate)
    if any(a.status is Status.ERRORED for a in record.audits):
        return 3
    return 1 if gate and not gate_answer(record, gate)["open"] else 0


def _command() -> str:
    """The command line, to repeat the run by."""
    import shlex

    return shlex.join(["aboveboard", *sys.argv[1:]])
