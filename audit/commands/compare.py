"""`aboveboard compare`: what changed between two records."""

from __future__ import annotations

from pathlib import Path

import click

from audit.commands.arguments import json_option, print_json


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("compare-out"), show_default=True, metavar="DIR")
@click.option("--unpaired", is_flag=True, help="Compare also records of different data; nothing is paired then.")
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
def compare(a: Path, b: Path, out: Path, unpaired: bool, seed: int, as_json: bool) -> int:
    """Compare record A with record B: every difference with its interval, paired where both answered the same rows.

    Writes comparison.json and comparison.html into --out.

    \b
    Examples:
      aboveboard compare before/audit.json after/audit.json --out difference
      aboveboard compare before/audit.json after/audit.json --json
    """
    from audit.comparison import compare as compare_records
    from core_model.files import write_atomically
    from reports.document.build import comparison_html
    from reports.reading import read_record
    from reports.text import terminal_text

    comparison = compare_records(
        read_record(a), read_record(b), folder_a=a.parent, folder_b=b.parent, unpaired=unpaired, seed=seed
    )
    page = write_atomically(out / "comparison.html", comparison_html(comparison))
    write_atomically(out / "comparison.json", comparison.model_dump_json(indent=2) + "\n")
    if as_json:
        print_json(comparison.model_dump(mode="json"))
        return 0
    for row in comparison.rows:
        if row.conclusion in ("better", "worse", "changed") and row.difference is not None and row.interval:
            low, high = row.interval
            paired = "paired" if row.paired else "unpaired"
            inside = ", ".join(f"{k}={v}" for k, v in row.slice.items())
            name = f"{row.audit}: {row.name}" + (f"[{inside}]" if inside else "")
            click.echo(
                terminal_text(f"{row.conclusion:<8} {name} {row.difference:+.4f} [{low:+.4f}, {high:+.4f}] {paired}")
            )
    unchanged = sum(row.conclusion == "no evidence of change" for row in comparison.rows)
    click.echo(f"{unchanged} numbers without evidence of change\ncomparison: {page}")
    return 0
