"""An estimate: a value that never travels without its interval, its n and its method."""

from __future__ import annotations

from dataclasses import dataclass

COMPLETE = "complete count; no sampling error"


@dataclass(frozen=True)
class Estimate:
    """A number and what is known of its error.

    Attributes:
        value: the point estimate, or None when it could not be measured (`reason` then says why).
        low, high: bounds of the interval at `confidence`; both None when there is no interval.
        n: rows (or repeats, pairs, resampled units) behind the value.
        method: how the interval was made, with its paper.
        confidence: nominal coverage, 0.95 unless said.
        reason: why there is no value, or no interval.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    confidence: float = 0.95
    reason: str | None = None

    @classmethod
    def absent(cls, reason: str, *, n: int = 0) -> Estimate:
        """A number that could not be measured, and why."""
        return cls(None, None, None, n, "none", reason=reason)

    @classmethod
    def counted(cls, value: float, n: int, method: str = COMPLETE) -> Estimate:
        """A number of all there are: nothing was drawn, so that both bounds are the value."""
        return cls(value, value, value, n, method)

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high), or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def covers(self, truth: float) -> bool:
        """Whether the interval holds `truth`."""
        return self.interval is not None and self.interval[0] <= truth <= self.interval[1]
