"""`aboveboard report`: build the report again from a record, or take the record out of a report."""

from __future__ import annotations

from pathlib import Path

import click

from audit.commands.arguments import json_option, print_json


@click.command()
@click.option("--from", "source", type=click.Path(path_type=Path), help="audit.json (or a report.html).")
@click.option("--extract", type=click.Path(path_type=Path), help="A report.html to take the record out of.")
@click.option("--format", "format_name", type=click.Choice(["html"]), default="html", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="File to write. Default: beside the source.")
@json_option
def report(source: Path | None, extract: Path | None, format_name: str, out: Path | None, as_json: bool) -> int:
    """Build a report again from its record: the same record gives the same bytes.

    \b
    Examples:
      aboveboard report --from audit-out/audit.json --out report.html
      aboveboard report --extract report.html --out audit.json
    """
    from core_model.files import write_atomically
    from reports.reading import read_record

    if (source is None) == (extract is None):
        raise click.UsageError("give one of --from and --extract.\n  Try: aboveboard report --from audit.json")
    if extract is not None:
        written = write_atomically(out or extract.with_name("audit.json"), read_record(extract).to_json())
    else:
        from reports.document.build import report_html

        assert source is not None  # noqa: S101 - the check above leaves one of the two
        written = write_atomically(out or source.with_name("report.html"), report_html(read_record(source)))
    if as_json:
        print_json({"written": str(written), "bytes": written.stat().st_size})
    else:
        click.echo(str(written))
    return 0
