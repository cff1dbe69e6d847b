"""Promises of `aboveboard scan`: it works on folders that cannot be opened, says file and byte, and gates."""

from __future__ import annotations

import json

import pytest

from audit.main import run
from tests.core_model.supply_chain.planted import ORDERED, SYSTEM

pytest.importorskip("picklescan")
pytest.importorskip("fickling")


@pytest.fixture
def pickled(tmp_path):
    """A folder of nothing but a pickle, which no audit can open."""
    (tmp_path / "pytorch_model.bin").write_bytes(SYSTEM)
    return tmp_path


def test_it_tells_file_byte_and_mend(pickled, capsys):
    assert run(["scan", str(pickled)]) == 0
    said = capsys.readouterr().out
    assert "HIGH   pytorch_model.bin, byte 0: a pickle that imports posix.system" in said
    assert "mend: convert it to safetensors" in said and "1 files: 1 high, 0 medium, 0 low" in said


def test_the_gate_bars_what_it_names_and_worse(pickled, capsys):
    assert run(["scan", str(pickled), "--gate"]) == 1
    (pickled / "pytorch_model.bin").write_bytes(ORDERED)
    assert run(["scan", str(pickled), "--gate"]) == 0
    assert run(["scan", str(pickled), "--gate", "medium"]) == 0
    assert run(["scan", str(pickled), "--gate", "low"]) == 1


def test_json_holds_the_same(pickled, capsys):
    assert run(["scan", str(pickled), "--json", "--gate"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["counts"] == {"high": 1, "medium": 0, "low": 0} and said["files"] == 1
    [issue] = said["issues"]
    assert (issue["kind"], issue["level"], issue["file"], issue["offset"]) == ("pickle", "high", "pytorch_model.bin", 0)


def test_a_clean_checkpoint_passes_the_strictest_gate(checkpoint, capsys):
    assert run(["scan", str(checkpoint), "--gate", "low"]) == 0


def test_a_hostile_name_is_inert_on_the_terminal(tmp_path, capsys):
    (tmp_path / "a\x1b[31m\u202e.py").write_text("")
    assert run(["scan", str(tmp_path)]) == 0
    assert not {"\x1b", "\u202e"} & set(capsys.readouterr().out)


def test_no_folder_is_a_letter(tmp_path, capsys):
    assert run(["scan", str(tmp_path / "nowhere")]) == 2
    said = capsys.readouterr().err
    assert "there is no folder at" in said and "Try: " in said and "Traceback" not in said
