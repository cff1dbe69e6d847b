"""Machine formats: which are there, and what turns a record into each.

Each is a pure function of the record: no clock, no random, no place on this disk; the same record gives the same
bytes. What a stranger wrote is visible and inert in all of them. What was not measured, or is inconclusive, is never
turned into a pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from reports.errors import FormatUnknown
from reports.language import ENGLISH, Language
from reports.record import Record
from reports.signing.bundle import Signed


@dataclass(frozen=True)
class Format:
    """A format: the file name that its readers expect, and the function that writes it."""

    file: str
    about: str
    module: str
    function: str
    spoken: bool = False  # a page for people, in their language


FORMATS = {
    "html": Format(
        "report.html", "the report, one page for people", "reports.document.build", "report_html", spoken=True
    ),
    "pdf": Format("report.pdf", "the report, printed", "reports.formats.pdf", "report_pdf", spoken=True),
    "junit": Format("junit.xml", "JUnit XML: each limit as a test case", "reports.formats.junit", "junit_xml"),
    "sarif": Format("audit.sarif", "SARIF 2.1.0: what asks for attention", "reports.formats.sarif", "sarif_json"),
    "cyclonedx": Format("audit.cdx.json", "CycloneDX 1.6 ML-BOM", "reports.formats.cyclonedx_bom", "cyclonedx_json"),
    "oscal": Format("audit.oscal.json", "OSCAL 1.2.1 assessment results", "reports.formats.oscal", "oscal_json"),
    "model-card": Format(
        "model-card.md", "Hugging Face model card with metadata", "reports.formats.model_card", "model_card"
    ),
    "prometheus": Format(
        "audit.prom", "Prometheus text: one gauge a number", "reports.formats.prometheus", "prometheus_text"
    ),
}


def find_format(name: str) -> Format:
    """The format of this name.

    Raises: FormatUnknown with the nearest name.
    """
    if name in FORMATS:
        return FORMATS[name]
    known = ", ".join(FORMATS)
    near = get_close_matches(name, FORMATS, n=1)
    raise FormatUnknown(
        f"there is no format {name!r}; there are {known}", mend=f"--format {near[0] if near else 'html'}"
    )


def render(record: Record, name: str, *, language: Language = ENGLISH, signed: Signed | None = None) -> bytes:
    """The record in this format, as the bytes of a file.

    Args:
        language: of pages for people; what machines read is English.
        signed: what a verified signature of this record vouches for; pages for people show it.

    Raises: FormatUnknown; LibraryMissing when the format needs a package that is not installed.
    """
    chosen = find_format(name)
    write: Callable[..., str | bytes] = getattr(import_module(chosen.module), chosen.function)
    written = write(record, language=language, signed=signed) if chosen.spoken else write(record)
    return written if isinstance(written, bytes) else written.encode("utf-8")
