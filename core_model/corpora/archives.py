"""Reading members of a Debian package or a wheel in memory: nothing is unpacked, so no member can land anywhere.

Source: deb(5) for the Debian package (an `ar` archive that holds `data.tar.*`); PEP 427 for the wheel (a zip file).
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from core_model.errors import DataDamaged

LARGEST_MEMBER = 256 * 2**20  # bytes; what is larger is no page and no data file of ours
AR_MAGIC, AR_HEADER = b"!<arch>\n", 60
COMPRESSIONS = {"data.tar": "r|", "data.tar.gz": "r|gz", "data.tar.xz": "r|xz", "data.tar.bz2": "r|bz2"}


def deb_members(deb: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The plain files of a Debian package whose name (`usr/share/...`) is wanted, in the order of the archive.

    Raises: DataDamaged when it is no Debian package, is cut short, is compressed in a way that Python cannot read, or
        holds a member whose name leaves the archive's root.
    """
    try:
        with deb.open("rb") as file:
            name = _seek_data(file, deb)
            with tarfile.open(fileobj=file, mode=COMPRESSIONS[name]) as tar:  # type: ignore[call-overload]
                for member in tar:
                    path = inside_root(member.name, deb)
                    if not (member.isfile() and wanted(path)):
                        continue
                    content = tar.extractfile(member)
                    if content is not None:
                        yield path, content.read(_bounded(member.size, path, deb))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataDamaged(f"{deb} is no whole Debian package ({error})", mend="download it again") from None


def zip_member(archive: Path, name: str) -> bytes:
    """One file of a wheel or another zip archive.

    Raises: DataDamaged when it is no zip file, has no such member, or the member is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as members:
            information = members.getinfo(name)
            _bounded(information.file_size, name, archive)
            return members.read(information)
    except KeyError:
        raise DataDamaged(
            f"{archive} holds no {name}", mend="name the wheel of the package and version asked for"
        ) from None
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataDamaged(f"{archive} is no whole zip archive ({error})", mend="download it again") from None


def inside_root(name: str, archive: Path) -> str:
    """A member's name without its leading `./`.

    Raises: DataDamaged when it is absolute or climbs out with `..`.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise DataDamaged(
            f"{archive} holds a member that would land outside: {name[:200]!r}", mend="do not use this archive"
        )
    return str(path)


def _bounded(size: int, name: str, archive: Path) -> int:
    if size > LARGEST_MEMBER:
        raise DataDamaged(f"{archive}: {name} has {size:,} bytes", mend="do not use this archive")
    return size


def _seek_data(file: IO[bytes], deb: Path) -> str:
    """Move to the beginning of the package's files; returns the member's name, such as `data.tar.xz`."""
    if file.read(len(AR_MAGIC)) != AR_MAGIC:
        raise DataDamaged(f"{deb} is no Debian package", mend="name a .deb file, or the folder it was unpacked to")
    while len(header := file.read(AR_HEADER)) == AR_HEADER:
        name, size = header[:16].decode("latin-1").strip().rstrip("/"), header[48:58].decode("latin-1").strip()
        if name in COMPRESSIONS:
            return name
        if name.startswith("data.tar"):
            raise DataDamaged(
                f"{deb} is compressed as {name}, which Python does not read",
                mend=f"dpkg-deb -x {deb.name} FOLDER, and name that folder",
            )
        if not size.isdigit():
            break
        file.seek(int(size) + int(size) % 2, 1)
    raise DataDamaged(f"{deb} has no data.tar: it is no whole Debian package", mend="download it again")
