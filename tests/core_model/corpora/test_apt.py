"""Promises of apt: the ordinary client in a folder of our own; without it, or without a network, a letter."""

from __future__ import annotations

import shutil
import stat

import pytest

from core_model.corpora import apt
from core_model.errors import DataMissing

FAKE = """#!/bin/sh
# args: -q -c FILE update | download NAMES
shift 3
echo "$@" >> "$APT_LOG"
case "$1" in
update) touch "$APT_FOLDER/lists/mirror_main_i18n_Translation-en" ;;
download) shift; for name in "$@"; do touch "$(echo $name | sed 's/=.*//')_1%3a2_all.deb"; done ;;
esac
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """An apt-get that writes down what it is asked; returns its log."""
    program, log = tmp_path / "apt-get", tmp_path / "log"
    program.write_text(FAKE)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    log.touch()
    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("APT_LOG", str(log))
    monkeypatch.setenv("APT_FOLDER", str(tmp_path / "cache" / "corpora" / "apt"))
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    return log


def test_packages_are_fetched_once(fake, tmp_path):
    first = apt.download(["help-de", "help-en=1:2"])
    assert [path.name for path in first] == ["help-de_1%3a2_all.deb", "help-en_1%3a2_all.deb"]
    assert first == apt.download(["help-de", "help-en=1:2"])
    assert fake.read_text().splitlines() == ["update", "download help-de help-en=1:2"]
    assert all(path.is_relative_to(tmp_path / "cache") for path in first)


def test_the_configuration_asks_for_translations_in_a_folder_of_our_own(fake, tmp_path):
    folder = apt.package_lists().parent
    written = (folder / "apt.conf").read_text()
    assert f'Dir::State "{folder}";' in written and "#clear Acquire::Languages;" in written and '"de";' in written


def test_no_apt_is_a_letter(tmp_path, monkeypatch):
    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DataMissing, match=r"has no apt-get.*\n  Try: use a Debian image"):
        apt.download(["libreoffice-help-de"])


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo 'E: Unable to locate package x' >&2; exit 100", "Unable to locate package x"), ("exit 0", "brought no")],
)
def test_no_network_is_a_letter(fake, tmp_path, script, said):
    (tmp_path / "apt-get").write_text(f"#!/bin/sh\n{script}\n")  # apt-get update fails, or ends well without lists
    with pytest.raises(DataMissing, match=rf"{said}.*\n  Try: check the network"):
        apt.package_lists()
