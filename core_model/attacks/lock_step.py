"""Many texts attacked at once: every search goes one step, and the questions of all are one request.

    run = attack(predictor, texts, targets, recipe("deepwordbug"), random=np.random.default_rng(0))
    [one.status for one in run.rows]        # "succeeded", "failed", or "skipped": it was wrong before

Each text has its own search and draws its own random numbers, so that its result is the same whether it is attacked
alone or beside others. The Predictor puts texts of like length into one batch and computes what it was asked before
only once. Every attack ends: by its goal, when its search is exhausted, at its query budget, or at the time limit, and
says which it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from core_model.attacks.recipes import Recipe
from core_model.attacks.requests import (
    Answer,
    AskGradients,
    AskScores,
    AskSimilarity,
    AskWords,
    Attempt,
    Question,
    Scores,
    Steps,
)
from core_model.attacks.sentence import Sentence
from core_model.errors import OptionUnfit

if TYPE_CHECKING:
    from core_model.predictions import Predictions

Status = Literal["succeeded", "failed", "skipped"]
Ending = Literal["goal reached", "search exhausted", "query budget", "time limit", "wrong before"]
UNKNOWN = "[UNK]"


class Classifier(Protocol):
    """As much of a predictor as an attack without gradients needs."""

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        """See Predictor.predict."""
        ...


WordGradients = Callable[[Sequence[Sentence], Sequence[int]], list[np.ndarray]]  # of each text (words,)


@dataclass(frozen=True)
class Attacked:
    """What became of one text.

    Attributes:
        status: "skipped" where the model was wrong before.
        ending: why the attack ended.
        queries: distinct texts that the model was asked, the original and one for each gradient included.
        original, final: the text before and after; where the attack failed, the nearest that it came.
        before, after: index of the class that the model says of these.
        moved: whether any text that was asked moved the probability at all.
    """

    status: Status
    ending: Ending
    queries: int
    original: Sentence
    final: Sentence
    before: int
    after: int
    moved: bool = False

    @property
    def words_changed(self) -> int:
        """Words that differ."""
        return sum(a != b for a, b in zip(self.original.words, self.final.words, strict=True))


@dataclass(frozen=True)
class Run:
    """One attack on some rows.

    Attributes:
        rows: one result a text, in order.
        rounds: how often the model was asked, all texts together.
        seconds: how long it took.
        similar_passes: sentences that the sentence encoder read.
    """

    rows: tuple[Attacked, ...]
    rounds: int
    seconds: float
    similar_passes: int = 0


@dataclass
class _Live:
    row: int
    attempt: Attempt
    steps: Steps
    question: Question
    seen: set[str]


def attack(
    predictor: Classifier,
    texts: Sequence[str],
    targets: Sequence[int] | np.ndarray,
    recipe: Recipe,
    *,
    pairs: Sequence[str] | None = None,
    query_budget: int | None = None,
    seconds: float | None = None,
    random: np.random.Generator,
    unknown: str = UNKNOWN,
    gradients: WordGradients | None = None,
) -> Run:
    """Attack each text until the model no longer says its target.

    Args:
        predictor: the model under attack.
        texts, pairs: (rows,); the first text of a pair is edited.
        targets: (rows,) index of the class that is right; texts of which the model says another are skipped.
        recipe: goal, transformation, constraints and search.
        query_budget: distinct texts that may be asked for each row, the original included; None: no limit.
        seconds: for all rows together; None: no limit. What a time limit cuts depends on the machine.
        random: one child for each row, drawn in order.
        unknown: what a word is replaced by to see how much it matters: the tokenizer's unknown token.
        gradients: sizes of the gradient at each word of some texts, see `word_gradients`; searches that ask for them
            find nothing without.
    Raises: OptionUnfit for a budget or a time that allows nothing; ValueError when texts and targets differ in number.
    """
    if query_budget is not None and query_budget < 1:
        raise OptionUnfit(f"query_budget = {query_budget}: an attack asks at least once", mend="query_budget = 500")
    if seconds is not None and seconds <= 0:
        raise OptionUnfit(f"seconds = {seconds}: an attack takes some time", mend="seconds = 60")
    if len(targets) != len(texts):
        raise ValueError(f"{len(texts)} texts, but {len(targets)} targets")
    begun = time.monotonic()
    if not len(texts):
        return Run((), 0, 0.0)
    driver = _Driver(predictor, gradients, query_budget, None if seconds is None else begun + seconds)
    before = predictor.predict(texts, pairs)
    driver.rounds = 1
    results: dict[int, Attacked] = {}
    attempts: list[tuple[int, Attempt]] = []
    for row, (text, child) in enumerate(zip(texts, random.spawn(len(texts)), strict=True)):
        sentence = Sentence.of(text, None if pairs is None else pairs[row])
        wanted, said = recipe.goal(int(targets[row])), int(before.predicted[row])
        if wanted.reached(before.probabilities[row : row + 1])[0]:
            results[row] = Attacked("skipped", "wrong before", 1, sentence, sentence, said, said)
            continue
        attempt = Attempt(
            original=sentence, goal=wanted, score=float(wanted.score(before.probabilities[row : row + 1])[0]),
            transformation=recipe.transformation, constraints=recipe.constraints, random=child, unknown=unknown,
            least_similarity=recipe.least_similarity,
        )  # fmt: skip
        attempts.append((row, attempt))
    endings = driver.run(attempts, recipe)
    turned = [(row, attempt) for row, attempt in attempts if attempt.reached]
    said_after: dict[int, int] = {}
    if turned:
        others = None if pairs is None else [pairs[row] for row, _ in turned]
        after = predictor.predict([attempt.current.text for _, attempt in turned], others)  # it knows them already
        said_after = {row: int(label) for (row, _), label in zip(turned, after.predicted, strict=True)}
    for row, attempt in attempts:
        ending, queries = endings[row]
        results[row] = Attacked(
            "succeeded" if attempt.reached else "failed", ending, queries, attempt.original, attempt.current,
            int(before.predicted[row]), said_after.get(row, int(before.predicted[row])), attempt.moved,
        )  # fmt: skip
    ordered = tuple(results[row] for row in range(len(texts)))
    return Run(ordered, driver.rounds, time.monotonic() - begun, driver.similar_passes)


class _Driver:
    """Takes the questions of all searches at once to whoever answers them."""

    def __init__(
        self,
        predictor: Classifier,
        gradients: WordGradients | None,
        query_budget: int | None,
        deadline: float | None,
    ) -> None:
        self.predictor, self.gradients = predictor, gradients
        self.query_budget, self.deadline = query_budget, deadline
        self.rounds = self.similar_passes = 0

    def run(self, attempts: Sequence[tuple[int, Attempt]], recipe: Recipe) -> dict[int, tuple[Ending, int]]:
        """Row -> why it ended, and its queries."""
        endings: dict[int, tuple[Ending, int]] = {}
        live: list[_Live] = []
        for row, attempt in attempts:
            steps = recipe.search(attempt)
            seen = {attempt.original.text}
            try:
                live.append(_Live(row, attempt, steps, next(steps), seen))
            except StopIteration:
                endings[row] = ("search exhausted", len(seen))
        while live:
            if self.deadline is not None and time.monotonic() >= self.deadline:
                endings.update({one.row: ("time limit", len(one.seen)) for one in live})
                break
            self.rounds += 1
            going: list[_Live] = []
            for one, answer in self._answers(live, recipe):
                if answer is None:
                    endings[one.row] = ("query budget", len(one.seen))
                    continue
                try:
                    one.question = one.steps.send(answer)
                    going.append(one)
                except StopIteration:
                    endings[one.row] = ("goal reached" if one.attempt.reached else "search exhausted", len(one.seen))
            live = going
        return endings

    def _answers(self, live: Sequence[_Live], recipe: Recipe) -> Iterator[tuple[_Live, Answer | None]]:
        """Each search's answer; None where its budget is spent."""
        by_kind: dict[type, list[_Live]] = {}
        for one in live:
            by_kind.setdefault(type(one.question), []).append(one)
        scored = self._scores(by_kind.get(AskScores, []))
        sloped = self._gradients(by_kind.get(AskGradients, []))
        alike = self._similarities(by_kind.get(AskSimilarity, []))
        told = self._words(by_kind.get(AskWords, []), recipe)
        for one in live:
            yield one, {**scored, **sloped, **alike, **told}[one.row]

    def _scores(self, live: Sequence[_Live]) -> dict[int, Scores | None]:
        asked = {one.row: self._affordable(one) for one in live}
        texts = [sentence for one in live for sentence in asked[one.row]]
        if not texts:
            return dict.fromkeys(asked)
        pairs = [sentence.pair for sentence in texts]
        found = self.predictor.predict(
            [sentence.text for sentence in texts], None if pairs[0] is None else [pair or "" for pair in pairs]
        ).probabilities
        answers: dict[int, Scores | None] = {}
        at = 0
        for one in live:
            some = found[at : at + len(asked[one.row])]
            at += len(some)
            score = one.attempt.goal.score(some)
            one.attempt.told(score)
            answers[one.row] = Scores(score, one.attempt.goal.reached(some)) if len(some) else None
        return answers

    def _affordable(self, one: _Live) -> tuple[Sentence, ...]:
        """As many of the sentences asked, in order, as the budget pays for; what was asked before is free."""
        assert isinstance(one.question, AskScores)  # noqa: S101  sorted so
        for place, sentence in enumerate(one.question.sentences):
            if sentence.text not in one.seen:
                if self.query_budget is not None and len(one.seen) >= self.query_budget:
                    return one.question.sentences[:place]
                one.seen.add(sentence.text)
        return one.question.sentences

    def _gradients(self, live: Sequence[_Live]) -> dict[int, np.ndarray | None]:
        if self.gradients is None:
            return {one.row: np.zeros(0) for one in live}
        paid = [one for one in live if self.query_budget is None or len(one.seen) < self.query_budget]
        sentences = [one.question.sentence for one in paid if isinstance(one.question, AskGradients)]
        for one, sentence in zip(paid, sentences, strict=True):
            one.seen.add(f"gradient of {sentence.text}")
        found = self.gradients(sentences, [one.attempt.goal.label for one in paid]) if paid else []
        answers: dict[int, np.ndarray | None] = dict.fromkeys(one.row for one in live)
        return answers | {one.row: sizes for one, sizes in zip(paid, found, strict=True)}

    def _similarities(self, live: Sequence[_Live]) -> dict[int, np.ndarray]:
        if not live:
            return {}
        from core_model.attacks.sentence_encoder import embedded_encoder

        encoder = embedded_encoder()
        passes = encoder.forward_passes
        questions = {one.row: one.question for one in live if isinstance(one.question, AskSimilarity)}
        texts = [s.text for question in questions.values() for s in (question.reference, *question.sentences)]
        vectors = iter(encoder.encode(texts))
        answers = {}
        for row, question in questions.items():
            reference = next(vectors)
            answers[row] = np.array([float(next(vectors) @ reference) for _ in question.sentences])
        self.similar_passes += encoder.forward_passes - passes
        return answers

    def _words(self, live: Sequence[_Live], recipe: Recipe) -> dict[int, tuple[str, ...]]:
        if not live or recipe.in_place is None:
            return {}
        places = [(one.question.sentence, one.question.place) for one in live if isinstance(one.question, AskWords)]
        return dict(zip((one.row for one in live), recipe.in_place(places), strict=True))
