"""What happens to an update before it leaves its client: clipped, covered by noise, compressed; and the proof of it.

    leaving = depart(result.update, local, home=context.state, proximal_mu=result.proximal_mu)
    RecordDict({**leaving.records, ...})
    arrived = arrive(reply.content, local, like=model)      # on the server: the update and its proof, or the reason

Masking comes after this, in the mod of `federated.secure_aggregation`; it says for itself what it did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from federated.arrays import Update, norm, of_record, to_record
from federated.client_privacy import clip_update, noise_share
from federated.options import LocalOptions
from federated.proof import KEY as PROOF
from federated.proof import Proof, RecordProof, check, code_sha256, mods_for
from federated.update_compression import compress, decompress
from privacy.units import secret_seed

if TYPE_CHECKING:
    from flwr.app import RecordDict

ARRAYS, COMPRESSED = "arrays", "compressed"  # in a reply: the update, in one way or the other
FEEDBACK = "feedback"  # in what stays with a client: what compression has dropped so far


@dataclass(frozen=True)
class Departure:
    """An update ready to leave.

    Attributes:
        update: as the mask is laid on it; empty when it leaves compressed.
        records: of the reply: the update in whatever form, and its proof.
    """

    update: Update
    proof: Proof
    records: dict[str, Any]


@dataclass(frozen=True)
class Arrival:
    """A client's update, and what it says of it."""

    update: Update
    proof: Proof


def depart(
    update: Update, local: LocalOptions, *, home: RecordDict, client: int, proximal_mu: float = 0.0,
    record_privacy: RecordProof | None = None,
) -> Departure:  # fmt: skip
    """Do what the server asked for, and say so.

    Args:
        update: local minus global.
        home: what stays with the client; its feedback is renewed there.
        client: whose noise this is, where its seed is published.
        proximal_mu: what the training applied.
        record_privacy: what the training proves of DP-SGD.
    Raises: ValueError when a number in the update is not finite.
    """
    within = length = None
    if local.clip is not None:
        within = norm(update) <= local.clip
        update, length = clip_update(update, local.clip)
    if local.noise_shares is not None and local.clip is not None:
        seed = np.random.SeedSequence(secret_seed(local.noise_shares.noise_seed), spawn_key=(local.round, client))
        update = noise_share(
            update, clipping_norm=local.clip, noise_multiplier=local.noise_shares.noise_multiplier,
            shares=local.noise_shares.shares, generator=np.random.default_rng(seed),
        )  # fmt: skip
    hidden = local.secure or local.noise_shares is not None
    proof = Proof(
        round=local.round,
        clipped_to=local.clip,
        norm_after=None if hidden else length,
        within=None if hidden else within,
        mods=mods_for(local),
        proximal_mu=proximal_mu,
        record_privacy=record_privacy,
        noise_shares=local.noise_shares and local.noise_shares.model_copy(update={"noise_seed": None}),
        compression=local.compression,
        secure=local.secure,
        code_sha256=code_sha256(),
    )
    records: dict[str, Any] = {PROOF: proof.to_record()}
    if local.compression is None:
        return Departure(update, proof, {ARRAYS: to_record(update), **records})
    kept = home.array_records.get(FEEDBACK)
    packed, lost = compress(update, local.compression, of_record(kept) if kept is not None else {})
    home[FEEDBACK] = to_record(lost)
    return Departure({}, proof, {COMPRESSED: _packed(packed), **records})


def arrive(
    content: RecordDict, asked: LocalOptions, *, like: Mapping[str, np.ndarray], code: str | None = None
) -> Arrival | str:
    """The update in a reply that is not masked, or the reason why it is refused.

    Names, shapes and numbers are not judged here but for compressed updates, which cannot be unpacked without; see
    `federated.screening`.
    """
    proof = Proof.of_record(content.config_records.get(PROOF))
    if proof is None:
        return check(asked, None) or ""
    try:
        if asked.compression is None:
            update = of_record(content.array_records[ARRAYS])
        else:
            packed = {name: array.numpy() for name, array in content.array_records[COMPRESSED].items()}
            update = decompress(packed, asked.compression, like=like)
    except KeyError as missing:
        return f"it sends no {missing.args[0]}"
    except ValueError as malformed:  # Malformed, or bytes that are no array
        return f"it cannot be unpacked: {malformed}"
    why = check(asked, proof, update=update, code=code)
    return why if why else Arrival(update, proof)


def _packed(arrays: Mapping[str, np.ndarray]) -> Any:
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({name: Array(array) for name, array in arrays.items()})
