"""The exchange of a round whose updates are masked: the server learns their sum, and who is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.files import write_atomically
from federated.exchange import Asked, Exchanged, as_reply
from federated.kept_updates import FromAll
from federated.options import FederationOptions
from federated.proof import KEY as PROOF
from federated.proof import Proof, check, code_sha256
from federated.roster import ClientsGone
from federated.screening import Rejection

if TYPE_CHECKING:
    from flwr.app import RecordDict

    from federated.promised import NoPromise
    from federated.secure_aggregation.settings import SecureSettings
    from federated.traffic import RoundGrid

ATTEMPTS = "secure_attempts.json"
STAGE_SECONDS = 120.0  # a stage after the training is waited for so long at least, if the round's deadline lets it


def settings_of(options: FederationOptions) -> SecureSettings:
    """What the server chooses; with a promise to clients the range follows from it, and nobody announces anything."""
    from federated.secure_aggregation.settings import SecureSettings, range_under_noise

    minimum = options.min_clients if options.min_clients > 1 else None
    # A stage is seconds of work; where a message takes a new process on a busy machine, its start takes minutes.
    patience = min(options.deadline, max(STAGE_SECONDS, options.deadline / 5))
    plain = SecureSettings(minimum_survivors=minimum, stage_timeout=patience)
    if options.private is None or options.private.unit != "client":
        return plain
    return plain.model_copy(update={"weighted": False, "clip_range": range_under_noise(options.private.clipping_norm)})


def fewest_survivors(options: FederationOptions) -> int:
    """Clients whose updates every sum holds.

    Raises: OptionUnfit when too few are asked for any secrecy.
    """
    asked = max(round(options.participation * options.clients), 1)
    return settings_of(options).terms(1, asked).minimum


class Attempts:
    """How often a secure round was begun, written down beforehand.

    A client reveals its shares once for each number; a round that is done again after the server was killed has another
    one. (Whoever repeats a round learns two sums of it; a client that must not bear that keeps its own count.)
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ATTEMPTS

    def next(self) -> int:
        """A number that was not used before.

        Raises: OutputUnwritable.
        """
        used = json.loads(self.path.read_text(encoding="utf-8"))["used"] if self.path.exists() else 0
        write_atomically(self.path, json.dumps({"used": used + 1}))
        return int(used) + 1


def exchange_securely(grid: RoundGrid, asked: Asked, options: FederationOptions, promise: NoPromise) -> Exchanged:
    """One masked round.

    Raises: ClientsGone when too few clients are left for the sum to hide each of them.
    """
    from federated.secure_aggregation.errors import RoundUnsafe
    from federated.secure_aggregation.exchange import SecureExchange
    from federated.secure_aggregation.settings import MOST_NEIGHBOURS, range_under_noise

    settings, shares = settings_of(options), asked.local.noise_shares
    if asked.deployed and len(asked.messages) > MOST_NEIGHBOURS + 1:
        # Beyond so many the server would draw everybody's neighbours, and could surround a client. With node keys all
        # are neighbours. Simulated clients have no keys, and no server but the process that they are in.
        settings = settings.model_copy(update={"require_signatures": True})
    if shares is not None and asked.local.clip is not None:
        widest = range_under_noise(asked.local.clip, shares.noise_multiplier, shares.shares)
        settings = settings.model_copy(update={"clip_range": widest})

    def accept(node: int, content: RecordDict) -> str | None:
        return check(asked.local, Proof.of_record(content.config_records.get(PROOF)), code=code_sha256())

    try:
        found = SecureExchange(grid, settings, accept)(asked.messages, options.deadline)
    except RoundUnsafe as unsafe:
        kept = f"the model of round {asked.round - 1} is kept" if asked.round > 1 else "nothing was learnt yet"
        raise ClientsGone(f"round {asked.round}: {unsafe.found} ({kept})", mend=unsafe.mend) from unsafe
    members = {member.node: member for member in asked.members}
    promise.seen({members[node].number: Proof.of_record(proof) for node, proof in found.proofs.items()})
    step = promise.step_of_sum(asked.round, found.update_sum, found.weight_sum, len(found.survivors))
    counted = sorted(members[node].number for node in found.survivors)
    return Exchanged(
        replies=[as_reply(step, 1.0)],
        counted=counted,
        rejected=[
            Rejection(members[lost.node].number, members[lost.node].name, f"{lost.stage}: {lost.reason}")
            for lost in sorted(found.dropped, key=lambda lost: members[lost.node].number)
        ],
        loss=None if promise.hides_losses else found.metrics.get("train_loss"),
        details={"secure": _details(found)},
        seen=FromAll(found.update_sum, found.weight_sum, tuple(counted)),
    )


def _details(found: Any) -> dict[str, Any]:
    """For the record: how exact the sum is, and against whom each part holds."""
    return {
        "scale": found.scale.model_dump(mode="json"),
        "quantization_error": found.quantization_error,
        "quantization_error_rms": found.quantization_error_rms,
        "signed": found.signed,
        "adversaries": [holds._asdict() for holds in found.adversaries],
    }
