"""Selection rates and impact ratios by category, counted from a record's evidence rows, in the form of 6 RCNY 5-301.

A category's selection rate is the share of its people who are predicted as selected; its scoring rate, the share whose
score lies above the median of all. The impact ratio divides by the rate of the category where it is highest. People of
unknown category are counted and stand in no rate. A category of less than 2% leaves the ratios only where a person
decided so, and said why. No verdict: the law sets no mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from audit.rows import GROUP, PROBABILITY
from audit.statistics.estimate import Estimate
from audit.statistics.proportions import proportion, ratio_of_proportions
from core_model.errors import OptionUnfit
from reports.frameworks.selection import Selection, SelectionRow, SelectionTable
from reports.parts import Attestation
from reports.record import Record

UNKNOWN = frozenset(["", "(missing)", "unknown", "not known", "not stated", "prefer not to say", "n/a"])
SMALL = 0.02  # share of the data below which an auditor may leave a category out (5-301(d))
QUESTION = "nyc-ll144/5-301.d/small-categories"
_SEX, _RACE = ("sex", "gender"), ("race", "ethnicity", "race_ethnicity", "race/ethnicity")
JOINT = " & "


def selection_of(record: Record, source: Path, roles: Mapping[str, str]) -> Selection:
    """The tables of a record; or why there are none.

    Args:
        source: the record's file; its evidence rows lie beside it.
        roles: group columns that hold "sex" and "race"; guessed by name where they are not given.
    Raises: OptionUnfit for a role, a column or a category left out that does not fit.
    """
    import hashlib
    import io

    import pandas as pd

    command = record.with_places(
        "aboveboard audit CHECKPOINT --data TEST_FILE --group-column sex --group-column race --only fairness"
    )
    if record.evidence is None:
        return Selection([], missing="the record has no evidence rows", command=command)
    path = source.parent / record.evidence.file
    if not path.is_file():
        return Selection([], missing=f"{path.name} does not lie beside the record", command=command)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != record.evidence.sha256:
        return Selection([], missing=f"{path.name} does not fit its hash in the record", command=command)
    rows = pd.read_parquet(io.BytesIO(content))
    selected = _selected(record)
    if selected is None or "predicted" not in rows:
        return Selection(
            [],
            missing="it is not said which class counts as selected",
            command=command + " --set fairness.selected=LABEL",
        )
    columns = _columns(record, roles)
    if not columns:
        return Selection(
            [],
            missing="no group column is called sex or race",
            command=f"--set sex=COLUMN --set race=COLUMN; {command}",
        )
    chosen = np.asarray(rows["predicted"] == record.subject.labels.index(selected))
    score = rows.get(f"{PROBABILITY}{selected}")
    scores = None if score is None else np.asarray(score, float)
    groups = {role: np.asarray(rows[GROUP + column].astype(str)) for role, column in columns.items()}
    left_out = _left_out(record, columns, groups)
    titles = {"sex": "Sex", "race": "Race or ethnicity"}
    tables = [
        table_of(titles[role], columns[role], groups[role], chosen, scores, left_out.get(columns[role], {}))
        for role in columns
    ]
    if len(columns) == 2:
        crossed, name = _crossed(groups["race"], groups["sex"]), f"{columns['race']}{JOINT}{columns['sex']}"
        tables.append(
            table_of("Intersection of race or ethnicity and sex", name, crossed, chosen, scores, left_out.get(name, {}))
        )
    median = None if scores is None else float(np.median(scores))
    return Selection(tables, selected, len(rows), median, "95%, Wilson for rates, ratio of two proportions for ratios")


def table_of(
    title: str,
    column: str,
    groups: np.ndarray,
    chosen: np.ndarray,
    scores: np.ndarray | None,
    left_out: Mapping[str, str],
) -> SelectionTable:
    """One table.

    Args:
        groups: category of each person, (people,) of str.
        chosen: who is selected, (people,) bool.
        scores: score of each person, (people,); None where there are none.
        left_out: categories that a person left out of the ratios, each with the reason.
    """
    known = ~np.array([_unknown(group) for group in groups], bool)
    above = None if scores is None else scores > np.median(scores)  # the median of the full sample
    names = sorted(set(groups[known].tolist()))
    counts = {name: (int(chosen[groups == name].sum()), int((groups == name).sum())) for name in names}
    scored = None if above is None else {n: (int(above[groups == n].sum()), counts[n][1]) for n in names}
    rows = []
    for name in names:
        why = left_out.get(name, "")
        rate, ratio, no_ratio = _rated(name, counts, left_out)
        scoring, scoring_ratio, _ = _rated(name, scored, left_out) if scored else (None, None, "")
        rows.append(
            SelectionRow(
                name,
                assessed=counts[name][1],
                selected=counts[name][0],
                rate=rate.value or 0.0,
                rate_interval=rate.interval,
                ratio=ratio.value if ratio else None,
                ratio_interval=ratio.interval if ratio else None,
                scoring_rate=scoring.value if scoring else None,
                scoring_interval=scoring.interval if scoring else None,
                scoring_ratio=scoring_ratio.value if scoring_ratio else None,
                scoring_ratio_interval=scoring_ratio.interval if scoring_ratio else None,
                left_out=f"left out by decision: {why}" if why else "",
                no_ratio=no_ratio,
            )
        )
    small = [name for name in names if counts[name][1] < SMALL * len(groups) and name not in left_out]
    note = (
        f"Below 2% of the data, and in the ratios since nobody decided otherwise: {', '.join(small)}." if small else ""
    )
    return SelectionTable(title, column, rows, int((~known).sum()), note)


def _rated(
    name: str, counts: Mapping[str, tuple[int, int]], left_out: Mapping[str, str]
) -> tuple[Estimate, Estimate | None, str]:
    """A category's rate, its ratio to the highest rate, and why there is no ratio."""
    rate = proportion(*counts[name])
    if name in left_out:
        return rate, None, ""
    best = max((n for n in counts if n not in left_out), key=lambda n: counts[n][0] / counts[n][1])
    if counts[best][0] == 0:
        return rate, None, "nobody is selected in any category"
    ratio = ratio_of_proportions(*counts[name], *counts[best])
    if name == best:
        return rate, Estimate(1.0, None, None, counts[name][1], "none"), "the category selected most"
    return rate, ratio, ""


def _unknown(group: str) -> bool:
    return any(part.strip().lower() in UNKNOWN for part in group.split(JOINT))


def _crossed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.array([f"{a}{JOINT}{b}" for a, b in zip(first, second, strict=True)], dtype=object)


def _selected(record: Record) -> str | None:
    audit = record.audit("fairness")
    named = audit.options.get("selected") if audit else None
    if isinstance(named, str) and named in record.subject.labels:
        return named
    return record.subject.labels[1] if len(record.subject.labels) == 2 else None


def _columns(record: Record, roles: Mapping[str, str]) -> dict[str, str]:
    """Which group column holds sex, and which race or ethnicity."""
    for role, column in roles.items():
        if role not in ("sex", "race"):
            raise OptionUnfit(
                f"--set {role}={column}: there is no role {role!r}; there are sex, race", mend="--set sex=..."
            )
        if column not in record.data.group_columns:
            known = ", ".join(record.data.group_columns) or "none"
            raise OptionUnfit(f"the record has no group column {column!r}; it has {known}", mend=f"--set {role}=COLUMN")
    found = {}
    for role, usual in (("sex", _SEX), ("race", _RACE)):
        named = roles.get(role) or next((c for c in record.data.group_columns if c.lower() in usual), None)
        if named is not None:
            found[role] = named
    return found


def _left_out(
    record: Record, columns: Mapping[str, str], groups: Mapping[str, np.ndarray]
) -> dict[str, dict[str, str]]:
    """Categories that a person decided to leave out, with who and why.

    Raises: OptionUnfit where a category is unknown, is not below 2%, or no reason is given.
    """
    answers: Sequence[Attestation] = (record.people.attestations if record.people else None) or []
    decided = [answer for answer in answers if answer.question == QUESTION and answer.answer == "yes"]
    if not decided:
        return {}
    answer = decided[-1]
    values = {columns[role]: found for role, found in groups.items()}
    if len(columns) == 2:
        values[f"{columns['race']}{JOINT}{columns['sex']}"] = _crossed(groups["race"], groups["sex"])
    found: dict[str, dict[str, str]] = {}
    for column, categories in answer.left_out.items():
        for category in categories:
            count = int((values[column] == category).sum()) if column in values else 0
            if count == 0:
                raise OptionUnfit(
                    f"left_out: {column} has no category {category!r}", mend="correct it in the attestations"
                )
            if count >= SMALL * len(values[column]):
                raise OptionUnfit(
                    f"left_out: {column} = {category} is {count / len(values[column]):.1%} of the data; only a "
                    "category below 2% may be left out",
                    mend="take it out of left_out in the attestations",
                )
            if not answer.statement:
                raise OptionUnfit(
                    f"left_out: {column} = {category} has no reason", mend="statement: why it is left out"
                )
            found.setdefault(column, {})[category] = f"{answer.statement} ({answer.name}, {answer.date})"
    return found
