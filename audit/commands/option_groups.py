"""Help pages with many flags, under headings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

OTHERS = "Options"


def grouped(groups: Mapping[str, Sequence[Callable[..., Any]]]) -> type[click.Command]:
    """A command whose help shows options under these headings, and the others first.

    Args:
        groups: heading -> decorators that add options.
    """
    heading_of = {name: heading for heading, some in groups.items() for option in some for name in _names(option)}

    class Grouped(click.Command):
        """Shows its options in groups."""

        def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
            sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (OTHERS, *groups)}
            for parameter in self.get_params(context):
                if (record := parameter.get_help_record(context)) is not None:
                    sections[heading_of.get(parameter.name, OTHERS)].append(record)
            for heading, records in sections.items():
                if records:
                    with formatter.section(heading):
                        formatter.write_dl(records)

    return Grouped


def _names(option: Callable[..., Any]) -> list[str | None]:
    """The parameters that a decorator adds."""
    command = click.command()(option(lambda: None))
    return [parameter.name for parameter in command.params]
