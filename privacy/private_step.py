"""A private step (DP-SGD): units drawn by coin, rows clipped one by one, noise, and a ledger written before.

A step of the loop in `core_model.training_loop` by another method: rows come by Poisson sampling from a secret seed,
are cut into batches that fit memory (rows of like length together), and their clipped gradients are added up
(`privacy.clipping`). Opacus' optimizer adds the noise and divides by a fixed public number, the expected rows of a
step.

Source: Abadi et al. 2016, arXiv:1607.00133, algorithm 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core_model.errors import OptionUnfit
from core_model.length_buckets import plan_batches
from core_model.objective import TaskLoss
from core_model.training_plan import Plan
from core_model.training_step import to_device
from privacy.accounting import Budget, Phase
from privacy.adaptive_clipping import AdaptiveClipping
from privacy.calibration import noise_multiplier_for
from privacy.clipping import check, clipper
from privacy.options import PrivacyOptions
from privacy.units import Units, secret_seed
from privacy.write_ahead import WrittenLedger

if TYPE_CHECKING:
    from accelerate import Accelerator

    from core_model.objective import Objective
    from core_model.tasks.training_task import TrainingTask
    from core_model.training_options import TrainingOptions

TOKENS = {"cpu": 1_024, "cuda": 8_192}  # padded tokens of a batch: what a core's caches like, and what fills a GPU
ROWS_CHECKED = 4  # rows on which the clipper is held against autograd


def tokens_of_a_batch(device: torch.device) -> int:
    """Padded tokens that are clipped at once; a step is cut into as many batches as it needs."""
    return TOKENS.get(device.type, TOKENS["cpu"])


@dataclass
class Noise:
    """How the steps of this session are made noisy.

    Attributes:
        multiplier: calibrated: standard deviation over the clipping norm, gradient and count together.
        adaptive: where the norm follows the rows'.
    """

    multiplier: float
    adaptive: AdaptiveClipping | None = None

    @property
    def of_gradient(self) -> float:
        """What the gradient gets."""
        return self.adaptive.gradient_noise_multiplier if self.adaptive else self.multiplier


@dataclass(frozen=True)
class Told:
    """An epsilon that was computed: when (seconds of a monotonic clock), and how long that took."""

    epsilon: float
    at: float
    took: float


@dataclass
class PrivateStep:
    """DP-SGD as a `core_model.training_step.StepMethod`.

    Attributes:
        units: of the training examples.
        budget: what may be spent over the whole run.
        written: the ledger on disk.
        norms: the clipping norm of each step of this session, where it adapts.
    """

    options: TrainingOptions
    task: TrainingTask
    accelerator: Accelerator
    optimizer: torch.optim.Optimizer
    private: PrivacyOptions
    units: Units
    budget: Budget
    written: WrittenLedger
    norms: list[float] = field(default_factory=list)
    told: Told | None = None

    def __post_init__(self) -> None:
        expected = self.options.batch_size or 1
        if len(self.units) < expected:
            raise OptionUnfit(
                f"there are {len(self.units):,} units to protect, and a step expects {expected:,} of them",
                mend=f"--batch-size {max(len(self.units) // 8, 1)}, or more data",
            )
        if self.private.clipping == "adaptive" and self.units.most > 1:
            raise OptionUnfit(
                f"adaptive clipping counts rows, and a unit sends up to {self.units.most} of them to a step",
                mend="--rows-per-unit 1, or --clipping flat",
            )
        self.model: Any = self.task.model
        self.rate = expected / len(self.units)
        self.steps_per_epoch = max(round(1 / self.rate), 1)
        self.random = np.random.default_rng(secret_seed(self.private.noise_seed))
        self.generator = torch.Generator(device=self.accelerator.device).manual_seed(
            int(self.random.integers(2**63 - 1)) if self.private.noise_seed is not None else secret_seed(None)
        )
        self.clipper = clipper(self.private.grad_sample, self.model)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.is_checked = False
        self.noise: Noise | None = None

    def begin(self, step: int) -> None:
        """Calibrate the noise for the steps that are left, given what the ledger says was spent.

        Steps that a killed session did after its last saved state are in the ledger and not in `step`: the steps left
        then get more noise, so that the promise holds all the same.

        Raises: OptionUnfit when the budget cannot pay for them.
        """
        left = (Plan(self.options, self.steps_per_epoch).steps or 0) - step
        ledger, adaptive = self.written.ledger, self.private.clipping == "adaptive"
        if left <= 0:
            multiplier = ledger.phases[-1].noise_multiplier
        else:
            before = ledger.phases[-1].noise_multiplier if ledger.phases else None
            again = None if before is None else Phase(before, self.rate, left)
            if again is not None and not ledger.would_exceed(self.budget, after=again):
                multiplier = again.noise_multiplier
            else:
                multiplier = noise_multiplier_for(
                    self.budget.epsilon, delta=self.budget.delta, sampling_rate=self.rate, steps=left, spent=ledger
                )
        norm = self.written.clipping_norm or self.private.clipping_norm
        expected = float(self.options.batch_size or 1)
        self.noise = Noise(
            multiplier,
            AdaptiveClipping(noise_multiplier=multiplier, expected_units=expected, norm=norm) if adaptive else None,
        )

    def order(self, epoch: int) -> Sequence[np.ndarray]:
        """Rows of each step, drawn by coins that nobody can repeat; some steps may have none."""
        return [self.units.draw(self.random, self.rate) for _ in range(self.steps_per_epoch)]

    def gradients(self, rows: np.ndarray, objective: Objective, *, epoch: int) -> tuple[torch.Tensor, int]:
        """Pay for the step, then add up the clipped gradients of its rows."""
        noise = self._noise()
        norm = noise.adaptive.norm if noise.adaptive else self.private.clipping_norm
        if not self.is_checked and len(rows):
            self._check(rows[:ROWS_CHECKED], objective)
        self.written.spend(Phase(noise.multiplier, self.rate, 1), clipping_norm=norm)
        for parameter in self.trained:  # what stands there would escape clipping
            parameter.grad = None
        losses, found = [torch.zeros((), device=self.accelerator.device)], []
        for chosen in self._batches(rows):
            loss, norms = self.clipper.add_clipped_gradients(
                self._loss(chosen, objective), rows=len(chosen), max_norm=norm / self.units.most,
                per_layer=self.private.clipping == "per-layer",
            )  # fmt: skip
            losses.append(loss)
            found.append(norms)
        if not found:  # nobody came: noise alone is added
            for parameter in self.trained:
                parameter.grad = torch.zeros_like(parameter)
        if noise.adaptive:
            self._follow(noise.adaptive, torch.cat(found) if found else torch.zeros(0))
        return torch.stack(losses).sum(), self.task.training.units(rows) if len(rows) else 0

    def update(self, loss: torch.Tensor) -> torch.Tensor | None:
        """Noise on the sum, divided by the expected rows, given to the optimizer."""
        from privacy.noisy_optimizer import NoisyOptimizer

        noise = self._noise()
        noisy = NoisyOptimizer(
            self.optimizer,
            noise_multiplier=noise.of_gradient,
            max_grad_norm=self.norms[-1] if self.norms else self.private.clipping_norm,
            expected_batch_size=self.options.batch_size,  # a public constant, whatever the coins said (opacus#819)
            loss_reduction="mean",
            generator=self.generator,
        )
        noisy.step()
        noisy.zero_grad(set_to_none=True)
        return None

    def epsilon(self) -> float | None:
        """Epsilon of the ledger by PRV; computed anew when it costs less than a fiftieth of the time since."""
        told, now, ledger = self.told, time.monotonic(), self.written.ledger
        if ledger.phases and (told is None or now - told.at > 50 * told.took):
            epsilon = ledger.epsilon(self.budget.delta)
            self.told = told = Told(epsilon, at=time.monotonic(), took=time.monotonic() - now)
        return None if told is None else told.epsilon

    def record(self) -> dict[str, Any]:
        """What the training record says of it: `privacy.claim` is made from this."""
        return {
            "mechanism": f"DP-SGD, {self.private.clipping} clipping, {self.private.grad_sample}",
            "ledger": self.written.ledger.to_json(),
            "clipping": self.private.clipping,
            "clipping_norm": None if self.private.clipping == "adaptive" else self.private.clipping_norm,
            "gradient_divisor": "public",
            "expected_units": self.options.batch_size,
            "units": len(self.units),
            "rows_per_unit": self.units.most,
            "unit": "example" if self.private.user_column is None else "user",
            "unit_column": self.private.user_column,
            "delta": self.budget.delta,
            "search": "none on this data",
            "noise_seed_published": self.private.noise_seed is not None,
        }

    def _noise(self) -> Noise:
        if self.noise is None:
            self.begin(0)
        assert self.noise is not None  # noqa: S101  # `begin` sets it
        return self.noise

    def _batches(self, rows: np.ndarray) -> list[np.ndarray]:
        """Rows of like length together, so many that memory holds them."""
        if not len(rows):
            return []
        lengths = self.task.training.lengths[rows]
        return [
            rows[batch] for batch in plan_batches(lengths, tokens_of_a_batch(self.accelerator.device), padding=True)
        ]

    def _loss(self, rows: np.ndarray, objective: Objective) -> Callable[[], torch.Tensor]:
        batch = to_device(self.task.batch(self.task.training, rows), self.accelerator.device)
        precision = objective.precision if isinstance(objective, TaskLoss) else nullcontext

        def loss() -> torch.Tensor:
            with precision():
                return self.task.loss(self.model, batch, self.options.label_smoothing)

        return loss

    def _check(self, rows: np.ndarray, objective: Objective) -> None:
        """Before anything is trained: the clipper must see every gradient."""
        loss, alone = self._loss(rows, objective), self._loss(rows[:1], objective)
        check(self.clipper, self.model, loss, alone, rows=len(rows))
        self.is_checked = True

    def _follow(self, adaptive: AdaptiveClipping, norms: torch.Tensor) -> None:
        self.norms.append(adaptive.norm)
        within = int((norms <= adaptive.norm / self.units.most).sum())
        noise = float(torch.randn((), generator=self.generator, device=self.generator.device))
        adaptive.follow(within, units=len(norms), noise=noise)
