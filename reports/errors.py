"""What can go wrong with a report. The same short letters as the rest of the suite: what was found, and what to type.

ReportError (2)        the command line answers with this exit code
├── RecordMissing      there is no record at this place
├── RecordDamaged      truncated, not JSON, or not a record
├── RecordTooNew       written by a later version, whose keys this one does not know
├── RecordEdited       its content no longer fits its own hash
├── FigureUnfit        a figure whose rows cannot be drawn; the report shows its table instead
├── FrameworkUnknown   there is no framework of this name
├── FrameworkUnfit     a framework file that is broken, or has a clause twice
├── AttestationsUnfit  attestations that are broken, or were given for another checkpoint
├── ReviewUnfit        a review queue that is broken, or whose decisions cannot be counted
├── FormatUnknown      there is no format of this name
├── LanguageUnknown    the report's texts are not there in this language
├── CatalogueUnfit     a catalogue of texts that is broken, or whose placeholders do not fit
├── KeyUnfit           a key that cannot sign or verify, or whose passphrase is missing or wrong
├── SignatureUnfit     a signature in a format that is not known
├── SignatureBroken    a signature of another key, or of other bytes
└── LibraryMissing     a format needs a package that is not installed
"""

from __future__ import annotations


class ReportError(Exception):
    """An error whose text is written for the person who reads it.

    Args:
        found: what was found and where, naming the file and the field.
        mend: what to type or change next.
    """

    exit_code = 2

    def __init__(self, found: str, *, mend: str) -> None:
        self.found = found
        self.mend = mend
        super().__init__(found, mend)

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.found}\n  Try: {self.mend}"


class RecordMissing(ReportError):
    """There is no record at this place, or it cannot be read."""


class RecordDamaged(ReportError):
    """The file is truncated, not JSON, or not a record."""


class RecordTooNew(ReportError):
    """The record was written by a later version of the suite."""


class RecordEdited(ReportError):
    """The record's content does not fit the hash that it carries."""


class FigureUnfit(ReportError):
    """A figure's rows lack what its kind reads."""


class FormatUnknown(ReportError):
    """There is no format of this name."""


class LanguageUnknown(ReportError):
    """The report's texts are not there in this language."""


class CatalogueUnfit(ReportError):
    """A catalogue of texts that cannot be used."""


class FrameworkUnknown(ReportError):
    """There is no framework of this name."""


class FrameworkUnfit(ReportError):
    """A framework file that cannot be used."""


class AttestationsUnfit(ReportError):
    """Attestations that cannot be used with this record."""


class ReviewUnfit(ReportError):
    """Review decisions that cannot be read or counted."""


class KeyUnfit(ReportError):
    """A key that cannot be used to sign or to verify."""


class SignatureUnfit(ReportError):
    """A signature in a format that is not known."""


class SignatureBroken(ReportError):
    """A signature that does not hold: made by another key, or over other bytes."""


class LibraryMissing(ReportError):
    """A format needs a package that is not installed."""
