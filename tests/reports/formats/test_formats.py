"""Promises that all machine formats keep, and the command that writes them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from audit.main import run
from reports.errors import FormatUnknown
from reports.formats import FORMATS, render
from reports.formats.names import Names, said
from tests.reports.factories import sealed_record
from tests.reports.hostile import hostile_record


@pytest.fixture
def record_file(tmp_path):
    path = tmp_path / "audit.json"
    path.write_text(sealed_record().to_json(), encoding="utf-8")
    return path


MACHINE = [name for name in FORMATS if name not in ("html", "pdf")]  # the page has tests of its own, and its print


@pytest.mark.parametrize("name", MACHINE)
def test_the_same_record_gives_the_same_bytes(name):
    assert render(sealed_record(), name) == render(sealed_record(), name)
    assert render(hostile_record(), name) == render(hostile_record(), name)


def test_another_process_gives_the_same_bytes_too(record_file, tmp_path):
    """Hash seeds differ between processes: an order taken from a set would show."""
    code = (
        "import sys; from audit.main import run; source, folder, *names = sys.argv[1:]; "
        "codes = [run(['report', '--from', source, '--format', n, '--out', f'{folder}/{n}']) for n in names]; "
        "sys.exit(max(codes))"
    )
    command = [sys.executable, "-c", code, str(record_file), str(tmp_path), *MACHINE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in MACHINE:
        assert (tmp_path / name).read_bytes() == render(sealed_record(), name)


@pytest.mark.parametrize("name", MACHINE)
def test_the_command_writes_beside_the_record_under_the_name_that_readers_expect(record_file, name, capsys):
    assert run(["report", "--from", str(record_file), "--format", name, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    written = record_file.with_name(FORMATS[name].file)
    assert answer == {"written": str(written), "bytes": written.stat().st_size,
                      "record": "the content fits its own hash"}  # fmt: skip
    assert written.read_bytes() == render(sealed_record(), name)


@pytest.mark.parametrize(
    ("name", "found", "mend"),
    [("sarf", "no format 'sarf'", "--format sarif"), ("junit-xml", "no format 'junit-xml'", "--format junit"),
     ("oscl", "no format 'oscl'", "--format oscal"), ("pfd", "no format 'pfd'", "--format pdf")],
)  # fmt: skip
def test_an_unknown_format_is_a_letter_with_the_nearest_name(record_file, name, found, mend, capsys):
    with pytest.raises(FormatUnknown, match=found) as caught:
        render(sealed_record(), name)
    assert caught.value.mend == mend
    assert run(["report", "--from", str(record_file), "--format", name]) == 2
    error = capsys.readouterr().err
    assert found in error
    assert mend in error
    assert list(record_file.parent.iterdir()) == [record_file]  # nothing was written


def test_an_edited_record_is_written_and_said_to_be_edited(record_file, capsys):
    record_file.write_text(sealed_record().model_copy(update={"verdict": "pass"}).to_json(), encoding="utf-8")
    assert run(["report", "--from", str(record_file), "--format", "junit"]) == 0
    assert "the record was edited" in capsys.readouterr().err


def test_a_card_that_somebody_else_wrote_is_not_lost(record_file, capsys):
    card = record_file.with_name("README.md")
    card.write_text("# My model\n", encoding="utf-8")
    command = ["report", "--from", str(record_file), "--format", "model-card", "--out", str(card)]
    assert run(command) == 2
    assert "somebody else wrote" in capsys.readouterr().err
    assert card.read_text(encoding="utf-8") == "# My model\n"
    card.unlink()
    assert run(command) == 0
    assert run(command) == 0  # its own card it replaces


def test_names_that_look_alike_stay_apart_and_steady():
    names = Names()
    first, second = names.of("a\u200b"), names.of("a[U+200B]")
    assert first == "a[U+200B]"
    assert second.startswith("a[U+200B] ~")
    assert names.of("a\u200b") == first
    assert names.of("a[U+200B]") == second
    assert names.of("a[U+200B]", "elsewhere") == "a[U+200B]"
    long = "w" * 300
    assert names.of(long + "a") != names.of(long + "b")


def test_what_no_xml_file_may_hold_is_shown():
    assert said("a\ufffeb\U0001ffffc\x0bd") == "a[U+FFFE]b[U+1FFFF]c[U+000B]d"
