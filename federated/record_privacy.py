"""DP-SGD in each client: one row's presence is hidden, and each client keeps its own account of it over all rounds.

    result, proof = train_rows_privately(bench, 3, start, local, home=context.state, folder=None)

The steps are `privacy.private_step.PrivateStep`: nothing of it is written again. Two things differ from a training of
one's own. The noise is calibrated once, for all rounds in which the client may be asked; and the ledger goes on from
round to round, since epsilons of rounds must not be added up, nor the past forgotten (opacus#688).

Who is protected    One row of one client, against everybody who sees what leaves the client: the server, too.
Participation       Amplifies nothing here: the server knows whom it asked. A round in which a client is not asked costs
                    its rows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core_model.training_plan import Plan
from federated.ledger import BudgetSpent
from federated.options import LocalOptions
from federated.proof import RecordProof
from privacy.accounting import Budget, Ledger, Phase, automatic_delta
from privacy.calibration import noise_multiplier_for
from privacy.options import PrivacyOptions
from privacy.private_step import Noise, PrivateStep
from privacy.units import Units
from privacy.write_ahead import WrittenLedger

if TYPE_CHECKING:
    from flwr.app import RecordDict

    from core_model.tasks.training_task import TrainingTask
    from core_model.training_options import TrainingOptions
    from federated.arrays import Update
    from federated.local_training import LocalResult
    from federated.workbench import Workbench

KEY = "ledger"  # in what stays with a client; records of this name are never taken back (see `ClientHome`)


class ClientLedger(WrittenLedger):
    """A client's ledger: in its state, and in a file where it has a folder that survives restarts.

    The steps of a round are paid for together, before the first of them: a client killed in a round has paid for all.

    Args:
        home: what stays with the client.
        folder: None: what Flower keeps of the state is all there is.
    Attributes:
        prepaid: steps of this round that were paid for and not done yet.
    Raises: CheckpointDamaged for a ledger that cannot be read. Where state and file differ the larger one counts.
    """

    def __init__(self, home: RecordDict, folder: Path | None) -> None:
        self.home, self.folder = home, folder
        self.ledger, self.clipping_norm = Ledger(), None
        if folder is not None:
            super().__init__(folder)
        kept = home.config_records.get(KEY)
        self.is_new = kept is None  # a run's first round here, whatever was spent before
        if kept is not None:
            found = Ledger.from_json(str(kept["json"]), name="the client's ledger")
            if found.steps > self.ledger.steps:
                self.ledger = found
        self.prepaid = 0

    def pay_round(self, phase: Phase, *, clipping_norm: float) -> None:
        """Pay for all steps of a round; its steps then cost nothing more.

        Raises: OutputUnwritable when the disk is full; no step may be done then.
        """
        if self.folder is not None:
            super().spend(phase, clipping_norm=clipping_norm)
        else:
            self.ledger, self.clipping_norm = self.ledger.spend(phase), clipping_norm
        from flwr.app import ConfigRecord

        self.home[KEY] = ConfigRecord({"json": self.ledger.to_json()})
        self.prepaid = phase.steps

    def spend(self, phase: Phase, *, clipping_norm: float) -> None:
        """One step of the round that was paid for; see `WrittenLedger.spend`.

        Raises: BudgetSpent for a step beyond them, or of another kind.
        """
        paid = self.ledger.phases[-1] if self.prepaid >= phase.steps else None
        if (
            paid is None
            or (phase.noise_multiplier, clipping_norm) != (paid.noise_multiplier, self.clipping_norm)
            or phase.sampling_rate > paid.sampling_rate
        ):
            raise BudgetSpent("a step of this round was not paid for beforehand", mend="no further steps in this round")
        self.prepaid -= phase.steps


@dataclass
class Pull:
    """FedProx's term behind the noise: mu (w - w_global), added to the noisy gradient in each step.

    It holds nothing of the rows but w, which noisy steps made; so it costs nothing there, and clipping cannot cut it.

    Attributes:
        mu: strength.
        steps: in how many it was added.
    """

    mu: float
    anchored: list[tuple[torch.nn.Parameter, torch.Tensor]]
    steps: int = 0

    def __call__(self, *_: Any) -> None:
        """Called by the optimizer before each step."""
        for parameter, anchor in self.anchored:
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - anchor, alpha=self.mu)
        self.steps += 1


class RoundStep(PrivateStep):
    """A private step whose noise was calibrated for all rounds.

    Attributes:
        proximal: FedProx's term; None where it is not asked for.
    """

    proximal: Pull | None = None

    def hold(self, multiplier: float, proximal_mu: float) -> None:
        """Fix the noise, and hold the weights near those that they have now."""
        self.noise = Noise(multiplier)
        if proximal_mu:
            self.proximal = Pull(proximal_mu, [(p, p.detach().clone()) for p in self.trained])
            self.optimizer.register_step_pre_hook(self.proximal)

    def begin(self, step: int) -> None:
        """See `StepMethod.begin`; everything is settled."""


def train_rows_privately(
    bench: Workbench, client: int, start: Update, local: LocalOptions, *, home: RecordDict, folder: Path | None,
    head: Update | None = None,
) -> tuple[LocalResult, RecordProof]:  # fmt: skip
    """One client, one round, by DP-SGD; as `federated.local_training.train_locally`.

    The result's loss is one without noise: it must not leave the client.

    Args:
        local: with `record_privacy`.
        home: what stays with the client; its ledger is there afterwards.
        folder: of the client's own, that survives restarts.
    Raises: BudgetSpent when the round would exceed the client's budget: it takes part no more, and has done nothing.
        OptionUnfit when it has fewer rows than a step expects, no noise keeps the promise, or the loss is no number.
    """
    from federated.local_training import train_locally

    round_of_client = _Round(local, ClientLedger(home, folder), client)
    try:
        result = train_locally(bench, client, start, local, head=head, make_step=round_of_client.make_step)
        return result, round_of_client.proof()
    finally:
        round_of_client.close()


class _Round:
    """One client's round: the step that it is given, what was paid for it, and the proof."""

    def __init__(self, local: LocalOptions, ledger: ClientLedger, client: int) -> None:
        if local.record_privacy is None:
            raise ValueError("the server asked for no record-level privacy")
        self.local, self.asked, self.ledger, self.client = local, local.record_privacy, ledger, client
        self.step: RoundStep | None = None
        self.phase: Phase | None = None

    def make_step(
        self, options: TrainingOptions, task: TrainingTask, process: Any, optimizer: torch.optim.Optimizer
    ) -> RoundStep:
        """The step of this round, paid for in full; see `federated.local_training.MakeStep`."""
        units = Units.of(_row_of_example(task), most=1)
        rate = (options.batch_size or 1) / len(units)
        if self.local.secure:  # neither rate nor delta may tell how many rows there are
            rate = coarse(rate)
        automatic = automatic_delta(len(units)) if not self.local.secure else rate / (20 * (options.batch_size or 1))
        delta = self.asked.delta if self.asked.delta is not None else automatic
        budget = Budget(self.asked.epsilon, delta)
        private = PrivacyOptions(
            epsilon=self.asked.epsilon, delta=delta, clipping_norm=self.asked.clipping_norm, noise_seed=self._seed()
        )
        step = self.step = RoundStep(
            options.model_copy(update={"clip_norm": None}), task, process, optimizer, private, units, budget,
            self.ledger,
        )  # fmt: skip
        steps = Plan(options, step.steps_per_epoch).steps or 1
        self.phase = Phase(self._noise(budget, rate, steps), rate, steps)
        step.hold(self.phase.noise_multiplier, self.local.proximal_mu)
        self.ledger.pay_round(self.phase, clipping_norm=self.asked.clipping_norm)
        return step

    def proof(self) -> RecordProof:
        """What leaves with the update.

        Raises: RuntimeError when a step that was paid for was not done: then the update is not what was asked for.
        """
        if self.step is None or self.phase is None or self.ledger.prepaid:
            raise RuntimeError(f"{self.ledger.prepaid} steps that were paid for were not done")
        delta = self.step.budget.delta
        return RecordProof(
            noise_multiplier=self.phase.noise_multiplier,
            clipping_norm=self.asked.clipping_norm,
            steps=self.phase.steps,
            epsilon=self.ledger.ledger.epsilon(delta),
            delta=delta,
            ledger=self.ledger.ledger.to_json(),
        )

    def close(self) -> None:
        """Take the clipper off the model, which other clients use after this one."""
        if self.step is not None:
            self.step.clipper.close()

    def _noise(self, budget: Budget, rate: float, steps: int) -> float:
        """In a run's first round calibrated, for all its rounds; later the same, as long as the budget bears it."""
        ledger = self.ledger.ledger
        if self.ledger.is_new:
            return noise_multiplier_for(
                budget.epsilon, delta=budget.delta, sampling_rate=rate, steps=steps * self.asked.rounds, spent=ledger
            )
        before = ledger.phases[-1].noise_multiplier
        if ledger.would_exceed(budget, after=Phase(before, rate, steps)):
            raise BudgetSpent(
                f"client {self.client} has spent epsilon {ledger.epsilon(budget.delta):.4g} of its {budget.epsilon:g} "
                f"at delta {budget.delta:.3g}, and a round more would exceed it: it takes part no more",
                mend="--epsilon with a larger number, or fewer --rounds",
            )
        return before

    def _seed(self) -> int | None:
        """Another one in each round and for each client, where it is published at all."""
        if self.asked.noise_seed is None:
            return None
        sequence = np.random.SeedSequence(self.asked.noise_seed, spawn_key=(self.local.round, self.client))
        return int(sequence.generate_state(1)[0])


def worst_client(proofs: Mapping[int, RecordProof]) -> tuple[int, float, float] | None:
    """Whose rows have spent most, as far as everybody's latest proofs say.

    Args:
        proofs: of each client, its latest.
    Returns: client, epsilon and delta; delta is the largest of all clients', so that (epsilon, delta) holds for every
        row. None without proofs.
    """
    if not proofs:
        return None
    delta = max(proof.delta for proof in proofs.values())
    spent = {client: Ledger.from_json(proof.ledger).epsilon(delta) for client, proof in proofs.items()}
    worst = max(spent, key=lambda client: (spent[client], -client))
    return worst, spent[worst], delta


def coarse(rate: float) -> float:
    """The next power of two above a sampling rate, at most 1: an upper bound that tells half as much as a digit."""
    return min(2.0 ** ceil(log2(rate)), 1.0)


def _row_of_example(task: TrainingTask) -> np.ndarray:
    """Of each training example the row that it comes from; a row of several blocks is one unit."""
    examples: Any = task.training
    origins = getattr(examples, "origins", None)
    return np.arange(len(examples.lengths)) if origins is None else np.asarray(origins)
