"""`privacy.json` of a federated checkpoint: what its ledger bears out, and whose presence it hides.

The ledger is that of the unit that has spent most: every client's (or one client's, where they take turns), or that of
the client whose rows have spent most. Nothing is claimed that the federated record does not hold.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from privacy.accounting import Ledger
from privacy.claim import ClaimedPhase, PrivacyClaim
from privacy.linter import Fault, TrainingFacts, lint, refuse

if TYPE_CHECKING:
    from federated.record import FederatedRecord

NO_SERVER_SEES_THEM = "each client's own rows, which no server sees"


def claim_of(record: FederatedRecord) -> PrivacyClaim | None:
    """The claim that a record bears out: epsilon composed over all rounds and sessions, RDP as a second opinion.

    Returns: None where nothing was promised, or nothing was spent yet.
    Raises: OptionUnfit when the accounting linter finds that it would be false.
    """
    said = record.privacy
    if not said:
        return None
    ledger, delta, norm = Ledger.from_json(said["ledger"]), float(said["delta"]), said["clipping_norm"]
    if not ledger.phases:
        return None
    refuse(faults_of(record))
    second_opinion = ledger.epsilon(delta, accountant="rdp")
    return PrivacyClaim.of(
        tuple(
            ClaimedPhase(
                noise_multiplier=phase.noise_multiplier, sampling_rate=phase.sampling_rate, steps=phase.steps,
                sampling=phase.sampling, clipping_norm=norm,
            )
            for phase in ledger.phases
        ),
        mechanism=said["mechanism"],
        unit=said["unit"],
        unit_column=said["unit_column"],
        epsilon=ledger.epsilon(delta),
        epsilon_rdp=second_opinion or None,  # its rounding takes the tiniest to be 0
        delta=delta,
        accountant="prv",
        search=said["search"],
        public={
            "base": record.base["name"], "base_sha256": record.base["sha256"], "tokenizer": "the base's",
            "labels": "their names",
        },
        data_sha256=record.data["sha256"] if record.data is not None else NO_SERVER_SEES_THEM,
        model_sha256=record.model_sha256,
        versions={
            "flwr": version("flwr"), "opacus": version("opacus"), "torch": version("torch"),
            "aboveboard": record.tool["version"],
        },
    )  # fmt: skip


def faults_of(record: FederatedRecord) -> list[Fault]:
    """What the accounting linter says of a federation that promised something; see `privacy.linter`."""
    said = record.privacy
    take_turns = said.get("sampler") == "fixed" and said["expected_units"] < said["units"]
    return lint(
        TrainingFacts(
            ledger=Ledger.from_json(said["ledger"]),
            sampler=said.get("sampler", "poisson"),
            gradient_divisor=said["gradient_divisor"],
            clipping_norm=said["clipping_norm"],
            rows=said.get("units"),
            batch_size=said.get("expected_units"),
            delta=said["delta"],
            # Of those that take turns nobody was in every round.
            steps_done=None if take_turns else len(record.rounds),
            noise_seed_published=said["noise_seed_published"],
        )
    )


def steps_of(record: FederatedRecord) -> int:
    """Rounds; where units take turns, the noisy steps of the one that has spent most, if they are fewer."""
    done = len(record.rounds)
    claim = claim_of(record)
    return done if claim is None else min(done, claim.steps)
