"""Which column holds what: named by the user, or found under a well-known name and reported as a guess."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from core_model.errors import ColumnMissing, OptionUnfit

# In the order of preference; names as data sets on public hubs use them, compared without case.
TEXT_NAMES = (
    "text", "comment", "sentence", "content", "review", "body", "tweet", "message", "document", "premise", "sentence1",
    "question1", "text_a", "comment_text", "review_text", "question", "source", "input", "title",
)  # fmt: skip
PAIR_NAMES = {"premise": "hypothesis", "sentence1": "sentence2", "question1": "question2", "text_a": "text_b"}
LABEL_NAMES = ("label", "labels", "target", "class", "gold_label", "category", "sentiment", "y", "bias_sent")


@dataclass(frozen=True)
class Columns:
    """The names of the columns to read, and which of them were guessed."""

    text: str
    pair: str | None = None
    label: str | None = None
    groups: tuple[str, ...] = ()
    guessed: dict[str, str] = field(default_factory=dict)


def choose_columns(
    source: str,
    columns: Sequence[str],
    *,
    text: str | None,
    pair: str | None,
    label: str | None,
    groups: Sequence[str],
    labels_required: bool = False,
) -> Columns:
    """Named columns, checked; unnamed ones by well-known name. A group column is never guessed.

    Raises: ColumnMissing, with the columns that there are and the nearest name; OptionUnfit when one column is asked
        to be two things.
    """
    asked = [("--text-column", text), ("--pair-column", pair), ("--label-column", label)]
    asked += [("--group-column", group) for group in groups]
    for flag, name in asked:
        if name is not None and name not in columns:
            raise ColumnMissing(
                f"{source} has no column {name!r} (asked for by {flag}). It has: {', '.join(map(repr, columns))}",
                mend=f"{flag} {nearest(name, columns)}",
            )
    if text is not None and text in (pair, label):
        raise OptionUnfit(
            f"column {text!r} of {source} is asked to be the text and also the {'pair' if text == pair else 'label'}",
            mend="name two columns",
        )
    guessed: dict[str, str] = {}
    taken: set[str | None] = {name for _, name in asked if name is not None}
    chosen_label = label
    if label is None:
        chosen_label = _known(LABEL_NAMES, columns, taken)
        if chosen_label is not None:
            guessed["label_column"] = chosen_label
        elif labels_required:
            raise ColumnMissing(
                f"{source} has no column with a usual name for labels. It has: {', '.join(map(repr, columns))}",
                mend="--label-column COLUMN",
            )
    chosen_text, chosen_pair = text, pair
    if text is None:
        rest = [column for column in columns if column not in taken | {chosen_label}]
        chosen_text = _known(TEXT_NAMES, columns, taken | {chosen_label}) or (rest[0] if len(rest) == 1 else None)
        if chosen_text is None:
            raise ColumnMissing(
                f"{source} has no column with a usual name for text. It has: {', '.join(map(repr, columns))}",
                mend=f"--text-column {rest[0] if rest else 'COLUMN'}",
            )
        guessed["text_column"] = chosen_text
        partner = PAIR_NAMES.get(chosen_text.casefold())
        if pair is None and partner is not None:
            chosen_pair = _known((partner,), columns, taken)
            if chosen_pair is not None:
                guessed["pair_column"] = chosen_pair
    assert chosen_text is not None  # noqa: S101  # named or guessed above
    return Columns(chosen_text, chosen_pair, chosen_label, tuple(dict.fromkeys(groups)), guessed)


def nearest(name: str, names: Sequence[str]) -> str:
    """The name that was probably meant."""
    plain = {candidate.casefold(): candidate for candidate in names}
    near = difflib.get_close_matches(name.casefold(), list(plain), n=1, cutoff=0.4)
    return plain[near[0]] if near else names[0]


def _known(wished: Sequence[str], columns: Sequence[str], taken: set[str | None]) -> str | None:
    plain = {column.casefold(): column for column in reversed(columns) if column not in taken}
    return next((plain[name] for name in wished if name in plain), None)
