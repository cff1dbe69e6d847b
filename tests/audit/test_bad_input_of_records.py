"""Bad input around records, at the command line: one letter with the place and the mend, exit code 2, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from audit.main import run
from reports.attestations import header, with_answer
from reports.record import Record
from tests.reports.factories import record, sealed_record, sha256
from tests.reports.test_attestations import answer
from tests.reports.test_frameworks import SMALL

EXPIRED = '[[waivers]]\nmetric = "accuracy"\nperson = "M. Kaya"\nreason = "later"\nexpires = 2020-01-31\n'
UNKNOWN = '[[limits]]\nmetric = "equalised_odds_difference"\nlimit = 0.1\n'


def subject_of(made: Record, **changes: str) -> Record:
    return made.model_copy(update={"subject": made.subject.model_copy(update=changes)}).sealed()


def other_rows(made: Record) -> Record:
    return made.model_copy(update={"data": made.data.model_copy(update={"sha256": sha256("other rows")})}).sealed()


def newer(text: str) -> str:
    return text.replace('"schema_version": "1.0"', '"schema_version": "9.1"', 1)


FILES: dict[str, Callable[[], str]] = {
    "audit.json": lambda: sealed_record().to_json(),
    "newer.json": lambda: newer(sealed_record().to_json()),
    "truncated.json": lambda: sealed_record().to_json()[:5_000],
    "edited.json": lambda: sealed_record().model_copy(update={"verdict": "pass"}).to_json(),
    "task.json": lambda: subject_of(record(), task="translation").to_json(),
    "rows.json": lambda: other_rows(record()).to_json(),
    "unknown.toml": lambda: UNKNOWN,
    "expired.toml": lambda: EXPIRED,
    "attestations.yaml": lambda: with_answer(
        header(subject_of(record(), sha256=sha256("another"))), answer(), where="attestations.yaml"
    ),
    "twice.toml": lambda: SMALL.replace('id = "b"', 'id = "a"', 1),
}
ROWS = {
    "a newer schema": (
        "report --from newer.json --out old.html",
        ["newer.json", "schema 9.1", "pip install --upgrade"],
    ),
    "truncated": ("report --from truncated.json --out old.html", ["truncated.json is truncated", "Try: "]),
    "a metric that no audit writes": ("policy check unknown.toml", ["unknown.toml", '"equalized_odds_difference"']),
    "an expired waiver": ("policy check expired.toml", ["M. Kaya expired on 2020-01-31", "Try: "]),
    "attestations for another checkpoint": (
        "report --from audit.json --attestations attestations.yaml --out old.html",
        ["attestations.yaml", "for another checkpoint", "Try: "],
    ),
    "another task": ("compare audit.json task.json --out out", ["classification", "translation", "one task"]),
    "other test data": ("compare audit.json rows.json --out out", ["not the same rows", "--unpaired"]),
    "a clause twice": (
        "report --from audit.json --framework twice.toml --out old.html",
        ["twice.toml", "has the clause 'a' twice", "Try: "],
    ),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.html").write_text("written before", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("command", "words"), ROWS.values(), ids=ROWS)
def test_bad_input_is_a_letter_and_what_was_written_stays(place, command, words, capsys):
    arguments = command.split()
    for name in {*arguments} & {*FILES}:
        (place / name).write_text(FILES[name](), encoding="utf-8")
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and "Traceback" not in said.err
    for word in words:
        assert word in said.err, said.err
    assert (place / "old.html").read_text(encoding="utf-8") == "written before" and not (place / "out").exists()


def test_other_test_data_is_compared_where_that_was_asked_for(place):
    for name in ("audit.json", "rows.json"):
        (place / name).write_text(FILES[name](), encoding="utf-8")
    assert run(["compare", "audit.json", "rows.json", "--unpaired", "--out", "out"]) == 0


def test_an_edited_record_is_shown_and_called_edited_on_the_first_screen(place, capsys):
    (place / "edited.json").write_text(FILES["edited.json"](), encoding="utf-8")
    assert run(["report", "--from", "edited.json", "--out", "edited.html"]) == 0
    page = (place / "edited.html").read_text(encoding="utf-8")
    assert "This record was edited." in page[: page.index('id="findings"')]
    assert "edited" in capsys.readouterr().err
