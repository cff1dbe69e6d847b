"""TOML as Flower reads it from its command line and files."""

from __future__ import annotations

import json
from collections.abc import Mapping

Scalar = str | int | float | bool


def toml_value(value: Scalar) -> str:
    """A value; a string without any quote inside, since Flower's command line looks for the next one to end it."""
    if isinstance(value, str):
        return (
            '"' + json.dumps(value, ensure_ascii=False)[1:-1].replace('\\"', "\\u0022").replace("\x7f", "\\u007f") + '"'
        )
    return json.dumps(value, allow_nan=False)


def toml_table(values: Mapping[str, Scalar], *, name: str | None = None) -> str:
    """A table, one key a line."""
    head = f"[{name}]\n" if name else ""
    return head + "".join(f"{key} = {toml_value(value)}\n" for key, value in values.items())


def command_line_table(values: Mapping[str, Scalar]) -> str:
    """The same for a flag such as --node-config."""
    return " ".join(f"{key}={toml_value(value)}" for key, value in values.items())
