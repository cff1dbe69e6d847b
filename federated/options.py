"""What federated training can be told: for the whole run, and for one client in one round.

`FederationOptions` are the flags of `aboveboard federate`; `LocalOptions` are what the server asks of a client, sent
with every message as JSON, so that a client's proof can be held against what was asked.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from core_model.tasks import Task

StrategyName = Literal["fedavg", "fedprox", "fedadam", "fedmedian", "krum", "trimmed-mean"]
Unit = Literal["client", "example"]
PARTITION = re.compile(r"iid|dirichlet:(?P<alpha>[0-9.eE+-]+)|column:(?P<column>.+)")
COMPRESSION = re.compile(r"int8|top-k:(?P<share>[0-9.eE+-]+)")
MEANS = ("fedavg", "fedprox", "fedadam")  # strategies that need only the weighted mean of the updates
LEARNING_RATE = 5e-5  # as `core_model.training_options.FINE_TUNING_RATE`: clients always begin from a base


class Frozen(BaseModel):
    """Options do not change, and know every key they are given."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PrivacyPromise(Frozen):
    """What `--private` promises, and how it is kept."""

    epsilon: float = Field(gt=0, allow_inf_nan=False, description="the most that may be spent over all rounds")
    delta: float | None = Field(
        None, gt=0, lt=1, description="chance with which the promise may fail; 1 / (10 units) when left out"
    )
    unit: Unit = Field(
        "client", description="whose presence is hidden: a whole client, or one row of a client (example)"
    )
    clipping: Literal["fixed", "adaptive"] = Field(
        "fixed", description="adaptive: the norm follows the median of the clients' norms, itself counted with noise"
    )
    clipping_norm: float = Field(
        1.0, gt=0, description="longest update of a client (client), or gradient of a row (example); adaptive: at first"
    )
    canary_clients: int = Field(
        0,
        ge=0,
        description="made-up clients, half of them taking part by coins, by which an audit tests the promise "
        "to clients (client)",
    )
    noise_seed: int | None = Field(
        None, ge=0, description="makes the noise repeatable, for tests alone: whoever knows it can take the noise away"
    )


class FederationOptions(Frozen):
    """Options of `federate`; the same words, with dashes, as its flags."""

    task: Task = Field(Task.CLASSIFICATION, description="what the checkpoint's head will do")
    seed: int = Field(0, ge=0, lt=2**32, description="of the partition, of new weights, participants and rows' order")
    clients: int = Field(ge=1, description="among how many the rows are divided")
    partition: str = Field(
        "iid", description="iid, dirichlet:ALPHA (labels skewed; smaller is more skewed) or column:NAME"
    )
    min_rows: int = Field(1, ge=1, description="rows that each client must have")
    rounds: int = Field(5, ge=1, description="rounds of training")
    strategy: StrategyName = Field("fedavg", description="how the clients' updates become one model")
    participation: float = Field(1.0, gt=0, le=1, description="share of the clients that are asked in a round")
    min_clients: int = Field(
        1, ge=1, description="sound replies that a round needs; with fewer the run ends and keeps its last good model"
    )
    deadline: float = Field(3600.0, gt=0, description="seconds that a round waits for its clients")
    held_out: float = Field(
        0.0, ge=0, lt=1, description="share of each client's rows that it never trains on, to evaluate the model by"
    )

    local_epochs: int | None = Field(None, ge=1, description="passes of a client over its rows in a round; 1")
    local_steps: int | None = Field(None, ge=1, description="instead: a number of steps")
    batch_size: int = Field(32, ge=1, description="rows in a client's batch")
    learning_rate: float = Field(LEARNING_RATE, gt=0, lt=1, description="of the clients; constant within a round")
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adamw", description="of the clients; new in each round")
    weight_decay: float = Field(0.01, ge=0, lt=1, description="biases and normalization are spared")
    clip_norm: float | None = Field(1.0, gt=0, description="longest gradient of a batch; None: not clipped")
    max_length: int | None = Field(None, ge=3, description="tokens; longer rows are cut")
    proximal_mu: float = Field(0.0, ge=0, description="FedProx: how strongly clients are held near the global model")
    server_learning_rate: float = Field(1e-3, gt=0, description="FedAdam: step of the server")
    malicious: int = Field(0, ge=0, description="Krum: clients that may be hostile; trimmed-mean cuts as many per side")
    max_norm: float | None = Field(None, gt=0, description="longest update that is believed")
    outlier_factor: float = Field(
        10.0, gt=1, description="an update so many times longer than the round's median is not believed"
    )

    adapters: int | None = Field(None, ge=1, description="rank of low-rank adapters: they alone are trained and sent")
    adapter_targets: tuple[str, ...] = Field((), description="layers that get adapters; none: every linear one")
    freeze: tuple[str, ...] = Field((), description="parts of the base that are held still and not sent, by name")
    personalize: Literal["head"] | None = Field(None, description="head: each client keeps a head of its own")
    compress: str | None = Field(None, description="int8 or top-k:SHARE, with error feedback")
    secure: bool = Field(False, description="the server sees the sum of the updates alone (SecAgg+)")
    private: PrivacyPromise | None = Field(None, description="a promise of differential privacy")
    keep_updates: bool = Field(
        False, description="keep what the server saw of every round in updates/: as sensitive as the rows"
    )
    country: str = Field("WORLD", description="whose electricity, ISO 3166 alpha-3; WORLD is the world's average")

    @field_validator("partition")
    @classmethod
    def _is_a_scheme(cls, given: str) -> str:
        found = PARTITION.fullmatch(given)
        if found is None or (found["alpha"] is not None and not _positive(found["alpha"])):
            raise ValueError("iid, dirichlet:0.3 or column:NAME")
        return given

    @field_validator("compress")
    @classmethod
    def _is_a_compression(cls, given: str | None) -> str | None:
        found = COMPRESSION.fullmatch(given) if given is not None else None
        if given is not None and (found is None or (found["share"] and not 0 < _number(found["share"]) <= 1)):
            raise ValueError("int8 or top-k:0.01, a share in (0, 1]")
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> FederationOptions:
        if self.local_epochs is not None and self.local_steps is not None:
            raise ValueError("local_epochs and local_steps say the same thing twice; --local-epochs or --local-steps")
        if self.min_clients > self.clients:
            raise ValueError(
                f"min_clients = {self.min_clients} of {self.clients} clients can never be met; "
                f"--min-clients {self.clients} or fewer"
            )
        if self.strategy == "fedprox" and self.proximal_mu == 0:
            raise ValueError("fedprox without a proximal term is fedavg; --proximal-mu 0.01, or --strategy fedavg")
        if self.strategy != "fedprox" and self.proximal_mu > 0:
            raise ValueError("proximal_mu is read by fedprox alone; --strategy fedprox")
        if self.adapter_targets and self.adapters is None:
            raise ValueError("adapter_targets is read by adapters alone; --adapters RANK, such as --adapters 8")
        if self.freeze and self.adapters is not None:
            raise ValueError("adapters hold the base still already; leave --freeze out, or --adapters")
        return self

    @property
    def alpha(self) -> float | None:
        """Of a Dirichlet partition."""
        found = PARTITION.fullmatch(self.partition)
        return float(found["alpha"]) if found and found["alpha"] else None

    @property
    def column(self) -> str | None:
        """That the rows are divided by."""
        found = PARTITION.fullmatch(self.partition)
        return found["column"] if found else None

    @property
    def trimmed(self) -> float:
        """Share that the trimmed mean cuts off at either end."""
        return self.malicious / self.clients if self.malicious else 0.2

    def that_change_weights(self) -> dict[str, Any]:
        """The options that a resumed run must share with the run that it resumes.

        Updates of rounds that are over cannot be kept any more; so a run keeps those of all its rounds, or of none.
        """
        unkept = {"keep_updates"} if not self.keep_updates else set()
        return self.model_dump(mode="json", exclude={"country", "deadline"} | unkept)


class RecordPrivacy(Frozen):
    """DP-SGD in the client: what the server asks for, and what the client's own ledger is held against.

    The client's sampling rate follows from its own number of rows, so each client calibrates its noise for itself:
    for `rounds` rounds in which it may be asked, within (epsilon, delta).
    """

    epsilon: float = Field(gt=0, description="budget of each row over all rounds")
    delta: float | None = Field(None, gt=0, lt=1, description="None: 1 / (10 rows of the client)")
    clipping_norm: float = Field(gt=0, description="longest gradient of a row")
    rounds: int = Field(ge=1, description="rounds in which the client may be asked, this one included or not")
    noise_seed: int | None = None


class NoiseShares(Frozen):
    """Distributed noise: each client adds its share, so that the sum over `shares` clients has what is needed."""

    noise_multiplier: float = Field(gt=0, description="standard deviation of the whole noise over the clipping norm")
    shares: int = Field(ge=1, description="clients that must answer for the sum to have the whole noise")
    noise_seed: int | None = None


class LocalOptions(Frozen):
    """What the server asks of a client in one round; JSON in the "local" entry of the message's config.

    What does not change over the run (task, base, adapters, personal heads, lengths, seed) is in `FederationOptions`,
    which the client has from its run's configuration.
    """

    round: int = Field(ge=1)
    epochs: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    weight_decay: float = 0.0
    clip_norm: float | None = None
    proximal_mu: float = 0.0
    clip: float | None = Field(None, gt=0, description="client-level clipping norm of the update; None: not clipped")
    record_privacy: RecordPrivacy | None = None
    noise_shares: NoiseShares | None = None
    compression: str | None = None
    secure: bool = False
    personalize: Literal["head"] | None = None
    seed: int = Field(0, ge=0)

    def to_text(self) -> str:
        """As JSON, for a message."""
        return self.model_dump_json()

    @classmethod
    def of_text(cls, text: str) -> LocalOptions:
        """From a message."""
        return cls.model_validate_json(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _positive(text: str) -> bool:
    return 0 < _number(text) < float("inf")
