"""What a reader should act on: which gaps are real, how grave they are, what would mend them.

Severity, by the interval and not by the point:
    high    the limit is broken by the whole interval
    medium  the interval excludes parity (by more than 0.01), and the limit is undecided
    low     the interval excludes parity within the limit or without one; or the value is past its limit, and the
            interval does not exclude parity: more rows would tell
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from audit.concerns.fairness.counterfactual import Outcomes
from audit.concerns.fairness.gaps import plain
from audit.concerns.fairness.measured import Measured
from audit.concerns.fairness.rows import LONGEST, Rows, cut
from audit.examples import examples_of
from reports.record import Finding, Metric, Mitigation, Scalar, Severity, Verdict

TOLERANCE = 0.01  # a difference whose interval begins below this is not worth a reader's time
FLIPS = "fairness-counterfactual-flips"
COMPARE = "Audit the result on the same rows; `aboveboard compare` shows the gain and its price."
_ORDER = [Severity.HIGH, Severity.MEDIUM, Severity.LOW]


@dataclass(frozen=True)
class Candidate:
    """A finding, and how large the thing is that it tells of; of those with the same id the gravest is kept."""

    finding: Finding
    size: float


def severity(found: Metric, *, parity: float) -> Severity | None:
    """How grave a gap (parity 0) or ratio (parity 1) is; None when there is nothing to tell."""
    if found.value is None or found.interval is None:
        return None
    low, high = found.interval
    real = low > TOLERANCE if parity == 0 else high < parity - TOLERANCE
    if found.verdict is Verdict.FAIL:
        return Severity.HIGH
    if real:
        return Severity.MEDIUM if found.verdict is Verdict.INCONCLUSIVE else Severity.LOW
    past = found.limit is not None and (found.value > found.limit if parity == 0 else found.value < found.limit)
    return Severity.LOW if past else None


def gravest(candidates: Iterable[Candidate]) -> list[Finding]:
    """One finding for each id: the gravest, with the metrics of all; gravest first."""
    by_id: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_id.setdefault(candidate.finding.id, []).append(candidate)
    kept = []
    for same in by_id.values():
        worst = min(same, key=lambda c: (_ORDER.index(c.finding.severity), -c.size))
        keys = dict.fromkeys([*worst.finding.metrics, *(key for c in same for key in c.finding.metrics)])
        kept.append(worst.finding.model_copy(update={"metrics": list(keys)}))
    return sorted(kept, key=lambda finding: _ORDER.index(finding.severity))


def gap_findings(measured: Measured, rows: Rows, *, slug: str, train: str) -> list[Candidate]:
    """Findings of one column and one selected class.

    Args:
        slug: the column's name as part of an id.
        train: the command that the mend begins with.
    """
    found = []
    for gap in measured.gaps:
        if gap.name not in _KINDS or gap.highest is None or gap.lowest is None:
            continue
        if gap.rate.name == "accuracy" and not measured.tells_accuracy:
            continue
        line = measured.gap_metrics[gap.name]
        grave = severity(line, parity=0)
        if grave is None or line.value is None:
            continue
        names = measured.column.groups
        of_class = f" of {measured.selected!r}" if measured.part and gap.rate.name != "accuracy" else ""
        statement = (
            f"The {plain(gap.rate.name)}{of_class} is "
            f"{gap.rate.value(gap.highest):.2f} for {short(names[gap.highest])} and "
            f"{gap.rate.value(gap.lowest):.2f} for {short(names[gap.lowest])} "
            f"(largest minus smallest {_with_interval(line)})."
        )
        chosen = _telling_rows(measured, rows, gap.rate.name, gap.highest, gap.lowest)
        found.append(
            _candidate(
                f"fairness-{_KINDS[gap.name]}-{slug}",
                grave,
                statement + _against_limit(line),
                [line],
                _mend(measured, gap.rate.name, gap.highest, gap.lowest, train, classes=len(rows.labels)),
                rows,
                chosen,
                size=line.value,
            )
        )
    return [*found, *_impact_findings(measured, rows, slug=slug, train=train)]


_KINDS = {
    "equalized_odds_difference": "equalized-odds",
    "demographic_parity_difference": "demographic-parity",
    "accuracy_difference": "accuracy",
}


def _impact_findings(measured: Measured, rows: Rows, *, slug: str, train: str) -> list[Candidate]:
    """One finding for all the groups of a column that fall short of the highest."""
    if measured.reference is None:
        return []
    graded = {
        group: (line, grave)
        for group, line in measured.ratio_metrics.items()
        if line.limit is not None and (grave := severity(line, parity=1)) is not None and _below(line)
    }
    if not graded:
        return []
    worst = min(graded, key=lambda group: (_ORDER.index(graded[group][1]), graded[group][0].value or 0.0))
    line, grave = graded[worst]
    selection, names = measured.rates["selection_rate"], measured.column.groups
    others = f"; {len(graded) - 1} more group(s) fall short of {line.limit:g}" if len(graded) > 1 else ""
    statement = (
        f"{short(names[worst])} is predicted {measured.selected!r} in {selection.value(worst):.2f} of its rows, "
        f"{short(names[measured.reference])} in {selection.value(measured.reference):.2f} "
        f"(impact ratio {_with_interval(line)}{others})."
    )
    chosen = _telling_rows(measured, rows, "selection_rate", measured.reference, worst)
    mend = _mend(measured, "selection_rate", measured.reference, worst, train, classes=len(rows.labels))
    lines = [graded[group][0] for group in [worst, *(g for g in graded if g != worst)]]
    identity = f"fairness-impact-ratio-{slug}"
    size = 1 - (line.value or 0.0)
    return [_candidate(identity, grave, statement + _against_limit(line), lines, mend, rows, chosen, size=size)]


def _below(line: Metric) -> bool:
    return line.value is not None and line.limit is not None and line.value < line.limit


def _telling_rows(measured: Measured, rows: Rows, rate: str, highest: int, lowest: int) -> np.ndarray:
    """The errors that make the gap, most confident first."""
    codes, chosen = measured.column.codes, rows.predictions.predicted == measured.index
    over, under = rows.wrong & chosen & (codes == highest), rows.wrong & ~chosen
    return rows.most_confident(
        {
            "false_positive_rate": over,
            "false_negative_rate": under & (codes == highest),
            "selection_rate": over | (under & (codes == lowest)),
            "accuracy": rows.wrong & (codes == lowest),
        }[rate]
    )


def _candidate(
    identity: str,
    grave: Severity,
    statement: str,
    lines: Sequence[Metric],
    mend: Mitigation,
    rows: Rows,
    chosen: np.ndarray,
    *,
    size: float,
) -> Candidate:
    finding = Finding(
        id=identity,
        severity=grave,
        statement=statement,
        metrics=[line.key for line in lines],
        mitigation=mend,
        **examples_of(chosen, rows.line, finding=identity, seed=rows.seed),
    )
    return Candidate(finding, size)


def flip_finding(
    lines: Sequence[Metric], outcomes: Outcomes, rows: Rows, *, train: str, identity_terms: str | None
) -> list[Finding]:
    """The finding of the identity swap: the gravest of the flip rates, overall or by category.

    Args:
        train: the command that the mend begins with.
        identity_terms: the user's own list, which the mend then swaps by, too.
    """
    rates = [line for line in lines if line.name == "counterfactual_flip_rate"]
    graded = [(line, grave) for line in rates if (grave := severity(line, parity=0)) is not None]
    if not graded:
        return []
    line, grave = min(graded, key=lambda pair: (_ORDER.index(pair[1]), len(pair[0].slice), -(pair[0].value or 0.0)))
    whose = f"{line.slice['category'].replace('_', ' ')} terms" if line.slice else "identity terms"
    low, high = line.interval or (0.0, 0.0)
    statement = (
        f"Swapping {whose} changes the predicted label of {line.value or 0:.1%} of the {line.n:,} rows that hold one "
        f"({line.confidence:.0%} interval {low:.1%} to {high:.1%})."
    )
    flips = np.flatnonzero(outcomes.flipped)
    flips = flips[np.argsort(-np.abs(outcomes.shift[flips]), kind="stable")]
    _, first = np.unique(outcomes.swaps.rows[flips], return_index=True)
    flips = flips[np.sort(first)]  # of each row the swap that moves it most
    own_list = "" if identity_terms is None else f" --identity-terms {shlex.quote(identity_terms)}"
    why = (
        "It trains on each row that holds an identity term a second time, with the term swapped and the same label, so "
        "that the identity does not decide (counterfactual data augmentation, Lu et al. 2018, arXiv:1807.11714). That "
        "the label stays right is assumed: let people look at the flips in review_queue.csv first, and leave it where "
        f"the identity is what the label is about. {COMPARE}"
    )
    return [
        Finding(
            id=FLIPS,
            severity=grave,
            statement=statement + _against_limit(line),
            metrics=[line.key for line, _ in graded],
            mitigation=Mitigation(command=f"{train} --augment identity-swap{own_list} --out mended", why=why),
            **examples_of(flips, lambda flip: swap_line(outcomes, int(flip), rows), finding=FLIPS, seed=rows.seed),
        )
    ]


def swap_line(outcomes: Outcomes, place: int, rows: Rows) -> dict[str, Scalar]:
    """One swapped row, before and after."""
    swaps = outcomes.swaps
    row = int(swaps.rows[place])
    pair = {} if swaps.pairs is None else {"pair_after": cut(swaps.pairs[place], LONGEST)}
    return {
        **rows.line(row),
        "text_after": cut(swaps.texts[place], LONGEST),
        **pair,
        "predicted_after": rows.labels[outcomes.predicted[place]],
        "score_shift": round(float(outcomes.shift[place]), 4),
        "category": swaps.categories[swaps.category[place]],
    }


def _mend(measured: Measured, rate: str, highest: int, lowest: int, train: str, *, classes: int) -> Mitigation:
    """A constraint for error rates, reweighing for the others, and what it can and cannot be hoped to do."""
    high, low = (short(measured.column.groups[group]) for group in (highest, lowest))
    column, name = measured.column.parts[0], measured.selected
    flags, does = _ways(rate, shlex.quote(column), classes)
    hope = {
        "selection_rate": "It aims at this gap; where the groups' true rates differ, closing it costs accuracy.",
        "false_positive_rate": f"It aims at this gap, at a price in accuracy. More rows of {high} that are not "
        f"{name!r} may help as well.",
        "false_negative_rate": f"It aims at this gap, at a price in accuracy. More rows of {high} that are {name!r} "
        "may help as well.",
        "accuracy": f"It aims at the gap in selection rates, not in accuracy: more rows of {low}, with labels that "
        "people checked, may help more.",
    }[rate]
    crossed = ""
    if measured.column.crossed:
        crossed = (
            f" The gap is between intersections, and the command balances {short(column)} alone: a column that joins "
            f"{' and '.join(map(short, measured.column.parts))} can be named in the same way."
        )
    why = (
        "First let people decide the rows of review_queue.csv: some labels may be wrong, not the model. The command "
        f"{does.format(short(column))}; the training file must hold that column. {hope}{crossed} {COMPARE}"
    )
    return Mitigation(command=f"{train} {flags} --out mended", why=why)


def _ways(rate: str, column: str, classes: int) -> tuple[str, str]:
    """The flags that aim at a rate, and what they do, with a place for the column's name."""
    if rate not in ("false_positive_rate", "false_negative_rate"):
        return (
            f"--reweigh {column}",
            "weighs the training rows so that label and {} are independent (reweighing, Kamiran and Calders 2012)",
        )
    if classes == 2:
        return (
            f"--reductions equalized-odds --fairness-column {column} --epochs 8",
            "weighs the training rows anew after each epoch until the error rates agree by {} (reductions, Agarwal et "
            "al. 2018, arXiv:1803.02453)",
        )
    return (
        f"--fairness-penalty equalized-odds --fairness-column {column} --epochs 8",
        "adds to the loss how far the mean probabilities lie apart by {} among the rows of each label (after Padala "
        "and Gujar 2020, arXiv:1811.00265)",
    )


def _with_interval(line: Metric) -> str:
    low, high = line.interval or (0.0, 0.0)
    return f"{line.value:.2f}, {line.confidence:.0%} interval {low:.2f} to {high:.2f}"


def _against_limit(line: Metric) -> str:
    if line.limit is None:
        return ""
    if line.verdict is not Verdict.INCONCLUSIVE:
        return f" The limit of {line.limit:g} {'is broken' if line.verdict is Verdict.FAIL else 'holds'}."
    rows = f"; about {_rounded(line.rows_needed):,} rows would" if line.rows_needed else ""
    return f" The rows do not settle whether the limit of {line.limit:g} holds{rows}."


def _rounded(rows: int) -> int:
    """Two digits: it is an extrapolation."""
    return int(round(rows, 2 - len(str(rows))))


def short(name: str) -> str:
    """A group's name in a sentence."""
    return name if len(name) <= 60 else f"{name[:60]}…"
