"""What the model leans on: the words that move its answers most, and a proof by deleting them.

A word's influence is the mean of its scores over the rows that hold it, toward one label. Words are picked for being
large, so their intervals are read with care; the proof is made on other rows: the word is deleted, and flips and
accuracy are counted. Answers near the edge flip whatever is deleted, so another word of the same row, drawn at random,
is deleted, too: only what the word flips beyond it is proof. A word that the model leans on and that says little about
the label in the data (or stands mostly in one group's rows) is a candidate for a spurious feature.

Source: Ribeiro et al. 2016, arXiv:1602.04938 (global view of local explanations); Wang et al. 2022, arXiv:2110.07736
(candidates for spurious features).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.explainability.swap import Swapped, identity_words, swapped
from audit.evidence import metric
from audit.examples import Shown, examples_of, shortened
from audit.plugin import Need
from audit.statistics import (
    Estimate,
    bootstrap_mean,
    difference_of_proportions,
    paired_difference_of_proportions,
    proportion,
)
from core_model.attribution import Attribution, variants_as_texts
from core_model.attribution_words import Worded, split_words
from reports.record import Metric, Scalar

if TYPE_CHECKING:
    from audit.subject import Subject

WANG = "Wang et al. 2022, arXiv:2110.07736"
FEWEST_ROWS = 5  # rows that must hold a word
GROUP_BOUND = 0.3  # a word stands in one group's rows by so much more than other words do


@dataclass(frozen=True, eq=False)
class Influence:
    """A word that the model leans on.

    Attributes:
        word: in lower case.
        toward: index of the label that it speaks for.
        estimate: mean score toward that label over the sampled rows that hold it.
        flips, accuracy: what deleting it does, on rows of the data.
        over_another: flips minus those when as many other words of the same rows are deleted.
        association: share of rows with the word that have the label, minus that share elsewhere; absent without labels.
        swapped: what putting its counterpart in its place does; None for what is no identity term.
        bound_to: the group in whose rows the word mostly stands, with how much more often; empty where there is none.
        asked: whether it was named in the options, and not found.
    """

    word: str
    toward: int
    estimate: Estimate
    flips: Estimate
    over_another: Estimate
    accuracy: Estimate
    association: Estimate
    shown: Shown  # rows whose answer flips
    swapped: Swapped | None = None
    bound_to: tuple[str, Estimate] | None = None
    asked: bool = False

    @property
    def weakly_associated(self) -> bool:
        """Whether the data do not say that the word speaks for this label."""
        return self.association.low is not None and self.association.low <= 0

    @property
    def spurious_candidate(self) -> bool:
        """Deleting it flips answers as no other word does, and the data give no reason, or only one group's."""
        proven = self.over_another.low is not None and self.over_another.low > 0
        return proven and (self.weakly_associated or self.bound_to is not None)


def influences(
    subject: Subject,
    attributions: Sequence[Attribution],
    sampled: np.ndarray,
    *,
    most: int,
    named: Sequence[str],
    identities: int,
    deletion_rows: int,
    resamples: int,
    random: np.random.Generator,
) -> list[Influence]:
    """The most influential words, and those that were named, each with its proof by deletion.

    Args:
        attributions: of the sampled rows, toward their predicted class; sampled: (rows of the sample,) their places.
        most: words looked for.
        named: words that are looked at whatever their influence.
        identities: identity terms that are looked at whatever their influence: those of the most rows.
        deletion_rows: rows of the data in which each word is deleted, at most.
    """
    scores = scores_by_word(attributions, two_classes=len(subject.labels) == 2)
    large = sorted(
        (key for key, values in scores.items() if len(values) >= FEWEST_ROWS),
        key=lambda key: (-abs(float(np.mean(scores[key]))), key),
    )
    chosen: dict[str, tuple[str, int]] = {}
    for key in large:  # a word once, by its strongest label
        if len(chosen) < most:
            chosen.setdefault(key[0], key)
    common = sorted({key[0] for key in large}, key=lambda word: (-rows_of(scores, word), word))
    asked = {word.casefold() for word in named} | set(identity_words(common, identities))
    asked -= set(chosen)
    for word in sorted(asked):
        keys = [key for key in scores if key[0] == word]
        if keys:
            chosen[word] = max(keys, key=lambda key: (len(scores[key]), key))
    rows_with = rows_by_word(subject, set(chosen))
    found = []
    for (word, key), child in zip(chosen.items(), random.spawn(len(chosen)), strict=True):
        mean_random, row_random, other_random = child.spawn(3)
        values = np.array(scores[key])
        toward = key[1]
        if len(subject.labels) == 2 and values.mean() < 0:
            values, toward = -values, 0
        rows = rows_with[word]
        fresh = np.setdiff1d(rows, sampled)
        fresh = fresh if len(fresh) >= FEWEST_ROWS else rows
        if len(fresh) > deletion_rows:
            fresh = np.sort(row_random.permutation(fresh)[:deletion_rows])
        deleted = _deleted(subject, word, fresh, other_random)
        found.append(
            Influence(
                word=word,
                toward=toward,
                estimate=bootstrap_mean(values, mean_random, resamples=resamples),
                flips=deleted.flips,
                over_another=deleted.over_another,
                accuracy=deleted.accuracy,
                association=_association(subject, rows, toward),
                swapped=swapped(subject, word, fresh),
                bound_to=_bound_to(subject, rows),
                asked=word in asked,
                shown=deleted.shown,
            )
        )
    return sorted(found, key=lambda one: (one.asked, -(one.estimate.value or 0.0), one.word))


def scores_by_word(attributions: Sequence[Attribution], *, two_classes: bool) -> dict[tuple[str, int], list[float]]:
    """(word, label) -> its mean score in each row that holds it. With two labels all scores speak of the second one."""
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for one in attributions:
        here: dict[str, list[float]] = defaultdict(list)
        for word, score in zip(one.words, one.scores, strict=True):
            if word.isalnum() or any(c.isalnum() for c in word):
                here[word.casefold()].append(float(score))
        # What a word adds to one of two probabilities it takes from the other.
        toward, sign = (1, 1.0 if one.target == 1 else -1.0) if two_classes else (one.target, 1.0)
        for word, scores in here.items():
            found[word, toward].append(sign * float(np.mean(scores)))
    return found


def rows_of(scores: Mapping[tuple[str, int], Sequence[float]], word: str) -> int:
    """Sampled rows that hold a word, whichever label they speak of."""
    return sum(len(values) for key, values in scores.items() if key[0] == word)


def rows_by_word(subject: Subject, words: set[str]) -> dict[str, np.ndarray]:
    """Places of the rows of the data that hold each word."""
    rows: dict[str, list[int]] = {word: [] for word in words}
    pairs = subject.data.pairs
    for row, text in enumerate(subject.texts):
        whole = text if pairs is None else f"{text}\n{pairs[row]}"
        folded = whole.casefold()
        if not any(word in folded for word in words):
            continue
        here = {whole[start:end].casefold() for start, end in split_words(whole)}
        for word in here & words:
            rows[word].append(row)
    return {word: np.array(places, dtype=np.int64) for word, places in rows.items()}


@dataclass(frozen=True, eq=False)
class Deleted:
    """What deleting a word from rows that hold it does; see `Influence`."""

    flips: Estimate
    over_another: Estimate
    accuracy: Estimate
    shown: Shown


def _deleted(subject: Subject, word: str, rows: np.ndarray, random: np.random.Generator) -> Deleted:
    """Flips, flips beyond those of other words, and change of accuracy when a word is deleted, and rows that flip."""
    if not len(rows):
        none: Shown = {"examples": [], "examples_worst": 0, "examples_total": 0}
        absent = Estimate.absent("no row holds it")
        return Deleted(absent, absent, absent, none)
    pairs = subject.data.pairs
    variants, others, has_other = [], [], []
    for row in rows:
        text, pair = subject.texts[row], None if pairs is None else pairs[row]
        spans = [(0, *s) for s in split_words(text)] + [(1, *s) for s in split_words(pair or "")]
        worded = Worded(text, pair, tuple(spans))
        holds = np.array([written.casefold() == word for written in worded.words])
        variants.append(worded.without(np.flatnonzero(holds)))
        others.append(worded.without(random.permutation(np.flatnonzero(~holds))[: holds.sum()]))
        has_other.append(not holds.all())
    before = subject.predictions.predicted[rows]
    both = subject.predict(*variants_as_texts(subject.predictor, [*variants, *others])).predicted  # type: ignore[arg-type]
    after = both[: len(rows)]
    flipped = before != after
    over_another = _beyond(flipped[has_other], (before != both[len(rows) :])[has_other])
    surest = np.flatnonzero(flipped)
    surest = surest[np.argsort(-subject.predictions.confidence[rows[surest]], kind="stable")]

    def line(place: int) -> dict[str, Scalar]:
        return {
            "row": int(rows[place]) + 1,
            "text": shortened(subject.texts[rows[place]]),
            "predicted": subject.labels[before[place]],
            "probability": round(float(subject.predictions.confidence[rows[place]]), 4),
            "predicted_without": subject.labels[after[place]],
        }

    accuracy = Estimate.absent("the data have no labels; --label-column COLUMN supplies them", n=len(rows))
    if subject.has(Need.LABELS):
        right, still = before == subject.targets[rows], after == subject.targets[rows]
        accuracy = paired_difference_of_proportions(
            int((still & right).sum()), int((still & ~right).sum()), int((~still & right).sum()),
            int((~still & ~right).sum()),
        )  # fmt: skip
    shown = examples_of(surest, line, finding=finding_of(word), seed=subject.seed)
    return Deleted(proportion(int(flipped.sum()), len(rows)), over_another, accuracy, shown)


def _beyond(flipped: np.ndarray, by_another: np.ndarray) -> Estimate:
    """How many more rows flip by the word than by another one of the same row, both (rows,) bool."""
    if not len(flipped):
        return Estimate.absent("no row with it has another word to delete")
    cells = (flipped & by_another, flipped & ~by_another, ~flipped & by_another, ~flipped & ~by_another)
    return paired_difference_of_proportions(*(int(cell.sum()) for cell in cells))


def finding_of(word: str) -> str:
    """The id of the finding that the model leans on a word."""
    return f"explainability-leans-on-{word}"


def _association(subject: Subject, rows: np.ndarray, label: int) -> Estimate:
    if not subject.has(Need.LABELS):
        return Estimate.absent("the data have no labels; --label-column COLUMN supplies them")
    holds = np.zeros(len(subject.texts), dtype=bool)
    holds[rows] = True
    is_label = subject.targets == label
    return difference_of_proportions(
        int((is_label & holds).sum()), int(holds.sum()), int((is_label & ~holds).sum()), int((~holds).sum())
    )


def _bound_to(subject: Subject, rows: np.ndarray) -> tuple[str, Estimate] | None:
    """The group whose rows hold the word much more than its share of all other rows."""
    if not subject.has(Need.GROUPS) or len(rows) < FEWEST_ROWS:
        return None
    others = np.ones(len(subject.texts), dtype=bool)
    others[rows] = False
    for column, values in subject.groups.items():
        group, count = Counter(values[rows].tolist()).most_common(1)[0]
        if not others.any():
            continue
        more = difference_of_proportions(count, len(rows), int((values[others] == group).sum()), int(others.sum()))
        if more.low is not None and more.low > GROUP_BOUND:
            return f"{column} = {group}", more
    return None


def influence_metrics(found: Sequence[Influence], labels: Sequence[str]) -> list[Metric]:
    """Influence, proof by deletion and association of each word."""
    lines = []
    for one in found:
        part, toward = {"word": one.word}, labels[one.toward]
        lines += [
            metric(
                "word_influence", one.estimate, unit="probability", slice={**part, "toward": toward},
                definition="mean score of the word by integrated gradients over the sampled rows that hold it, toward "
                "the label; words were picked for being large",
            ),
            metric(
                "deletion_flip_rate", one.flips, unit="share of rows with the word", slice=part, better="lower",
                definition="share of rows with the word whose predicted label changes when it is deleted",
            ),
            metric(
                "deletion_flip_rate_over_another_word", one.over_another, better="lower", slice=part,
                unit="difference of shares of rows with the word",
                definition="deletion_flip_rate minus the share whose label changes when another word of the same row, "
                "drawn at random, is deleted; 0: no more than any word",
            ),
            metric(
                "deletion_accuracy_change", one.accuracy, unit="difference of shares of rows with the word", slice=part,
                definition="accuracy after the word is deleted minus accuracy before, on rows with the word",
            ),
            metric(
                "word_label_association", one.association, unit="difference of shares of rows",
                slice={**part, "label": toward}, source=WANG,
                definition="share of rows with the word that truly have the label, minus that share of all other rows",
            ),
        ]  # fmt: skip
        if one.swapped is not None:
            part = {**part, "category": one.swapped.category}
            lines += [
                metric(
                    "swap_flip_rate", one.swapped.flips, unit="share of rows with the word", slice=part, better="lower",
                    definition="share of rows with the word whose predicted label changes when it becomes its "
                    "counterpart, such as 'she' for 'he'", source="Garg et al. 2019, arXiv:1809.10610",
                ),
                metric(
                    "swap_accuracy_change", one.swapped.accuracy, unit="difference of shares of rows with the word",
                    slice=part, source="Garg et al. 2019, arXiv:1809.10610",
                    definition="accuracy after the word becomes its counterpart minus accuracy before, on rows with it",
                ),
            ]  # fmt: skip
        if one.bound_to is not None:
            group, more = one.bound_to
            lines.append(
                metric(
                    "word_group_association", more, unit="difference of shares of rows",
                    slice={"word": one.word, "group": group},
                    definition="share of rows with the word that are the group's, minus that share of all other rows",
                )
            )  # fmt: skip
    return lines
