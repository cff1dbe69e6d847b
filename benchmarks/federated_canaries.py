"""Canary clients on trial: a federation whose noise is silently off is caught, and an honest one is not.

Twenty runs of each, every one a promise of epsilon 1 to ten clients, kept over three rounds by `ClientPromise` with
200 canary clients; the clients' updates are random vectors of 2,000 numbers. Only the noise differs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure
from federated import client_promise
from federated.arrays import Update, add
from federated.canary_clients import canary_bound, canary_updates
from federated.client_promise import ClientPromise
from federated.ledger import NAME, FederatedLedger
from federated.options import FederationOptions, PrivacyPromise

EPSILON, DELTA, CANARIES, CLIENTS, ROUNDS, RUNS = 1.0, 1e-6, 200, 10, 3, 20
LIKE: Update = {"weight": np.zeros(2_000, dtype=np.float32)}


def caught() -> list[Figure]:
    """How often the bound is above the claim."""
    with tempfile.TemporaryDirectory(prefix="benchmark-canaries-") as folder:
        honest = [bound_of_a_federation(Path(folder) / f"honest-{run}") for run in range(RUNS)]
        with silent_noise():
            silent = [bound_of_a_federation(Path(folder) / f"silent-{run}") for run in range(RUNS)]
    unit = f"of {RUNS} federations with a bound above the claimed epsilon {EPSILON:g}"
    return [
        Figure("silent_noise_caught", float(sum(bound > EPSILON for bound in silent)), unit, f"{RUNS}"),
        Figure("honest_noise_refuted", float(sum(bound > EPSILON for bound in honest)), unit, "at most 1"),
    ]


def bound_of_a_federation(folder: Path) -> float:
    """The lower bound that canary clients give after all rounds; every seed is from the operating system."""
    folder.mkdir()
    options = FederationOptions(
        clients=CLIENTS, rounds=ROUNDS,
        private=PrivacyPromise(epsilon=EPSILON, delta=DELTA, canary_clients=CANARIES),
    )  # fmt: skip
    promise = ClientPromise(options, ledger=FederatedLedger(folder / NAME))
    promise.begin(0)
    random, total = np.random.default_rng(), LIKE
    for server_round in range(1, ROUNDS + 1):
        asked = promise.choose(server_round, range(CLIENTS))
        promise.pay(asked)
        updates = canary_updates(LIKE, len(asked), length=1.0, random=random)  # any directions will do
        total = add(total, promise.mean(server_round, updates, [True] * len(asked), like=LIKE))
    assert promise.canaries is not None  # noqa: S101  # they were asked for
    cosines = np.array(promise.canaries.told(total)["cosines"])
    return canary_bound(cosines, promise.canaries.included, delta=DELTA, random=random).epsilon


@contextmanager
def silent_noise() -> Iterator[None]:
    """A federation that adds nothing and says nothing of it."""
    true_mean = client_promise.private_mean
    client_promise.private_mean = lambda updates, **how: true_mean(updates, **{**how, "noise_multiplier": 0.0})
    try:
        yield
    finally:
        client_promise.private_mean = true_mean
