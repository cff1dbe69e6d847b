"""`aboveboard doctor`: what works on this machine, and how to mend what does not."""

from __future__ import annotations

import click

from audit.commands.arguments import json_option, print_json


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """What works on this machine, and how to mend what does not.

    \b
    Examples:
      aboveboard doctor
      aboveboard doctor --json
    """
    from audit.health import checks

    found = list(checks())
    if as_json:
        print_json({"checks": [check.__dict__ for check in found], "healthy": all(c.ok for c in found if c.needed)})
    else:
        for check in found:
            mark = "ok  " if check.ok else ("MEND" if check.needed else "note")
            click.echo(f"{mark} {check.name}: {check.found}" + ("" if check.ok else f"\n       Try: {check.mend}"))
    return 0 if all(check.ok for check in found if check.needed) else 3
