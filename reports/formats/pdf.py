"""The report as a PDF, for archives and for paper: the very page, printed, by WeasyPrint (the extra `pdf`).

Nothing is fetched: the page refers to nothing outside itself, and what would be asked for all the same is refused. The
embedded record and the script stay out. No clock is read: the same record gives the same bytes with the same fonts and
the same version of WeasyPrint.
"""

from __future__ import annotations

import re

from reports.document.build import report_html
from reports.errors import LibraryMissing
from reports.language import ENGLISH, Language
from reports.record import Record
from reports.signing.bundle import Signed

_SCRIPTS = re.compile(r"<script\b.*?</script>", re.DOTALL)
_CLOSED = re.compile(r"<details(?![^>]*\bopen\b)")  # on paper nobody unfolds
# What the printer's layout cannot do as a browser does.
_LIST, _PRINT = "@media print, (max-width: 40rem)", "@media print"  # it passes over a list with a width in it
_STYLE = "<style>.scroll{overflow:visible}table{table-layout:auto}.metrics th[scope=row]{min-width:0}</style>"


def report_pdf(record: Record, *, language: Language = ENGLISH, signed: Signed | None = None) -> bytes:
    """The report as the bytes of a PDF file.

    Raises: LibraryMissing without WeasyPrint, or without the system's Pango that it draws text with.
    """
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:
        raise LibraryMissing(
            f"a PDF needs WeasyPrint and Pango ({type(error).__name__})",
            mend="pip install 'aboveboard[pdf]'; on Debian also: apt-get install libpango-1.0-0 libpangoft2-1.0-0",
        ) from error
    page = printable(report_html(record, language=language, signed=signed))
    # The identifier is made of the content, not of a clock.
    identifier = (record.content_sha256 or record.subject.sha256).encode("ascii", "replace")
    pdf: bytes = HTML(string=page, url_fetcher=_refuse).write_pdf(pdf_identifier=identifier)
    return pdf


def printable(page: str) -> str:
    """A page as WeasyPrint can lay it out: no script, everything unfolded, rules for paper that it reads."""
    unfolded = _CLOSED.sub("<details open", _SCRIPTS.sub("", page))
    return unfolded.replace(_LIST, _PRINT, 1).replace("</head>", f"{_STYLE}</head>", 1)


def _refuse(url: str, *arguments: object, **options: object) -> dict[str, object]:
    raise ValueError(f"a report asks for nothing outside itself, and this page asks for {url[:80]}")
