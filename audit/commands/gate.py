"""The gate's answer, for the commands that have `--gate`: open or shut, by what, and what was waived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from reports.record import Record


def gate_answer(record: Record, gate: str) -> dict[str, Any]:
    """Whether the gate ("limits" or "strict") is open, why not, and what somebody waived."""
    from reports.policy_outcome import outcome

    found = outcome(record)
    reasons = found.shuts(strict=gate == "strict")
    return {"kind": gate, "open": not reasons, "reasons": reasons, "waived": found.waived}


def say_gate(record: Record, gate: str) -> None:
    """Print the answer."""
    from reports.text import terminal_text

    answer = gate_answer(record, gate)
    click.echo(f"gate ({gate}): {'open' if answer['open'] else 'shut'}")
    for kind in ("reasons", "waived"):
        for line in answer[kind]:
            click.echo(terminal_text(f"  {'waived: ' if kind == 'waived' else ''}{line}"))
