"""Two records side by side: the contract of a comparison, drawn by `reports.document.comparison`.

A conclusion is held to its interval here, so that no page can call noise a change: where the interval of the difference
holds zero there is no evidence of change, and where there is no interval nothing can be concluded.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from reports.record import DataFacts, Part, SubjectFacts

Conclusion = Literal["better", "worse", "no evidence of change", "changed", "not comparable"]


class Difference(Part):
    """One number of both records: `difference` is b minus a."""

    audit: str
    name: str
    slice: dict[str, str] = Field(default_factory=dict)
    unit: str = ""
    better: Literal["lower", "higher", "none"] = "none"
    a: float | None
    b: float | None
    difference: float | None = Field(None, description="b - a")
    interval: tuple[float, float] | None = None
    confidence: float = 0.95
    method: str | None = Field(None, description="how the interval was made, with its paper")
    paired: bool = Field(False, description="both sides were measured on the same rows")
    n: int = 0
    conclusion: Conclusion
    reason: str | None = Field(None, description="why the two cannot be compared, or how to read the conclusion")

    @model_validator(mode="after")
    def _held_to_its_interval(self) -> Difference:
        if self.conclusion == "not comparable":
            if not self.reason:
                raise ValueError(f"{self.key}: not comparable needs a reason")
            return self
        if self.difference is None or self.interval is None:
            raise ValueError(f"{self.key}: {self.conclusion!r} needs a difference and its interval")
        low, high = self.interval
        if low > high:
            raise ValueError(f"{self.key}: interval {self.interval} is upside down")
        if (low <= 0 <= high) != (self.conclusion == "no evidence of change"):
            raise ValueError(f"{self.key}: {self.conclusion!r} does not follow from {self.interval}")
        good = {"higher": low > 0, "lower": high < 0}.get(self.better)
        expected = {True: "better", False: "worse", None: "changed"}[good]
        if self.conclusion not in ("no evidence of change", expected):
            raise ValueError(
                f"{self.key}: {self.conclusion!r}, where {self.better} is better, and b - a in {self.interval}"
            )
        return self

    @property
    def key(self) -> str:
        """Audit, name and slice in one line."""
        inside = ", ".join(f"{k}={v}" for k, v in self.slice.items())
        return f"{self.audit}.{self.name}" + (f"[{inside}]" if inside else "")


class RunCost(Part):
    """What the same audits took of both, without what the cache of predictions knew already; no interval: one run."""

    quantity: Literal["seconds", "forward passes", "kWh"]
    a: float
    b: float


class MendGains(Part):
    """How a mend against attacks and noise is judged: what it moved there, and what it cost where nobody attacks."""

    gains: list[str] = Field(description="keys of `rows` (audit.name[slice]): the headline numbers")
    price: list[Difference] = Field(
        default_factory=list, description="quality, fairness and work on the rows as they are"
    )
    price_missing: str | None = Field(None, description="why the price in quality is not known")
    costs: list[RunCost] = Field(
        default_factory=list, description="where one of the two is a smoothed classifier: work of the audits of both"
    )

    @model_validator(mode="after")
    def _priced(self) -> MendGains:
        if not self.price and not self.price_missing:
            raise ValueError("gains need their price, or why it is not known")
        return self


class Comparison(Part):
    """`comparison.json`: differences are B minus A."""

    schema_version: str = "1.0"
    a: SubjectFacts
    b: SubjectFacts
    data: DataFacts = Field(description="the rows that A, and without `data_b` both, were measured on")
    data_b: DataFacts | None = Field(None, description="the rows that B was measured on, where they are others")
    rows: list[Difference] = Field(default_factory=list)
    mend: MendGains | None = Field(None, description="where both were attacked or disturbed")
    multiplicity: str | None = Field(None, description="how the many differences are kept from misleading by chance")
    notes: list[str] = Field(default_factory=list)
    command: str | None = None

    @model_validator(mode="after")
    def _gains_are_rows(self) -> Comparison:
        unknown = set(self.mend.gains if self.mend else ()) - {row.key for row in self.rows}
        if unknown:
            raise ValueError(f"gains that are no rows: {sorted(unknown)}")
        return self

    @property
    def gains(self) -> list[Difference]:
        """The headline numbers of security and robustness, in the order of the rows."""
        named = set(self.mend.gains if self.mend else ())
        return [row for row in self.rows if row.key in named]

    def to_json(self) -> str:
        """The bytes of `comparison.json`."""
        return self.model_dump_json(indent=2) + "\n"
