"""`aboveboard policy`: the starter policies, and a policy file checked before or after a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import json_option, print_json

if TYPE_CHECKING:
    from reports.record import AuditResult, Metric


@click.group()
def policy() -> None:
    """Policies: limits that a run is held against, set before it.

    \b
    Examples:
      aboveboard policy list
      aboveboard policy show screening > policy.toml
      aboveboard policy check policy.toml
      aboveboard policy check policy.toml --from audit-out/audit.json --gate
    """


@policy.command(name="list")
@json_option
def list_policies(as_json: bool) -> int:
    """The starter policies, usable by name: `aboveboard audit ... --policy screening`.

    \b
    Examples:
      aboveboard policy list
      aboveboard policy list --json
    """
    from audit.policies import starters
    from audit.policy import read_policy

    found = {name: read_policy(Path(name)) for name in starters()}
    if as_json:
        print_json({name: one.facts.model_dump(mode="json") for name, one in found.items()})
        return 0
    for name, one in found.items():
        click.echo(f"{name:<16} {len(one.limits)} limits; requires {', '.join(one.facts.required or ['nothing'])}")
        click.echo(f"{'':<16} {' '.join(one.document.about.split())}\n")
    return 0


@policy.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> int:
    """Print a starter policy, to copy and change.

    \b
    Examples:
      aboveboard policy show screening > policy.toml
    """
    from audit.policies import starters
    from core_model.errors import OptionUnfit

    if name not in starters():
        raise OptionUnfit(
            f"there is no starter policy {name!r}; there are {', '.join(starters())}",
            mend="aboveboard policy show screening",
        )
    text = starters()[name].decode("utf-8")
    if as_json:
        print_json({"name": name, "toml": text})
    else:
        click.echo(text, nl=False)
    return 0


@policy.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "source", type=click.Path(path_type=Path), help="audit.json to hold against it, unmeasured.")
@click.option(
    "--gate",
    is_flag=False,
    flag_value="limits",
    type=click.Choice(["limits", "strict"]),
    default=None,
    help="With --from: exit with 1 when the gate would be shut.",
)
@json_option
def check(file: Path, source: Path | None, gate: str | None, as_json: bool) -> int:
    """Check a policy FILE (or a starter's name); with --from, hold a finished run against it without measuring again.

    A policy that is younger than the run was not set before the numbers were known; the answer says so.

    \b
    Examples:
      aboveboard policy check policy.toml
      aboveboard policy check screening --from audit-out/audit.json --gate strict
    """
    from audit.session import open_policy
    from reports.reading import read_record

    chosen = open_policy(str(file))
    if source is None:
        answer: dict[str, Any] = {"policy": chosen.facts.model_dump(mode="json"), "fits": True}
        if as_json:
            print_json(answer)
        else:
            click.echo(f"{file}: {len(chosen.limits)} limits, {len(chosen.waivers)} waivers; every name is known")
        return 0

    from audit.commands.gate import gate_answer, say_gate
    from audit.policy import rejudged
    from reports.terminal import summary

    record = rejudged(read_record(source), chosen)
    younger = (chosen.facts.modified or "") > record.run.started
    if as_json:
        print_json(
            {
                "verdict": record.verdict,
                "reason": record.verdict_reason,
                "policy_younger_than_run": younger,
                "gate": gate_answer(record, gate or "limits"),
                "limits": [_limit(a, m) for a in record.audits for m in a.metrics if m.limit is not None],
            }
        )
    else:
        click.echo(summary(record))
        if younger:
            click.echo(
                "note: this policy is younger than the run: its limits were not set before the numbers were known"
            )
        say_gate(record, gate or "limits")
    return 1 if gate and not gate_answer(record, gate)["open"] else 0


def _limit(audit: AuditResult, metric: Metric) -> dict[str, Any]:
    """One limit and what became of it."""
    return {
        "audit": audit.id,
        "metric": metric.key,
        **metric.model_dump(mode="json", include={"value", "interval", "n", "limit", "verdict", "rows_needed"}),
        "waived": metric.waiver.words if metric.waiver else None,
    }
