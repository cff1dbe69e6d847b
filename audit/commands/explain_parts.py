"""What every answer of `aboveboard explain` has in common: words with bars, what was cut, and what an audit says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from audit.concerns.explainability.heat_map import Kind
    from audit.concerns.explainability.marks import Mark
    from core_model.attention_maps import AttentionMap
    from core_model.attribution import Attribution
    from core_model.attribution_answers import Answered
    from core_model.attribution_writing import Written
    from reports.record import Figure


BAR = 20  # characters of the longest bar


@dataclass(frozen=True)
class Drawn:
    """Whether attention is drawn on the page, and which head large, counted from 1; None: the one most at words."""

    wanted: bool
    head: tuple[int, int] | None = None

    def of(self, maps: Sequence[AttentionMap]) -> list[list[Figure]]:
        """The pictures of each text."""
        from audit.concerns.explainability.attention_pictures import attention_pictures

        return [
            attention_pictures(one, name=f"text-{place}", head=self.head) for place, one in enumerate(maps, start=1)
        ]


def were_cut(found: Sequence[Attribution], texts: Sequence[str], pairs: Sequence[str] = ()) -> list[bool]:
    """Of which texts the model does not see a part, because they are longer than what it takes."""
    others: Sequence[str | None] = pairs or [None] * len(texts)
    return [
        one.worded.text != text or (other is not None and one.worded.pair != other)
        for one, text, other in zip(found, texts, others, strict=True)
    ]


def write_page(
    found: Sequence[Answered] | Sequence[Written], *, name: str, kind: Kind, picture: Callable[..., Figure | None],
    maps: Sequence[Sequence[Figure]], tolerance: float, cut: Sequence[bool], mark: Mark | None, out: Path,
) -> None:  # fmt: skip
    """The page of explained answers: each with its heat map, its own picture and its attention."""
    from audit.concerns.explainability.heat_map import heat_map_html
    from core_model.files import write_atomically

    drawn = [picture(one, name=f"text-{place}") for place, one in enumerate(found, start=1)]
    pictures = [[*([one] if one else []), *own] for one, own in zip(drawn, maps, strict=True)]
    page = heat_map_html(
        [one.whole for one in found], name=name, answers=[one.answer.text for one in found], kind=kind,
        figures=pictures, tolerance=tolerance, cut=cut, mark=mark,
    )  # fmt: skip
    write_atomically(out, page)


def print_words(one: Attribution, tolerance: float | None = None, *, cut: bool) -> None:
    """Words in reading order, each with its score and a bar; text of strangers is made visible first."""
    from audit.concerns.explainability.heat_map import CUT, quality_of, scale_of, signed
    from core_model.attribution import TOLERANCE
    from reports.text import terminal_text

    largest = scale_of(one)
    for word, score in zip(one.words, one.scores, strict=True):
        length = round(BAR * abs(float(score)) / largest)
        bar = ("+" if score > 0 else "-") * length
        click.echo(f"  {signed(float(score)):>9} {bar:<{BAR}} {terminal_text(word, longest=80)}")
    quality = quality_of(one, TOLERANCE if tolerance is None else tolerance)
    if quality:
        click.echo(f"  {quality}")
    if cut:
        click.echo(f"  {CUT}")


def words_as_objects(one: Attribution) -> list[dict[str, Any]]:
    """Each word with its place in the text and its score."""
    return [
        {"word": word, "in": "pair" if span[0] else "text", "start": span[1], "end": span[2], "score": float(score)}
        for word, span, score in zip(one.words, one.worded.spans, one.scores, strict=True)
    ]


def mark_as_object(mark: Mark | None) -> dict[str, Any] | None:
    """What an audit says of the method; None where no record was given."""
    return None if mark is None else {"faithful": mark.faithful, "statement": mark.statement}


def print_end(mark: Mark | None, out: Path | None) -> None:
    """What an audit says of the method, and where the page lies."""
    if mark is not None:
        click.echo(mark.statement)
    if out is not None:
        click.echo(f"page: {out}")
