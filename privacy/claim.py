"""The claim: what a private checkpoint promises, in `privacy.json` beside its weights.

A claim says enough to be computed again by somebody else, with any accountant. It rests on the record of its training,
and `supported` lists where the two differ: a claim that its own record contradicts is worth nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isinf
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core_model.errors import CheckpointDamaged, CheckpointMissing, OptionUnfit
from core_model.files import write_atomically
from privacy.accounting import Ledger, Phase

NAME = "privacy.json"
LARGEST_FILE = 1_000_000  # bytes; a real claim has a few thousand
TOLERANCE = 0.01  # share by which two accountants may differ

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1)]
Steps = Annotated[int, Field(ge=1)]


class ClaimedPhase(BaseModel):
    """Steps that share noise, sampling and clipping; a clipping norm that adapts from step to step is null."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    noise_multiplier: Positive
    sampling_rate: Rate
    steps: Steps
    sampling: Literal["poisson", "none"]
    clipping_norm: Positive | None


class PrivacyClaim(BaseModel):
    """What `privacy.json` holds. Values that changed between phases are null at the top and stand in `phases`.

    Attributes:
        mechanism: what was made noisy, and how: "DP-SGD, flat clipping".
        unit: whose presence is protected: one example, all examples of one user, or one client of a federation.
        unit_column: the column that names the user.
        epsilon, delta: the promise, over all phases.
        accountant: who computed epsilon.
        epsilon_rdp: the second opinion; null where it was not asked.
        sampling: "poisson", or "none": then no amplification is in epsilon.
        sampling_rate: probability that an example enters a step.
        noise_multiplier: standard deviation of the noise over clipping_norm.
        steps: noisy steps in all phases.
        clipping_norm: longest contribution of one unit to a step (L2).
        search: how hyperparameters were chosen: "none on this data", or how that was accounted for.
        phases: one entry each time one of the above changed.
        public: what is not protected because it was public before: the base checkpoint, the tokenizer.
        data_sha256: of the training data.
        model_sha256: of model.safetensors; null where the weights are elsewhere.
        versions: of the libraries that trained and accounted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: str = "1.0"
    mechanism: str = Field(min_length=1)
    unit: Literal["example", "user", "client"]
    unit_column: str | None = None
    epsilon: Positive
    delta: Annotated[float, Field(gt=0, lt=1)]
    accountant: Literal["prv", "rdp"]
    epsilon_rdp: Positive | None = None
    sampling: Literal["poisson", "none"] | None
    sampling_rate: Rate | None
    noise_multiplier: Positive | None
    steps: Steps
    clipping_norm: Positive | None
    search: str = "none on this data"
    phases: tuple[ClaimedPhase, ...] = Field(min_length=1, max_length=1_000)
    public: dict[str, str | None]
    data_sha256: str = Field(min_length=1)
    model_sha256: str | None = None
    versions: dict[str, str | None]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> PrivacyClaim:
        """The numbers at the top are those of the phases."""
        if self.steps != sum(phase.steps for phase in self.phases):
            raise ValueError(f"steps is {self.steps}, and the phases hold {sum(phase.steps for phase in self.phases)}")
        for field, only in _common(self.phases).items():
            if getattr(self, field) != only:
                raise ValueError(f"{field} is {getattr(self, field)}, and in the phases it is {only or 'not constant'}")
        if (self.unit == "user") != (self.unit_column is not None):
            raise ValueError(f"unit is {self.unit!r}, and unit_column is {self.unit_column!r}")
        return self

    @classmethod
    def of(cls, phases: tuple[ClaimedPhase, ...], **fields: Any) -> PrivacyClaim:
        """A claim from its phases; what is constant over them is set at the top, and steps are counted."""
        return cls(phases=phases, steps=sum(phase.steps for phase in phases), **_common(phases), **fields)

    def ledger(self) -> Ledger:
        """The phases, as accountants take them."""
        return Ledger(tuple(Phase(p.noise_multiplier, p.sampling_rate, p.steps, p.sampling) for p in self.phases))


@dataclass(frozen=True)
class Contradiction:
    """One thing that claim and record say differently, or that the claim's own numbers do not give.

    Attributes:
        field: of the claim.
        claimed, found: what each says; `found` is None where the record is silent.
        statement: one plain sentence.
    """

    field: str
    claimed: Any
    found: Any
    statement: str


def write_claim(folder: Path, claim: PrivacyClaim) -> Path:
    """Write `privacy.json` into a checkpoint's folder, whole or not at all.

    Raises: OutputUnwritable.
    """
    text = json.dumps(claim.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    return write_atomically(folder / NAME, text + "\n")


def read_claim(folder: Path) -> PrivacyClaim:
    """The claim of a checkpoint.

    Raises: CheckpointMissing without a `privacy.json`; CheckpointDamaged for one that is no claim, with the first field
        that does not fit.
    """
    file = folder / NAME
    again = "the privacy.json that was written with these weights, or `aboveboard train --private` again"
    try:
        with file.open("rb") as opened:
            raw = opened.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointMissing(
            f"{file}: this checkpoint carries no privacy claim", mend="a checkpoint of `aboveboard train --private`"
        ) from error
    except OSError as error:
        raise CheckpointDamaged(f"{file} cannot be read ({error.strerror})", mend=again) from error
    if len(raw) > LARGEST_FILE:
        raise CheckpointDamaged(f"{file} has more than {LARGEST_FILE:,} bytes; a claim has a few thousand", mend=again)
    try:
        return PrivacyClaim.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        message = str(first["msg"]).removeprefix("Value error, ")
        raise CheckpointDamaged(f"{file} is no privacy claim: {where}: {message}", mend=again) from error


def recompute(claim: PrivacyClaim) -> float:
    """Epsilon from the claim's own phases, by its own accountant, at its own delta.

    Raises: OptionUnfit when that accountant cannot compute it.
    """
    return claim.ledger().epsilon(claim.delta, accountant=claim.accountant)


def supported(claim: PrivacyClaim, training_record: Mapping[str, Any]) -> list[Contradiction]:
    """Where the claim is not borne out by its own numbers or by the record of the training; empty is supported.

    Args:
        training_record: the content of `training_record.json`. Read are `data.sha256`, `steps`, `model_sha256`, and
            `privacy`: {"ledger": state of the accounting, "clipping_norm": ..., "unit": ..., "search": ...}.
            A record without `privacy`, or without the data's hash, bears out no claim.
    """
    found = [*_own_epsilon(claim)]
    data = _part(training_record, "data").get("sha256")
    if data is None:
        found.append(Contradiction("data_sha256", claim.data_sha256, None, "the record does not say which data it was"))
    found += _differs("data_sha256", claim.data_sha256, data, "the record's training data")
    if claim.model_sha256 is not None:
        theirs = training_record.get("model_sha256") or None
        found += _differs("model_sha256", claim.model_sha256, theirs, "the record's weights")
    steps = training_record.get("steps")
    # More noisy steps than the weights have seen: a killed session's, which are paid for all the same.
    if not isinstance(steps, int) or claim.steps < steps:
        found += _differs("steps", claim.steps, steps, "the record's optimizer steps")
    private = _part(training_record, "privacy")
    if not private:
        return [*found, Contradiction(
            "mechanism", claim.mechanism, None, "the training record says nothing of noise or clipping"
        )]  # fmt: skip
    for field in ("clipping_norm", "unit", "search"):
        found += _differs(field, getattr(claim, field), private.get(field), f"the record's {field}")
    return found + _ledgers_differ(claim, private.get("ledger"))


def _own_epsilon(claim: PrivacyClaim) -> list[Contradiction]:
    try:
        epsilon = recompute(claim)
    except OptionUnfit as cannot:
        return [Contradiction("epsilon", claim.epsilon, None, f"epsilon cannot be computed again: {cannot.found}")]
    if abs(epsilon - claim.epsilon) <= TOLERANCE * epsilon:
        return []
    direction = "less privacy than is claimed" if epsilon > claim.epsilon else "not what is claimed"
    stated = f"epsilon is claimed to be {claim.epsilon:.4g}; its own noise, sampling and steps give {epsilon:.4g}"
    return [Contradiction("epsilon", claim.epsilon, epsilon, f"{stated}: {direction}")]


def _ledgers_differ(claim: PrivacyClaim, state: Any) -> list[Contradiction]:
    if state is None:
        return [Contradiction("phases", claim.steps, None, "the training record holds no ledger of its noisy steps")]
    try:
        ledger = Ledger.from_json(state if isinstance(state, str) else json.dumps(state))
    except CheckpointDamaged as damaged:
        return [Contradiction("phases", claim.steps, None, damaged.found)]
    claimed, kept = claim.ledger(), ledger
    if sorted(claimed.releases()) == sorted(kept.releases()) and claimed.steps == kept.steps:
        return []
    epsilon = kept.epsilon(claim.delta, accountant="rdp")  # the accountant that always has an answer
    amount = "no bound at all (a step had no noise)" if isinf(epsilon) else f"epsilon {epsilon:.4g} (rdp)"
    said = f"the record's ledger holds {kept.steps:,} steps and gives {amount}; the claim has {claimed.steps:,} steps"
    return [Contradiction("phases", claimed.steps, kept.steps, said)]


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of a record that others wrote; empty where it is missing or no section."""
    part = record.get(name)
    return part if isinstance(part, Mapping) else {}


def _differs(field: str, claimed: Any, found: Any, whose: str) -> list[Contradiction]:
    if found is None or claimed == found:
        return []
    return [Contradiction(field, claimed, found, f"{field} is {claimed} in the claim, and {whose}: {found}")]


def _common(phases: tuple[ClaimedPhase, ...]) -> dict[str, Any]:
    """What all phases share; None for what changed."""
    fields = ("sampling", "sampling_rate", "noise_multiplier", "clipping_norm")
    values = {field: {getattr(phase, field) for phase in phases} for field in fields}
    return {field: held.pop() if len(held) == 1 else None for field, held in values.items()}
