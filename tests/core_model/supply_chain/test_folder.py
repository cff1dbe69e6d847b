"""Promises about what lies in a folder: nothing that is no file is opened, no link is followed out of it."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess

import pytest

from core_model.errors import CheckpointMissing
from core_model.supply_chain import Level, scan_folder
from tests.core_model.supply_chain.planted import STACKED, issues_of


def test_a_clean_checkpoint_has_no_issue(checkpoint):
    scan = scan_folder(checkpoint)
    assert scan.issues == () and scan.files >= 4 and scan.pickles == 0


def test_a_named_pipe_is_told_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")  # opening it would wait for ever
    [issue] = issues_of(tmp_path)
    assert (issue.kind, issue.level, issue.file) == ("special-file", Level.HIGH, "model.safetensors")
    assert "named pipe" in issue.what


def test_a_socket_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        assert [issue.kind for issue in issues_of(tmp_path)] == ["special-file"]


def test_links_out_of_the_folder_are_told_and_links_within_are_fine(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(STACKED)
    (folder / "a.txt").write_text("a text")
    (folder / "near").symlink_to("a.txt")
    assert issues_of(folder) == []
    (folder / "out").symlink_to("../secret")
    (folder / "folder").symlink_to("..")
    (folder / "nothing").symlink_to("nowhere")
    (folder / "circle").symlink_to("circle")
    levels = {issue.file: issue.level for issue in issues_of(folder)}
    assert levels == {"out": Level.HIGH, "folder": Level.HIGH, "nothing": Level.MEDIUM, "circle": Level.MEDIUM}
    assert not any(issue.kind == "pickle" for issue in issues_of(folder)), "the far file was read"


def test_the_hubs_own_links_to_blobs_are_fine_and_looked_at(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "1").write_bytes(STACKED)
    (snapshot / "model.bin").symlink_to("../../blobs/1")
    assert [(issue.kind, issue.file) for issue in issues_of(snapshot)] == [("pickle", "model.bin")]


def test_a_file_of_no_bytes_is_told(tmp_path):
    (tmp_path / "tokenizer.json").touch()
    [issue] = issues_of(tmp_path)
    assert (issue.kind, issue.level) == ("empty-file", Level.LOW)


@pytest.mark.parametrize(
    ("data", "level"),
    [
        (b"\x7fELF\x02\x01\x01", Level.HIGH),
        (b"\xcf\xfa\xed\xfe" + bytes(20), Level.HIGH),
        (b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0", Level.HIGH),
        (b"#!/bin/sh\necho\n", Level.MEDIUM),
    ],
    ids=["elf", "mach-o", "pe", "script"],
)
def test_a_program_is_told_by_its_first_bytes(tmp_path, data, level):
    (tmp_path / "vocab.txt").write_bytes(data)
    assert [(issue.kind, issue.level, issue.offset) for issue in issues_of(tmp_path)] == [("executable", level, 0)]
    (tmp_path / "vocab.txt").write_bytes(b"MZ is how a text may begin\n" + data)
    assert issues_of(tmp_path) == []


def test_mode_bits_are_told_where_they_say_something(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("text")
    (tmp_path / "a.txt").chmod(0o755)
    assert [(issue.file, issue.level) for issue in issues_of(tmp_path)] == [("a.txt", Level.LOW)]
    (tmp_path / "b.txt").chmod(0o755)  # where all may run, the file system knows no modes
    assert issues_of(tmp_path) == []
    (tmp_path / "b.txt").chmod(0o4755)
    assert [(issue.file, issue.level) for issue in issues_of(tmp_path)] == [("b.txt", Level.HIGH)]


def test_a_name_that_is_no_text_can_be_told(tmp_path):
    try:
        os.mkfifo(os.fsencode(tmp_path) + b"/\xff\xfe")
    except OSError:
        pytest.skip("this file system wants names in UTF-8")
    [issue] = issues_of(tmp_path)
    assert issue.file == "\\xff\\xfe" and issue.file.encode("utf-8")


@pytest.mark.parametrize(
    "name", ["a.py", "a b.py", "it's.py", "b\\x41\\.py", "c\x1b[1m\u202e'.py", "config.json!x.py", "-f.py"]
)
def test_what_it_says_to_type_removes_that_file_and_no_other(tmp_path, name):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_text("print()")
    [issue] = issues_of(tmp_path)
    shell = shutil.which("bash") or pytest.skip("there is no bash here")
    subprocess.run([shell, "-c", issue.mend], cwd=tmp_path, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_no_folder_is_a_letter(tmp_path):
    with pytest.raises(CheckpointMissing, match="there is no folder at"):
        scan_folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointMissing, match="is no folder"):
        scan_folder(tmp_path / "file")
