"""From floats to integers and back: a scale chosen from the data, and the error that it caused, measured.

The update is quantized by Flower (`quantization.quantize`, stochastic rounding) after it was multiplied by the
client's share of the largest weight. The weight itself is an integer already; metrics are fixed-point numbers.
A value outside the range is never clipped: the client counts such values and refuses.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import frexp, isfinite, ldexp
from statistics import median_low
from typing import NamedTuple

import numpy as np
from flwr.common.secure_aggregation.quantization import dequantize, quantize
from pydantic import Field

from federated.secure_aggregation.errors import Refused
from federated.secure_aggregation.masking import BODY, HEAD, Vector
from federated.secure_aggregation.settings import Frozen, SecureSettings

MOST_LEVELS = 2**31 - 1  # Flower rounds to int32
SMALLEST_EXPONENT = -24  # an update without any larger value gains nothing from a finer scale
POINT = 2**20  # fixed point of the head: metrics are exact to 5e-7
COUNTS = 3  # entries of the head before the metrics: weight, largest rounding error, its mean square


class Announcement(NamedTuple):
    """What a client says about its update before the scale is chosen: powers of two, not values."""

    range_exponent: int | None  # largest absolute value <= 2^this; None: the server has fixed the range
    weight_exponent: int | None  # examples <= 2^this; None: the server has fixed the most
    metrics: tuple[str, ...]


class Scale(Frozen):
    """How a round's updates become integers; told to every client before it masks."""

    clip_range: float = Field(gt=0, allow_inf_nan=False)
    levels: int = Field(ge=1, le=MOST_LEVELS)
    bits: int = Field(description="of the modulus")
    max_weight: int = Field(ge=1)
    cohort: int = Field(ge=2, description="most summands")
    metrics: tuple[str, ...] = ()

    @property
    def step(self) -> float:
        """Width of a level."""
        return 2 * self.clip_range / self.levels

    @property
    def fits(self) -> bool:
        """Whether the sum of the whole cohort stays below the modulus."""
        return self.bits in BODY and self.cohort * self.levels < 2**self.bits and self.cohort * self.max_weight < 2**62


class Decoded(NamedTuple):
    """The sum, read.

    Attributes:
        values: sum of weight * update, float64, shape (parameters,).
        weight: sum of weights. metrics: weighted means.
        error_bound: no value of the weighted mean is off by more (the sum of what each client measured).
        error_rms: root mean square of the mean's error, the clients' roundings being independent.
    """

    values: np.ndarray
    weight: int
    metrics: dict[str, float]
    error_bound: float
    error_rms: float


def exponent_above(value: float) -> int:
    """The smallest e with value <= 2^e, and at least 2^-24."""
    if value <= ldexp(1.0, SMALLEST_EXPONENT):
        return SMALLEST_EXPONENT
    mantissa, exponent = frexp(value)
    return exponent - (mantissa == 0.5)


def outliers(announced: Mapping[int, Announcement], times: int) -> dict[int, str]:
    """Clients whose announced range is more than `times` the median: with the reason why they are left out."""
    exponents = {node: one.range_exponent for node, one in announced.items() if one.range_exponent is not None}
    if not exponents:
        return {}
    middle = median_low(exponents.values())
    return {
        node: f"announces values up to 2^{exponent}, and the median client up to 2^{middle}"
        for node, exponent in exponents.items()
        if ldexp(1.0, exponent - middle) > times
    }


def choose_scale(announced: Sequence[Announcement], settings: SecureSettings) -> Scale:
    """The finest scale that holds everybody, in 32 bits where the mean's error stays within the aim, else in 64."""
    ranges = [one.range_exponent for one in announced if one.range_exponent is not None]
    weights = [one.weight_exponent for one in announced if one.weight_exponent is not None]
    names = set.intersection(*(set(one.metrics) for one in announced))
    scales = [
        Scale(
            clip_range=settings.clip_range or ldexp(1.0, max(ranges)),
            levels=min((2**bits - 1) // len(announced), MOST_LEVELS),
            bits=bits,
            max_weight=1 if not settings.weighted else settings.max_weight or 2 ** max(weights),
            cohort=len(announced),
            metrics=tuple(sorted(names)),
        )
        for bits in ((settings.modulus_bits,) if settings.modulus_bits else (32, 64))
    ]
    # Each weight is more than half of its power of two; where none was announced, it is at least 1.
    least = [2.0 ** (exponent - 1) for exponent in weights] or [1.0] * len(announced)
    good = [one for one in scales if len(announced) * one.step * one.max_weight / sum(least) <= settings.aim]
    return (good or scales[-1:])[0]


def encode(values: np.ndarray, weight: int, metrics: Mapping[str, float], scale: Scale) -> Vector:
    """A client's summand, not masked yet.

    Args:
        values: update, flat, shape (parameters,). weight: examples.
    Raises: Refused when the sum could overflow, or anything lies outside the scale.
    """
    if not scale.fits:
        raise Refused(
            f"{scale.cohort} clients with {scale.levels} levels do not fit into {scale.bits} bits",
            mend="fewer levels or a wider modulus",
        )
    outside = int(np.count_nonzero(~(np.abs(values) <= scale.clip_range)))
    if outside:
        raise Refused(
            f"{outside} of {values.size} values lie outside ±{scale.clip_range:g}", mend="a wider clip_range, or None"
        )
    if not 1 <= weight <= scale.max_weight:
        raise Refused(f"{weight} examples, and the most is {scale.max_weight}", mend="a larger max_weight, or None")
    weighted = values.astype(np.float64) * (weight / scale.max_weight)
    with _rounding_from(weighted):
        [levels] = quantize([weighted], scale.clip_range, scale.levels)
    [back] = dequantize([levels], scale.clip_range, scale.levels)
    off = np.abs(back - weighted) / scale.step  # in steps
    head = [weight, _fixed(off.max(initial=0.0)), _fixed(float(np.mean(off**2)) if off.size else 0.0)]
    head += [_metric(name, weight * metrics[name], scale) for name in scale.metrics]
    return Vector(np.array(head, dtype=np.int64).view(HEAD), levels.astype(BODY[scale.bits]))


def decode(total: Vector, scale: Scale, survivors: int) -> Decoded:
    """The sum of the survivors' vectors, with all masks gone."""
    weight, largest, square, *metrics = (int(entry) for entry in total.head.view(np.int64))
    if not survivors <= weight <= survivors * scale.max_weight:
        raise ValueError(f"the sum of weights is {weight}: the masks do not cancel")
    [values] = dequantize([total.body], scale.clip_range, scale.levels)
    values -= (survivors - 1) * scale.clip_range
    unit = scale.step * scale.max_weight / weight  # of a rounding step, in the weighted mean
    return Decoded(
        values=values * scale.max_weight,
        weight=weight,
        metrics={name: entry / POINT / weight for name, entry in zip(scale.metrics, metrics, strict=True)},
        error_bound=largest / POINT * unit,
        error_rms=(square / POINT) ** 0.5 * unit,
    )


def _fixed(value: float) -> int:
    return round(value * POINT)


def _metric(name: str, value: float, scale: Scale) -> int:
    if not isfinite(value) or abs(value) * POINT * scale.cohort >= 2**62:
        raise Refused(f"the metric {name!r}, times its weight, is {value:g}: too large to add up", mend="leave it out")
    return _fixed(value)


@contextmanager
def _rounding_from(values: np.ndarray) -> Iterator[None]:
    """Flower rounds with NumPy's global generator; seeded by the values, the same update rounds the same everywhere."""
    before = np.random.get_state()
    np.random.seed(zlib.crc32(values.tobytes()))
    try:
        yield
    finally:
        np.random.set_state(before)
