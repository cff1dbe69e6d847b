"""Fewer bytes for an update: eight bits a number, or only the largest numbers; what is lost now is sent later.

int8          Each array is divided by its largest absolute value and rounded to 255 levels: a quarter of the bytes.
top-k:0.01    The largest hundredth of all numbers, with their places: about a seventieth of the bytes.

Both are biased: what they drop would be dropped in every round, and training can diverge (Beznosikov et al. 2020,
example 1). So each client keeps what was dropped and adds it to its next update (error feedback):

    sent = compress(update + feedback),  feedback = update + feedback - sent

Source: Seide et al. 2014 (1-bit SGD); Stich et al. 2018, arXiv:1809.07599 (memory, top-k); Karimireddy et al. 2019,
arXiv:1901.09847 (error feedback mends any compressor that keeps a part of the length).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np

from core_model.errors import OptionUnfit
from federated.arrays import Update
from federated.options import COMPRESSION, FederationOptions

LEVELS = 127  # of either sign
VALUES, SCALES, PLACES = "values", "scales", "places"

Packed = dict[str, np.ndarray]  # what travels in the place of an update: a few long arrays


class Malformed(ValueError):
    """What came is no compressed update of this model."""


def compress(
    update: Mapping[str, np.ndarray], method: str, feedback: Mapping[str, np.ndarray]
) -> tuple[Packed, Update]:
    """Compress an update and what was lost before.

    Args:
        update: finite numbers.
        method: "int8" or "top-k:SHARE".
        feedback: lost in earlier rounds, by the same names; empty in the first.
    Returns: what is sent; and what is lost now, to be given back in the next round.
    """
    wanted = {name: array + feedback[name] if name in feedback else array for name, array in update.items()}
    packed = _int8(wanted) if method == "int8" else _top_k(wanted, share_of(method))
    sent = decompress(packed, method, like=update)
    return packed, {name: np.asarray(wanted[name] - sent[name], dtype=np.float32) for name in wanted}


def decompress(packed: Mapping[str, np.ndarray], method: str, *, like: Mapping[str, np.ndarray]) -> Update:
    """The update that was sent, float32.

    Args:
        packed: as it came from a client that may be hostile.
        like: names and shapes of the model's shared parameters.
    Raises: Malformed, with the reason, for what does not fit.
    """
    unpack = _from_int8 if method == "int8" else _from_top_k
    flat = unpack(packed, like)
    ends = np.cumsum([array.size for array in like.values()])[:-1]
    parts = np.split(flat, ends)
    return {name: part.reshape(array.shape) for part, (name, array) in zip(parts, like.items(), strict=True)}


def share_of(method: str) -> float:
    """Of "top-k:SHARE": the share of numbers that is sent."""
    found = COMPRESSION.fullmatch(method)
    if found is None or found["share"] is None:
        raise ValueError(f"{method!r} is neither int8 nor top-k:SHARE")
    return float(found["share"])


def refuse_unfit(options: FederationOptions) -> None:
    """Hold compression against what else was asked for.

    Raises: OptionUnfit, with the reason.
    """
    if options.compress is None or not options.secure:
        return
    raise OptionUnfit(
        f"--compress {options.compress} does not go with --secure: masks cancel only where all clients add the same "
        "numbers in the same places, and masked integers cannot be shortened",
        mend="leave --compress out, or train and send --adapters alone",
    )


def _flat(update: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([np.asarray(array, dtype=np.float32).ravel() for array in update.values()])


def _int8(update: Mapping[str, np.ndarray]) -> Packed:
    scales = np.array([np.abs(array).max(initial=0) / LEVELS for array in update.values()], dtype=np.float32)
    steps = np.repeat(scales, [array.size for array in update.values()])
    flat = _flat(update)
    levels = np.divide(flat, steps, out=np.zeros_like(flat), where=steps > 0)
    return {VALUES: np.clip(np.rint(levels), -LEVELS, LEVELS).astype(np.int8), SCALES: scales}


def _from_int8(packed: Mapping[str, np.ndarray], like: Mapping[str, np.ndarray]) -> np.ndarray:
    sizes = [array.size for array in like.values()]
    values = _part(packed, VALUES, (np.int8,), sum(sizes))
    scales = _part(packed, SCALES, (np.float32,), len(sizes))
    if not (np.isfinite(scales).all() and (scales >= 0).all()):
        raise Malformed("its scales are no lengths of steps")
    with np.errstate(over="ignore"):  # what overflows is found to be infinite when the update is screened
        return values.astype(np.float32) * np.repeat(scales, sizes)


def _top_k(update: Mapping[str, np.ndarray], share: float) -> Packed:
    flat = _flat(update)
    count = max(ceil(share * flat.size), 1)
    places = np.sort(np.argpartition(np.abs(flat), flat.size - count)[flat.size - count :])
    gaps = np.diff(places, prepend=0)  # small numbers: two bytes are enough for most models
    narrow = np.uint16 if int(gaps.max(initial=0)) < 2**16 else np.uint32
    return {VALUES: flat[places], PLACES: gaps.astype(narrow)}


def _from_top_k(packed: Mapping[str, np.ndarray], like: Mapping[str, np.ndarray]) -> np.ndarray:
    size = sum(array.size for array in like.values())
    values = _part(packed, VALUES, (np.float32,), None)
    gaps = _part(packed, PLACES, (np.uint16, np.uint32), len(values))
    places = np.cumsum(gaps, dtype=np.int64)
    if not len(values) or (gaps[1:] == 0).any() or places[-1] >= size:
        raise Malformed(f"its places do not rise from 0 to less than {size:,}")
    flat = np.zeros(size, dtype=np.float32)
    flat[places] = values
    return flat


def _part(packed: Mapping[str, Any], name: str, types: tuple[type, ...], length: int | None) -> np.ndarray:
    array = packed.get(name)
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype not in types:
        found = "missing" if array is None else f"{getattr(array, 'dtype', '?')} {getattr(array, 'shape', '?')}"
        raise Malformed(f"its {name} are {found}")
    if length is not None and len(array) != length:
        raise Malformed(f"it has {len(array):,} {name}, and the model needs {length:,}")
    return array
