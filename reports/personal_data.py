"""Where a text holds personal data, found by Presidio's recognisers of patterns (the extra `redaction`).

A number counts when its issuer's check holds (IBAN, cards) or its country's numbering plan knows it (telephone), an
e-mail address when its domain has a public suffix. Names, postal addresses, dates and whatever is written about a
person in words have no pattern and are not found: that would take a model, and this suite fetches none. Nothing is
asked of the network.

Source: Microsoft Presidio, https://github.com/microsoft/presidio.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from reports.errors import LibraryMissing

LEAST_SCORE = 0.4  # Presidio's own, for patterns without a check: its weakest ones match any row of digits
LOOKED_FOR = (
    "e-mail addresses, telephone numbers, IBANs, payment cards, IP and MAC addresses, cryptocurrency wallets, "
    "US social security numbers"
)


@dataclass(frozen=True)
class Span:
    """A piece of personal data: where it stands in the text (characters, end exclusive), and what it is."""

    start: int
    end: int
    kind: str


class Detector(Protocol):
    """What finds personal data in a text."""

    name: str
    """Which one, of which version, and what it looks for."""

    def spans(self, text: str) -> Sequence[Span]:
        """The pieces in order; none overlaps another."""


@cache
def presidio() -> Detector:
    """The detector.

    Raises: LibraryMissing.
    """
    return Presidio()


class Presidio:
    """Presidio's recognisers of patterns, without a language model.

    Raises: LibraryMissing.
    """

    def __init__(self) -> None:
        try:
            from importlib.metadata import version

            from presidio_analyzer import predefined_recognizers as found
            from tldextract import TLDExtract
        except ImportError as error:
            raise LibraryMissing(
                f"masking personal data needs presidio-analyzer ({error})",
                mend="pip install 'aboveboard[redaction]', or --redact hash",
            ) from error
        suffixes = TLDExtract(suffix_list_urls=(), cache_dir=None)  # the list that came with it; no network

        class Addresses(found.EmailRecognizer):
            def validate_result(self, pattern_text: str) -> bool:
                return bool(suffixes(pattern_text).fqdn)

        self.name = f"presidio-analyzer {version('presidio-analyzer')} by patterns: {LOOKED_FOR}"
        self._recognizers: dict[str, Any] = {
            "EMAIL": Addresses(),
            "IBAN": found.IbanRecognizer(),
            "CARD": found.CreditCardRecognizer(),
            "IP": found.IpRecognizer(),
            "MAC": found.MacAddressRecognizer(),
            "WALLET": found.CryptoRecognizer(),
            "SSN": found.UsSsnRecognizer(),
            "PHONE": found.PhoneRecognizer(),  # last: without its country's code, a number fits many patterns
        }

    def spans(self, text: str) -> Sequence[Span]:
        """The pieces in order; none overlaps another."""
        return merged(
            Span(hit.start, hit.end, kind)
            for kind, recognizer in self._recognizers.items()
            for hit in recognizer.analyze(text, recognizer.supported_entities) or ()
            if hit.score >= LEAST_SCORE
        )


def merged(spans: Iterable[Span]) -> list[Span]:
    """Spans that overlap as one, of the kind that begins first, the longer one where two begin together."""
    together: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if together and span.start < together[-1].end:
            last = together.pop()
            span = Span(last.start, max(last.end, span.end), last.kind)  # noqa: PLW2901
        together.append(span)
    return together
