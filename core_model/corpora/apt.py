"""Debian's package index and packages through the ordinary client, in a folder of our own: the system is not changed.

Mirrors, proxies and keys are the system's; lists and downloads go to the cache folder, so that no root is needed and
an image that discards translations (`docker-no-languages`) does not matter. Fetched once, then read offline.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from core_model.data_store import cache_folder
from core_model.errors import DataMissing

LANGUAGES = ("en", "de", "fr")
SECONDS = 300.0  # for 20 MB of lists; a network that needs longer is as good as none
CONFIGURATION = """\
#clear Acquire::Languages;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Dpkg::Post-Invoke;
Acquire::Languages {{ {languages} }};
Acquire::GzipIndexes "false";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::Retries "1";
Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "/dev/null";
Dir::Cache "{folder}/cache";
"""


def package_lists() -> Path:
    """The folder of the package lists (`*_Packages`, `*_i18n_Translation-de`), fetched if it is not there yet.

    Raises: DataMissing when there is no apt, or it cannot reach a mirror.
    """
    folder = _folder()
    lists = folder / "lists"
    if not any(lists.glob("*_i18n_Translation-en")):
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        _apt(["update"], folder)
        if not any(lists.glob("*_i18n_Translation-en")):
            raise _unreachable("apt-get update brought no translated descriptions")
    return lists


def download(packages: Sequence[str]) -> list[Path]:
    """The .deb files of some packages (`NAME`, or `NAME=VERSION`), downloaded if they are not there yet.

    Raises: DataMissing when there is no apt, no such package, or no mirror can be reached.
    """
    folder = _folder() / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages if not _found(folder, package)]
    if missing:
        package_lists()
        _apt(["download", *missing], _folder(), inside=folder)
    found = [path for package in packages if (path := _found(folder, package))]
    if len(found) < len(packages):
        raise _unreachable(f"apt-get download did not bring all of {' '.join(packages)}")
    return found


def _folder() -> Path:
    return cache_folder("corpora") / "apt"


def _found(folder: Path, package: str) -> Path | None:
    name, _, version = package.partition("=")
    written = version.replace(":", "%3a") or "*"
    return max(folder.glob(f"{name}_{written}_*.deb"), default=None)


def _apt(arguments: Sequence[str], folder: Path, *, inside: Path | None = None) -> None:
    program = shutil.which("apt-get")
    if program is None:
        raise DataMissing(
            "this machine has no apt-get, which brings the packages",
            mend="use a Debian image (python:3.11), or name packages that were downloaded elsewhere",
        )
    (folder / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    configuration = folder / "apt.conf"
    languages = " ".join(f'"{language}";' for language in LANGUAGES)
    configuration.write_text(CONFIGURATION.format(languages=languages, folder=folder), encoding="utf-8")
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            [program, "-q", "-c", str(configuration), *arguments],
            cwd=inside or folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _unreachable(f"apt-get {arguments[0]} did not end in {SECONDS:.0f} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr.strip()[-200:]]
        raise _unreachable(f"apt-get {' '.join(arguments)} failed: {said[0]}")


def _unreachable(found: str) -> DataMissing:
    return DataMissing(
        found,
        mend="check the network and `apt-get update`; lists that have grown old are fetched again once "
        f"{_folder()} is removed",
    )
