"""Promises of writing: whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from core_model.errors import OutputUnwritable
from core_model.files import publish_files, replace_file, replace_folder, writable_folder, write_atomically


@contextmanager
def small_disk():
    """No file may grow beyond 4 kB: the kernel refuses the write, as it does on a full disk (EFBIG for ENOSPC).

    For as short as can be: pytest's own log may be a file, too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_text_and_bytes_are_written_and_parents_are_made(tmp_path: Path):
    assert write_atomically(tmp_path / "a" / "b.txt", "ä").read_bytes() == b"\xc3\xa4"
    assert write_atomically(str(tmp_path / "b.bin"), b"\x00").read_bytes() == b"\x00"
    assert names(tmp_path / "a") == {"b.txt"}


def test_a_full_disk_leaves_the_previous_file_and_no_litter(tmp_path: Path):
    write_atomically(tmp_path / "record.json", "previous")
    with pytest.raises(OutputUnwritable, match=r"record.json: the disk is full(.|\n)*--out"), small_disk():
        write_atomically(tmp_path / "record.json", b"x" * 100_000)
    assert (tmp_path / "record.json").read_text() == "previous"
    assert names(tmp_path) == {"record.json"}


def test_a_full_disk_under_safetensors_is_told_as_one(tmp_path: Path):
    import torch
    from safetensors.torch import save_file

    with (
        pytest.raises(OutputUnwritable, match="disk is full"),
        small_disk(),
        replace_file(tmp_path / "m.safetensors") as fresh,
    ):
        save_file({"a": torch.zeros(100_000)}, fresh)
    assert names(tmp_path) == set()


def test_a_file_in_the_place_of_a_folder_is_an_unwritable_output(tmp_path: Path):
    (tmp_path / "out").write_text("a file")
    for write in (lambda p: write_atomically(p / "x", "y"), writable_folder):
        with pytest.raises(OutputUnwritable, match="--out"):
            write(tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs a folder that refuses")
def test_a_folder_that_refuses_is_an_unwritable_output():
    with pytest.raises(OutputUnwritable):
        writable_folder("/proc/self/aboveboard")


def test_a_folder_is_replaced_whole(tmp_path: Path):
    with replace_folder(tmp_path / "model") as fresh:
        (fresh / "old.txt").write_text("1")
    with replace_folder(tmp_path / "model") as fresh:
        (fresh / "new.txt").write_text("2")
        assert names(tmp_path / "model") == {"old.txt"}  # readers see the old one until the end
    assert names(tmp_path / "model") == {"new.txt"}
    assert names(tmp_path) == {"model"}


def test_a_block_that_fails_leaves_the_previous_folder(tmp_path: Path):
    with replace_folder(tmp_path / "model") as fresh:
        (fresh / "old.txt").write_text("1")
    with pytest.raises(ZeroDivisionError), replace_folder(tmp_path / "model") as fresh:
        (fresh / "new.txt").write_text("2")
        raise ZeroDivisionError
    assert names(tmp_path / "model") == {"old.txt"}
    assert names(tmp_path) == {"model"}


def test_a_process_killed_while_writing_leaves_the_previous_file(tmp_path: Path):
    path = write_atomically(tmp_path / "record.json", "previous")
    script = (
        "import os, signal, sys\nfrom core_model.files import replace_file\n"
        "with replace_file(sys.argv[1]) as fresh:\n"
        "    fresh.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "previous"


def test_publishing_keeps_the_files_of_others_and_takes_away_what_is_obsolete(tmp_path: Path):
    source, destination = tmp_path / "fresh", tmp_path / "out"
    for folder, files in ((source, ("config.json", "model")), (destination, ("config.json", "privacy.json", "notes"))):
        folder.mkdir()
        for name in files:
            (folder / name).write_text(folder.name)
    publish_files(source, destination, last="config.json", obsolete=["privacy.json", "absent"])
    assert names(destination) == {"config.json", "model", "notes"}
    assert (destination / "config.json").read_text() == "fresh"


def test_a_folder_half_published_has_no_config_and_can_be_published_again(tmp_path: Path, monkeypatch):
    source, destination = tmp_path / "fresh", tmp_path / "out"
    for folder in (source, destination):
        folder.mkdir()
        for name in ("config.json", "model", "tokenizer"):
            (folder / name).write_text(folder.name)
    rename = Path.replace

    def refuse_the_tokenizer(self: Path, target: Path) -> Path:
        if self.name == "tokenizer":
            raise OSError(errno.EIO, "planted")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse_the_tokenizer)
    with pytest.raises(OutputUnwritable):
        publish_files(source, destination, last="config.json")
    assert "config.json" not in names(destination)
    monkeypatch.undo()
    publish_files(source, destination, last="config.json")
    assert {file.read_text() for file in destination.iterdir()} == {"fresh"}
