"""A promise to whole clients, kept over all rounds of a federation: who is asked, how loud the noise is, who has paid.

    promise = ClientPromise(options, ledger=FederatedLedger(path))
    promise.begin(rounds_done=0)
    asked = promise.choose(1, clients)      # and nobody else
    promise.pay(asked)                      # before a message is sent; BudgetSpent ends the run
    step = promise.mean(1, updates, within, like=model)     # or, of a masked sum: promise.of_sum(1, total, survivors)

Who is protected    A client: the models of all rounds together would look much the same without it.
Participation       Below 1 each client enters a round by a coin of its own from a secret seed (Poisson), and the
                    accountant takes that into account. The record must then not tell who took part, nor how many.
                    Under secure aggregation the server itself is the adversary and knows whom it asked: clients then
                    take turns, nothing is amplified, and each one pays for its own rounds.
What holds where    `adversary` says against whom, in words that belong into the record.
Source              McMahan et al. 2018, arXiv:1710.06963; Andrew et al. 2021, arXiv:1905.03871 (adaptive clipping).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from math import ceil
from typing import Any, Literal

import numpy as np

from core_model.errors import OptionUnfit
from federated.arrays import Update
from federated.canary_clients import LEAST
from federated.canary_run import NAME, TOO_LONG, CanaryRun
from federated.client_privacy import add_clipped, noise_against, private_mean
from federated.ledger import EVERY_CLIENT, FederatedLedger
from federated.options import FederationOptions, NoiseShares
from privacy.accounting import Budget, Phase, Sampling, automatic_delta
from privacy.adaptive_clipping import AdaptiveClipping
from privacy.calibration import noise_multiplier_for
from privacy.units import secret_seed

Purpose = Literal["participants", "noise"]
PURPOSES: tuple[Purpose, ...] = ("participants", "noise")


class ClientPromise:
    """See the module's docstring.

    Args:
        options: with a promise whose unit is "client".
        ledger: on disk; what it holds was spent.
        shares: under secure aggregation: the fewest clients whose sum is ever unmasked.
    Attributes:
        budget: of every client.
        sampling: what the accountant is told.
        rate: probability, or share of rounds, with which a client is asked.
        expected: clients in a round; the public divisor of every sum.
        noise_multiplier: of this session's rounds; norm and count together where the norm adapts. None before `begin`.
        canaries: made-up clients by which the promise is tested; None where none were asked for.
    """

    def __init__(self, options: FederationOptions, *, ledger: FederatedLedger, shares: int | None = None) -> None:
        if options.private is None or options.private.unit != "client":
            raise ValueError("a promise to clients is made from options that promise it")
        refuse_unfit(options)
        self.options, self.promise, self.ledger = options, options.private, ledger
        self.shares = shares if options.secure else None
        self.sampling: Sampling = "poisson" if options.participation < 1 and not options.secure else "none"
        asked = options.participation * options.clients
        self.expected = asked if self.sampling == "poisson" else float(max(round(asked), 1))
        self.rate = self.expected / options.clients
        delta = self.promise.delta if self.promise.delta is not None else automatic_delta(options.clients)
        self.budget = Budget(self.promise.epsilon, delta)
        self.noise_multiplier: float | None = None
        self.adaptive: AdaptiveClipping | None = None
        self.canaries: CanaryRun | None = None
        if self.promise.canary_clients:
            self.canaries = CanaryRun(
                ledger.path.parent / NAME, count=self.promise.canary_clients,
                length=TOO_LONG * self.promise.clipping_norm, seed=self.promise.noise_seed,
            )  # fmt: skip

    def begin(self, rounds_done: int, *, clipping_norm: float | None = None) -> None:
        """Calibrate the noise for the rounds that are left, given what the ledger says was spent.

        A round that was paid for and lost with a killed server is in the ledger; the rounds left get more noise then.

        Args:
            clipping_norm: to go on with, where it adapts (see `notes`).
        Raises: OptionUnfit when the budget cannot pay for the rounds that are left, or clients are too few to adapt.
        """
        left = max(self.options.rounds - rounds_done, 1)
        if self.sampling == "none":  # each client pays for its own turns
            left = ceil(left * self.rate - 1e-9)
        worst = self.ledger.worst(self.budget.delta)
        spent = self.ledger[worst[0] if worst else EVERY_CLIENT]
        before = spent.phases[-1].noise_multiplier if spent.phases else None
        if before is not None and not spent.would_exceed(
            self.budget, after=Phase(before, self.rate, left, self.sampling)
        ):
            multiplier = before
        else:
            multiplier = noise_multiplier_for(
                self.budget.epsilon, delta=self.budget.delta, sampling_rate=self.rate, steps=left,
                sampling=self.sampling, spent=spent,
            )  # fmt: skip
        self.noise_multiplier = multiplier
        if self.promise.clipping == "adaptive":
            norm = clipping_norm or self.ledger.clipping_norm or self.promise.clipping_norm
            self.adaptive = _adaptive(multiplier, expected=self.expected, norm=norm)

    @property
    def norm(self) -> float:
        """The clipping norm of the next round."""
        return self.adaptive.norm if self.adaptive else self.promise.clipping_norm

    @property
    def noise_shares(self) -> NoiseShares | None:
        """What each client is asked to add; None where the server adds the noise."""
        if self.shares is None:
            return None
        return NoiseShares(noise_multiplier=self._multiplier, shares=self.shares, noise_seed=self.promise.noise_seed)

    def choose(self, server_round: int, clients: Sequence[int]) -> list[int]:
        """Who is asked in a round, in their order: by secret coins, or in turns that follow from the run's seed.

        Args:
            clients: all of the federation, whether they can be reached or not: who is there is nobody's choice.
        Returns: maybe nobody, where coins decide; clients whose budget is spent are left out.
        """
        if self.sampling == "poisson":
            came = self._random(server_round, "participants").random(len(clients)) < self.rate
            return [client for client, comes in zip(clients, came, strict=True) if comes]
        seats, turn = int(self.expected), (server_round - 1) * int(self.expected)
        order = np.random.default_rng(self.options.seed).permutation(len(clients))
        seated = {int(order[(turn + seat) % len(clients)]) for seat in range(min(seats, len(clients)))}
        asked = [client for place, client in enumerate(clients) if place in seated]
        spent = set(self.ledger.beyond(self._phases(asked), budget=self.budget)) - {EVERY_CLIENT}
        return [client for client in asked if _key(client) not in spent]

    def pay(self, asked: Sequence[int]) -> None:
        """Write the round down, whoever will answer. Only then may its messages be sent.

        Raises: BudgetSpent when it would exceed the budget; OutputUnwritable.
        """
        self.ledger.spend(self._phases(asked), budget=self.budget, clipping_norm=self.norm)

    def mean(
        self, server_round: int, updates: Sequence[Mapping[str, np.ndarray]], within: Sequence[bool], *,
        like: Mapping[str, np.ndarray],
    ) -> Update:  # fmt: skip
        """The noisy step of a round whose updates the server sees; the norm adapts to it.

        Args:
            within: of each update: whether it was no longer than the norm before it was clipped (its proof says so).
        """
        random = self._random(server_round, "noise")
        multiplier = self.adaptive.gradient_noise_multiplier if self.adaptive else self._multiplier
        step = private_mean(
            chain(updates, self._canaries_of(server_round, like)), like=like, clipping_norm=self.norm,
            noise_multiplier=multiplier, expected_clients=self.expected, generator=random,
        )  # fmt: skip
        if self.adaptive:
            self.adaptive.follow(sum(within), units=len(updates), noise=float(random.normal()))
        return step

    def of_sum(self, server_round: int, total: Mapping[str, np.ndarray], survivors: int) -> Update:
        """The step of a round from the unmasked sum of clipped updates and their shares of noise; canaries join it.

        Raises: OptionUnfit when too few clients are in the sum: its noise is less than was promised.
        """
        if self.shares is None or survivors < self.shares:
            raise OptionUnfit(
                f"the sum holds {survivors} clients' shares of the noise, and the promise needs {self.shares}",
                mend="--min-clients with fewer, or clients that stay",
            )
        whole = {name: np.array(array, dtype=np.float64) for name, array in total.items()}
        add_clipped(whole, self._canaries_of(server_round, total), clipping_norm=self.norm)
        return {name: (array / self.expected).astype(np.float32) for name, array in whole.items()}

    def _canaries_of(self, server_round: int, like: Mapping[str, np.ndarray]) -> Iterator[Update]:
        if self.canaries is None:
            return iter(())
        return self.canaries.of_round(server_round, rate=self.rate, sampling=self.sampling, like=like)

    def epsilon(self) -> float:
        """Of the client that has spent most, over all rounds and sessions."""
        worst = self.ledger.worst(self.budget.delta)
        return worst[1] if worst else 0.0

    def notes(self) -> dict[str, Any]:
        """What `begin` must be given when the run is taken up again."""
        return {"clipping_norm": self.norm} if self.adaptive else {}

    def record(self) -> dict[str, Any]:
        """What the federated record says of the promise; `federated.claim` is made from this."""
        worst = self.ledger.worst(self.budget.delta)
        return {
            "mechanism": f"DP-FedAvg, {self.promise.clipping} clipping, "
            + ("noise in shares of the clients" if self.shares else "noise of the server"),
            "unit": "client",
            "unit_column": None,
            "units": self.options.clients,
            "expected_units": self.expected,
            "sampler": "poisson" if self.sampling == "poisson" else "fixed",
            "gradient_divisor": "public",
            "clipping": self.promise.clipping,
            "clipping_norm": None if self.adaptive else self.promise.clipping_norm,
            "delta": self.budget.delta,
            "ledger": self.ledger[worst[0] if worst else EVERY_CLIENT].to_json(),
            "noise_shares": self.shares,
            "adversary": self.adversary(),
            "search": "none on this data",
            "noise_seed_published": self.promise.noise_seed is not None,
        }

    def adversary(self) -> list[str]:
        """Against whom the promise holds, and against whom not."""
        if self.shares is None:
            holds = ["Holds against everybody who sees the models of all rounds, clients included."]
            if self.sampling == "poisson":
                holds.append("Rests on nobody but the server knowing who took part in which round.")
            return [*holds, "Does not hold against the server: it sees every update before noise is added."]
        alone = noise_against(self._multiplier, shares=self.shares, colluding=1)
        return [
            "Holds against an honest-but-curious server and everybody who sees the models, as long as no client tells "
            f"its share: the sum of {self.shares} shares or more has the whole noise.",
            f"Each client that tells its share takes one of {self.shares} away: with one, the noise multiplier is "
            f"{alone:.3g} in place of {self._multiplier:.3g}.",
            "With more than the fewest survivors there is more noise than was promised, never less.",
            "A client that leaves its share out weakens the others; its proof is its word.",
            "Shares are drawn from the normal distribution and rounded to integers afterwards; the accountant computes "
            "as if they were not rounded.",
        ]

    def _phases(self, asked: Sequence[int]) -> dict[str, Phase]:
        phase = Phase(self._multiplier, self.rate, 1, self.sampling)
        if self.sampling == "poisson" or self.rate == 1:
            return {EVERY_CLIENT: phase}
        return {_key(client): phase for client in asked}

    def _random(self, server_round: int, purpose: Purpose) -> np.random.Generator:
        """Nobody can repeat it, unless the seed is published; then it is another one in each round."""
        seed = secret_seed(self.promise.noise_seed)
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(server_round, PURPOSES.index(purpose))))

    @property
    def _multiplier(self) -> float:
        if self.noise_multiplier is None:
            self.begin(0)
        assert self.noise_multiplier is not None  # noqa: S101  # `begin` sets it
        return self.noise_multiplier


def refuse_unfit(options: FederationOptions) -> None:
    """Hold a promise against what else was asked for, before anything runs.

    Raises: OptionUnfit, with the reason.
    """
    if options.private is None:
        return
    adaptive, of_clients = options.private.clipping == "adaptive", options.private.unit == "client"
    if adaptive and not of_clients:
        raise OptionUnfit(
            "adaptive clipping does not go with --privacy-unit example: each client would follow a norm of its own",
            mend="--clipping fixed, or --privacy-unit client",
        )
    if adaptive and options.secure:
        raise OptionUnfit(
            "adaptive clipping does not go with --secure: it counts which updates are within the norm, and masked "
            "clients do not tell",
            mend="--clipping fixed",
        )
    canaries = options.private.canary_clients
    if canaries and not of_clients:
        raise OptionUnfit(
            "--canary-clients test a promise to whole clients, and --privacy-unit example promises something to rows",
            mend="--privacy-unit client, or leave --canary-clients out",
        )
    if 0 < canaries < LEAST:
        raise OptionUnfit(
            f"--canary-clients {canaries}: a bound needs {LEAST} at least, and tells little below a hundred",
            mend="--canary-clients 200",
        )
    if of_clients and options.min_clients > 1 and options.participation < 1 and not options.secure:
        raise OptionUnfit(
            f"--min-clients {options.min_clients} does not go with --private and --participation "
            f"{options.participation:g}: how many clients a coin chose is a secret of the promise, and a run that ends "
            "at too few would tell it",
            mend="leave --min-clients out (a round without clients is noise alone), or --participation 1",
        )
    if not of_clients and options.secure and options.local_steps is None:
        raise OptionUnfit(
            "--secure and --privacy-unit example need a number of steps: the ledger would tell how many steps an epoch "
            "of a client has, and so how many rows",
            mend="--local-steps 10, or another number",
        )


def _adaptive(multiplier: float, *, expected: float, norm: float) -> AdaptiveClipping:
    try:
        return AdaptiveClipping(noise_multiplier=multiplier, expected_units=expected, norm=norm)
    except OptionUnfit as few:
        raise OptionUnfit(
            f"with {expected:g} clients in a round and a noise multiplier of {multiplier:.3g} nothing is left to count "
            "clipped updates with",
            mend=f"more than {10 * multiplier:.0f} clients in a round, a larger --epsilon, or --clipping fixed",
        ) from few


def _key(client: int) -> str:
    return f"client {client}"
