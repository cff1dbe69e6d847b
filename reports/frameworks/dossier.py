"""The dossier: one framework, clause by clause, beside what a record holds. One HTML file, the same bytes each time."""

from __future__ import annotations

from collections.abc import Collection

from reports.document import markup, states
from reports.document.page import page
from reports.document.rows import slice_words
from reports.formats.checks import seal
from reports.frameworks.clauses import EVIDENCE_STATES, GIVEN, OPEN, STALE, clause_views
from reports.frameworks.framework import Framework
from reports.frameworks.selection import Selection
from reports.language import ENGLISH, Language, _, speaking
from reports.numbers import measured, number
from reports.reading import RECORD_ELEMENT
from reports.record import Record, Status

__all__ = ["dossier_html"]


def dossier_html(
    record: Record,
    framework: Framework,
    *,
    installed: Collection[str] | None = None,
    selection: Selection | None = None,
    language: Language = ENGLISH,
) -> str:
    """The dossier as one HTML document that needs nothing else, and carries the record.

    Args:
        record: an audit's record, with what people said of it where that was read.
        framework: the clauses.
        installed: ids of the audits that could be run, so that no command is shown that would not work.
        selection: tables of selection rates, where the framework asks for them.
        language: of the page's own frame; the clauses are in the language of their file.
    """
    with speaking(language):
        return _dossier(record, framework, installed, selection)


def _dossier(
    record: Record, framework: Framework, installed: Collection[str] | None, selection: Selection | None
) -> str:
    views = clause_views(framework, record, installed=installed, selection=selection)
    questions = [question for view in views for question in view.questions]
    sealed = seal(record)
    return page(
        "dossier.html",
        footer=markup.page_footer(record.subject.sha256, _("evidence by clause")),
        embedded=markup.data_element(RECORD_ELEMENT, record.model_dump_json()),
        record=record,
        framework=framework,
        clauses=views,
        counts=[(state, sum(view.state is state for view in views)) for state in EVIDENCE_STATES],
        asked=[(state, sum(q.state is state for q in questions)) for state in (GIVEN, STALE, OPEN)],
        questions=len(questions),
        selection=selection,
        sealed=sealed,
        verdict=states.of_verdict(record.verdict),
        measured=sum(audit.status is Status.MEASURED for audit in record.audits),
        in_numbers=_in_numbers,
        slice_words=slice_words,
    )


def _in_numbers(value: float | None, interval: tuple[float, float] | None) -> tuple[str, str]:
    return measured(value, interval) if value is not None else ("", number(None))
