"""Secrets in text files: keys and tokens by their shapes, passwords by the word before them.

The shapes are those of detect-secrets (https://github.com/Yelp/detect-secrets), and Hugging Face's tokens, which it
does not know. Its search for strings of high entropy is left out: hashes are what records are made of. So are its
comments that silence a finding: whoever hid a secret could write one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from core_model.errors import OptionUnfit

INSTALL = "pip install 'aboveboard[package]'"
SETTINGS = (".env", ".ini", ".cfg", ".conf", ".properties", ".toml", ".yaml", ".yml")
"""Files where a value needs no quotation marks; elsewhere, prose would be taken for one."""
TEXT = (".json", ".jinja", ".md", ".txt", ".py", ".sh", ".ipynb", "", *SETTINGS)
FEWEST_LETTERS = 8  # of a password without quotation marks, a digit among them: not `null`, nor a word
SHAPES = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "DiscordBotTokenDetector",
    "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector", "NpmDetector",
    "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
WORDS = "KeywordDetector"
BLOCK = 1_000  # lines of a vocabulary looked at together: it has hundreds of thousands, and each call has its price
LONGEST_PIECE, OVERLAP = 4_096, 512  # characters looked at together, and those that two pieces share
HUGGING_FACE = re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")
FILTERS = ("is_indirect_reference", "is_templated_secret", "is_not_alphanumeric_string")  # `password = ${PASSWORD}`


@dataclass(frozen=True)
class Secret:
    """Where one stands, and of what kind it is; never what it says."""

    line: int
    kind: str


def require_scanner() -> None:
    """Raises: OptionUnfit where detect-secrets is not installed, with the command that installs it."""
    try:
        import detect_secrets  # noqa: F401
    except ImportError:
        raise OptionUnfit("looking for secrets needs the package detect-secrets", mend=INSTALL) from None


def find_secrets(path: Path, *, words: bool = True) -> Iterator[Secret]:
    """Secrets in a text file, line by line, counted from 1; none in a file of another kind.

    Args:
        words: look for passwords by the word before them, too; a vocabulary has all these words.
    """
    if path.suffix.lower() not in TEXT:
        return
    bare = words and (path.suffix.lower() in SETTINGS or path.name.lower().startswith(".env"))
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from secrets_in(enumerate(file, start=1), words=words, bare=bare)


def secrets_in(lines: Iterable[tuple[int, str]], *, words: bool, bare: bool = False) -> Iterator[Secret]:
    """Secrets in numbered texts, each told by its number.

    Args:
        words: as of `find_secrets`. bare: a value needs no quotation marks.
    """
    from detect_secrets.settings import transient_settings

    settings = {
        "plugins_used": [{"name": name} for name in (*SHAPES, *([WORDS] if words else []))],
        "filters_used": [{"path": f"detect_secrets.filters.heuristic.{name}"} for name in FILTERS],
    }
    lines_at_once = 1 if words else BLOCK
    numbered = iter(lines)
    with transient_settings(settings):
        while block := list(islice(numbered, lines_at_once)):
            if lines_at_once == 1 or any(map(_kinds, _pieces("".join(line for _, line in block)))):
                yield from (Secret(number, kind) for number, line in block for kind in _kinds_of(line, bare=bare))


def _kinds_of(line: str, *, bare: bool) -> list[str]:
    """What stands in a line, however long, each kind once where it is looked at in pieces."""
    if len(line) <= LONGEST_PIECE:
        return _kinds(line, bare=bare)
    return list(dict.fromkeys(kind for piece in _pieces(line) for kind in _kinds(piece, bare=bare)))


def _pieces(text: str) -> Iterator[str]:
    """Pieces that overlap: some of detect-secrets' shapes take the square of a text's length."""
    for start in range(0, max(1, len(text) - OVERLAP), LONGEST_PIECE - OVERLAP):
        yield text[start : start + LONGEST_PIECE]


def _kinds(text: str, *, bare: bool = False) -> list[str]:
    from detect_secrets.core.scan import scan_line

    known = ["Hugging Face token"] if HUGGING_FACE.search(text) else []
    found = [*known, *(one.type for one in scan_line(text.rstrip("\n")))]
    return found if found or not bare else _without_quotation_marks(text)


def _without_quotation_marks(line: str) -> list[str]:
    """`password: value` and `API_KEY=value` as files of settings write them."""
    from detect_secrets.filters import heuristic
    from detect_secrets.plugins.keyword import KeywordDetector

    detector = KeywordDetector()
    return [
        detector.secret_type
        for one in detector.analyze_line("settings.ini", line.rstrip("\n"), 1)
        if (value := one.secret_value or "")
        and len(value) >= FEWEST_LETTERS
        and not re.search(r"\s", value)
        and re.search(r"\d", value)
        and not re.search(r"\.[a-z]{2,5}$", value)  # the name of a file
        and not heuristic.is_templated_secret(value)
        and not heuristic.is_indirect_reference(line)
    ]
