"""Proof: what a client says it applied, held against what it was asked; a round is never built on a configuration.

Flower's client-side fixed clipping adds noise on the server for an assumed length of updates, whether the client's mod
that shortens them is there or not; its FedProx sends mu and equals FedAvg where the client reads no mu. So every reply
carries a proof, and one that lacks it or does not fit what was asked is refused with the reason.

What it is worth   It finds clients that are wrongly built or configured. It is the client's word, no attestation: a
                   client that lies is bounded by what the server sees for itself, which is the length of an update
                   that is not masked. A masked update's length is nobody's to see; the proof then says that it fits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core_model.errors import BadInput
from federated.arrays import norm
from federated.options import LocalOptions, NoiseShares
from privacy.accounting import Ledger

if TYPE_CHECKING:
    from flwr.app import ConfigRecord

KEY = "proof"  # in a reply's content; and of the JSON within its record
TOLERANCE = 1e-4  # share by which a length may differ after float32 arithmetic
SOURCES = ("federated", "privacy", "core_model")  # packages whose code a client's update comes from
CLIPPED, NOISY, COMPRESSED, MASKED = "clipping", "noise share", "compression", "secure aggregation"


class Frozen(BaseModel):
    """What was said does not change, and has no keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordProof(Frozen):
    """DP-SGD as the client did it; its rows' ledger over all rounds, this one included."""

    noise_multiplier: float = Field(gt=0)
    clipping_norm: float = Field(gt=0)
    steps: int = Field(ge=1, description="in this round")
    epsilon: float = Field(ge=0, description="of the whole ledger")
    delta: float = Field(gt=0, lt=1)
    ledger: str = Field(max_length=20_000, description="of each row: JSON of `privacy.accounting.Ledger`")


class Proof(Frozen):
    """What one client applied in one round."""

    round: int = Field(ge=1)
    clipped_to: float | None = Field(None, description="longest update that could leave; None: not clipped")
    norm_after: float | None = Field(None, description="length of what left; None where noise or a mask covers it")
    within: bool | None = Field(None, description="whether it was no longer before; None where it is not told")
    mods: tuple[str, ...] = Field((), description="what was done to the update before it left, in this order")
    proximal_mu: float = Field(0.0, description="of the term whose gradient was added in each step")
    record_privacy: RecordProof | None = None
    noise_shares: NoiseShares | None = Field(None, description="the share of noise that was added, without a seed")
    compression: str | None = None
    secure: bool = False
    code_sha256: str = Field(description="of the code that this client runs: `code_sha256()`")

    def to_record(self) -> ConfigRecord:
        """As Flower sends it."""
        from flwr.app import ConfigRecord

        return ConfigRecord({KEY: self.model_dump_json()})

    @classmethod
    def of_record(cls, record: Mapping[str, Any] | None) -> Proof | None:
        """From a reply; None where there is none, or one that cannot be read."""
        try:
            return cls.model_validate_json(str(record[KEY])) if record is not None and KEY in record else None
        except ValidationError:
            return None


def mods_for(asked: LocalOptions) -> tuple[str, ...]:
    """What must be done to an update before it leaves, in this order."""
    steps = [
        (CLIPPED, asked.clip is not None),
        (NOISY, asked.noise_shares is not None),
        (COMPRESSED, asked.compression is not None),
        (MASKED, asked.secure),
    ]
    return tuple(name for name, wanted in steps if wanted)


def check(
    asked: LocalOptions, proof: Proof | None, *, update: Mapping[str, np.ndarray] | None = None, code: str | None = None
) -> str | None:
    """Why a reply must be refused; None where its proof fits.

    Args:
        asked: what the server sent.
        proof: what came back.
        update: what came back, where the server can see it; its length is measured, whatever the proof says.
        code: hash of the code that clients must run; None takes any.
    """
    if proof is None:
        return "it brings no proof of what it applied"
    faults = chain(
        _other(asked, proof, code),
        _clipping(asked, proof, update),
        _proximal(asked, proof),
        _noise(asked, proof),
        _records(asked, proof),
    )
    return next(faults, None)


@lru_cache
def code_sha256() -> str:
    """SHA-256 over the sources that make an update, in the order of their names."""
    import importlib.util

    digest = hashlib.sha256()
    for package in SOURCES:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise ModuleNotFoundError(package)
        folder = Path(found.origin).parent
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{file.relative_to(folder).as_posix()}\0".encode())
            digest.update(file.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def _other(asked: LocalOptions, proof: Proof, code: str | None) -> Iterator[str]:
    if code is not None and proof.code_sha256 != code:
        yield f"it runs other code than the server ({proof.code_sha256[:12]}, and not {code[:12]})"
    if proof.round != asked.round:
        yield f"its proof is of round {proof.round}, and this is round {asked.round}"
    if (proof.secure, proof.compression) != (asked.secure, asked.compression):
        yield (
            f"secure = {asked.secure} and compression = {asked.compression} were asked for; "
            f"it did {proof.secure} and {proof.compression}"
        )
    expected = mods_for(asked)
    if proof.mods != expected:
        yield f"{_listed(expected)} had to be applied, in this order; it applied {_listed(proof.mods)}"


def _clipping(asked: LocalOptions, proof: Proof, update: Mapping[str, np.ndarray] | None) -> Iterator[str]:
    if asked.clip is None:
        return
    longest = asked.clip * (1 + TOLERANCE)
    if proof.clipped_to is None or proof.clipped_to > longest:
        yield f"it had to clip its update to {asked.clip:g}, and clipped to {proof.clipped_to or 'nothing'}"
    if asked.noise_shares is not None or asked.secure:
        return  # nobody may see the length
    if proof.norm_after is None or not proof.norm_after <= longest:
        yield f"it says that its clipped update has length {proof.norm_after}, and {asked.clip:g} is the longest"
    if proof.within is None:
        yield "it does not say whether its update was within the clipping norm"
    if update is not None and asked.compression is None:  # what is rounded may be longer; `private_mean` clips it again
        measured = norm(update)
        if not measured <= longest:
            yield f"its update has length {measured:.4g}, and {asked.clip:g} is the longest"


def _proximal(asked: LocalOptions, proof: Proof) -> Iterator[str]:
    if proof.proximal_mu != asked.proximal_mu:
        yield f"FedProx's mu = {asked.proximal_mu:g} had to be applied in each step; it applied {proof.proximal_mu:g}"


def _noise(asked: LocalOptions, proof: Proof) -> Iterator[str]:
    wanted = asked.noise_shares.model_copy(update={"noise_seed": None}) if asked.noise_shares else None
    if proof.noise_shares != wanted:
        yield f"it had to add {_share(wanted)}, and added {_share(proof.noise_shares)}"


def _records(asked: LocalOptions, proof: Proof) -> Iterator[str]:
    wanted, done = asked.record_privacy, proof.record_privacy
    if wanted is None:
        return
    if done is None:
        yield "it had to train by DP-SGD, and did not"
        return
    if done.clipping_norm != wanted.clipping_norm:
        yield f"it had to clip rows' gradients to {wanted.clipping_norm:g}, and clipped to {done.clipping_norm:g}"
    if wanted.delta is not None and done.delta != wanted.delta:
        yield f"delta {wanted.delta:g} was asked for, and it kept {done.delta:g}"
    try:
        ledger = Ledger.from_json(done.ledger)
        epsilon = ledger.epsilon(done.delta)
    except BadInput as error:
        yield f"its ledger cannot be accounted for: {error.found}"
        return
    last = ledger.phases[-1] if ledger.phases else None
    if last is None or last.noise_multiplier != done.noise_multiplier or last.steps < done.steps:
        yield f"it did {done.steps} steps with noise {done.noise_multiplier:.4g}, and its ledger does not end in them"
    if epsilon > wanted.epsilon:
        yield f"its ledger composes to epsilon {epsilon:.4g}, above the budget of {wanted.epsilon:g}"


def _listed(mods: tuple[str, ...]) -> str:
    return ", then ".join(mods) or "nothing"


def _share(shares: NoiseShares | None) -> str:
    if shares is None:
        return "no noise"
    return f"one of {shares.shares} shares of noise {shares.noise_multiplier:.4g}"
