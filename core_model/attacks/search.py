"""How an attacker goes through the words of one text: which first, and what he keeps.

    importance   unknown            the score once the word is unknown          Gao et al. 2018; Jin et al. 2019
                 deletion           the score once the word is gone             Garg and Ramakrishnan 2020
                 weighted-saliency  softmax of the first, times the most that   Ren et al. 2019, equation 8
                                    a replacement of the word gains
                 gradient           size of the gradient at the word            Ebrahimi et al. 2018 (HotFlip)

All searches are greedy: the best replacement of the most important word is kept when it helps, then that of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core_model.attacks.requests import (
    Answer,
    AskGradients,
    AskScores,
    AskSimilarity,
    Attempt,
    Question,
    Scores,
    Steps,
)
from core_model.attacks.sentence import Sentence

Importance = Literal["unknown", "deletion", "weighted-saliency", "gradient"]
Search = Callable[[Attempt], Steps]


@dataclass(frozen=True)
class GreedyByImportance:
    """Word by word, the most important first, each once, as TextAttack's GreedyWordSwapWIR.

    Args:
        importance: how words are ranked; see the module.
    """

    importance: Importance

    def __call__(self, attempt: Attempt) -> Steps:
        """See Search."""
        places = attempt.places()
        if not places:
            return
        if self.importance == "weighted-saliency":
            order = yield from _by_weighted_saliency(attempt, places)
        elif self.importance == "gradient":
            sizes = yield AskGradients(attempt.current)
            assert isinstance(sizes, np.ndarray)  # noqa: S101  what AskGradients is answered with
            order = _descending(places, sizes[places]) if len(sizes) else []
        else:
            without = _unknown if self.importance == "unknown" else _deleted
            found = yield from _ask([without(attempt, place) for place in places])
            order = _descending(places, found.score)
        for place in order:
            if attempt.reached:
                return
            if place in attempt.places():  # a constraint may have closed it meanwhile
                yield from replace_best(attempt, place)


@dataclass(frozen=True)
class InTurn:
    """One search, and where it fails another from the beginning, whose questions then are partly paid for."""

    first: Search
    second: Search

    def __call__(self, attempt: Attempt) -> Steps:
        """See Search."""
        score = attempt.score
        yield from self.first(attempt)
        if not attempt.reached:
            attempt.move(attempt.original, score, reached=False)
            yield from self.second(attempt)


def replace_best(attempt: Attempt, place: int) -> Steps:
    """Try every replacement of one word; keep the best when it helps, of those that reach the goal the most alike."""
    offered = yield from attempt.candidates(place)
    found, alike = yield from _alike_enough(attempt, offered)
    answers = yield from _ask(found)
    if not len(answers):
        return
    best = int(np.argmax(answers.score))
    if not answers.score[best] > attempt.score:
        return
    if answers.reached[best] and alike is not None:
        succeeded = np.flatnonzero(answers.reached)
        best = int(succeeded[np.argmax(alike[succeeded])])
    attempt.move(found[best], float(answers.score[best]), reached=bool(answers.reached[best]))


def _by_weighted_saliency(attempt: Attempt, places: Sequence[int]) -> Generator[Question, Answer, list[int]]:
    """Words by softmax(saliency) times the largest gain of a replacement, both on the original text.

    The replacements are tried again when it is the word's turn, on the text as it is then, as TextAttack does; the
    paper keeps those that were best on the original.
    """
    without = yield from _ask([_unknown(attempt, place) for place in places])
    by_word: dict[int, list[Sentence]] = {}
    for place in places:
        by_word[place] = yield from attempt.candidates(place)
    found, _ = yield from _alike_enough(attempt, [sentence for some in by_word.values() for sentence in some])
    answers = yield from _ask(found)
    gains = dict.fromkeys(places, 0.0)
    kept = {sentence: score - attempt.score for sentence, score in zip(found, answers.score, strict=False)}
    for place, some in by_word.items():
        gains[place] = max((kept[sentence] for sentence in some if sentence in kept), default=0.0)
    saliency = np.exp(without.score - attempt.score)
    return _descending(places, saliency * np.array([gains[place] for place in places[: len(saliency)]]))


def _alike_enough(
    attempt: Attempt, sentences: Sequence[Sentence]
) -> Generator[Question, Answer, tuple[Sequence[Sentence], np.ndarray | None]]:
    """Those sentences that are like the original, and how much, (sentences,); None where that is not asked."""
    if attempt.least_similarity is None or not sentences:
        return sentences, None
    alike = yield AskSimilarity(attempt.original, tuple(sentences))
    assert isinstance(alike, np.ndarray)  # noqa: S101  what AskSimilarity is answered with
    kept = alike >= attempt.least_similarity
    return [sentence for sentence, stays in zip(sentences, kept, strict=True) if stays], alike[kept]


def _ask(sentences: Sequence[Sentence]) -> Generator[Question, Answer, Scores]:
    if not sentences:
        return Scores(np.zeros(0), np.zeros(0, dtype=bool))
    answer = yield AskScores(tuple(sentences))
    assert isinstance(answer, Scores)  # noqa: S101  what AskScores is answered with
    return answer


def _unknown(attempt: Attempt, place: int) -> Sentence:
    return attempt.current.with_word(place, attempt.unknown)


def _deleted(attempt: Attempt, place: int) -> Sentence:
    return attempt.current.without(place)


def _descending(places: Sequence[int], scores: np.ndarray) -> list[int]:
    """Places from the highest score to the lowest; the last ones have none where the budget ended, and are left out."""
    return [places[at] for at in np.argsort(-scores, kind="stable")]
