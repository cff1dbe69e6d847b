"""Typed options with letters: a value that does not fit, or a key that nobody knows, is refused with its mend."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core_model.errors import OptionUnfit

Settings = TypeVar("Settings", bound=BaseModel)


def checked(model: type[Settings], values: Mapping[str, Any], *, where: str, write: str = "{key} = ...") -> Settings:
    """An instance of `model` from a user's values.

    Args:
        where: what the user wrote them in: a file's name, "the command line".
        write: how a key is written there, for the mend: "--{key} ...".
    Raises: OptionUnfit for an unknown key (with its nearest neighbour) or a value that does not fit (with what would).
    """
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    spelled = key.replace("_", "-") if write.startswith("--") else key
    if first["type"] == "extra_forbidden":
        near = get_close_matches(key, list(model.model_fields), n=1)
        raise OptionUnfit(
            f"{where}: there is no option {key!r}; there are {', '.join(model.model_fields)}",
            mend=write.format(key=near[0].replace("_", "-") if write.startswith("--") else near[0])
            if near
            else f"remove {key!r}",
        )
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "missing":
        raise OptionUnfit(f"{where}: {key!r} is missing", mend=write.format(key=spelled))
    if not key:  # a rule between several keys carries its own mend: "what is wrong; what to do"
        found, _, mend = message.partition("; ")
        raise OptionUnfit(f"{where}: {found}", mend=mend or message)
    meaning = model.model_fields[key].description if key in model.model_fields else None
    raise OptionUnfit(
        f"{where}: {key} = {first['input']!r} does not fit" + (f" ({meaning})" if meaning else ""),
        mend=f"{write.format(key=spelled).removesuffix(' ...').removesuffix(' = ...')}: {message}",
    )


def read_toml(file: Path, *, flag: str) -> dict[str, Any]:
    """A TOML file's content.

    Raises: OptionUnfit when it is missing, is not UTF-8 text, or is broken (with its line).
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise OptionUnfit(f"there is no file {file}", mend=f"check the path given by {flag}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise OptionUnfit(f"{file} cannot be read as UTF-8 text: {error}", mend=f"check {flag}") from error
    except tomllib.TOMLDecodeError as error:
        raise OptionUnfit(f"{file} is not TOML: {error}", mend="correct that line of the file") from error
