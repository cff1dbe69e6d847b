"""What two pickle scanners say of a pickle: picklescan by its lists of names, fickling by its analysis of the program.

Both read operations and run none. They know different things, so both are asked and both answers are told. fickling
calls every import of something that is not in the standard library "likely unsafe", torch's and numpy's own tensors
among them; only above that its word alone is taken for danger.
Source: https://github.com/mmaitre314/picklescan, https://github.com/trailofbits/fickling.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from core_model.supply_chain.issues import Level

SCANNERS = ("picklescan", "fickling")
INSTALL = "pip install 'aboveboard[security]'"


@dataclass(frozen=True)
class Verdict:
    """Each scanner's word, and what follows from both; `level` is None where neither is installed."""

    level: Level | None
    words: str


def unjudged() -> str | None:
    """Why pickles cannot be judged, with the command that mends it; None when both scanners are installed."""
    missing = [name for name in SCANNERS if find_spec(name) is None]
    return f"pickles were not judged: {' and '.join(missing)} not installed ({INSTALL})" if missing else None


def judge(data: bytes) -> Verdict:
    """Both scanners' verdicts on the bytes of one or more pickles."""
    if (reason := unjudged()) is not None:
        return Verdict(None, reason)
    names, fickling = _picklescan(data), _fickling(data)
    words = f"picklescan: {names}, fickling: {fickling.replace('_', ' ').lower()}"
    if names == "dangerous" or fickling in ("LIKELY_OVERTLY_MALICIOUS", "OVERTLY_MALICIOUS"):
        return Verdict(Level.HIGH, words)
    if names != "innocuous" or fickling == "cannot be read":
        return Verdict(Level.MEDIUM, words)
    return Verdict(Level.LOW, words)


def _picklescan(data: bytes) -> str:
    from picklescan.scanner import scan_pickle_bytes

    try:
        with _quiet():
            result = scan_pickle_bytes(io.BytesIO(data), "pickle")
    except Exception as error:  # a parser of hostile bytes; a crash is an answer
        return f"cannot be read ({type(error).__name__})"
    if result.issues_count:
        return "dangerous"
    return "suspicious" if result.suspicious_count else "innocuous"


def _fickling(data: bytes) -> str:
    from fickling.analysis import Severity, check_safety
    from fickling.fickle import StackedPickle

    try:
        with _quiet():
            pickles = StackedPickle.load(io.BytesIO(data), fail_on_decode_error=False)
            worst = max((check_safety(one).severity for one in pickles), default=Severity.LIKELY_SAFE)
    except Exception:
        return "cannot be read"
    return str(worst.name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the scanners' own lines on stderr: what they find is told by us."""
    logger = logging.getLogger("picklescan")
    before, logger.disabled = logger.disabled, True
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.disabled = before
