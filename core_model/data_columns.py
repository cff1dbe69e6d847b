"""Which column holds what: named by the user, or found under a well-known name and reported as a guess.

Every task reads up to three texts a row: a text, a second text beside it (a pair), and a reference, which is what the
model should write. Each task calls them by its own words, here and on the command line.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from core_model.errors import ColumnMissing, OptionUnfit
from core_model.tasks import Task

# In the order of preference; names as data sets on public hubs use them, compared without case.
TEXT_NAMES = (
    "text", "comment", "sentence", "content", "review", "body", "tweet", "message", "document", "premise", "sentence1",
    "question1", "text_a", "comment_text", "review_text", "question", "source", "input", "title",
)  # fmt: skip
PAIR_NAMES = {"premise": "hypothesis", "sentence1": "sentence2", "question1": "question2", "text_a": "text_b"}
LABEL_NAMES = ("label", "labels", "target", "class", "gold_label", "category", "sentiment", "y", "bias_sent")


@dataclass(frozen=True)
class Roles:
    """What a task calls its columns.

    Attributes:
        text, pair, reference: the flags that name them; None where the task has no such column.
        text_names, pair_names, reference_names: well-known names, in the order of preference.
        labels: whether a label column is looked for where none is named.
    """

    text: str = "--text-column"
    pair: str | None = None
    reference: str | None = None
    text_names: tuple[str, ...] = TEXT_NAMES
    pair_names: tuple[str, ...] = ()
    reference_names: tuple[str, ...] = ()
    labels: bool = False


SOURCE, TARGET = "--source-column", "--target-column"
CLASSIFICATION = Roles(pair="--pair-column", labels=True)
ROLES = {
    Task.LANGUAGE_MODELING: Roles(),
    Task.MASKED_LANGUAGE_MODELING: Roles(),
    Task.TRANSLATION: Roles(
        SOURCE, reference=TARGET, text_names=("source", "src", "sentence", "text", "input"),
        reference_names=("target", "tgt", "translation", "reference", "output"),
    ),
    Task.SUMMARIZATION: Roles(
        SOURCE, reference=TARGET, text_names=("document", "article", "dialogue", "source", "text", "description"),
        reference_names=("summary", "highlights", "target", "synopsis", "title"),
    ),
    Task.QUESTION_ANSWERING: Roles(
        "--question-column", "--context-column", "--answer-column", text_names=("question", "query"),
        pair_names=("context", "passage", "document"), reference_names=("answers", "answer", "label"),
    ),
}  # fmt: skip


def roles_of(task: Task | None) -> Roles:
    """A task's words for its columns; a classifier's where nothing is said."""
    return ROLES.get(task, CLASSIFICATION) if task is not None else CLASSIFICATION


@dataclass(frozen=True)
class Columns:
    """The names of the columns to read, and which of them were guessed."""

    text: str
    pair: str | None = None
    reference: str | None = None
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
    reference: str | None = None,
    labels_required: bool = False,
    references_required: bool = False,
    task: Task | None = None,
) -> Columns:
    """Named columns, checked; unnamed ones by well-known name. A group column is never guessed.

    A name with a dot may reach into a column of objects: `translation.en`.

    Raises: ColumnMissing, with the columns that there are and the nearest name; OptionUnfit when one column is asked
        to be two things, or the task has no such column.
    """
    roles = roles_of(task)
    asked = [(roles.text, text), (roles.pair or "--pair-column", pair), (roles.reference or TARGET, reference)]
    asked += [("--label-column", label), *(("--group-column", group) for group in groups)]
    for flag, name in asked:
        if name is not None and not _has(columns, name):
            raise ColumnMissing(
                f"{source} has no column {name!r} (asked for by {flag}). It has: {', '.join(map(repr, columns))}",
                mend=f"{flag} {nearest(name, columns)}",
            )
    _refuse_unfit(source, task, roles, text=text, pair=pair, reference=reference, label=label)
    taken: set[str | None] = {name for _, name in asked if name is not None}
    guessed: dict[str, str] = {}

    def guess(what: str, names: Sequence[str]) -> str | None:
        found = _known(names, columns, taken)
        if found is not None:
            guessed[what] = found
            taken.add(found)
        return found

    chosen_label = label
    if label is None and roles.labels:
        chosen_label = guess("label_column", LABEL_NAMES)
        if chosen_label is None and labels_required:
            raise _unfound(source, columns, "labels", "--label-column COLUMN")
    chosen_reference = reference
    if reference is None and roles.reference is not None:
        chosen_reference = guess(roles.reference[2:].replace("-", "_"), roles.reference_names)
        if chosen_reference is None and references_required:
            raise _unfound(source, columns, "what the model should write", f"{roles.reference} COLUMN")
    chosen_text, chosen_pair = text, pair
    if text is None:
        rest = [column for column in columns if column not in taken]
        chosen_text = _known(roles.text_names, columns, taken) or (rest[0] if len(rest) == 1 else None)
        if chosen_text is None:
            raise _unfound(source, columns, "text", f"{roles.text} {rest[0] if rest else 'COLUMN'}")
        guessed[roles.text[2:].replace("-", "_")] = chosen_text
        taken.add(chosen_text)
        partner = PAIR_NAMES.get(chosen_text.casefold())
        if pair is None and roles.labels and partner is not None:
            chosen_pair = guess("pair_column", (partner,))
    if pair is None and roles.pair_names:
        chosen_pair = guess(str(roles.pair)[2:].replace("-", "_"), roles.pair_names)
        if chosen_pair is None:
            raise _unfound(source, columns, "the text that holds the answer", f"{roles.pair} COLUMN")
    assert chosen_text is not None  # noqa: S101  # named or guessed above
    return Columns(chosen_text, chosen_pair, chosen_reference, chosen_label, tuple(dict.fromkeys(groups)), guessed)


def _refuse_unfit(
    source: str, task: Task | None, roles: Roles, *, text: str | None, pair: str | None, reference: str | None,
    label: str | None,
) -> None:  # fmt: skip
    for flag, name, has in (("--pair-column", pair, roles.pair), (TARGET, reference, roles.reference)):
        if name is not None and has is None:
            raise OptionUnfit(
                f"task {task or Task.CLASSIFICATION} reads no such column as {name!r}", mend=f"leave {flag} out"
            )
    if text is None:
        return
    words = {"pair": pair, "reference": reference, "label": label}
    twice = next((what for what, name in words.items() if name == text), None)
    if twice is not None:
        called = {
            "pair": "pair",
            "reference": (roles.reference or TARGET)[2:].removesuffix("-column"),
            "label": "label",
        }
        raise OptionUnfit(
            f"column {text!r} of {source} is asked to be the text and also the {called[twice]}",
            mend="name two columns",
        )


def _unfound(source: str, columns: Sequence[str], what: str, mend: str) -> ColumnMissing:
    return ColumnMissing(
        f"{source} has no column with a usual name for {what}. It has: {', '.join(map(repr, columns))}", mend=mend
    )


def _has(columns: Sequence[str], name: str) -> bool:
    return name in columns or name.partition(".")[0] in columns


def nearest(name: str, names: Sequence[str]) -> str:
    """The name that was probably meant."""
    plain = {candidate.casefold(): candidate for candidate in names}
    near = difflib.get_close_matches(name.casefold(), list(plain), n=1, cutoff=0.4)
    return plain[near[0]] if near else names[0]


def _known(wished: Sequence[str], columns: Sequence[str], taken: set[str | None]) -> str | None:
    plain = {column.casefold(): column for column in reversed(columns) if column not in taken}
    return next((plain[name] for name in wished if name in plain), None)
