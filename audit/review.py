"""The review queue that came back: decisions read, counted, and how far reviewers agree.

A decision is one of the model's labels, or `unclear`. Agreement is Krippendorff's alpha for nominal data: 1 is full
agreement, 0 what chance would give, below 0 worse than chance. Its interval resamples rows, since rows are what was
drawn; with few rows it is wide, and says so.
Source: Krippendorff, Content Analysis, 4th ed. 2019, chapter 12; Hayes and Krippendorff 2007, CMM 1(1):77.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from reports.errors import LibraryMissing, ReviewUnfit
from reports.parts import Review, ReviewFile

UNCLEAR = "unclear"
RESAMPLES = 2000
COLUMNS = ("row", "label", "predicted", "decision", "reviewer")


@dataclass(frozen=True)
class Decision:
    """What one reviewer decided on one row."""

    row: str
    reviewer: str
    decision: str
    label: str
    predicted: str


def count_reviews(files: Sequence[Path], *, labels: Sequence[str]) -> Review:
    """Read filled-in review queues and count them.

    Args:
        files: CSV files of one queue, each filled in by one reviewer or by several.
        labels: what a decision may be, besides `unclear`.
    Raises: ReviewUnfit with the file and its line; LibraryMissing without the extra `review`.
    """
    decisions: list[Decision] = []
    queued: set[str] = set()
    read = []
    for path in files:
        content, lines = read_queue(path)
        queued |= {line["row"] for line in lines}
        found = _decisions(path, lines, labels)
        decisions += found
        read.append(ReviewFile(file=path.name, sha256=hashlib.sha256(content).hexdigest(), decisions=len(found)))
    seen: set[tuple[str, str]] = set()
    for one in decisions:
        if (one.row, one.reviewer) in seen:
            raise ReviewUnfit(
                f"{one.reviewer} decided on row {one.row} twice", mend="leave one of the two decisions empty"
            )
        seen.add((one.row, one.reviewer))
    counts = value_counts(decisions)
    alpha, interval, reason = agreement(counts)
    several = int((counts.sum(1) > 1).sum())
    return Review(
        files=read,
        rows=len({one.row for one in decisions}),
        rows_queued=len(queued),
        reviewers=sorted({one.reviewer for one in decisions}),
        decisions=dict(sorted(Counter(one.decision for one in decisions).items())),
        confirms_label=sum(one.decision == one.label for one in decisions),
        confirms_model=sum(one.decision == one.predicted for one in decisions),
        rows_by_several=several,
        alpha=alpha,
        interval=interval,
        interval_method=f"percentile bootstrap over rows, {RESAMPLES:,}" if interval else None,
        reason=reason,
    )


def read_queue(path: Path) -> tuple[bytes, list[dict[str, str]]]:
    """A review queue's bytes and rows.

    Raises: ReviewUnfit when it cannot be read, or lacks a column.
    """
    try:
        content = path.read_bytes()
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True)
        lines = [{key: (value or "").strip() for key, value in line.items() if key} for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise ReviewUnfit(f"the review queue {path} cannot be read: {error}", mend="save it as CSV in UTF-8") from error
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise ReviewUnfit(
            f"the review queue {path} has no column {missing[0]!r}", mend="fill in the review_queue.csv of an audit"
        )
    return content, lines


def _decisions(path: Path, lines: Sequence[Mapping[str, str]], labels: Sequence[str]) -> list[Decision]:
    found = []
    for number, line in enumerate(lines, start=2):
        said = _plain(line["decision"])
        if not said:
            continue
        allowed = [*labels, UNCLEAR]
        if said not in allowed:
            near = get_close_matches(said, allowed, n=1) or allowed[:1]
            raise ReviewUnfit(
                f"{path}, line {number}: the decision {said!r} is none of {', '.join(allowed)}", mend=f"write {near[0]}"
            )
        if not line["reviewer"]:
            raise ReviewUnfit(f"{path}, line {number}: a decision without a reviewer", mend="fill in the reviewer")
        found.append(
            Decision(line["row"], _plain(line["reviewer"]), said, _plain(line["label"]), _plain(line["predicted"]))
        )
    return found


def _plain(cell: str) -> str:
    """A cell without the apostrophe that keeps spreadsheets from taking it for a formula."""
    return cell[1:] if cell.startswith("'") and cell[1:2] in "=+-@" else cell


def value_counts(decisions: Sequence[Decision]) -> np.ndarray:
    """How often each decision was given for each row, (rows, decisions)."""
    rows = {row: i for i, row in enumerate(dict.fromkeys(one.row for one in decisions))}
    values = {value: i for i, value in enumerate(sorted({one.decision for one in decisions}))}
    counts = np.zeros((len(rows), len(values)), np.int64)
    for one in decisions:
        counts[rows[one.row], values[one.decision]] += 1
    return counts


def agreement(
    counts: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float | None, tuple[float, float] | None, str | None]:
    """Krippendorff's alpha (nominal) with a 95% interval, or why one is absent.

    Args:
        counts: how often each value was given for each row, (rows, values).
    Raises: LibraryMissing without the extra `review`.
    """
    paired = counts[counts.sum(1) > 1]
    if len(paired) == 0:
        return None, None, "no row was decided by two reviewers"
    if (paired.sum(0) > 0).sum() < 2:
        return None, None, "all decisions are alike: alpha is not defined"
    try:
        import krippendorff
    except ImportError as error:
        raise LibraryMissing(
            "agreement needs the package krippendorff", mend="pip install 'aboveboard[review]'"
        ) from error
    alpha = float(krippendorff.alpha(value_counts=paired, level_of_measurement="nominal"))
    if len(paired) < 2:
        return alpha, None, "one row was decided by two reviewers: no spread to see"
    random = np.random.default_rng(seed)
    weights = random.multinomial(len(paired), np.full(len(paired), 1 / len(paired)), size=resamples)
    found = alphas(paired, weights)
    found = found[~np.isnan(found)]  # resamples in which all decisions are alike have no alpha
    if len(found) < resamples / 2:
        return alpha, None, "most resamples hold one decision only"
    low, high = np.quantile(found, [0.025, 0.975])
    return alpha, (float(low), float(high)), None


def alphas(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Krippendorff's alpha (nominal) of each resample at once; NaN where only one value is left.

    Args:
        counts: (rows, values), each row with two decisions at least.
        weights: how often each resample drew each row, (resamples, rows).
    """
    decisions = counts.sum(1)
    agreeing = (counts * (counts - 1)).sum(1) / (decisions - 1)  # pairs of a row that agree, a decision's share
    n = weights @ decisions
    totals = weights @ counts  # (resamples, values)
    expected = n**2 - (totals**2).sum(1)  # pairs that would differ by chance
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - (n - 1) * (n - weights @ agreeing) / expected, np.nan)
