"""Promises about the examples for continuous integration. The schemas are those that check-jsonschema carries."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from audit.main import cli
from reports.formats import FORMATS

FOLDER = Path(__file__).parents[3] / "examples" / "ci"
EXAMPLES = {"github-audit.yml": "vendor.github-workflows", "gitlab-audit.yml": "vendor.gitlab-ci"}


def commands(thing: Any) -> Iterator[list[str]]:
    """Every `aboveboard ...` line of a document."""
    if isinstance(thing, dict | list):
        for inner in thing.values() if isinstance(thing, dict) else thing:
            yield from commands(inner)
    elif isinstance(thing, str):
        yield from (shlex.split(line)[1:] for line in thing.splitlines() if line.startswith("aboveboard "))


@pytest.mark.parametrize(("file", "schema"), EXAMPLES.items())
def test_an_example_fits_its_own_schema(file, schema):
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(FOLDER / file)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", EXAMPLES)
def test_each_command_of_an_example_is_one_that_the_command_line_takes(file):
    found = list(commands(yaml.safe_load((FOLDER / file).read_text(encoding="utf-8"))))
    assert {name for name, *_ in found} == {"audit", "report"}
    for name, *arguments in found:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        parsed = command.make_context(name, arguments).params  # raises on an option that is not there
        if name == "audit":
            assert parsed["gate"] == "limits"
        else:
            assert parsed["format_name"] in FORMATS
            assert parsed["out"].name == FORMATS[parsed["format_name"]].file
