"""What a reader should act on: attacks that work, and what to type against them.

Severity, by the interval and not by the point:
    high    the attack surely (by its whole interval) changes more than half of the answers that it attacks
    medium  it surely changes more than a tenth; a trigger surely does more than random words
    low     it changes some, and no more is sure
Attacks in embedding space are no texts, and never more than medium.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from audit.concerns.security.triggers import Triggered
from audit.concerns.security.word_attacks import WordAttack, changed_words
from audit.examples import Shown, examples_of, shortened
from reports.record import Finding, Metric, Mitigation, Scalar, Severity

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.attacks.lock_step import Attacked
    from core_model.attacks.triggers import Trigger

MOST, SOME = 0.5, 0.1  # shares of attacked rows
DISGUISES = ("look-alikes", "invisible-marks")  # that a tokenizer can take off
NEAR = 0.1  # of the norm of a row's embeddings: within this, an attack in embedding space is told


def word_findings(found: Sequence[WordAttack], metrics: Sequence[Metric], subject: Subject) -> list[Finding]:
    """One finding for each recipe that changed an answer."""
    by_key = {line.key: line for line in metrics}
    told = []
    for one in found:
        line = by_key[f"attack_success_rate[attack={one.name}]"]
        if not one.succeeded or line.value is None or line.interval is None:
            continue
        low, high = line.interval
        queries, change = (by_key[f"{name}[attack={one.name}]"] for name in ("queries_median", "word_change_rate"))
        identity = f"security-attack-{one.name}"
        told.append(
            Finding(
                id=identity,
                severity=_severity(low),
                statement=f"{one.name} changes {len(one.succeeded)} of {len(one.attacked)} right answers "
                f"({line.value:.0%}, {line.confidence:.0%} interval {low:.0%} to {high:.0%}), with a median of "
                f"{queries.value:.0f} texts asked and {change.value:.0%} of the words changed.",
                metrics=[line.key, f"accuracy_under_attack[attack={one.name}]", queries.key, change.key],
                mitigation=_mend(one.name, subject, metrics),
                **examples_of(_changed(one), _line_of(subject), finding=identity, seed=subject.seed),
            )
        )
    return told


def gradient_findings(metrics: Sequence[Metric], subject: Subject) -> list[Finding]:
    """One finding where PGD surely changes most answers within a small radius."""
    for line in metrics:
        if line.name != "attack_success_rate" or line.slice.get("attack") != "pgd-L2" or line.interval is None:
            continue
        if line.interval[0] > MOST and float(line.slice.get("radius", "inf")) <= NEAR:
            return [
                Finding(
                    id="security-near-in-embedding-space",
                    severity=Severity.MEDIUM,
                    statement=f"Moving a row's embeddings by {line.slice['radius']} of their norm (PGD, L2) changes "
                    f"{line.value:.0%} of {line.n} right answers ({line.confidence:.0%} interval "
                    f"{line.interval[0]:.0%} to {line.interval[1]:.0%}).",
                    metrics=[line.key],
                    mitigation=_adversarial(subject, metrics),
                )
            ]
    return []


def trigger_findings(found: Sequence[Triggered], metrics: Sequence[Metric], subject: Subject) -> list[Finding]:
    """One finding for each class whose trigger surely does more than random words."""
    by_key = {line.key: line for line in metrics}
    told = []
    for one in found:
        label = subject.labels[one.label]
        over = by_key[f"trigger_success_over_random[class={label}]"]
        rate = by_key[f"trigger_success_rate[class={label}, trigger=searched]"]
        if one.trigger is None or over.interval is None or rate.interval is None or over.interval[0] <= 0:
            continue
        identity = f"security-universal-trigger-{one.label}"
        told.append(
            Finding(
                id=identity,
                severity=Severity.HIGH if rate.interval[0] > MOST else Severity.MEDIUM,
                statement=f"The words {' '.join(one.trigger.words)!r} before a row of {label!r} change "
                f"{rate.value:.0%} of {rate.n} answers on rows that the search did not see "
                f"({rate.confidence:.0%} interval {rate.interval[0]:.0%} to {rate.interval[1]:.0%}), "
                f"{over.value:.0%} more than random words.",
                metrics=[rate.key, f"trigger_success_rate[class={label}, trigger=random words]", over.key],
                mitigation=_adversarial(subject, metrics),
                **_turned(one, one.trigger, subject, identity),
            )
        )
    return told


def _severity(low: float) -> Severity:
    return Severity.HIGH if low > MOST else Severity.MEDIUM if low > SOME else Severity.LOW


def _mend(name: str, subject: Subject, metrics: Sequence[Metric]) -> Mitigation:
    if name in DISGUISES:
        return Mitigation(
            command="aboveboard normalize CHECKPOINT --out normalized",
            why="the tokenizer then leaves out marks without width, and reads letters of other scripts inside a Latin "
            "word as the Latin ones that they look like; nothing is trained, and `aboveboard compare` shows the gain "
            "and its price",
        )
    mend = _adversarial(subject, metrics)
    if subject.smoothing is not None:
        return mend
    votes = "; votes of many looks at a text are another way: this audit with --smoothing-keep 0.3 tells what they gain"
    return mend.model_copy(update={"why": mend.why + votes})


def _adversarial(subject: Subject, metrics: Sequence[Metric]) -> Mitigation:
    columns = f"--text-column {shlex.quote(subject.data.text_column)}"
    if subject.data.label_column:
        columns += f" --label-column {shlex.quote(subject.data.label_column)}"
    return Mitigation(
        command="aboveboard train --task classification --base CHECKPOINT --data TRAIN_FILE "
        f"{columns} --adversarial freelb{_within(metrics)} --out hardened",
        why="trained where small shifts of the embeddings make the loss large (Zhu et al. 2020, arXiv:1909.11764), the "
        "answer changes later; how much that helps against words, and what it costs, differs by model and radius: "
        "audit again, and `aboveboard compare` shows both",
    )


def _within(metrics: Sequence[Metric]) -> str:
    """The radius to train at, as a flag: the largest at which PGD leaves most answers; none where none was measured.

    Trained where most answers fall, a model may learn to say one class of everything.
    """
    lines = [
        (float(line.slice["radius"]), line.value)
        for line in metrics
        if line.name == "attack_success_rate" and line.slice.get("attack") == "pgd-L2" and line.value is not None
    ]
    if not lines:
        return ""
    gentle = [radius for radius, success in lines if success <= MOST]
    return f" --adversarial-radius {max(gentle) if gentle else min(radius for radius, _ in lines):g}"


def _changed(one: WordAttack) -> list[tuple[int, Attacked]]:
    """Changed rows, those with the fewest changes first: what a person is least likely to notice."""
    rows = [(int(at), row) for at, row in zip(one.sample.rows, one.run.rows, strict=True)] if one.run else []
    changed = [(at, row) for at, row in rows if row.status == "succeeded"]
    return sorted(changed, key=lambda pair: pair[1].words_changed)


def _line_of(subject: Subject) -> Callable[[tuple[int, Attacked]], dict[str, Scalar]]:
    def line(pair: tuple[int, Attacked]) -> dict[str, Scalar]:
        at, row = pair
        return {
            "row": at + 1,
            "change": shortened(changed_words(row)),
            "before": subject.labels[row.before],
            "after": subject.labels[row.after],
            "queries": row.queries,
        }

    return line


def _turned(one: Triggered, trigger: Trigger, subject: Subject, identity: str) -> Shown:
    """Rows that the trigger turned; they have no order."""
    turned = [int(row) for row, is_turned in zip(one.rows, one.turned, strict=True) if is_turned]
    return examples_of(
        turned,
        lambda row: {
            "row": row + 1,
            "text": shortened(trigger.put_before(subject.texts[row])),
            "before": subject.labels[one.label],
        },
        finding=identity,
        seed=subject.seed,
        worst=0,
    )
