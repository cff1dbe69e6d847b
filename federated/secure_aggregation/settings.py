"""What is settled before a secure round: by the server in its settings, and by the terms that every client is told."""

from __future__ import annotations

import hashlib
import secrets
from math import ceil
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core_model.errors import OptionUnfit

SMALLEST_COHORT = 3  # of two, each could subtract its own update from the sum
MOST_NEIGHBOURS = 20  # a client's work grows with them: 20 cost it 0.07 s at 500,000 parameters


class Frozen(BaseModel):
    """Values that do not change, and know every key they are given."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SecureSettings(Frozen):
    """What the server may choose about secure aggregation."""

    minimum_survivors: int | None = Field(
        None, ge=2, description="clients whose updates the sum must hold; None: more than two thirds of those asked"
    )
    neighbours: int = Field(
        MOST_NEIGHBOURS, ge=2, multiple_of=2,
        description="clients that each client shares its secrets with; as many as there are others: all of them",
    )  # fmt: skip
    clip_range: float | None = Field(
        None, gt=0, allow_inf_nan=False,
        description="largest absolute value in an update (see `range_under_noise`); None: clients announce theirs, "
        "rounded up to a power of two",
    )  # fmt: skip
    max_weight: int | None = Field(
        None, ge=1, description="most examples of a client; None: announced, rounded up to a power of two"
    )
    weighted: bool = Field(True, description="weight by examples; False: every client counts once")
    modulus_bits: Literal[32, 64] | None = Field(
        None, description="of the masked integers; None: 32 where the error stays within `aim`, else 64"
    )
    aim: float = Field(1e-5, gt=0, description="largest error of the mean that quantization should cause")
    range_outlier: int = Field(
        1024, ge=2, description="a client that announces so many times the median range is refused: it would make all "
        "others' updates coarse"
    )  # fmt: skip
    stage_timeout: float = Field(120.0, gt=0, description="seconds that each stage after the training may take")
    require_signatures: bool = Field(False, description="every client has node keys, and shares with every other")

    def terms(self, round_number: int, cohort: int) -> Terms:
        """The terms of one round.

        Raises: OptionUnfit when the cohort is too small for the minimum, or for any secrecy.
        """
        minimum = self.minimum_survivors or 2 * cohort // 3 + 1
        if cohort < SMALLEST_COHORT:
            raise OptionUnfit(
                f"{cohort} clients in a secure round: each would learn the other's update from the sum",
                mend=f"--clients {SMALLEST_COHORT} or more in each round, or leave --secure out",
            )
        if not cohort / 2 < minimum <= cohort:
            raise OptionUnfit(
                f"a minimum of {minimum} survivors among {cohort} clients: it could never be met, or the server could "
                "ask one half of them for one kind of share and the other half for the other",
                mend=f"--min-clients from {cohort // 2 + 1} to {cohort}",
            )
        return Terms(
            session=secrets.token_hex(16),
            round=round_number,
            cohort=cohort,
            minimum=minimum,
            # Node keys protect against a server that lies; one that draws the neighbours could surround a client.
            neighbours=cohort - 1 if self.require_signatures else min(self.neighbours, cohort - 1),
            clip_range=self.clip_range,
            max_weight=self.max_weight if self.weighted else 1,
            weighted=self.weighted,
        )


class Terms(Frozen):
    """What every client is told at the start of a round, and signs together with its keys."""

    session: str = Field(pattern="[0-9a-f]{32}", description="drawn anew for each attempt")
    round: int = Field(ge=1)
    cohort: int = Field(ge=SMALLEST_COHORT, description="clients that were asked")
    minimum: int = Field(ge=2, description="clients whose updates the sum must hold")
    neighbours: int = Field(ge=2, description="clients that each one shares its secrets with")
    clip_range: float | None = Field(None, gt=0, allow_inf_nan=False, description="None: announce yours")
    max_weight: int | None = Field(None, ge=1, description="None: announce yours")
    weighted: bool = True

    @model_validator(mode="after")
    def _protect(self) -> Terms:
        if not self.cohort / 2 < self.minimum <= self.cohort:
            raise ValueError(f"minimum = {self.minimum} of {self.cohort} clients is no majority of them")
        return self

    @property
    def complete(self) -> bool:
        """Whether every client is every other's neighbour."""
        return self.neighbours >= self.cohort - 1

    def threshold(self, shares: int) -> int:
        """How many of a secret's `shares` rebuild it: always a majority, so that no two halves can rebuild two."""
        if self.complete:
            return self.minimum
        return max(shares // 2 + 1, ceil(self.minimum * shares / self.cohort))

    @property
    def digest(self) -> bytes:
        """SHA-256 of the terms: whoever was told others signs another digest."""
        return hashlib.sha256(self.model_dump_json().encode()).digest()


def range_under_noise(clipping_norm: float, noise_multiplier: float = 0.0, shares: int = 1) -> float:
    """Range of values that follows from clipping, so that no client need announce its own.

    Args:
        clipping_norm: Euclidean length that a client's update is clipped to.
        noise_multiplier: standard deviation of the whole noise over the norm; 0: no noise from the clients.
        shares: among how many clients the noise is divided.
    Returns: a bound that a value passes with probability under 2e-15; such a client would be refused, never clipped.
    """
    return clipping_norm * (1 + 8 * noise_multiplier / shares**0.5)
