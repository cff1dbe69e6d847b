"""Promises about pickles: told by content wherever they hide, disassembled, never run."""

from __future__ import annotations

import gzip
import io
import lzma
import pickletools
import zlib
from pathlib import Path
from tarfile import TarInfo

import numpy as np
import pytest

from core_model.supply_chain import Level
from core_model.supply_chain.disassembly import disassemble
from tests.core_model.supply_chain.planted import (
    EVIL,
    MARK,
    MEMOIZED,
    ORDERED,
    PLAIN,
    STACKED,
    SYSTEM,
    UNKNOWN,
    issues_of,
    tarred,
    zipped,
)

pytest.importorskip("picklescan")
pytest.importorskip("fickling")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "notes.txt", "model.safetensors.bak", "noname"])
@pytest.mark.parametrize("evil", list(EVIL))
def test_an_evil_pickle_is_found_by_content_and_never_run(tmp_path, evil, name):
    (tmp_path / name).write_bytes(EVIL[evil])
    [issue] = issues_of(tmp_path, "pickle")
    assert issue.level is Level.HIGH and issue.file == name
    assert "picklescan: " in issue.what and "fickling: " in issue.what and "rm -- " in issue.mend
    assert not Path(MARK).exists()


def test_both_verdicts_are_told_where_the_scanners_differ(tmp_path):
    (tmp_path / "a.pkl").write_bytes(EVIL["import"])
    [issue] = issues_of(tmp_path)
    assert "picklescan: suspicious" in issue.what and "fickling: likely overtly malicious" in issue.what


@pytest.mark.parametrize("data", [STACKED, MEMOIZED, SYSTEM], ids=["stacked", "memoized", "global"])
def test_the_name_and_its_byte_are_pickletools_own(data):
    [found] = disassemble(data).imports
    assert (found.module, found.name) == ("posix", "system")
    asks = [at for operation, _, at in pickletools.genops(data) if "GLOBAL" in operation.name]
    assert [found.offset] == asks


@pytest.mark.parametrize(
    ("wrap", "inside"),
    [
        (lambda data: zipped(archive__data=b"x", archive__pkl=data), "!archive/pkl"),
        (lambda data: zipped(inner=zipped(deep=data)), "!inner!deep"),
        (gzip.compress, "!unpacked"),
        (lzma.compress, "!unpacked"),
        (zlib.compress, "!unpacked"),
        (lambda data: gzip.compress(b"") + gzip.compress(data), "!unpacked"),
        (lambda data: tarred((TarInfo("a/b"), data)), "!a/b"),
        (lambda data: gzip.compress(tarred((TarInfo("b"), data))), "!unpacked!b"),
    ],
    ids=["zip", "zip in zip", "gzip", "xz", "zlib", "two gzips", "tar", "tar.gz"],
)
def test_it_is_found_in_what_is_packed(tmp_path, wrap, inside):
    (tmp_path / "weights").write_bytes(wrap(STACKED))
    [issue] = issues_of(tmp_path, "pickle")
    assert issue.file == f"weights{inside}" and issue.level is Level.HIGH and issue.mend.endswith("rm -- weights")
    (tmp_path / "weights").write_bytes(wrap(b"a text, and nothing else"))
    assert issues_of(tmp_path) == []


def test_it_is_found_in_an_array_of_objects(tmp_path):
    target = io.BytesIO()
    np.save(target, np.zeros(3))
    (tmp_path / "good.npy").write_bytes(target.getvalue())
    assert issues_of(tmp_path) == []
    header = target.getvalue()[: 10 + int.from_bytes(target.getvalue()[8:10], "little")]
    (tmp_path / "evil.npy").write_bytes(header + STACKED)
    [issue] = issues_of(tmp_path, "pickle")
    assert issue.file == "evil.npy" and issue.level is Level.HIGH and issue.offset > len(header)


def test_it_is_found_inside_another_pickle_and_behind_one(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04C" + bytes([len(STACKED)]) + STACKED + b".")
    assert [i.level for i in issues_of(tmp_path) if "!bytes at 2" in i.file] == [Level.HIGH]
    (tmp_path / "a.pkl").write_bytes(PLAIN + STACKED)
    [issue] = issues_of(tmp_path)
    assert issue.level is Level.HIGH and issue.offset > len(PLAIN)


def test_a_harmless_pickle_is_low_and_an_unknown_name_medium(tmp_path):
    for name, data, level in (("a", PLAIN, Level.LOW), ("b", ORDERED, Level.LOW), ("c", UNKNOWN, Level.MEDIUM)):
        (tmp_path / name).write_bytes(data)
        assert [i.level for i in issues_of(tmp_path) if i.file == name] == [level]


@pytest.mark.parametrize("new", [True, False])
def test_torchs_own_weights_are_low(tmp_path, new):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.zeros(2, 3)}, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=new)
    [issue] = issues_of(tmp_path)
    assert issue.level is Level.LOW and "torch._utils._rebuild_tensor_v2" in issue.what


@pytest.mark.parametrize("text", ["N.B. this is a text\n", "can\nbe\nR\n.", "c\n\n\n", "].", "K", "\x80", "(((((" * 99])
def test_a_text_that_begins_like_one_is_none(tmp_path, text):
    (tmp_path / "README.md").write_text(text, encoding="latin-1")
    assert issues_of(tmp_path) == []


def test_without_the_scanners_it_is_told_and_not_judged(tmp_path, monkeypatch):
    from core_model.supply_chain import scan_folder, verdicts

    monkeypatch.setattr(verdicts, "SCANNERS", ("picklescan", "a_scanner_that_is_not_here"))
    (tmp_path / "a.pkl").write_bytes(STACKED)
    scan = scan_folder(tmp_path)
    [issue] = scan.issues
    assert issue.level is Level.MEDIUM and "posix.system" in issue.what
    assert "pip install 'aboveboard[security]'" in scan.unjudged


@pytest.mark.parametrize("start", [b"I0x10\n0", b"\x80\x04I0x10\n0", b"\xff"])
def test_a_pickle_that_cannot_be_read_here_is_told_by_its_name(tmp_path, start):
    (tmp_path / "pytorch_model.bin").write_bytes(start + SYSTEM)  # Python reads 0x10; its disassembler does not
    [issue] = issues_of(tmp_path)
    assert issue.level in (Level.MEDIUM, Level.HIGH)


def test_what_breaks_off_is_told_as_such(tmp_path):
    (tmp_path / "a.pkl").write_bytes(ORDERED[:-3])
    [issue] = issues_of(tmp_path)
    assert issue.level is Level.MEDIUM and "nobody can tell what follows" in issue.what


def test_changed_bytes_never_stop_the_scan(tmp_path, capfd):
    random = np.random.default_rng(0)
    seeds = [
        *EVIL.values(),
        ORDERED,
        zipped(a=STACKED, b=b"x" * 50),
        tarred((TarInfo("a"), STACKED)),
        gzip.compress(SYSTEM),
    ]
    for _ in range(150):
        data = bytearray(seeds[random.integers(len(seeds))])
        for at in random.integers(len(data), size=4):
            data[at] = random.integers(256)
        (tmp_path / "model.bin").write_bytes(data)
        assert not [issue for issue in issues_of(tmp_path) if "looking at it failed" in issue.what], bytes(data)
    assert capfd.readouterr() == ("", "")
