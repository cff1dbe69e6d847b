"""Word and character attacks: of how many rows can the answer be changed by edits that a person reads over?

A row is attacked when it is answered rightly before (without labels: every row), as the field counts it: an attack
succeeds when another class is then predicted. A text that a person would now judge otherwise counts as a success, too:
a share of these "successes" is a fault of the attack and not of the model, and the examples are there to be looked at.

Source: Morris et al. 2020 (TextAttack), arXiv:2005.05909; each recipe's own paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.security.sample import Sample
from audit.evidence import Limit, metric
from audit.plugin import Need
from audit.statistics import Estimate, bootstrap_mean, median, proportion
from core_model.attacks.lock_step import UNKNOWN, Attacked, Run, WordGradients, attack
from core_model.attacks.recipes import recipe
from core_model.attacks.word_gradients import word_gradients
from core_model.checkpoint import open_checkpoint
from core_model.errors import BadInput
from core_model.prediction import Predictor
from core_model.smoothed_prediction import SmoothedPredictor
from reports.record import Metric

if TYPE_CHECKING:
    from audit.subject import Subject

MORRIS = "Morris et al. 2020, arXiv:2005.05909"
QUICK = ("pwws", "bae-like", "textfooler-like")  # a search by gradient goes first; the others ask little themselves
FEWEST_OF_A_GROUP = 10  # attacked rows for a group's own line
CONSTANT = "no edit of any row moved a probability: the model says the same of every text that was asked"
NO_LABELS = "the data have no labels; --label-column COLUMN supplies them"


@dataclass(frozen=True)
class WordAttack:
    """One recipe and what it did, or why it was not run.

    Attributes:
        run: None where it was not run; `missing` then says why.
        source: its paper.
        strength: what makes it stronger or weaker than its name and budget say.
    """

    name: str
    sample: Sample
    run: Run | None
    missing: str | None = None
    source: str | None = None
    strength: str = ""

    @property
    def attacked(self) -> tuple[Attacked, ...]:
        """Rows that were right before."""
        return () if self.run is None else tuple(row for row in self.run.rows if row.status != "skipped")

    @property
    def unmoved(self) -> bool:
        """Whether texts were asked and none of them moved the model: such an attack says nothing."""
        asked = [row for row in self.attacked if row.queries > 1]
        return bool(asked) and not any(row.moved for row in asked)

    @property
    def told_by_the_clock(self) -> str | None:
        """Why its numbers would tell of the clock and not of the model; None where most attacked rows ended."""
        cut = sum(row.ending == "time limit" for row in self.attacked)
        if 2 * cut <= len(self.attacked):
            return None
        return (
            f"the time limit stopped the attack on {cut:,} of {len(self.attacked):,} rows before its end; "
            "--set security.attack_seconds=SECONDS gives it more"
        )

    @property
    def succeeded(self) -> tuple[Attacked, ...]:
        """Rows whose answer was changed."""
        return tuple(row for row in self.attacked if row.status == "succeeded")


def attack_words(
    subject: Subject,
    sample: Sample,
    names: Sequence[str],
    *,
    query_budget: int,
    seconds: float,
    random: np.random.Generator,
    masked_model: str | None = None,
    missing: str | None = None,
) -> list[WordAttack]:
    """Every recipe on the same rows.

    Args:
        query_budget: texts asked for each row; seconds: for each recipe.
        masked_model: folder of the masked language model that one of them asks.
        missing: why nothing can be attacked; None where it can.
    """
    gradients = gradients_of(subject)
    found = []
    for name, child in zip(names, random.spawn(len(names)), strict=True):
        if missing is not None:
            found.append(WordAttack(name, sample, None, missing))
            continue
        try:
            made = recipe(name, masked_model=masked_model)
        except BadInput as error:  # a part that is not installed
            found.append(WordAttack(name, sample, None, f"{error.found}; {error.mend}"))
            continue
        by_gradient = made.name in QUICK and gradients is not None
        run = attack(
            subject.predictor, sample.texts, sample.targets, made.quick() if by_gradient else made, pairs=sample.pairs,
            query_budget=query_budget, seconds=seconds, random=child, unknown=_unknown(subject), gradients=gradients,
        )  # fmt: skip
        strengths = ["by gradient first"] if by_gradient else []
        if name == "bae-like" and masked_model is not None:
            strengths.append(f"words of the model {open_checkpoint(masked_model).sha256[:16]}")
        found.append(WordAttack(name, sample, run, source=made.source, strength=", ".join(strengths)))
    return found


def gradients_of(subject: Subject) -> WordGradients | None:
    """How words are ranked by gradient; None where the model has none (an exported one, or a stand-in)."""
    if not subject.has(Need.GRADIENTS) or not isinstance(subject.predictor, Predictor):
        return None
    return partial(word_gradients, subject.predictor)


def word_metrics(
    found: Sequence[WordAttack],
    subject: Subject,
    *,
    limit: Limit | None,
    resamples: int,
    random: np.random.Generator,
) -> list[Metric]:
    """Success, accuracy under attack, queries and change of words; success by class and by group, too."""
    lines: list[Metric] = []
    for one, child in zip(found, random.spawn(len(found)), strict=True):
        part = {"attack": one.name}
        everything = np.ones(len(one.sample), dtype=bool)
        lines.append(_success(one, everything, part, limit=limit, absent=_nothing_right(one)))
        lines.append(_accuracy(one, part))
        lines.append(
            metric(
                "queries_median", _queries(one),
                unit="texts asked for a row", slice=part, source=MORRIS, better="higher",
                definition="median number of distinct texts that the attack asked of the model for a row that it "
                "attacked, whether it succeeded or not",
            )
        )  # fmt: skip
        lines.append(
            metric(
                "word_change_rate", _word_change(one, resamples, child), unit="share of a row's words", slice=part,
                better="higher", source=MORRIS,
                definition="mean share of the words that were changed, over the rows whose answer was changed",
            )
        )  # fmt: skip
        if one.run is not None:
            lines += _by_class(one, subject.labels)
            lines += _by_group(one, subject.groups if subject.has(Need.GROUPS) else {})
    return lines


def changed_words(row: Attacked) -> str:
    """A text with its changes marked: `[good -> goood]`; letters that only look Latin are named."""
    parts = []
    for gap, before, after in zip(row.original.gaps, row.original.words, row.final.words, strict=False):
        parts += [gap, before if before == after else f"[{before} -> {_named(after)}]"]
    return "".join([*parts, row.original.gaps[-1]])


def _named(word: str) -> str:
    strange = "".join(f" U+{ord(letter):04X}" for letter in dict.fromkeys(word) if ord(letter) > 0x7F)
    return f"{word} ({strange.strip()})" if strange else word


def _success(
    one: WordAttack, chosen: np.ndarray, part: Mapping[str, str], *, limit: Limit | None, absent: str
) -> Metric:
    rows = [] if one.run is None else [row for row, here in zip(one.run.rows, chosen, strict=True) if here]
    attacked = [row for row in rows if row.status != "skipped"]
    if attacked and one.told_by_the_clock is not None:
        estimate = Estimate.absent(one.told_by_the_clock, n=len(attacked))
    elif attacked and one.unmoved:
        estimate = Estimate.absent(CONSTANT, n=len(attacked))
    elif attacked:
        estimate = proportion(sum(row.status == "succeeded" for row in attacked), len(attacked))
    else:
        estimate = Estimate.absent(one.missing or absent)
    return metric(
        "attack_success_rate", estimate, unit="share of attacked rows", better="lower", limit=limit, slice=part,
        source=one.source or MORRIS,
        definition="share of the rows that were answered rightly whose answer the attack changed",
    )  # fmt: skip


def _nothing_right(one: WordAttack) -> str:
    return "no row with a word" if not len(one.sample) else "the model answers none of the drawn rows rightly"


def _accuracy(one: WordAttack, part: Mapping[str, str]) -> Metric:
    if one.run is None or not len(one.sample):
        estimate = Estimate.absent(one.missing or "no row with a word")
    elif not one.sample.labelled:
        estimate = Estimate.absent(NO_LABELS)
    elif one.told_by_the_clock is not None:
        estimate = Estimate.absent(one.told_by_the_clock, n=len(one.attacked))
    else:
        estimate = proportion(sum(row.status == "failed" for row in one.run.rows), len(one.run.rows))
    return metric(
        "accuracy_under_attack", estimate, unit="share of rows", better="higher", slice=part, source=MORRIS,
        definition="share of the drawn rows that are answered rightly before and after the attack",
    )  # fmt: skip


def _queries(one: WordAttack) -> Estimate:
    if not one.attacked:
        return Estimate.absent(one.missing or _nothing_right(one))
    if one.told_by_the_clock is not None:
        return Estimate.absent(one.told_by_the_clock, n=len(one.attacked))
    return median(np.array([row.queries for row in one.attacked]))


def _word_change(one: WordAttack, resamples: int, random: np.random.Generator) -> Estimate:
    if not one.succeeded:
        return Estimate.absent(one.missing or "the attack changed no answer")
    shares = np.array([row.words_changed / len(row.original) for row in one.succeeded])
    return bootstrap_mean(shares, random, bounds=(0.0, 1.0), resamples=resamples)


def _by_class(one: WordAttack, labels: Sequence[str]) -> list[Metric]:
    what = "labelled" if one.sample.labelled else "predicted"
    lines = []
    for place, label in enumerate(labels):
        chosen = one.sample.targets == place
        right = int((chosen & (one.sample.predicted == place)).sum())
        absent = f"none of the {int(chosen.sum())} drawn rows {what} {label!r} is answered so"
        lines.append(
            _success(one, chosen, {"attack": one.name, "class": label}, limit=None, absent=absent if not right else "")
        )
    return lines


def _by_group(one: WordAttack, groups: Mapping[str, np.ndarray]) -> list[Metric]:
    """Groups with enough attacked rows."""
    lines = []
    right = one.sample.targets == one.sample.predicted
    for column, values in groups.items():
        drawn = values[one.sample.rows]
        for group in sorted(set(drawn.tolist())):
            chosen = drawn == group
            if int((chosen & right).sum()) >= FEWEST_OF_A_GROUP:
                lines.append(_success(one, chosen, {"attack": one.name, column: str(group)}, limit=None, absent=""))
    return lines


def _unknown(subject: Subject) -> str:
    """The tokenizer's own unknown token, so that a word becomes one token that says nothing."""
    if not isinstance(subject.predictor, Predictor | SmoothedPredictor):
        return UNKNOWN
    return subject.predictor.forward.tokenizer.unk_token or UNKNOWN
