"""What `aboveboard report` adds to a record: what people said of it, and the page of one framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from reports.language import Language
    from reports.record import Record

Command = Callable[..., Any]


def people_options(command: Command) -> Command:
    """The flags of `report` that these functions read."""
    for option in reversed(
        [
            click.option("--framework", metavar="F", help="Evidence clause by clause: eu-ai-act, nist-ai-rmf, ..."),
            click.option("--attestations", type=click.Path(path_type=Path), help="What people attested, in YAML."),
            click.option("--review", "reviews", multiple=True, type=click.Path(path_type=Path),
                         help="A review queue that came back, filled in; may be given several times."),
            click.option("--selftest", type=click.Path(path_type=Path), help="selftest.json, for the report to cite."),
            click.option("--set", "settings", multiple=True, metavar="sex=COLUMN",
                         help="With --framework nyc-ll144: roles."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


def with_people(record: Record, *, attestations: Path | None, reviews: Sequence[Path], source: Path) -> Record:
    """The record with what people said of it; outside its content hash.

    Raises: AttestationsUnfit, ReviewUnfit.
    """
    from reports.parts import People

    if attestations is None and not reviews:
        return record
    people = record.people or People()
    if attestations is not None:
        from reports.attestations import read_attestations

        read = read_attestations(attestations, record)
        people = read.model_copy(update={"review": people.review})
    if reviews:
        from audit.review import count_reviews

        people = people.model_copy(update={"review": count_reviews(reviews, labels=record.subject.labels)})
    return record.model_copy(update={"people": people})


def with_selftest(record: Record, file: Path | None) -> Record:
    """The record with the selftest that it cites; outside its content hash.

    Raises: DataMissing, DataDamaged, OptionUnfit for a file that is no selftest.
    """
    if file is None:
        return record
    from audit.selftest.reading import cited

    return record.model_copy(update={"selftest": cited(file)})


def dossier(record: Record, name: str, source: Path, settings: Sequence[str], language: Language) -> str:
    """The page of a framework.

    Raises: FrameworkUnknown, FrameworkUnfit; OptionUnfit for a setting that does not fit.
    """
    from audit.registry import installed
    from core_model.errors import OptionUnfit
    from reports.frameworks.dossier import dossier_html
    from reports.frameworks.framework import read_framework

    framework = read_framework(name)
    roles = {}
    for setting in settings:
        role, equals, column = setting.partition("=")
        if not equals or framework.tables is None:
            raise OptionUnfit(
                f"--set {setting!r} says nothing to {framework.id}", mend="--set sex=COLUMN, with nyc-ll144"
            )
        roles[role.strip()] = column.strip()
    selection = None
    if framework.tables is not None:
        from audit.selection_rates import selection_of

        selection = selection_of(record, source, roles)
    return dossier_html(record, framework, installed=installed().ids, selection=selection, language=language)
