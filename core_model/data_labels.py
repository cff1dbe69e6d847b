"""How the values of a label column are read: as names of the model's classes, as their indices, or as yes and no."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from core_model.errors import LabelsUnfit

MOST_CLASSES = 1_000  # a column with more different values holds text or scores


def label_key(value: object) -> str | None:
    """A label as the text that it would have in a CSV file; None where it is missing. 1.0 and 1 are the same."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def read_labels(
    source: str, column: str, first_rows: Mapping[str, int], label_names: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes, and for each value of the column the index of its class.

    Values are read the first of these ways that fits all of them: names of classes; names in another case; indices
    ("1", "LABEL_1"); false and true, for two classes.

    Args:
        first_rows: each value that occurs, with the first row where it stands, counted from 1.
        label_names: the model's classes; None makes classes of the values, in order (numbers by size).
    Raises: LabelsUnfit, with the first values that fit no class and their rows.
    """
    if label_names is None:
        if len(first_rows) > MOST_CLASSES:
            raise LabelsUnfit(
                f"{source}: column {column!r} has {len(first_rows):,} different values; that is no set of classes",
                mend="--label-column with the column that holds classes",
            )
        names = tuple(sorted(first_rows, key=_by_size))
        return names, {name: i for i, name in enumerate(names)}
    names = tuple(label_names)
    ways = _ways(names)
    for way in ways:
        if all(value.casefold() in way or value in way for value in first_rows):
            return names, {value: way.get(value, way.get(value.casefold(), -1)) for value in first_rows}
    fullest = max(ways, key=lambda way: sum(value in way or value.casefold() in way for value in first_rows))
    strange = [value for value in first_rows if value not in fullest and value.casefold() not in fullest]
    shown = "; ".join(f"{value[:60]!r} (row {first_rows[value]:,})" for value in strange[:5])
    more = f" and {len(strange) - 5:,} more" if len(strange) > 5 else ""
    raise LabelsUnfit(
        f"{source}: column {column!r} holds {shown}{more}; the model's classes are {', '.join(map(repr, names[:20]))}",
        mend=f"--label-column with another column, or write labels as the model's names or as 0 to {len(names) - 1}",
    )


def _ways(names: Sequence[str]) -> list[dict[str, int]]:
    exact = {name: i for i, name in enumerate(names)}
    ways = [exact]
    folded = {name.casefold(): i for i, name in enumerate(names)}
    if len(folded) == len(names):  # else two classes differ by case alone
        ways.append(folded | exact)
    indices = {str(i): i for i in range(len(names))}
    ways.append(indices | {f"label_{i}": i for i in range(len(names))})
    if len(names) == 2:
        ways.append({"false": 0, "true": 1})
    return ways


def _by_size(value: str) -> tuple[int, float, str]:
    try:
        number = float(value)
    except ValueError:
        return (1, 0.0, value)
    return (0, number, value) if math.isfinite(number) else (1, 0.0, value)
