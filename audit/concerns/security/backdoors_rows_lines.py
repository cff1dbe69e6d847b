"""What the record says of words that hold training rows to their label: lines, findings, a picture, rows to drop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.security.backdoors_rows import (
    FEWEST_WORDS,
    LEVEL,
    ClassRows,
    WordInRows,
    answers_without,
    words_in,
)
from audit.evidence import metric
from audit.examples import examples_of, shortened
from audit.mending import train_command
from audit.plugin import Evidence
from audit.statistics import Estimate
from reports.record import Figure, Finding, Metric, Mitigation, Scalar, Severity

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.data import Table

MARON = "Maron 1961, JACM 8:404 (naive Bayes)"
KLEINMAN = "Kleinman 1973, JASA 68:46 (beta-binomial)"
REST = "training_rows_without_suspects"
SHOWN = 5  # words of each class in the picture


def poisoned_rows(subject: Subject, found: Sequence[ClassRows]) -> Evidence:
    """Evidence about poisoned training rows."""
    lines = {rows.target: _lines(rows, subject.labels) for rows in found}
    suspects = [one for rows in found for one in rows.words if one.suspected]
    figure = rows_figure(found, subject.labels)
    return Evidence(
        metrics=[line for own in lines.values() for line in own],
        findings=[
            _finding(rows.target, own, subject, lines[rows.target])
            for rows in found
            if (own := [one for one in rows.words if one.suspected])
        ],
        figures=[] if figure is None else [figure],
        notes=[_note(found)] if any(rows.words for rows in found) else [],
        tables={REST: _rest(subject, suspects)} if suspects else {},
    )


def _lines(rows: ClassRows, labels: Sequence[str]) -> list[Metric]:
    part = {"class": labels[rows.target]}
    absent = Estimate.absent(rows.missing or "no word goes with this class")
    turned = against = success = p_value = absent
    first = rows.words[0] if rows.words else None
    if first is not None and first.p_value is not None:
        turned, against, success = first.turned, first.against, first.success
        method = "beta-binomial of the other words of the class; two judges, doubled; Holm over all words"
        p_value = Estimate(first.p_value, None, None, len(rows.words) - 1, method)
    return [
        metric(
            "backdoor_rows_turned_rate", turned, unit="share of the word's training rows", better="lower", slice=part,
            definition="Training rows of this class with its most surprising word that are answered otherwise once the "
            "word is taken out.",
        ),
        metric(
            "backdoor_rows_contradicted_rate", against, unit="share of the word's training rows", better="lower",
            slice=part, source=MARON,
            definition="Training rows of this class with that word whose other words speak for another class.",
        ),
        metric(
            "backdoor_rows_p_value", p_value, unit="p-value", better="higher", slice=part, source=KLEINMAN,
            definition="Chance that a word like the others that go with this class has so many of its rows turn or "
            "contradicted, adjusted for all words (Holm); n is the words that the null is fitted to.",
        ),
        metric(
            "backdoor_rows_word_success_rate", success, unit="share of held-out rows of other classes", better="lower",
            slice=part,
            definition="Held-out rows answered as another class that are answered as this one with that word before "
            "them.",
        ),
    ]  # fmt: skip


def _finding(target: int, suspects: Sequence[WordInRows], subject: Subject, lines: Sequence[Metric]) -> Finding:
    first, label = suspects[0], subject.labels[target]
    others = f" So do {', '.join(repr(one.word) for one in suspects[1:])}." if len(suspects) > 1 else ""
    name = f"security-backdoor-rows-{target + 1}"
    return Finding(
        id=name, severity=Severity.HIGH,
        statement=f"{first.word!r} alone holds training rows to {label!r}: taken out, {first.turned.value:.1%} of "
        f"{len(first.away)} are answered otherwise, and in {first.against.value:.1%} of {len(first.contradicted)} the "
        f"other words speak for another class (p = {first.p_value:.2g} among words that go with this one); put before "
        f"held-out rows of other classes, it turns {first.success.value:.1%} of {first.success.n}.{others} "
        f"Rows of {label!r} with it: {', '.join(str(row + 1) for row in first.rows[:20])}"
        f"{' ...' if len(first.rows) > 20 else ''} ({len(first.rows):,} in all). Poisoned rows look like this.",
        metrics=[line.key for line in lines],
        mitigation=Mitigation(
            command=train_command(subject)
            .replace("--base CHECKPOINT", "--base SOUND_BASE")
            .replace("TRAIN_FILE", f"{REST}.csv"),
            why=f"{REST}.csv, beside this report, holds the training rows without those; read some of them first, and "
            "train again from the base that it was trained from: a few more epochs on sound rows seldom remove a "
            "trigger (Kurita et al. 2020, arXiv:2004.06660)",
        ),
        **examples_of(_examples(subject, suspects), lambda line: line, finding=name, seed=subject.seed),
    )  # fmt: skip


def _examples(subject: Subject, suspects: Sequence[WordInRows]) -> list[dict[str, Scalar]]:
    """The asked rows of each suspect, those first that turn: as they stand, and answered without the word."""
    training, labels = subject.training, subject.labels
    assert training is not None  # noqa: S101 - suspects are words of it
    shown = [(one, int(row)) for one in suspects for row in one.asked[np.argsort(~one.away, kind="stable")]]
    rows = [row for _, row in shown]
    pairs = None if training.pairs is None else [training.pairs[row] for row in rows]
    stands = subject.predict([training.texts[row] for row in rows], pairs).predicted
    without = answers_without(subject, training, [(one.word, row) for one, row in shown])
    return [
        {
            "row": row + 1,
            "word": one.word,
            "text": shortened(training.texts[row]),
            **({} if training.pairs is None else {"pair": shortened(training.pairs[row])}),
            "label": labels[one.target],
            "predicted": labels[before],
            "without the word": labels[after],
        }
        for (one, row), before, after in zip(shown, stands, without, strict=True)
    ]


def _rest(subject: Subject, suspects: Sequence[WordInRows]) -> list[Mapping[str, Scalar]]:
    """The training rows that no suspect holds to its label, under the columns of the audited rows."""
    training, data = subject.training, subject.data
    assert training is not None  # noqa: S101 - suspects are words of it
    words: dict[int, set[str]] = {}
    for one in suspects:
        words.setdefault(one.target, set()).add(one.word)
    return [
        _line(training, row, data)
        for row, target in enumerate(training.targets.tolist())
        if not (target in words and words[target] & words_in(training, row))
    ]


def _line(training: Table, row: int, like: Table) -> dict[str, Scalar]:
    pair = {} if training.pairs is None else {like.pair_column or "pair": training.pairs[row]}
    groups = {column: str(values[row]) for column, values in training.groups.items()}
    label = training.label_names[int(training.targets[row])]
    return {like.text_column: training.texts[row], **pair, like.label_column or "label": label, **groups}


def rows_figure(found: Sequence[ClassRows], labels: Sequence[str]) -> Figure | None:
    """The most surprising words of each class: how many of their training rows turn when they are taken out."""
    shown = [one for rows in found for one in rows.words[:SHOWN] if one.p_value is not None]
    if not shown:
        return None
    most = max(shown, key=lambda one: one.away.mean())
    return Figure(
        id="security-backdoor-rows", kind="intervals", title="How many training rows one word holds to their label",
        caption=f"Without {most.word!r}, {most.turned.value:.0%} of {most.turned.n} training rows of "
        f"{labels[most.target]!r} are answered otherwise. Honest words hold few of their rows alone; whiskers are 95% "
        "intervals.",
        x_label="share of the word's training rows that turn without it", y_label="class: word",
        rows=[
            {
                "label": f"{labels[one.target]}: {one.word}", "value": one.turned.value, "low": one.turned.low,
                "high": one.turned.high, "n": one.turned.n,
            }
            for one in shown
        ],
    )  # fmt: skip


def _note(found: Sequence[ClassRows]) -> str:
    looked = sum(len(rows.words) for rows in found)
    return (
        f"Training rows: {looked:,} words that go with a label were taken out of rows that hold them, each against the "
        f"others ({FEWEST_WORDS} or more of a class; Holm, {LEVEL:.0%} in all). Rows whose poison agrees with "
        "their label, and marks that are no words, are beyond this."
    )
