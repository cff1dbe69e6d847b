"""What a promise of privacy changes in a round: who is asked, what is asked of them, who pays, what may be told.

`promise_of(options, ...)` gives the round shell one of these, each with the same questions:
    NoPromise       nothing is promised: participants follow from the seed, and everything is told
    ToClients       a whole client is hidden (`federated.client_promise`)
    ToRows          each client hides its own rows (`federated.record_privacy`); the server reads their proofs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.errors import OptionUnfit
from federated.arrays import Update
from federated.canary_run import KEY as CANARIES
from federated.options import FederationOptions, LocalOptions, RecordPrivacy
from federated.roster import Member, choose

if TYPE_CHECKING:
    from federated.proof import Proof, RecordProof
    from federated.screening import Answer


class NoPromise:
    """Nothing is promised.

    Attributes:
        hides_participants: whether nobody may be told who, or how many, took part in a round.
        hides_losses: whether training losses, which no noise covers, stay with the clients.
    """

    hides_participants = hides_losses = False

    def __init__(self, options: FederationOptions) -> None:
        self.options = options

    def begin(self, rounds_done: int, notes: Mapping[str, Any]) -> None:
        """Told once, before the session's first round, how many are done and what `notes` said then."""

    def choose(self, server_round: int, here: Sequence[Member], every: Sequence[Member]) -> list[Member]:
        """Who is asked.

        Args:
            here: members that can be reached now; `every`: all that the run has seen.
        """
        return choose(self.options, here, server_round)

    def pay(self, asked: Sequence[Member]) -> None:
        """Write down what the round will spend, before anything of it is sent."""

    def local(self, local: LocalOptions) -> LocalOptions:
        """What is asked of each client, the promise's part included."""
        return local

    def steps(self, server_round: int, answers: Sequence[Answer], like: Update) -> list[tuple[Update, float]]:
        """Updates and their weights, for the strategy."""
        return [(answer.update, answer.rows) for answer in answers]

    def seen(self, proofs: Mapping[int, Proof | None]) -> None:
        """Told what the clients that count say they applied, by their number."""

    def step_of_sum(self, server_round: int, total: Mapping[str, np.ndarray], weight: float, survivors: int) -> Update:
        """The step from a sum that was unmasked."""
        return {name: (array / weight).astype(np.float32) for name, array in total.items()}

    def epsilon(self) -> float | None:
        """What was spent so far by the unit that spent most; None where nothing is promised."""
        return None

    def notes(self) -> dict[str, Any]:
        """What `begin` must be given when the run is taken up again."""
        return {}

    def record(self) -> dict[str, Any]:
        """For the records; empty where nothing is promised."""
        return {}

    def canaries_seen(self, released: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """For the records, at the end of a run: what the sum of all steps tells of canary clients; empty without them.

        Args:
            released: the last model less the first.
        """
        return {}


class ToClients(NoPromise):
    """A whole client is hidden: each update is clipped, and the mean gets noise.

    Args:
        ledger: file of what was spent.
        shares: under secure aggregation, the fewest clients whose sum is ever unmasked.
    """

    hides_losses = True

    def __init__(self, options: FederationOptions, *, ledger: Path, shares: int | None) -> None:
        from federated.client_promise import ClientPromise
        from federated.ledger import FederatedLedger

        super().__init__(options)
        self.promise = ClientPromise(options, ledger=FederatedLedger(ledger), shares=shares)
        self.hides_participants = self.promise.sampling == "poisson"

    def begin(self, rounds_done: int, notes: Mapping[str, Any]) -> None:
        """See `NoPromise`."""
        self.promise.begin(rounds_done, **notes)

    def choose(self, server_round: int, here: Sequence[Member], every: Sequence[Member]) -> list[Member]:
        """See `NoPromise`; coins are thrown for everybody, so that nobody's absence is seen in who was chosen."""
        ordered = sorted(every, key=lambda member: member.number)
        chosen = set(self.promise.choose(server_round, [member.number for member in ordered]))
        return [member for member in ordered if member.number in chosen]

    def pay(self, asked: Sequence[Member]) -> None:
        """See `NoPromise`."""
        self.promise.pay([member.number for member in asked])

    def local(self, local: LocalOptions) -> LocalOptions:
        """See `NoPromise`."""
        return local.model_copy(update={"clip": self.promise.norm, "noise_shares": self.promise.noise_shares})

    def steps(self, server_round: int, answers: Sequence[Answer], like: Update) -> list[tuple[Update, float]]:
        """See `NoPromise`: one noisy mean, in which every client weighs the same."""
        within = [bool(answer.within) for answer in answers]
        return [(self.promise.mean(server_round, [answer.update for answer in answers], within, like=like), 1.0)]

    def step_of_sum(self, server_round: int, total: Mapping[str, np.ndarray], weight: float, survivors: int) -> Update:
        """See `NoPromise`: divided by the public number of clients, whoever survived."""
        return self.promise.of_sum(server_round, total, survivors)

    def epsilon(self) -> float | None:
        """See `NoPromise`."""
        return self.promise.epsilon()

    def notes(self) -> dict[str, Any]:
        """See `NoPromise`."""
        return self.promise.notes()

    def record(self) -> dict[str, Any]:
        """See `NoPromise`."""
        return self.promise.record()

    def canaries_seen(self, released: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """See `NoPromise`."""
        canaries = self.promise.canaries
        return {} if canaries is None else {CANARIES: canaries.told(released)}


class ToRows(NoPromise):
    """Each client hides its own rows by DP-SGD, and keeps their account; what is known here is what its proofs say."""

    hides_losses = True

    def __init__(self, options: FederationOptions) -> None:
        super().__init__(options)
        self.proofs: dict[int, RecordProof] = {}

    def begin(self, rounds_done: int, notes: Mapping[str, Any]) -> None:
        """See `NoPromise`."""
        from federated.proof import RecordProof

        self.proofs = {int(client): RecordProof.model_validate(proof) for client, proof in notes.items()}

    def local(self, local: LocalOptions) -> LocalOptions:
        """See `NoPromise`."""
        promise = self.options.private
        assert promise is not None  # noqa: S101  # `promise_of` looked
        asked = RecordPrivacy(
            epsilon=promise.epsilon, delta=promise.delta, clipping_norm=promise.clipping_norm,
            rounds=self.options.rounds, noise_seed=promise.noise_seed,
        )  # fmt: skip
        return local.model_copy(update={"record_privacy": asked})

    def seen(self, proofs: Mapping[int, Proof | None]) -> None:
        """See `NoPromise`."""
        self.proofs |= {c: p.record_privacy for c, p in proofs.items() if p is not None and p.record_privacy}

    def epsilon(self) -> float | None:
        """See `NoPromise`: of the client whose rows have spent most."""
        from federated.record_privacy import worst_client

        worst = worst_client(self.proofs)
        return worst[1] if worst else 0.0

    def notes(self) -> dict[str, Any]:
        """See `NoPromise`."""
        return {str(client): proof.model_dump(mode="json") for client, proof in sorted(self.proofs.items())}

    def record(self) -> dict[str, Any]:
        """See `NoPromise`; the ledger is that of the client whose rows have spent most."""
        from federated.record_privacy import worst_client

        promise, worst = self.options.private, worst_client(self.proofs)
        assert promise is not None  # noqa: S101  # `promise_of` looked
        if worst is None:
            return {}
        client, epsilon, delta = worst
        return {
            "mechanism": "DP-SGD in each client, flat clipping, book-keeping",
            "unit": "example",
            "unit_column": None,
            "clipping": "flat",
            "clipping_norm": promise.clipping_norm,
            "gradient_divisor": "public",
            "delta": delta,
            "epsilon": epsilon,
            "ledger": self.proofs[client].ledger,
            "worst_client": client,
            "epsilon_by_client": {str(c): proof.epsilon for c, proof in sorted(self.proofs.items())},
            "adversary": ["Holds against everybody who sees what leaves a client, the server included."],
            "search": "none on this data",
            "noise_seed_published": promise.noise_seed is not None,
        }


def promise_of(options: FederationOptions, *, ledger: Path, shares: int | None) -> NoPromise:
    """What was promised.

    Raises: OptionUnfit when it does not go with what else was asked for.
    """
    if options.private is None:
        return NoPromise(options)
    if options.private.unit == "client":
        return ToClients(options, ledger=ledger, shares=shares)
    return ToRows(options)


def refuse_told(options: FederationOptions) -> None:
    """Evaluation on clients' rows tells the server each client's numbers, which neither noise nor a mask covers.

    Raises: OptionUnfit.
    """
    if options.held_out and (options.secure or options.private is not None):
        flag = "--secure" if options.secure else "--private"
        raise OptionUnfit(
            f"--held-out {options.held_out:g} does not go with {flag}: each client's evaluation would reach the server "
            "in clear and without noise",
            mend="--eval-data with rows of the server's own, and leave --held-out out",
        )
