"""Faithfulness: does the answer change when the words that a method names go, and stay when only they are left?

Comprehensiveness is the probability lost when the highest-ranked words go; sufficiency is what is lost when only they
stay. Both are averaged over the top 1, 5, 10, 20 and 50% of a row's words (at least one word). Neither means anything
alone: deleting any words hurts. So a random order, and integrated gradients of a copy with shuffled weights, go through
the same trial on the same rows, and what counts is the paired difference.

Source: DeYoung et al. 2020 (ERASER), arXiv:1911.03429, section 4.1; Adebayo et al. 2018, arXiv:1810.03292.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from audit.evidence import Limit, metric
from audit.statistics import Estimate, bootstrap_mean
from core_model.attribution import WITHOUT_SIGN, Attribution, variants_as_texts
from core_model.attribution_words import Worded
from reports.record import Metric

if TYPE_CHECKING:
    from audit.subject import Subject

SHARES = (0.01, 0.05, 0.10, 0.20, 0.50)  # of a row's words: ERASER's bins
RANDOM, RANDOM_WEIGHTS = "random order", "shuffled weights"
ERASER, ADEBAYO = "DeYoung et al. 2020, arXiv:1911.03429", "Adebayo et al. 2018, arXiv:1810.03292"
PROBABILITY = "probability"
FEWEST_WORDS = 3  # a rank correlation of two words is always -1 or 1


@dataclass(frozen=True)
class Watched:
    """What is lost when words go: its unit, its name in a definition, and its bounds where they are known."""

    unit: str
    name: str
    bounds: tuple[float, float] | None = None

    @property
    def squared(self) -> str:
        """The unit of its square."""
        return f"{self.unit}, squared" if " " in self.unit else f"{self.unit} squared"


OF_A_CLASS = Watched(PROBABILITY, "probability of the predicted class", (-1.0, 1.0))


@dataclass(frozen=True, eq=False)
class Erased:
    """What deleting words did under one ranking: (rows,) each, in units of what is watched."""

    comprehensiveness: np.ndarray
    sufficiency: np.ndarray


def erase(
    subject: Subject,
    worded: Sequence[Worded],
    rankings: Mapping[str, Sequence[np.ndarray]],
    targets: np.ndarray,
) -> dict[str, Erased]:
    """Every variant of every row under every ranking, in one request.

    Args:
        rankings: by method, for each row the places of its words, the most important first.
        targets: (rows,) the class whose probability is watched.
    """

    def answers(gone: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
        variants = [worded[row].without(places) for row, places in zip(rows, gone, strict=True)]
        texts, pairs = variants_as_texts(subject.predictor, variants)  # type: ignore[arg-type]
        return np.asarray(subject.predict(texts, pairs).probabilities[np.arange(len(rows)), targets[rows]])

    return erased_by(answers, worded, rankings)


def erased_by(
    answers: Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray],
    worded: Sequence[Worded],
    rankings: Mapping[str, Sequence[np.ndarray]],
) -> dict[str, Erased]:
    """The same of any score: `answers` gives it without the words at some places, each of the row beside them."""
    gone = [np.zeros(0, dtype=np.int64)] * len(worded)
    rows = list(range(len(worded)))
    for ranking in rankings.values():
        for row, order in enumerate(ranking):
            for count in top_counts(len(order)):
                gone += [order[:count], order[count:]]
                rows += [row, row]
    found = answers(gone, np.array(rows))
    whole, after = found[: len(worded)], found[len(worded) :]
    lost = whole[:, None, None] - after.reshape(len(rankings), len(worded), len(SHARES), 2)
    return {
        name: Erased(*lost[place].mean(axis=1).T)  # (rows, without and only)
        for place, name in enumerate(rankings)
    }


def top_counts(words: int) -> list[int]:
    """How many words each share of them is: at least one."""
    return [max(1, ceil(share * words)) for share in SHARES]


def random_rankings(worded: Sequence[Worded], random: np.random.Generator) -> list[np.ndarray]:
    """A random order of each row's words."""
    return [child.permutation(len(text)) for text, child in zip(worded, random.spawn(len(worded)), strict=True)]


def faithfulness_metrics(
    erased: Mapping[str, Erased],
    methods: Sequence[str],
    *,
    limit: Limit,
    resamples: int,
    random: np.random.Generator,
    watched: Watched = OF_A_CLASS,
) -> list[Metric]:
    """Comprehensiveness and sufficiency of every ranking, and the paired differences of the methods against chance.

    Args:
        erased: by ranking; RANDOM among them, and RANDOM_WEIGHTS where weights can be shuffled.
        methods: the rankings on trial; the first one, the default, is held to the limit.
    """
    lines = []
    for name, (child_a, child_b) in zip(erased, _pairs_of(random, len(erased)), strict=True):
        part = {"method": name}
        lines += [
            metric(
                "comprehensiveness", _mean(erased[name].comprehensiveness, child_a, resamples, watched),
                unit=watched.unit, better="higher", slice=part, source=ERASER,
                definition=f"{watched.name} lost when the top 1, 5, 10, 20 and 50% of the words by this ranking are "
                "deleted, mean of the five",
            ),
            metric(
                "sufficiency", _mean(erased[name].sufficiency, child_b, resamples, watched), unit=watched.unit,
                better="lower", slice=part, source=ERASER,
                definition=f"{watched.name} lost when only the top 1, 5, 10, 20 and 50% of the words by this ranking "
                "are left, mean of the five",
            ),
        ]  # fmt: skip
    for baseline, ending, whose, source in (
        (RANDOM, "over_random", "a random order", ERASER),
        (RANDOM_WEIGHTS, "over_random_weights", "integrated gradients of the copy with shuffled weights", ADEBAYO),
    ):
        if baseline not in erased:  # a model whose weights cannot be shuffled
            continue
        base = erased[baseline]
        for name, (child_a, child_b) in zip(methods, _pairs_of(random, len(methods)), strict=True):
            held = limit if name == methods[0] and baseline == RANDOM else None
            lines += [
                metric(
                    f"comprehensiveness_{ending}",
                    _mean(erased[name].comprehensiveness - base.comprehensiveness, child_a, resamples, watched),
                    unit=watched.unit, better="higher", slice={"method": name}, limit=held, source=source,
                    definition=f"comprehensiveness minus that of {whose} on the same rows; 0: no better than it",
                ),
                metric(
                    f"sufficiency_{ending}",
                    _mean(base.sufficiency - erased[name].sufficiency, child_b, resamples, watched),
                    unit=watched.unit, better="higher", slice={"method": name}, source=source,
                    definition=f"sufficiency of {whose} minus that of the method on the same rows; 0: no better than "
                    "it",
                ),
            ]  # fmt: skip
    return lines


def randomization_metric(
    trained: Sequence[Attribution], shuffled: Sequence[Attribution], *, resamples: int, random: np.random.Generator
) -> Metric:
    """How alike the sizes of the scores rank with the model's weights and with shuffled ones."""
    correlations = rank_correlations([np.abs(a.scores) for a in trained], [np.abs(a.scores) for a in shuffled])
    return metric(
        "randomization_rank_correlation",
        correlation(correlations, random, resamples),
        unit="rank correlation",
        better="lower",
        slice={"method": "integrated-gradients"},
        definition="Spearman's correlation of the sizes of a row's word scores with those of a copy with shuffled "
        "weights, mean over rows; near 0 where the scores explain the model and not the text alone",
        source=ADEBAYO,
    )


def agreement_metrics(
    attributions: Mapping[str, Sequence[Attribution]], *, resamples: int, random: np.random.Generator
) -> list[Metric]:
    """How alike the methods rank a row's words, for each two of them."""
    names = list(attributions)
    lines = []
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            sizes = bool({first, second} & set(WITHOUT_SIGN))
            correlations = rank_correlations(
                *([np.abs(a.scores) if sizes else a.scores for a in attributions[name]] for name in (first, second))
            )
            [child] = random.spawn(1)
            lines.append(
                metric(
                    "rank_agreement",
                    correlation(correlations, child, resamples),
                    unit="rank correlation",
                    slice={"methods": f"{first}, {second}"},
                    definition=f"Spearman's correlation of the {'sizes of the ' if sizes else ''}two methods' word "
                    "scores within a row, mean over rows",
                    source="Krishna et al. 2022, arXiv:2202.01602",
                )
            )
    return lines


def rank_correlations(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """Spearman's correlation of each row's two score lists, (rows where it exists,); ties share their mean rank."""
    from scipy.stats import rankdata

    found = []
    for a, b in zip(first, second, strict=True):
        if len(a) < FEWEST_WORDS:
            continue
        ranks = np.stack([rankdata(a), rankdata(b)])
        ranks -= ranks.mean(axis=1, keepdims=True)
        sizes = np.sqrt(np.square(ranks).sum(axis=1))
        if sizes.all():  # a constant list has no ranking
            found.append(np.clip(ranks[0] @ ranks[1] / sizes.prod(), -1, 1))
    return np.array(found, dtype=np.float64)


def _mean(values: np.ndarray, random: np.random.Generator, resamples: int, watched: Watched) -> Estimate:
    """A mean of differences; those of probabilities have bounds."""
    values = values if watched.bounds is None else np.clip(values, *watched.bounds)
    return bootstrap_mean(values, random, bounds=watched.bounds, resamples=resamples)


def correlation(values: np.ndarray, random: np.random.Generator, resamples: int) -> Estimate:
    """The mean of rank correlations; absent where no row has one."""
    if not len(values):
        return Estimate.absent("no row has three words that the rankings tell apart")
    return bootstrap_mean(values, random, bounds=(-1.0, 1.0), resamples=resamples)


def _pairs_of(random: np.random.Generator, count: int) -> list[tuple[np.random.Generator, np.random.Generator]]:
    children = random.spawn(2 * count)
    return list(zip(children[::2], children[1::2], strict=True))
