"""`aboveboard behave`: run a behavioural suite on a checkpoint, alone or against the version before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import json_option, print_json

if TYPE_CHECKING:
    from audit.behaviour_run import SuiteRun

SHOWN = 10


@click.command()
@click.argument("checkpoint")
@click.option(
    "--suite",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Tests: behavioural_suite.csv of an audit, or your own rows (CSV, JSONL).",
)
@click.option("--against", metavar="CKPT", help="A checkpoint that is known to be sound: is this one worse?")
@click.option(
    "--max-failures",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    metavar="X",
    help="Share of each kind's tests that may fail.",
)
@click.option("--gate", is_flag=True, help="Exit code 1 where it broke, or where too many tests surely fail.")
@json_option
def behave(
    *, checkpoint: str, suite: Path, against: str | None, max_failures: float, gate: bool, as_json: bool
) -> int:  # fmt: skip
    """Run the behavioural tests of --suite on CHECKPOINT.

    Tests are rows with kind (MFT: the answer is this label; INV: the same answer as to base; DIR: the label's
    probability not above, or not below, that of base), text, expectation, label, base, pair and made_of: tests made of
    one row belong together. Against another checkpoint a break is told by an exact paired test at 5%.

    \b
    Examples:
      aboveboard audit ./classifier --data test.jsonl --only testability     # writes audit-out/behavioural_suite.csv
      aboveboard behave ./classifier --suite audit-out/behavioural_suite.csv
      aboveboard behave ./next --suite audit-out/behavioural_suite.csv --against ./classifier --gate
    """
    from audit.behaviour_run import run_suite

    ran = run_suite(checkpoint, suite, against=against)
    reasons = ran.reasons(max_failures)
    if as_json:
        print_json(_document(ran, reasons))
    else:
        _say(ran, reasons)
    return 1 if gate and reasons else 0


def _document(ran: SuiteRun, reasons: list[str]) -> dict[str, Any]:
    failures = [
        {"kind": kind, "value": rate.value, "interval": rate.interval, "n": rate.n, "method": rate.method}
        for kind, rate in ran.failures.items()
    ]
    failed = [{**ran.cases[place].row(), "answered": ran.judged.answers[place]} for place in ran.failed]
    against = None if ran.chance is None else {"moved": ran.moved, "p_value": ran.chance}
    return {
        "checkpoint": ran.name, "tests": len(ran.cases), "failure_rates": failures, "against": against,
        "reasons": reasons, "failed": failed,
    }  # fmt: skip


def _say(ran: SuiteRun, reasons: list[str]) -> None:
    from reports.text import terminal_text

    click.echo(terminal_text(f"{len(ran.cases):,} behavioural tests of {ran.name}"))
    for kind, rate in ran.failures.items():
        click.echo(f"  {kind}  {rate.value:6.1%} of {rate.n:,} fail (95%: {rate.low:.1%} to {rate.high:.1%})")
    for place in ran.failed[:SHOWN]:
        case = ran.cases[place]
        line = f"    {case.kind} {case.capability}: {case.text!r} answered {ran.judged.answers[place]}"
        click.echo(terminal_text(line))
    if len(ran.failed) > SHOWN:
        click.echo(f"    and {len(ran.failed) - SHOWN} more: --json names them all")
    if ran.chance is not None:
        click.echo(f"  against the other: {ran.against_words} (p = {ran.chance:.2g})")
    for reason in reasons:
        click.echo(terminal_text(f"  BROKEN  {reason}"))
