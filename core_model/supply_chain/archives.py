"""Zip and tar archives: members that would be written elsewhere, links, bombs by declared size, and what hides in them.

Nothing is unpacked to a disk. A member is read into memory, and never more of it than a fixed number of bytes.
Source: CVE-2007-4559 (tar), Snyk's "Zip Slip", Fifield, "A better zip bomb", WOOT 2019; CVE-2025-1889 and following
(archives on which scanners and loaders disagree).
"""

from __future__ import annotations

import copy
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from core_model.supply_chain.content import LARGEST, Item
from core_model.supply_chain.issues import Issue, Kind, Level, quoted, remove

MOST_MEMBERS = 20_000
BOMB_SIZE = 100 * 2**20  # bytes; below, nobody is hurt by unpacking
BOMB_RATIO = 100  # weights do not compress like that
WRITES = "whoever unpacks it with a careless tool writes outside of the folder that was meant"


def open_zip(item: Item) -> Iterator[Issue | Item]:
    """What is wrong with a zip archive, and its members."""
    try:
        archive = zipfile.ZipFile(item.stream)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        yield _closed(item, f"a zip archive that cannot be read ({quoted(str(error))})")
        return
    with archive:
        members = archive.infolist()
        yield from _bombs(item, members)
        seen: set[str] = set()
        for member in members[:MOST_MEMBERS]:
            yield from _zip_names(item, member, seen)
            if member.file_size or not member.filename.endswith("/"):  # a folder's name may have content, too
                yield from _zip_member(item, archive, member)
        if len(members) > MOST_MEMBERS:
            yield _closed(item, f"{len(members):,} members, of which {MOST_MEMBERS:,} were looked at")


def _zip_names(item: Item, member: zipfile.ZipInfo, seen: set[str]) -> Iterator[Issue]:
    name = member.orig_filename
    if (problem := outside(name)) is not None:
        yield _issue(item, member.header_offset, f"its member {quoted(name)} {problem}", WRITES)
    if stat.S_ISLNK(member.external_attr >> 16):
        yield _issue(item, member.header_offset, f"its member {quoted(name)} is a symbolic link", WRITES)
    if name in seen:
        yield _issue(
            item, member.header_offset, f"two members are called {quoted(name)}",
            "a scanner and a loader may read different ones", Level.MEDIUM,
        )  # fmt: skip
    seen.add(name)


def _bombs(item: Item, members: list[zipfile.ZipInfo]) -> Iterator[Issue]:
    for member in members:
        if member.file_size > max(BOMB_SIZE, BOMB_RATIO * member.compress_size):
            yield _issue(
                item, member.header_offset, f"its member {quoted(member.orig_filename)} of {member.compress_size:,} "
                f"bytes says that it unpacks to {member.file_size:,}", "unpacking it fills the disk or the memory",
            )  # fmt: skip
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            yield _issue(
                item, member.header_offset, f"its member {quoted(member.orig_filename)} lies over another",
                "bombs are built so, and archives that read differently to a scanner and a loader",
            )  # fmt: skip
            break
        end = member.header_offset + 30 + member.compress_size


def _zip_member(item: Item, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[Issue | Item]:
    """A member's first bytes, read as torch reads them: no matter what checksum, second name and flags say."""
    readable = copy.copy(member)
    local = _local_name(item, member)
    if local is not None and local != member.orig_filename:
        yield _issue(
            item, member.header_offset, f"a member is called {quoted(member.orig_filename)} in the directory and "
            f"{quoted(local)} in its own header", "a scanner that stops at this does not see what a loader opens",
        )  # fmt: skip
        readable.orig_filename = local
    if member.flag_bits & 0x1:
        yield _issue(
            item, member.header_offset, f"its member {quoted(member.orig_filename)} says that it is encrypted",
            "a scanner that stops at this does not see what a loader opens", Level.MEDIUM,
        )  # fmt: skip
        readable.flag_bits &= ~0x1
    del readable.CRC  # without it, zipfile does not check
    try:
        with archive.open(readable) as stream:
            data = stream.read(LARGEST)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError, zlib.error) as error:
        yield _closed(
            item, f"its member {quoted(member.orig_filename)} cannot be read ({type(error).__name__})",
            member.header_offset,
        )  # fmt: skip
        return
    yield Item(f"{item.name}!{printable(member.orig_filename)}", io.BytesIO(data), member.file_size, item.depth + 1)


def _local_name(item: Item, member: zipfile.ZipInfo) -> str | None:
    """The name in the header before the member's bytes; None where there is no header."""
    head = item.read(30, at=member.header_offset)
    if head[:4] != b"PK\x03\x04":
        return None
    raw = item.read(int.from_bytes(head[26:28], "little"), at=member.header_offset + 30)
    return raw.decode("utf-8" if int.from_bytes(head[6:8], "little") & 0x800 else "cp437", "replace")


def open_tar(item: Item) -> Iterator[Issue | Item]:
    """What is wrong with a tar archive, and its members."""
    item.stream.seek(0)
    try:
        with tarfile.open(fileobj=item.stream, mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= MOST_MEMBERS:
                    yield _closed(item, f"more than {MOST_MEMBERS:,} members")
                    return
                yield from _tar_member(item, archive, member)
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        yield _closed(item, f"a tar archive that cannot be read ({quoted(str(error))})")


def _tar_member(item: Item, archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[Issue | Item]:
    name = quoted(member.name)
    if (problem := outside(member.name)) is not None:
        yield _issue(item, member.offset, f"its member {name} {problem}", WRITES)
    if member.issym() or member.islnk():
        inner = PurePosixPath(member.name).parent / member.linkname if member.issym() else member.linkname
        far = outside(str(inner)) is not None or outside(member.linkname) == IS_ABSOLUTE
        yield _issue(
            item, member.offset, f"its member {name} is a link to {quoted(member.linkname)}",
            WRITES if far else "a later member may be written through it", Level.HIGH if far else Level.LOW,
        )  # fmt: skip
    elif member.isdev():
        yield _issue(item, member.offset, f"its member {name} is a device or a named pipe", "it is made on unpacking")
    elif member.isfile():
        if member.size > max(BOMB_SIZE, BOMB_RATIO * item.size):
            yield _issue(
                item, member.offset, f"its member {name} says that it unpacks to {member.size:,} bytes",
                "unpacking it fills the disk or the memory",
            )  # fmt: skip
        stream = archive.extractfile(member)
        if stream is not None:
            data = stream.read(LARGEST)
            yield Item(f"{item.name}!{printable(member.name)}", io.BytesIO(data), member.size, item.depth + 1)


IS_ABSOLUTE = "has an absolute path"


def outside(name: str) -> str | None:
    """Why a member of this name would be written outside of the folder; None when it would not."""
    windows = PureWindowsPath(name)
    if name.startswith(("/", "\\")) or windows.drive:
        return IS_ABSOLUTE
    depth = 0
    for part in windows.parts:  # both kinds of slash part
        depth += -1 if part == ".." else 1
        if depth < 0:
            return "leads out of the folder (..)"
    return None


def printable(name: str) -> str:
    """A member's name as one line that UTF-8 can hold."""
    return quoted(name)[1:-1]


def _issue(item: Item, offset: int, what: str, why: str, level: Level = Level.HIGH) -> Issue:
    return Issue(Kind.ARCHIVE, level, item.name, offset, what, why, remove(item.name))


def _closed(item: Item, what: str, offset: int | None = None) -> Issue:
    return Issue(
        Kind.NOT_LOOKED_INTO, Level.MEDIUM, item.name, offset, what, "what is in it is not known", remove(item.name)
    )
