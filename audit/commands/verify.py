"""`aboveboard verify`: is a report what it says?"""

from __future__ import annotations

from dataclasses import asdict
from itertools import chain
from pathlib import Path

import click

from audit.commands.arguments import json_option, print_json
from audit.commands.signature import both, signature_options


@click.command()
@click.argument("report", type=click.Path(path_type=Path))
@click.option("--checkpoint", help="Where the checkpoint is now. Default: where the record says it was.")
@click.option("--data", help="Where the data is now.")
@click.option("--train-data", help="Where the training data is now.")
@signature_options
@click.option("--sample", type=click.IntRange(min=0), default=10, show_default=True, help="Numbers to measure again.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which numbers.")
@json_option
def verify(
    report: Path,
    checkpoint: str | None,
    data: str | None,
    train_data: str | None,
    signature: Path | None,
    public_key: Path | None,
    sample: int,
    seed: int,
    as_json: bool,
) -> int:
    """Check REPORT (report.html or audit.json): its hashes, and a sample of its numbers measured again.

    With --signature and --public-key also who signed it, and whether the record and each file of the checkpoint are
    what was signed. Exits with 1 when anything differs.

    \b
    Examples:
      aboveboard verify audit-out/report.html
      aboveboard verify report.html --checkpoint ./checkpoint --data test.jsonl --sample 20
      aboveboard verify audit-out/audit.json --signature audit-out/audit.sig --public-key key.pub --sample 0
    """
    from audit.verification import verify as check
    from reports.text import terminal_text

    checks = check(report, checkpoint=checkpoint, data=data, train_data=train_data, sample=sample, seed=seed)
    if given := both(signature, public_key):
        from audit.signing import signature_lines
        from reports.reading import read_record

        signed = signature_lines(
            report, read_record(report), signature=given[0], public_key=given[1], checkpoint=checkpoint
        )
        checks = chain(signed, checks)
    lines = []
    for line in checks:
        lines.append(line)
        if not as_json:
            click.echo(terminal_text(f"{line.outcome:<12} {line.what}: {line.detail}"))
    differs = any(line.outcome == "differs" for line in lines)
    if as_json:
        print_json({"agrees": not differs, "lines": [asdict(line) for line in lines]})
    else:
        counts = {
            outcome: sum(line.outcome == outcome for line in lines) for outcome in ("agrees", "differs", "not checked")
        }
        click.echo("\n" + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if differs else 0
