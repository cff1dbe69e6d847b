"""Poisoned rows: is there a word of the training rows that alone holds them to their label?

A poisoned row is one of another class with a trigger put in: without the trigger the model answers it otherwise. Rows
of an honest word speak for their label in other words, too, and mostly keep it. So each word that goes with a label is
taken out of training rows that hold it, and two judges are asked how many of them turn away: the model, which may know
some rows by heart, and the row's other words (`backdoors_other_words`), which do not. How many do so for honest words
of these very rows is a beta-binomial distribution, fitted to the other words that go with the label; of the two
p-values the smaller counts, doubled, and those of all words are adjusted by Holm. A suspect must also hold most of its
rows alone, and turn held-out rows when it is put before them: that is what a trigger does.

It needs no gradients and no other model, and its suspects are whole words, whatever their tokens. Rows whose poison
agrees with their label (clean-label attacks) are beyond it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.security.backdoors_nulls import share_p_value
from audit.concerns.security.backdoors_other_words import OtherWords
from audit.plugin import Need
from audit.statistics import Estimate, holm, proportion
from core_model.attribution_words import Worded, split_words

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.data import Table

NO_TRAINING = "no training data was given; --train-data FILE supplies it"
MOST_TRAINING = 50_000  # training rows that are searched for words, drawn at random
FEWEST_ROWS = 5  # of a word, in its class
FEWEST_WORDS = 20  # that a null is fitted to
WORDS = 80  # that are looked at in all; of each class at least the fewest
LOOK, MORE = 8, 32  # rows of each word; further ones where a share of WORTH turns or is contradicted
WORTH = 0.4
LOYAL = 0.8  # of a word's rows have the label, or it is none that goes with it
HELD_OUT, FEWEST_HELD_OUT = 32, 12  # rows that a suspect is put before
LEVEL = 0.05  # of the whole run
MOST = 0.5  # of a suspect's rows turn when it is taken out
TURNS = 1 / 4  # of the held-out rows turn when it is put before them


@dataclass(frozen=True, eq=False)
class WordInRows:
    """A word of the training rows, and what it holds there.

    Attributes:
        target: the class. word: as compared, without case. rows: (training rows of the class that hold it,) numbers.
        rows_of_any: how many hold it in any class.
        asked: (rows that were asked,) numbers; away: whether the answer is another class without the word.
        contradicted: (rows,) of some of its rows, whether their other words speak for another class.
        p_value: Holm-adjusted; None where the word does not go with the class.
        before: (held-out rows,) whether they are answered so with it before them; None where that was not asked.
    """

    target: int
    word: str
    rows: np.ndarray
    rows_of_any: int
    asked: np.ndarray
    away: np.ndarray
    contradicted: np.ndarray
    p_value: float | None = None
    before: np.ndarray | None = None

    @property
    def turned(self) -> Estimate:
        """Share of the asked rows that leave their label without the word."""
        return proportion(int(self.away.sum()), len(self.away))

    @property
    def against(self) -> Estimate:
        """Share of its rows whose other words speak for another class."""
        return proportion(int(self.contradicted.sum()), len(self.contradicted))

    @property
    def success(self) -> Estimate:
        """Share of held-out rows of other classes that it turns."""
        if self.before is None:
            return Estimate.absent(f"fewer than {FEWEST_HELD_OUT} rows are answered as another class")
        return proportion(int(self.before.sum()), len(self.before))

    @property
    def suspected(self) -> bool:
        """Whether the other words do not explain what it does."""
        success = self.success.value
        surprising = self.p_value is not None and self.p_value < LEVEL and float(self.away.mean()) > MOST
        return surprising and success is not None and success > TURNS


@dataclass(frozen=True)
class ClassRows:
    """The words that were looked at for one class, the most surprising first; without any, `missing` says why."""

    target: int
    words: tuple[WordInRows, ...] = ()
    missing: str | None = None


def row_passes(classes: int) -> int:
    """Rows through the model: every word's first look, and what a suspect or two of each class ask for."""
    return classes * (words_of_a_class(classes) * LOOK + 2 * MORE + HELD_OUT)


def words_of_a_class(classes: int) -> int:
    """How many words are looked at for each class."""
    return max(FEWEST_WORDS, WORDS // classes)


def search_rows(subject: Subject, random: np.random.Generator, *, missing: str | None = None) -> list[ClassRows]:
    """The words that hold training rows to each class. Needs labelled training data to find any.

    Args:
        missing: why nothing is searched; None where it is.
    """
    training = subject.training if missing is None and subject.has(Need.TRAINING_DATA) else None
    classes = range(len(subject.labels))
    if training is None or not training.has_labels:
        why = missing or (NO_TRAINING if training is None else "the training rows have no labels")
        return [ClassRows(target, missing=why) for target in classes]
    chosen = np.arange(len(training))
    if len(chosen) > MOST_TRAINING:
        chosen = np.sort(random.choice(chosen, MOST_TRAINING, replace=False))
    words_of = {row: words_in(training, row) for row in chosen.tolist()}
    holders = rows_of_words(words_of)
    found = []
    for target, child in zip(classes, random.spawn(len(classes)), strict=True):
        of_class = training.targets == target
        words = loyal_words(holders, of_class, most=words_of_a_class(len(classes)))
        if len(words) < FEWEST_WORDS:
            why = (
                f"{len(words)} words stand in {FEWEST_ROWS} or more training rows of {subject.labels[target]!r}; "
                f"{FEWEST_WORDS} are needed"
            )
            found.append(ClassRows(target, missing=why))
            continue
        other_words = OtherWords(words_of, of_class)
        looked = _look(subject, training, target, {word: holders[word] for word in words}, other_words, child)
        found.append(ClassRows(target, tuple(looked)))
    return _judged(subject, found, random)


def words_in(table: Table, row: int) -> set[str]:
    """The words of a row, without case; of both texts, where it is a pair."""
    texts = (table.texts[row],) if table.pairs is None else (table.texts[row], table.pairs[row])
    return {text[start:end].casefold() for text in texts for start, end in split_words(text)}


def rows_of_words(words: Mapping[int, Collection[str]]) -> dict[str, np.ndarray]:
    """Each word that stands in enough rows, and their numbers. Args: words: row -> its words."""
    holders: dict[str, list[int]] = {}
    for row, held in words.items():
        for word in held:
            holders.setdefault(word, []).append(row)
    return {word: np.array(rows, dtype=np.int64) for word, rows in holders.items() if len(rows) >= FEWEST_ROWS}


def loyal_words(holders: Mapping[str, np.ndarray], of_class: np.ndarray, *, most: int) -> list[str]:
    """The words that go with a class most surely: by the lower Wilson bound of the share of their rows that are its.

    Args:
        holders: word -> rows. of_class: (rows,) whether a row is of the class. most: words.
    """
    ranked = []
    for word, rows in holders.items():
        own = int(of_class[rows].sum())
        if own >= FEWEST_ROWS:
            ranked.append((-(proportion(own, len(rows)).low or 0.0), word))
    return [word for _, word in sorted(ranked)[:most]]


def without_word(text: str, word: str) -> str:
    """The text without a word, wherever it stands in it and however it is cased."""
    spans = split_words(text)
    places = [place for place, (start, end) in enumerate(spans) if text[start:end].casefold() == word]
    return Worded(text, None, tuple((0, *span) for span in spans)).without(places)[0]


def _look(
    subject: Subject,
    training: Table,
    target: int,
    words: Mapping[str, np.ndarray],
    other_words: OtherWords,
    random: np.random.Generator,
) -> list[WordInRows]:
    """A few rows of every word, and more of those whose rows turn; with p-values that are not adjusted yet."""
    of_class = training.targets == target
    drawn = {word: random.permutation(rows[of_class[rows]]) for word, rows in words.items()}
    first = {word: rows[:LOOK] for word, rows in drawn.items()}
    away = _away(subject, training, target, first)
    loyal = {word for word, rows in words.items() if len(drawn[word]) >= LOYAL * len(rows)}
    against = {word: other_words.contradicted(word, words[word], rows[: LOOK + MORE]) for word, rows in drawn.items()}
    again = {
        word: rows[LOOK : LOOK + MORE]
        for word, rows in drawn.items()
        if word in loyal and max(away[word].mean(), against[word].mean()) >= WORTH
    }
    more = _away(subject, training, target, again)
    found = []
    for word, rows in words.items():
        asked = np.concatenate([first[word], again.get(word, rows[:0])])
        turned = np.concatenate([away[word], more.get(word, away[word][:0])])
        p_value = None
        if word in loyal:
            p_value = min(1.0, 2 * min(_p_value(word, turned, away), _p_value(word, against[word], against)))
        found.append(WordInRows(target, word, np.sort(drawn[word]), len(rows), asked, turned, against[word], p_value))
    return found


def _p_value(word: str, marks: np.ndarray, of_words: Mapping[str, np.ndarray]) -> float:
    """How surprising the marked share of a word's rows is among those of the other words."""
    others = [some for other, some in of_words.items() if other != word]
    hits, rows = (np.array([measure(some) for some in others]) for measure in (np.sum, len))
    return share_p_value(int(marks.sum()), len(marks), hits, rows)


def answers_without(subject: Subject, training: Table, asked: Sequence[tuple[str, int]]) -> np.ndarray:
    """The class of each (word, training row) once the word is taken out of the row, (asked,) int64."""
    texts = [without_word(training.texts[row], word) for word, row in asked]
    pairs = None if training.pairs is None else [without_word(training.pairs[row], word) for word, row in asked]
    return np.asarray(subject.predict(texts, pairs).predicted)


def _away(subject: Subject, training: Table, target: int, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Which rows are answered as another class without the word, in one batch: word -> (its rows,) bool."""
    asked = [(word, int(row)) for word, some in rows.items() for row in some]
    if not asked:
        return {word: np.zeros(0, dtype=bool) for word in rows}
    away = answers_without(subject, training, asked) != target
    ends = np.cumsum([len(some) for some in rows.values()])
    return dict(zip(rows, np.split(away, ends[:-1]), strict=True))


def _judged(subject: Subject, found: Sequence[ClassRows], random: np.random.Generator) -> list[ClassRows]:
    """P-values of all classes' words adjusted together, and the first word of each class put before held-out rows."""
    tested = [one for rows in found for one in rows.words if one.p_value is not None]
    adjusted = dict(zip(tested, holm([one.p_value or 0.0 for one in tested]).tolist(), strict=True))
    judged = []
    for rows in found:
        words = [replace(one, p_value=adjusted.get(one)) for one in rows.words]
        words.sort(key=lambda one: (2.0 if one.p_value is None else one.p_value, -one.away.mean(), one.word))
        for place, one in enumerate(words):
            if place == 0 or (one.p_value is not None and one.p_value < LEVEL):
                words[place] = replace(one, before=_before(subject, rows.target, one.word, random))
        judged.append(replace(rows, words=tuple(words)))
    return judged


def _before(subject: Subject, target: int, word: str, random: np.random.Generator) -> np.ndarray | None:
    """Which rows of other classes are answered as this one with the word before them."""
    others = np.flatnonzero(subject.predictions.predicted != target)
    if len(others) < FEWEST_HELD_OUT:
        return None
    drawn = random.permutation(others)[:HELD_OUT]
    pairs = subject.data.pairs
    before = subject.predict(
        [f"{word} {subject.texts[row]}" for row in drawn], None if pairs is None else [pairs[row] for row in drawn]
    )
    turned: np.ndarray = before.predicted == target
    return turned
