"""`aboveboard report`: write a record for people or for machines, or take the record out of a report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from audit.commands.arguments import json_option, print_json
from audit.commands.dossier import dossier, people_options, with_people, with_selftest
from audit.commands.language import language_of, language_options
from audit.commands.signature import signature_options, signed_by

FORMAT_HELP = "html, pdf, junit, sarif, cyclonedx, oscal, model-card or prometheus."


@click.command()
@click.option("--from", "source", type=click.Path(path_type=Path), help="audit.json (or a report.html).")
@click.option("--extract", type=click.Path(path_type=Path), help="A report.html to take the record out of.")
@click.option("--format", "format_name", metavar="F", default="html", show_default=True, help=FORMAT_HELP)
@click.option("--redact", "redact", type=click.Choice(["hash", "mask"]), is_flag=False, flag_value="hash",
              help="Evidence rows as hashes and lengths (hash, the default), or with the personal data masked that a "
                   "detector finds (mask); numbers and names of groups stay.")  # fmt: skip
@signature_options
@people_options
@language_options
@click.option("--out", type=click.Path(path_type=Path), help="File to write. Default: beside the source.")
@json_option
def report(
    source: Path | None,
    extract: Path | None,
    format_name: str,
    redact: Literal["hash", "mask"] | None,
    signature: Path | None,
    public_key: Path | None,
    out: Path | None,
    as_json: bool,
    framework: str | None,
    attestations: Path | None,
    reviews: tuple[Path, ...],
    selftest: Path | None,
    settings: tuple[str, ...],
    lang: str | None,
    lang_file: Path | None,
) -> int:
    """Build a report again from its record, for people or for machines: the same record gives the same bytes.

    \b
    Examples:
      aboveboard report --from audit-out/audit.json --out report.html
      aboveboard report --from audit-out/audit.json --format pdf --out report.pdf
      aboveboard report --from audit-out/audit.json --format junit --out junit.xml
      aboveboard report --from audit-out/audit.json --format sarif --out audit.sarif
      aboveboard report --from audit-out/audit.json --framework eu-ai-act --out dossier.html
      aboveboard report --from audit-out/audit.json --attestations attestations.yaml --review queue_kaya.csv
      aboveboard report --from audit-out/audit.json --selftest selftest-out/selftest.json --framework nist-ai-rmf
      aboveboard report --from audit-out/audit.json --redact --out shared-report.html
      aboveboard report --from audit-out/audit.json --redact mask --out readable-report.html
      aboveboard report --from audit-out/audit.json --signature audit-out/audit.sig --public-key key.pub
      aboveboard report --from audit-out/audit.json --lang de --out bericht.html
      aboveboard report --extract report.html --out audit.json
    """
    from core_model.files import write_atomically
    from reports.formats import find_format, render
    from reports.formats.checks import SEAL_WORDS, seal
    from reports.reading import read_record
    from reports.redaction import redacted

    if (source is None) == (extract is None):
        raise click.UsageError("give one of --from and --extract.\n  Try: aboveboard report --from audit.json")
    if extract is not None and (
        framework or attestations or reviews or selftest or redact or lang or lang_file or signature
    ):
        raise click.UsageError("--extract gives a record back as it is.\n  Try: --from report.html --framework ...")
    chosen = find_format(format_name)
    if framework is not None and format_name != "html":
        raise click.UsageError("a dossier is one HTML page.\n  Try: --framework without --format")
    if (lang or lang_file) and not chosen.spoken:
        raise click.UsageError(f"{format_name} is read by machines, and English.\n  Try: --lang with html or pdf")
    if signature and (framework or redact or not chosen.spoken):
        raise click.UsageError("a signature is shown by the whole report alone.\n  Try: --signature with html or pdf")
    language = language_of(lang, lang_file)
    record = read_record(source or extract or Path())
    signed = signed_by(signature, public_key, source=source, record=record)
    if extract is not None:
        written = write_atomically(out or extract.with_name("audit.json"), record.to_json())
    else:
        assert source is not None  # noqa: S101 - the check above leaves one of the two
        record = with_people(record, attestations=attestations, reviews=reviews, source=source)
        record = with_selftest(record, selftest)
        if redact:
            record = redacted(record, redact)
        target = out or source.with_name(f"dossier-{Path(framework).stem}.html" if framework else chosen.file)
        if format_name == "model-card":
            _keep_cards_of_others(target)
        content = (
            dossier(record, framework, source, settings, language)
            if framework
            else render(record, format_name, language=language, signed=signed)
        )
        written = write_atomically(target, content)
    state = seal(record)
    if state.key != "pass":
        click.echo(f"note: {SEAL_WORDS[state]}", err=True)
    if as_json:
        print_json({"written": str(written), "bytes": written.stat().st_size, "record": SEAL_WORDS[state]})
    else:
        click.echo(str(written))
    return 0


def _keep_cards_of_others(target: Path) -> None:
    """Raises: OptionUnfit where a card stands that this command did not write."""
    from core_model.errors import OptionUnfit
    from reports.formats.model_card import HEADING

    if target.is_file() and HEADING not in target.read_text(encoding="utf-8", errors="replace"):
        raise OptionUnfit(
            f"{target} is a card that somebody else wrote, and would be lost",
            mend=f"--out {target.with_name('audit-card.md')}, and copy the section into it",
        )
