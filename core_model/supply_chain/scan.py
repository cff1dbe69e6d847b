"""The scan of a folder: every file is told by its content and handed to those who know its kind."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from core_model.errors import CheckpointMissing
from core_model.secret_scan import INSTALL as INSTALL_SECRETS
from core_model.secret_scan import TEXT
from core_model.supply_chain import (
    archives,
    compressed,
    executables,
    gguf,
    keras_files,
    onnx_files,
    pickles,
    remote_code,
    templates,
    tensorflow_files,
)
from core_model.supply_chain.content import LARGEST, Content, Item, content_of
from core_model.supply_chain.folder import Entry, open_regular, walk
from core_model.supply_chain.issues import Issue, Kind, Level, remove
from core_model.supply_chain.text_secrets import scan_secrets
from core_model.supply_chain.verdicts import unjudged
from core_model.supply_chain.weights import scan_safetensors

DEEPEST = 4  # archives in archives
LEVELS = list(Level)


@dataclass(frozen=True)
class Scan:
    """What was found in a folder.

    Attributes:
        issues: worst first, then by file and byte.
        files: how many files were looked at; pickles: how many pickles, wherever they stand; texts: how many text files
            were searched for secrets.
        unjudged: why no scanner judged the pickles; None when they did.
        secrets_searched: whether secrets were looked for.
    """

    issues: tuple[Issue, ...]
    files: int
    pickles: int
    texts: int
    unjudged: str | None
    secrets_searched: bool

    @property
    def not_measured(self) -> list[str]:
        """What could not be looked for, with the command that supplies it, one sentence each."""
        secrets = None if self.secrets_searched else f"secrets were not looked for: {INSTALL_SECRETS}"
        return [sentence for sentence in (self.unjudged, secrets) if sentence]

    def count(self, level: Level) -> int:
        """How many issues are of a level."""
        return Counter(issue.level for issue in self.issues)[level]


def scan_folder(folder: str | Path) -> Scan:
    """Look at every file of a folder, without loading or running any.

    Raises: CheckpointMissing when there is no such folder.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        what = f"{path} is no folder" if path.exists() else f"there is no folder at {path}"
        raise CheckpointMissing(what, mend="name the folder that holds the checkpoint's files")
    path = path.resolve()
    found = list(walk(path))
    entries = [entry for entry in found if isinstance(entry, Entry)]
    issues = [issue for issue in found if isinstance(issue, Issue)]
    for entry in entries:
        issues += _scan_file(entry, path)
    issues += executables.scan_modes([(entry.name, entry.mode) for entry in entries])
    texts = [entry for entry in entries if _is_text(entry)]
    search = find_spec("detect_secrets") is not None
    if search:
        for entry in texts:
            issues += scan_secrets(entry.path, entry.name)
    return Scan(
        tuple(sorted(issues, key=lambda issue: (LEVELS.index(issue.level), issue.file, issue.offset or 0, issue.what))),
        files=len(entries),
        pickles=sum(issue.kind is Kind.PICKLE for issue in issues),
        texts=len(texts),
        unjudged=unjudged(),
        secrets_searched=search,
    )


def _is_text(entry: Entry) -> bool:
    return 0 < entry.size <= LARGEST and PurePosixPath(entry.name.lower()).suffix in TEXT


def _scan_file(entry: Entry, root: Path) -> Iterator[Issue]:
    """All issues of one file; that looking at it fails is one, too, and keeps no other file from being looked at."""
    try:
        with open_regular(entry.path) as stream:
            item = Item(entry.name, stream, entry.size, path=entry.path, root=root)
            yield from _look(item)
            yield from _by_name(item)
        if entry.name.lower().endswith(".safetensors") and (issue := scan_safetensors(entry.path, entry.name)):
            yield issue
    except Exception as error:  # parsers of hostile bytes; what they raise is not known
        yield Issue(
            Kind.NOT_LOOKED_INTO, Level.MEDIUM, entry.name, None,
            f"looking at it failed ({getattr(error, 'strerror', None) or type(error).__name__})",
            "what is in it is not known", "make it readable and scan again, or fetch it again",
        )  # fmt: skip


def _by_name(item: Item) -> Iterator[Issue]:
    """What a reader would take the file for by its name: configuration, template, code."""
    name = item.name.lower()
    if name.endswith(".json") and item.size <= LARGEST and item.size:
        yield from remote_code.scan_configuration(item.name, item.read())
    if templates.FILES.search(name) and item.size:
        yield from templates.scan_templates(item.name, item.read())
    if (issue := remote_code.scan_code_file(item.name)) is not None:
        yield issue


def _look(item: Item) -> Iterator[Issue]:
    """What an item is by its content, with everything that is packed in it."""
    content = content_of(item)
    if (issue := executables.scan_program(item.name, content)) is not None:
        yield issue
    match content:
        case Content.ZIP:
            yield from _inside(item, archives.open_zip(item))
        case Content.TAR:
            yield from _inside(item, archives.open_tar(item))
        case Content.GZIP | Content.BZIP2 | Content.XZ | Content.ZLIB:
            yield from _inside(item, compressed.unpack(item, content))
        case Content.SEALED:
            yield _sealed(item, f"this is {content}")
        case Content.NUMPY:
            yield from pickles.scan_pickle(item, at=pickles.numpy_data(item))
        case Content.GGUF:
            yield from gguf.scan_gguf(item)
        case Content.PICKLE | Content.OTHER:
            yield from pickles.scan_pickle(item)
    if onnx_files.is_onnx(item, content):
        yield from _inside(item, onnx_files.scan_onnx(item))
    yield from keras_files.scan_keras(item, content)
    yield from tensorflow_files.scan_tensorflow(item, content)
    if content is not Content.ZIP and item.size and _ends_as_zip(item):
        yield Issue(
            Kind.ARCHIVE, Level.MEDIUM, item.name, None, f"it begins as {content} and ends as a zip archive",
            "what it is depends on who opens it", remove(item.name),
        )  # fmt: skip
        yield from _inside(item, archives.open_zip(item))


def _inside(item: Item, found: Iterator[Issue | Item]) -> Iterator[Issue]:
    for one in found:
        if isinstance(one, Issue):
            yield one
        elif one.depth > DEEPEST:
            yield _sealed(item, f"archives in archives, more than {DEEPEST} deep")
        else:
            yield from _look(one)


def _ends_as_zip(item: Item) -> bool:
    try:
        return zipfile.is_zipfile(item.stream)
    except (OSError, ValueError):
        return False


def _sealed(item: Item, what: str) -> Issue:
    return Issue(
        Kind.NOT_LOOKED_INTO, Level.MEDIUM, item.name, 0, what, "what is in it is not known",
        f"unpack it where nothing can be lost and scan the result, or {remove(item.name)}",
    )  # fmt: skip
