"""Promises of the archives: members are read in memory, and one that would land outside is refused."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from core_model.corpora.archives import deb_members, inside_root, zip_member
from core_model.errors import DataDamaged
from tests.core_model.corpora.archives_world import deb, wheel


def test_wanted_files_of_a_package_come_in_its_order(tmp_path):
    package = deb(tmp_path / "p.deb", {"./usr/b.txt": "two", "./usr/a.txt": "one", "./etc/c": "three"})
    found = list(deb_members(package, lambda name: name.startswith("usr/")))
    assert found == [("usr/b.txt", b"two"), ("usr/a.txt", b"one")]


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_a_package_that_dpkg_built_reads_as_dpkg_reads_it(tmp_path):
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: n <n@example.org>\nDescription: p\n"
    )
    (root / "usr").mkdir()
    (root / "usr" / "page.html").write_text("<p>ä</p>", encoding="utf-8")
    package = tmp_path / "p.deb"
    build = [str(shutil.which("dpkg-deb")), "-Zxz", "--build", str(root), str(package)]
    subprocess.run(build, check=True, capture_output=True)
    assert list(deb_members(package, lambda name: True)) == [("usr/page.html", "<p>ä</p>".encode())]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "usr/../../x", "..\\..\\x"])
def test_a_member_that_climbs_out_is_refused(tmp_path, name):
    package = deb(tmp_path / "evil.deb", {"./usr/good": "x", name: "y"})
    with pytest.raises(DataDamaged, match="land outside"):
        list(deb_members(package, lambda name: True))
    with pytest.raises(DataDamaged, match="land outside"):
        inside_root(name, package)


def test_what_is_no_whole_package_is_named(tmp_path):
    other = tmp_path / "other.deb"
    other.write_bytes(b"PK\x03\x04")
    with pytest.raises(DataDamaged, match=r"other\.deb is no Debian package"):
        list(deb_members(other, lambda name: True))
    text = " ".join(map(str, range(20_000)))
    whole = deb(tmp_path / "whole.deb", {"./usr/a": text}).read_bytes()
    for end in (20, len(whole) // 2):
        other.write_bytes(whole[:end])
        with pytest.raises(DataDamaged, match="no whole Debian package"):
            list(deb_members(other, lambda name: True))


def test_a_compression_that_python_lacks_is_named_with_the_way_round(tmp_path):
    package = deb(tmp_path / "p.deb", {"./a": "x"}, data="data.tar.zst")
    with pytest.raises(DataDamaged, match=r"data\.tar\.zst.*\n  Try: dpkg-deb -x p\.deb FOLDER"):
        list(deb_members(package, lambda name: True))


def test_one_member_of_a_wheel_is_read(tmp_path):
    archive = wheel(tmp_path / "w.whl", {"p/data.jsonl": b"{}\n"})
    assert zip_member(archive, "p/data.jsonl") == b"{}\n"
    with pytest.raises(DataDamaged, match=r"w\.whl holds no p/other"):
        zip_member(archive, "p/other")
    archive.write_bytes(b"no zip")
    with pytest.raises(DataDamaged, match="no whole zip archive"):
        zip_member(archive, "p/data.jsonl")
