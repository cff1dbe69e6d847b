"""A command that does something by itself and has parts, as `federate`, `federate serve` and `federate join`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


def with_parts(kind: type[click.Command], parts: Mapping[str, tuple[str, str]]) -> type[click.Command]:
    """A kind of command that hands over to a part when its first argument names one.

    Args:
        kind: the kind of command that it is without a part.
        parts: name -> (module:attribute of a click command, what it does in a few words); imported when called.
    """

    class WithParts(kind):  # type: ignore[misc, valid-type]  # the class is an argument
        """Itself, or one of its parts."""

        def make_context(
            self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
        ) -> click.Context:
            """The context of what is run: this command's, or its part's."""
            if args and args[0] in parts:
                module, _, attribute = parts[args[0]][0].partition(":")
                part: click.Command = getattr(importlib.import_module(module), attribute)
                return part.make_context(f"{info_name} {args[0]}", args[1:], parent=parent, **extra)
            context: click.Context = super().make_context(info_name, args, parent=parent, **extra)
            return context

        def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
            """The options, after the parts."""
            with formatter.section("Parts"):
                formatter.write_dl([(name, words) for name, (_, words) in parts.items()])
            super().format_options(context, formatter)

    return WithParts
