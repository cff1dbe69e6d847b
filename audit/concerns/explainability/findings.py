"""What a reader should act on: explanations that are no better than chance, and words that should not decide.

Severity, by the interval and not by the point:
    high    the default method is worse than a random order, by its whole interval
    medium  the default method's interval holds 0: it is not shown to be faithful; or deleting a word flips more
            answers than deleting another one (the interval excludes 0) and the data give no reason for it
    low     the same of a method that is not the default; or scores that do not add up
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.concerns.explainability.influence import Influence, finding_of
from core_model.identity_swap import read_terms, swap
from reports.record import Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.attribution import Attribution

ALIKE = 0.5  # a rank correlation with the shuffled copy above this says: the text is explained, not the model
MANY = 0.05  # share of rows whose scores may miss their sum before it is worth telling


def faithful_methods(metrics: Sequence[Metric]) -> dict[str, bool]:
    """Whether each method on trial beats a random order by its whole interval."""
    return {
        m.slice["method"]: m.interval is not None and m.interval[0] > 0
        for m in metrics
        if m.name == "comprehensiveness_over_random"
    }


def faithfulness_findings(
    metrics: Sequence[Metric], default: str, *, more_rows: str = "explainability.rows=500"
) -> list[Finding]:
    """One finding for each method that does not beat a random order, and one where the shuffled copy says the same.

    Args:
        more_rows: the option that narrows the intervals.
    """
    faithful = faithful_methods(metrics)
    better = [name for name, holds in faithful.items() if holds]
    found = []
    for line in metrics:
        if line.name != "comprehensiveness_over_random" or line.interval is None or line.value is None:
            continue
        name = line.slice["method"]
        if faithful[name]:
            continue
        low, high = line.interval
        grave = Severity.LOW if name != default else Severity.HIGH if line.verdict is Verdict.FAIL else Severity.MEDIUM
        found.append(
            Finding(
                id=f"explainability-not-faithful-{name}",
                severity=grave,
                statement=f"{name} is not shown to be faithful on this model: deleting the words that it ranks first "
                f"costs {line.value:+.3f} more {line.unit} than deleting words at random "
                f"({line.confidence:.0%} interval {low:+.3f} to {high:+.3f}).",
                metrics=[
                    line.key,
                    f"comprehensiveness[method={name}]",
                    "comprehensiveness[method=random order]",
                    f"sufficiency_over_random[method={name}]",
                ],
                mitigation=_another_method(better, more_rows),
            )
        )
    return [*found, *_same_without_weights(metrics, better, more_rows)]


def _same_without_weights(metrics: Sequence[Metric], better: Sequence[str], more_rows: str) -> list[Finding]:
    line = next(m for m in metrics if m.name == "randomization_rank_correlation")
    if line.interval is None or line.interval[0] <= ALIKE:
        return []
    return [
        Finding(
            id="explainability-survives-randomization",
            severity=Severity.MEDIUM,
            statement=f"A copy of the model with shuffled weights gives nearly the same explanations (rank correlation "
            f"{line.value:.2f}): they show the text rather than the model.",
            metrics=[line.key],
            mitigation=_another_method([name for name in better if name != line.slice["method"]], more_rows),
        )
    ]


def completeness_findings(found: Sequence[Attribution], metrics: Sequence[Metric], tolerance: float) -> list[Finding]:
    """One finding where the scores of many rows do not add up after the largest number of steps."""
    missed = sum((a.completeness_error or 0.0) > tolerance for a in found)
    if missed <= MANY * len(found):
        return []
    return [
        Finding(
            id="explainability-scores-do-not-add-up",
            severity=Severity.LOW,
            statement=f"In {missed} of {len(found)} rows the scores of integrated gradients miss their sum by more "
            f"than {tolerance:g} after {max(a.steps or 0 for a in found)} steps: the model jumps between two steps, "
            "and sizes of scores mean little there.",
            metrics=[m.key for m in metrics if m.name == "completeness_error"],
            mitigation=_another_method(
                [name for name, holds in faithful_methods(metrics).items() if holds and name != found[0].method]
            ),
        )
    ]


def _another_method(better: Sequence[str], more_rows: str = "explainability.rows=500") -> Mitigation:
    if better:
        return Mitigation(
            command=f'aboveboard explain CHECKPOINT --text "..." --method {better[0]}',
            why=f"{better[0]} beats a random order on this model; show its scores instead",
        )
    return Mitigation(
        command=f"aboveboard audit CHECKPOINT --data DATA --only explainability --set {more_rows}",
        why="more rows narrow the interval; until a method beats a random order, show no explanation as a reason",
    )


def leaning_findings(found: Sequence[Influence], subject: Subject) -> list[Finding]:
    """One finding for each word that decides answers without a reason in the data: identity terms first."""
    columns = f"--text-column {shlex.quote(subject.data.text_column)}"
    if subject.data.label_column:
        columns += f" --label-column {shlex.quote(subject.data.label_column)}"
    findings = []
    for one in sorted(found, key=lambda one: one.swapped is None):  # a stable sort: then the strongest first
        if not one.spurious_candidate or one.flips.value is None or one.over_another.value is None:
            continue
        toward = subject.labels[one.toward]
        reasons, keys = (
            [],
            [
                f"deletion_flip_rate[word={one.word}]",
                f"deletion_flip_rate_over_another_word[word={one.word}]",
                f"word_influence[word={one.word}, toward={toward}]",
            ],
        )
        if one.weakly_associated:
            reasons.append(f"rows with it are not more often {toward!r} than others")
            keys.append(f"word_label_association[word={one.word}, label={toward}]")
        if one.bound_to is not None:
            reasons.append(f"it stands mostly in the rows of {one.bound_to[0]}")
            keys.append(f"word_group_association[word={one.word}, group={one.bound_to[0]}]")
        findings.append(
            Finding(
                id=finding_of(one.word),
                severity=Severity.MEDIUM,
                statement=f"The model leans on {one.word!r} for {toward!r}: deleting it changes {one.flips.value:.1%} "
                f"of {one.flips.n:,} answers, {one.over_another.value:.1%} more than deleting another word, and in the "
                f"data {' and '.join(reasons)}.",
                metrics=keys,
                mitigation=_mend(one.word, columns),
                **one.shown,
            )
        )
    return findings


def _mend(word: str, columns: str) -> Mitigation:
    """For a term of the identity list the swap that `train` makes itself; for another word, rows that people make."""
    terms = read_terms()
    train = "aboveboard train --task classification --base CHECKPOINT --data"
    if any(swap(word, category, terms) is not None for category in terms.categories):
        return Mitigation(
            command=f"{train} TRAIN_FILE {columns} --augment identity-swap --out mended",
            why="each training row with an identity term is learned with the term swapped, too, under the same label "
            "(Lu et al. 2018, arXiv:1807.11714); `aboveboard compare` shows the gain and its price",
        )
    return Mitigation(
        command=f"{train} augmented.jsonl {columns} --out mended",
        why=f"augmented.jsonl is your training data and copies of the rows with {word!r} in which it is deleted, "
        "where people agree that the label stays right; a new audit shows how far it helped",
    )
