"""The data card: where the rows come from, what each step dropped and why, and what is left, in numbers.

It holds no text of a row, no path and no time: the same input and options give the same bytes.

Sources: Gebru et al. 2021, Datasheets for Datasets, arXiv:1803.09010; Pushkarna et al. 2022, Data Cards,
arXiv:2204.01075.
"""

from __future__ import annotations

import platform
import unicodedata
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from core_model.data_hash import hash_file
from core_model.duplicates import PERMUTATIONS, SEED, SHINGLE_WORDS, bands
from core_model.preprocessing.clusters import sizes
from core_model.preprocessing.language import language_shares
from core_model.preprocessing.options import PreparationOptions
from core_model.preprocessing.pipeline import Prepared
from core_model.preprocessing.reading import Input, member
from core_model.preprocessing.splitting import PARTS

SCHEMA = "aboveboard data card 1"
LANGUAGE_SAMPLE = 2_000
QUANTILES = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
LARGE_CLUSTER = 0.05  # share of rows from which a cluster is worth a note
PACKAGES = ("aboveboard", "datasketch", "lxml", "numpy", "py3langid", "pyarrow")


def data_card(
    given: Input, options: PreparationOptions, prepared: Prepared, files: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The card as JSON values.

    Args:
        files: what was written: part -> file, sha256, bytes.
    """
    parts = prepared.parts
    return {
        "schema": SCHEMA,
        "input": {
            "name": given.name,
            "sha256": prepared.rows_sha256 or hash_file(Path(str(given.path))),
            "sha256_of": "rows as JSON lines" if prepared.rows_sha256 else "file",
            "rows": prepared.steps[0].rows_in,
            "columns": list(given.rows.columns),
            **given.about.model_dump(),
        },
        "task": str(options.task),
        "columns": {
            **given.sides,
            **{
                what: column
                for what, column in (
                    ("answer", given.answer_column), ("label", given.label_column), ("split", given.split_column)
                )
                if column is not None
            },
        },
        "guessed": dict(given.guessed),
        "options": options.model_dump(mode="json"),
        "steps": [step.as_json() for step in prepared.steps],
        "parts": [
            {"name": part, "rows": int((parts == PARTS.index(part)).sum()), **files[part]}
            for part in ("train", "validation", "test")
            if part in files
        ],
        "clusters": _clusters(prepared),
        "lengths": _lengths(given, prepared),
        "languages": _languages(given, prepared),
        "hashes": {
            "texts": "blake2b, 8 bytes, of NFKC, lower case, single blanks",
            "minhash": {
                "permutations": PERMUTATIONS,
                "seed": SEED,
                "shingle_words": SHINGLE_WORDS,
                "bands": list(bands(options.similarity)),
            },
            "split_seed": options.seed,
        },
        "versions": {
            "python": platform.python_version(),
            "unicode": unicodedata.unidata_version,
            **{name: _version(name) for name in PACKAGES},
        },
        "notes": _notes(options, prepared),
    }  # fmt: skip


def _clusters(prepared: Prepared) -> dict[str, Any] | None:
    """Of the rows that are left, by near duplicates on any side; None where a column splits."""
    if prepared.labels is None:
        return None
    clusters = sizes(prepared.labels)
    return {
        "clusters": len(clusters),
        "of_two_rows_and_more": int((clusters > 1).sum()),
        "rows_in_these": int(clusters[clusters > 1].sum()),
        "largest": int(clusters[0]),
    }


def _lengths(given: Input, prepared: Prepared) -> dict[str, Any]:
    """Quantiles over the rows that are left: the smallest value that this share of rows does not exceed."""
    kept = prepared.parts >= 0
    found: dict[str, Any] = {}
    for place, side in enumerate(given.sides):
        for unit, lengths in (("words", prepared.rows.words), ("characters", prepared.rows.characters)):
            values = np.quantile(lengths[kept, place], QUANTILES, method="inverted_cdf")
            found.setdefault(side, {})[unit] = {
                f"{share:g}": int(value) for share, value in zip(QUANTILES, values, strict=True)
            }
    return found


def _languages(given: Input, prepared: Prepared) -> dict[str, Any] | None:
    """Of a sample of the rows that are left: those with the smallest keys, which are as good as drawn by lot."""
    kept = np.flatnonzero(prepared.parts >= 0)
    order = np.lexsort((kept, prepared.rows.row_keys[kept]))
    sample = np.sort(kept[order[:LANGUAGE_SAMPLE]])
    shares = {}
    for side, column in given.sides.items():
        counts = language_shares(str(member(prepared.rows.spool[int(place)], column)) for place in sample)
        if counts is None:
            return None
        shares[side] = counts
    return {"sample_rows": len(sample), "method": "likeliest language by py3langid", "rows": shares}


def _notes(options: PreparationOptions, prepared: Prepared) -> list[str]:
    notes = []
    if prepared.labels is not None:
        largest = int(sizes(prepared.labels)[0])
        if largest > LARGE_CLUSTER * len(prepared.labels) and largest > 1:
            notes.append(
                f"The largest cluster holds {largest:,} of {len(prepared.labels):,} rows, and stands whole in a part. "
                "Short texts that repeat can link many rows; min_words, or a split column, makes clusters smaller."
            )
    if options.split_column is not None:
        notes.append("Rows without a value in the split column are one group.")
    return notes


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
