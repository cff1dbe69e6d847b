"""What we write, Flower reads as it was: in files and on its command line."""

from __future__ import annotations

import tomllib

from flwr.common.config import parse_config_args
from hypothesis import given
from hypothesis import strategies as st

from federated.deployment.toml_text import command_line_table, toml_table

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.one_of(TEXTS, st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
TABLES = st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True), VALUES, min_size=1, max_size=5)


@given(TABLES)
def test_a_file_is_read_as_it_was_written(values: dict[str, str | int | float | bool]) -> None:
    assert tomllib.loads(toml_table(values)) == values


@given(TABLES)
def test_a_flag_is_read_as_it_was_written(values: dict[str, str | int | float | bool]) -> None:
    assert parse_config_args([command_line_table(values)]) == values


def test_a_path_with_quotes_and_spaces_survives_the_command_line() -> None:
    path = """/data/Ärzte "Nord's" = [x]\\rows.toml"""
    assert parse_config_args([command_line_table({"data": path, "n": 3})]) == {"data": path, "n": 3}
