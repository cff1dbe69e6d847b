"""Mutants on trial: which breaks of the model do the suite, and the labelled rows alone, notice?

Mutants are made in a copy of the model; the model on trial is not touched. Whether a mutant changes answers at all is
seen on rows that neither the suite nor the labelled rows hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.concerns.testability.noticing import is_noticed
from audit.concerns.testability.suite import Suite
from audit.plugin import Need
from core_model.behaviour import judge, questions
from core_model.mutation import mutated, permuted, planned
from core_model.prediction import Predictor
from core_model.predictions import Predictions
from core_model.tasks import Task

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.behaviour import Case

FREQUENT = 200  # tokens whose embeddings may be exchanged
EQUAL_LOGITS = 1e-2  # largest difference of an equivalent mutant: float32 adds up in another order
SAME, PERMUTED = "the same model again", "hidden units permuted"


@dataclass(frozen=True)
class Trial:
    """One mutant.

    Attributes:
        name: of the mutant.
        changed: held-out rows that are answered otherwise; held_out: of how many.
        by_suite, by_rows: whether they noticed it; None: there were none.
    """

    name: str
    changed: int
    held_out: int
    by_suite: bool
    by_rows: bool | None

    @property
    def noticed_by(self) -> str:
        """Who noticed, in words."""
        who = [name for name, noticed in (("suite", self.by_suite), ("labelled rows", self.by_rows)) if noticed]
        return " and ".join(who) or "nobody"


@dataclass(frozen=True, eq=False)
class Trials:
    """All mutants, and the equivalent ones; `missing` says why there are none.

    Attributes:
        tests, rows: how many tests and labelled rows looked. passes: rows through the copy.
    """

    mutants: Sequence[Trial] = ()
    equivalent: Sequence[Trial] = ()
    tests: int = 0
    rows: int = 0
    passes: int = 0
    missing: str | None = None


def why_no_mutants(subject: Subject, mutants: int) -> str | None:
    """Why the model cannot be mutated here."""
    if subject.task is not Task.CLASSIFICATION:
        return "mutants are made of classifiers only"
    if not subject.has(Need.GRADIENTS):
        return subject.why_no_gradients
    if not isinstance(subject.predictor, Predictor):
        return "the model is not asked through torch"
    return None if mutants > 0 else "not asked for: --set testability.mutants=12"


def split(rows: int, drawn: np.ndarray, used: frozenset[int], *, labelled: int, held_out: int, suite_rows: int,
          random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Rows of the suite that mutants are tried with, labelled rows, and held-out rows that neither of them holds."""
    others = np.array([row for row in random.permutation(rows).tolist() if row not in used], dtype=np.int64)
    out = others[:held_out]
    suite = drawn[:suite_rows]
    return suite, np.concatenate([suite, others[len(out) :]])[:labelled], out


def part_of(cases: Sequence[Case], rows: np.ndarray) -> list[Case]:
    """The tests that mutants are tried with: all MFT tests, whose texts are short, and of each row one INV and one DIR.

    Tests of one row say much the same; with one of each, the same number of questions reaches more rows.
    """
    part = [case for case in cases if case.kind == "MFT"]
    of_row: dict[tuple[str, int], list[Case]] = {}
    for case in cases:
        of_row.setdefault((case.kind, case.cluster), []).append(case)
    found = [(place, of_row.get((kind, row))) for place, row in enumerate(rows.tolist()) for kind in ("INV", "DIR")]
    return part + [some[place % len(some)] for place, some in found if some]


def try_mutants(
    subject: Subject,
    suite: Suite,
    random: np.random.Generator,
    *,
    mutants: int,
    suite_rows: int,
    labelled: int,
    held_out: int,
) -> Trials:
    """Run the suite and the rows on every mutant."""
    if missing := why_no_mutants(subject, mutants):
        return Trials(missing=missing)
    drawing, *draws = random.spawn(mutants + 2)
    chosen, rows, out = split(
        subject.data.rows, suite.drawn, suite.used, labelled=labelled, held_out=held_out, suite_rows=suite_rows,
        random=drawing,
    )  # fmt: skip
    if len(out) == 0:
        return Trials(missing="every row is in the suite: none is left to see whether a mutant changes answers")
    cases = part_of(suite.cases, chosen)
    asked = _Asked(subject, cases, rows if subject.has(Need.LABELS) else rows[:0], out)
    before = asked.ask(subject.predictor)
    copy = Predictor(subject.checkpoint, cache=None, threads=subject.predictor.threads, device=subject.predictor.device)  # type: ignore[attr-defined]
    model = copy.forward.model
    frequent = _frequent_tokens(copy, subject.texts)
    found = []
    for mutation, draw in zip(planned(mutants), draws, strict=False):
        with mutated(model, mutation, draw, frequent=frequent) as made:
            if made:
                found.append(asked.trial(mutation.name, before, asked.ask(copy)))
    if not found:
        return Trials(missing="this model's weights are of a kind that is not mutated here")
    equivalent = []
    for name, twin in ((PERMUTED, permuted(model, draws[-1])), (SAME, nullcontext(True))):
        with twin as made:
            after = asked.ask(copy)
            if made and np.abs(after.logits - before.logits).max() <= EQUAL_LOGITS:
                equivalent.append(asked.trial(name, before, after))
    return Trials(found, equivalent, len(cases), len(asked.rows), copy.forward_passes)


def _frequent_tokens(predictor: Predictor, texts: Sequence[str]) -> list[int]:
    """Ids of the most frequent tokens of some texts, special ones left out."""
    tokenizer: Any = predictor.forward.tokenizer
    special = set(tokenizer.all_special_ids)
    counts: Counter[int] = Counter()
    for ids in tokenizer(list(texts[:1000]), add_special_tokens=False, verbose=False)["input_ids"]:
        counts.update(ids)
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    return [token for token in ranked if token not in special][:FREQUENT]


class _Asked:
    """What every mutant is asked in one request: the suite's questions, the labelled rows, the held-out rows."""

    def __init__(self, subject: Subject, cases: Sequence[Case], rows: np.ndarray, out: np.ndarray) -> None:
        self.cases, self.rows, self.out = cases, rows, out
        self.labels = subject.labels
        self.targets = subject.targets[rows] if len(rows) else np.zeros(0, dtype=np.int64)
        self.clusters = np.array([case.cluster for case in cases], dtype=np.int64)
        self.kinds = [case.kind for case in cases]
        data = subject.data
        texts, pairs = questions(cases)
        numbers = [*rows.tolist(), *out.tolist()]
        self.texts = texts + [data.texts[row] for row in numbers]
        self.pairs = None if data.pairs is None else (pairs or []) + [data.pairs[row] for row in numbers]

    def ask(self, predictor: Any) -> Predictions:
        found: Predictions = predictor.predict(self.texts, self.pairs)
        return found

    def _parts(self, answers: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tests passed, labelled rows right, and the held-out rows' answers."""
        split_at = 2 * len(self.cases)
        passed = judge(self.cases, Predictions(answers.logits[:split_at]), self.labels).passed
        said = answers.predicted[split_at:]
        return passed, said[: len(self.rows)] == self.targets, said[len(self.rows) :]

    def trial(self, name: str, before: Predictions, after: Predictions) -> Trial:
        (passed, right, said), (passed_now, right_now, said_now) = self._parts(before), self._parts(after)
        return Trial(
            name,
            changed=int((said != said_now).sum()),
            held_out=len(said),
            by_suite=is_noticed(passed, passed_now, self.clusters, self.kinds),
            by_rows=is_noticed(right, right_now, np.arange(len(right)), ["row"] * len(right)) if len(right) else None,
        )
