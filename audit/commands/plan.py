"""`aboveboard plan`: what an audit would do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from audit.commands.arguments import configured, json_option, print_json, subject_options


@click.command()
@subject_options
@click.option("--no-probe", is_flag=True, help="Do not measure the model's speed; the minutes stay unknown.")
@json_option
def plan(checkpoint: str, no_probe: bool, as_json: bool, **arguments: Any) -> int:
    """What `aboveboard audit` with the same arguments would run, what is missing, and what it would cost.

    \b
    Examples:
      aboveboard plan ./checkpoint --data test.jsonl
      aboveboard plan ./checkpoint --data test.jsonl --train-data train.jsonl --profile full
    """
    configuration = configured(**arguments)

    from audit.planning import plan as make_plan
    from audit.session import prepare

    session = prepare(checkpoint, configuration)
    made = make_plan(session, probe=not no_probe)
    if as_json:
        print_json(asdict(made))
        return 0
    for planned in made.audits:
        if planned.runs:
            click.echo(f"runs     {planned.id}: {planned.title} ({planned.forward_passes:,} forward passes)")
        else:
            supply = f"; supply: {planned.supply}" if planned.supply else ""
            click.echo(f"missing  {planned.id}: {planned.reason}{supply}")
    click.echo(f"\n{made.forward_passes:,} forward passes together; what two audits share is paid once")
    if made.minutes is not None:
        click.echo(
            f"about {made.minutes:.1f} minutes of forward passes at {made.rows_per_second:.0f} rows/s, seen just now"
        )
    return 0
