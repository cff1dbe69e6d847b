"""Promises about archives: no member escapes, no bomb goes off, nothing hides behind a flag."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile

import pytest

from core_model.supply_chain import Level
from core_model.supply_chain.archives import outside
from tests.core_model.supply_chain.planted import STACKED, issues_of, tarred, zipped


def high(folder) -> list[str]:
    return [issue.what for issue in issues_of(folder) if issue.level is Level.HIGH]


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/x", "\\x", "C:\\x", "..\\x", "C:x"])
def test_a_name_that_leads_out_is_found(tmp_path, name):
    assert outside(name)
    (tmp_path / "a.zip").write_bytes(zipped(**{"good": b"x", name: b"x"}))
    [issue] = issues_of(tmp_path)
    assert issue.level is Level.HIGH and issue.offset == 30 + len("good") + 1
    (tmp_path / "a.zip").write_bytes(tarred((tarfile.TarInfo(name), b"x")))
    [issue] = issues_of(tmp_path)
    assert issue.level is Level.HIGH and issue.offset == 0


@pytest.mark.parametrize("name", ["a", "a/b", "a/../b", "..a", "a..b/c", "./a"])
def test_a_name_that_stays_is_fine(tmp_path, name):
    assert outside(name) is None
    (tmp_path / "a.zip").write_bytes(zipped(**{name: b"x"}))
    assert issues_of(tmp_path) == []


def test_links_devices_and_pipes_in_a_tar_are_found(tmp_path):
    members = []
    for name, kind, target in (
        ("out", tarfile.SYMTYPE, "../../etc/passwd"),
        ("absolute", tarfile.SYMTYPE, "/etc/passwd"),
        ("hard", tarfile.LNKTYPE, "../x"),
        ("pipe", tarfile.FIFOTYPE, ""),
        ("device", tarfile.CHRTYPE, ""),
        ("near", tarfile.SYMTYPE, "hard"),
    ):
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        members.append((member, b""))
    (tmp_path / "a.tar").write_bytes(tarred(*members))
    levels = {issue.what.split("'")[1]: issue.level for issue in issues_of(tmp_path)}
    assert levels.pop("near") is Level.LOW
    assert levels == dict.fromkeys(("out", "absolute", "hard", "pipe", "device"), Level.HIGH)


def test_a_symbolic_link_in_a_zip_is_found(tmp_path):
    member = zipfile.ZipInfo("link")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    assert high(tmp_path) == ["its member 'link' is a symbolic link"]


def test_a_bomb_is_told_by_its_sizes_and_does_not_go_off(tmp_path):
    block = bytes(2**20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
        for _ in range(120):
            file.write(block)
    with gzip.open(tmp_path / "b.gz", "wb") as file:
        for _ in range(120):
            file.write(block)
    tracemalloc.start()
    found = high(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert any("says that it unpacks to 125,829,120" in what for what in found)
    assert any("there is more" in what for what in found)
    assert peak < 300 * 2**20


def test_members_that_lie_over_each_other_are_found(tmp_path):
    data = bytearray(zipped(one=b"x" * 100, two=b"y" * 100))
    at = data.rfind(b"PK\x01\x02")  # the second entry of the directory points into the first member
    data[at + 42 : at + 46] = struct.pack("<I", 10)
    (tmp_path / "a.zip").write_bytes(data)
    assert any("lies over another" in what for what in high(tmp_path))


def test_a_pickle_behind_a_wrong_checksum_a_flag_or_a_second_name_is_found(tmp_path):
    good = zipped(data=STACKED)
    directory = good.find(b"PK\x01\x02")
    for name, change in {
        "checksum": (directory + 16, b"\0\0\0\0"),
        "flag": (directory + 8, b"\x01\x00"),
        "name": (30, b"atad"),
    }.items():
        at, new = change
        data = bytearray(good)
        data[at : at + len(new)] = new
        (tmp_path / name).write_bytes(data)
        kinds = {issue.kind: issue.level for issue in issues_of(tmp_path) if issue.file.startswith(name)}
        assert kinds["pickle"] is Level.HIGH, name
        assert ("archive" in kinds) == (name != "checksum")


def test_a_file_that_is_two_things_at_once_is_found(tmp_path):
    (tmp_path / "README.md").write_bytes(b"some text\n" + zipped(data=STACKED))
    kinds = {issue.kind for issue in issues_of(tmp_path)}
    assert kinds == {"archive", "pickle"}


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"BZh9", b"\xfd7zXZ\x00"])
def test_a_broken_archive_is_told_and_not_a_crash(tmp_path, head):
    (tmp_path / "a").write_bytes(head + b"nonsense" * 20)
    [issue] = issues_of(tmp_path)
    assert issue.kind == "not-looked-into" and issue.level is Level.MEDIUM


def test_a_torch_archive_of_nothing_but_weights_is_fine(tmp_path):
    (tmp_path / "a.npz").write_bytes(zipped(**{f"data__{i}": bytes([i]) * 50 for i in range(1, 9)}))
    assert issues_of(tmp_path) == []
    assert zipfile.is_zipfile(io.BytesIO((tmp_path / "a.npz").read_bytes()))
