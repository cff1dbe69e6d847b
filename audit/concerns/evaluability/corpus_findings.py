"""What a reader should act on where a model writes or foresees text, each with a command that mends it.

Severity: high, when an interval breaks its limit (or the model is no better than a system without one); medium, when
the fault is there and the limit undecided; low, when it is worth knowing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.concerns.evaluability.corpus_leakage import LeakedPairs
from audit.examples import examples_of, shortened
from audit.mending import audit_command, train_command
from audit.worst_rows import worst_rows
from core_model.corpus_metric import CorpusMetric
from core_model.predictions import Generations
from reports.record import Finding, Metric, Mitigation, Scalar, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject

NO_BETTER, OVERLAP, WORST = (
    f"evaluability-{word}" for word in ("no-better-than-baseline", "train-test-overlap", "worst-rows")
)
OFTEN = 0.01  # share of rows from which a fault of the output is worth telling
COARSE = 0.05  # of a scale from 0 to 1 (5 points of one to 100): smaller differences are what papers report


def findings_of(
    metrics: Sequence[Metric], leaked: LeakedPairs | None, subject: Subject, primary: CorpusMetric
) -> list[Finding]:
    """All findings, gravest first."""
    by_key = {m.key: m for m in metrics}
    found = [
        *_no_better_than_baseline(metrics, by_key, subject, primary),
        *(_leakage(by_key, leaked, subject, primary) if leaked is not None else []),
        *_faulty_outputs(by_key, subject),
        *_worst(subject, primary),
        *_coarse_test(by_key, subject, primary),
    ]
    return sorted(found, key=lambda f: list(Severity).index(f.severity))


def _no_better_than_baseline(
    metrics: Sequence[Metric], by_key: dict[str, Metric], subject: Subject, primary: CorpusMetric
) -> list[Finding]:
    gain = next(m for m in metrics if m.name == f"{primary.name}_gain_over_baseline")
    if gain.value is None or (gain.interval is not None and gain.interval[0] > 0):
        return []
    is_worse = gain.interval is not None and gain.interval[1] < 0
    own, theirs = by_key[primary.name], next(m for m in metrics if m.name == primary.name and m.slice == gain.slice)
    return [
        Finding(
            id=NO_BETTER,
            severity=Severity.HIGH if gain.verdict is Verdict.FAIL else Severity.MEDIUM,
            statement=f"The model {'is worse than' if is_worse else 'cannot be told from'} a system without a model "
            f"({gain.slice['system']}): its {primary.name} is {_shown(own)}, that system's {_shown(theirs)}.",
            metrics=[own.key, theirs.key, gain.key],
            mitigation=Mitigation(
                command=train_command(subject, "--epochs 4"),
                why="more passes, and more rows if there are any; then audit it on the same rows again",
            ),
            **worst_rows(subject, primary, finding=NO_BETTER)[1],
        )
    ]


def _leakage(by_key: dict[str, Metric], leaked: LeakedPairs, subject: Subject, primary: CorpusMetric) -> list[Finding]:
    near, exact = leaked.sources.near, leaked.sources.exact
    if not near.any():
        return []
    lines = [by_key[key] for key in ("exact_duplicate_overlap", "near_duplicate_overlap")]
    clean, added = by_key[f"{primary.name}_without_overlap"], by_key[f"leakage_inflation[metric={primary.name}]"]
    verdicts = {m.verdict for m in lines}
    grave = (
        Severity.HIGH if Verdict.FAIL in verdicts
        else Severity.MEDIUM if Verdict.INCONCLUSIVE in verdicts
        else Severity.LOW
    )  # fmt: skip
    statement = (
        f"{int(near.sum())} of {len(near)} test rows stand in the training data or are close to a row of it, "
        f"{int(exact.sum())} of them word for word"
    )
    if clean.value is not None:
        statement += f"; {primary.name} is {_shown(by_key[primary.name])} with them and {_shown(clean)} without"
    twins = sorted(leaked.sources.twins, key=lambda t: (-t[2], t[0], t[1]))

    def line(twin: tuple[int, int, float]) -> dict[str, Scalar]:
        row, training_row, similarity = twin
        return {
            "row": row + 1, "training_row": training_row + 1, "similarity": round(similarity, 3),
            "text": shortened(subject.texts[row]),
        }  # fmt: skip

    mend = Mitigation(
        command=audit_command(
            subject, "--train-data TRAIN_FILE", "--out without-overlap", data="test_rows_without_overlap.csv"
        ),
        why="test_rows_without_overlap.csv, beside this report, holds the test rows that the model did not meet in "
        "training; report the numbers on those",
    )
    return [
        Finding(
            id=OVERLAP, severity=grave, statement=f"{statement}.",
            metrics=[*(m.key for m in lines), clean.key, added.key], mitigation=None if near.all() else mend,
            **examples_of(twins, line, finding=OVERLAP, seed=subject.seed),
        )
    ]  # fmt: skip


def _faulty_outputs(by_key: dict[str, Metric], subject: Subject) -> list[Finding]:
    found = []
    cut, empty = by_key.get("cut_outputs"), by_key.get("empty_outputs")
    if cut is not None and cut.interval is not None and cut.interval[0] > OFTEN:
        found.append(
            Finding(
                id="evaluability-outputs-cut", severity=Severity.MEDIUM,
                statement=f"{cut.value:.1%} of the texts reached the limit of new tokens before their end: the numbers "
                "judge parts of them, or a model that does not learn to stop.",
                metrics=[cut.key], mitigation=_more_room(subject),
            )
        )  # fmt: skip
    if empty is not None and empty.interval is not None and empty.interval[0] > OFTEN:
        found.append(
            Finding(
                id="evaluability-outputs-empty", severity=Severity.MEDIUM,
                statement=f"For {empty.value:.1%} of the rows nothing was written.", metrics=[empty.key],
                mitigation=Mitigation(
                    command=train_command(subject, "--epochs 4"), why="a model that learned more ends less early"
                ),
            )
        )  # fmt: skip
    return found


def _more_room(subject: Subject) -> Mitigation:
    """A higher limit of new tokens; where the model has no more positions, more training."""
    answers, room = subject.answers, subject.checkpoint.max_length - 1
    limit = int(answers.tokens[answers.cut].max()) if isinstance(answers, Generations) else room
    if limit >= room:
        return Mitigation(
            command=train_command(subject, "--epochs 4"), why="the model has no room for more; it has to learn to stop"
        )
    return Mitigation(
        command=audit_command(subject, f"--max-new-tokens {min(2 * limit, room)}", "--out longer"),
        why="where the model stops by itself at the higher limit, the limit was too low; where not, train it longer",
    )


def _worst(subject: Subject, primary: CorpusMetric) -> list[Finding]:
    metric, shown = worst_rows(subject, primary, finding=WORST)
    if not shown["examples"]:
        return []
    return [
        Finding(
            id=WORST, severity=Severity.LOW,
            statement=f"The first {shown['examples_worst']} of {len(metric)} rows have the worst {metric.name} when "
            "each is taken alone: read them before you trust the mean.",
            metrics=[metric.name],
            mitigation=Mitigation(
                command=train_command(subject), why="with TRAIN_FILE holding more rows like these"
            ),
            **shown,
        )
    ]  # fmt: skip


def _coarse_test(by_key: dict[str, Metric], subject: Subject, primary: CorpusMetric) -> list[Finding]:
    smallest = by_key[f"minimum_detectable_effect[metric={primary.name}]"]
    if smallest.value is not None and smallest.value <= COARSE * primary.scale:
        return []
    shows = "no difference at all" if smallest.value is None else f"no difference below {smallest.value:.3g}"
    return [
        Finding(
            id="evaluability-test-too-small", severity=Severity.LOW,
            statement=f"{smallest.n} rows show {shows} in {primary.name} between two systems.", metrics=[smallest.key],
            mitigation=Mitigation(
                command=audit_command(subject, "--out larger-test", data="LARGER_TEST_FILE"),
                why="intervals shrink with the square root of the rows",
            ),
        )
    ]  # fmt: skip


def _shown(of: Metric) -> str:
    return "absent" if of.value is None else f"{of.value:.3g}"
