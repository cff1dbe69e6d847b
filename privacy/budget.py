"""The budget: what will a promise of (epsilon, delta) cost, before anything is trained?

What it says     The noise that the promise needs, and how loud it is against the most that a batch can say: all of its
                 gradients at full length and in one direction. Real ones are shorter and disagree: the ratios are
                 upper bounds.
How to read it   Under noise of 1 per gradient length, a larger batch helps more than anything: signal grows with the
                 batch, noise does not. More epochs cost noise; fewer trained parameters take noise away.
What it is not   A forecast of accuracy. Fine-tuning moves in few directions, and does better than these ratios say.
Source           Abadi et al. 2016, arXiv:1607.00133; Li et al. 2021, arXiv:2110.05679 (large batches; quality does not
                 fall with the number of parameters as the norm of the noise does).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

from core_model.errors import OptionUnfit
from privacy.accounting import Accountant, Ledger, Phase, automatic_delta
from privacy.calibration import noise_multiplier_for

Regime = Literal["signal leads", "noise averages out", "noise leads"]
REGIMES: dict[Regime, str] = {
    "signal leads": "In each step the batch can outshout the noise: expect training to look much like plain training.",
    "noise averages out": (
        "The noise is louder than any single batch, but over all steps a steady direction can outgrow it: expect to "
        "lose some accuracy, most of it in small groups; larger batches win it back."
    ),
    "noise leads": (
        "Even a direction that all steps share stays below the sum of their noise: expect to lose a good part of the "
        "accuracy. Take a larger --batch-size, fewer trained parameters (--freeze body, --adapters), more rows, or a "
        "larger --epsilon."
    ),
}
CAVEAT = (
    "These are bounds on the signal, not a forecast: real gradients are shorter and disagree; fine-tuning moves in few "
    "directions, which helps. Only the training itself tells."
)


@dataclass(frozen=True)
class BudgetPlan:
    """What a promise costs.

    Attributes:
        epsilon, delta: the promise.
        epsilon_spent: by the accountant, at the end of the training; at most epsilon.
        epsilon_rdp: the second opinion on the same noise.
        accountant: who computed epsilon_spent.
        noise_multiplier: standard deviation of the noise over the clipping norm.
        sampling_rate, steps: of the training: batch size / rows, and epochs * rows / batch size, rounded up.
        clipping_norm: longest gradient of one example.
        noise_standard_deviation: per coordinate of the summed gradient.
        noise_standard_deviation_of_mean: per coordinate after division by the batch size, as the optimizer sees it.
        signal_to_noise_along: batch size / noise multiplier: along the direction of the gradient, in one step.
        signal_to_noise: the same over the length of the whole noise vector, sqrt(parameters) longer; None without their
            number. It is also the ratio per coordinate of a gradient that is spread evenly over all of them.
        signal_to_noise_training: over all steps together, sqrt(steps) better.
        regime: what these ratios mean; None without a number of parameters.
        notes: reservations that belong into the record.
    """

    epsilon: float
    delta: float
    epsilon_spent: float
    epsilon_rdp: float
    accountant: Accountant
    rows: int
    epochs: float
    batch_size: int
    parameters: int | None
    noise_multiplier: float
    sampling_rate: float
    steps: int
    clipping_norm: float
    noise_standard_deviation: float
    noise_standard_deviation_of_mean: float
    signal_to_noise_along: float
    signal_to_noise: float | None
    signal_to_noise_training: float | None
    regime: Regime | None
    notes: tuple[str, ...] = ()


def plan_budget(
    *, epsilon: float, rows: int, epochs: float, batch_size: int, delta: float | None = None,
    parameters: int | None = None, clipping_norm: float = 1.0, accountant: Accountant = "prv",
) -> BudgetPlan:  # fmt: skip
    """The plan of a private training; pure arithmetic over a calibration of about a second.

    Args:
        delta: None takes 1 / (10 rows).
        parameters: trained parameters, those that get noise; frozen ones do not count.
    Raises: OptionUnfit for numbers that cannot be, a batch larger than the data, or a promise that no noise keeps.
    """
    for flag, value in (("rows", rows), ("epochs", epochs), ("batch-size", batch_size), ("clip", clipping_norm)):
        if not 0 < value < float("inf"):
            raise OptionUnfit(f"--{flag} is {value}", mend=f"--{flag} with a number above 0")
    if parameters is not None and parameters < 1:
        raise OptionUnfit(f"--parameters is {parameters}", mend="--parameters with the number of trained parameters")
    if batch_size > rows:
        raise OptionUnfit(
            f"--batch-size is {batch_size:,}, and there are {rows:,} rows", mend=f"--batch-size of at most {rows}"
        )
    delta = automatic_delta(rows) if delta is None else delta
    rate, steps = batch_size / rows, ceil(epochs * rows / batch_size - 1e-9)
    noise = noise_multiplier_for(epsilon, delta=delta, sampling_rate=rate, steps=steps, accountant=accountant)
    spent = Ledger((Phase(noise, rate, steps),))
    along = batch_size / noise
    per_step = None if parameters is None else along / sqrt(parameters)
    overall = None if per_step is None else per_step * sqrt(steps)
    return BudgetPlan(
        epsilon=epsilon, delta=delta, epsilon_spent=spent.epsilon(delta, accountant=accountant),
        epsilon_rdp=spent.epsilon(delta, accountant="rdp"), accountant=accountant, rows=rows, epochs=epochs,
        batch_size=batch_size, parameters=parameters, noise_multiplier=noise, sampling_rate=rate, steps=steps,
        clipping_norm=clipping_norm, noise_standard_deviation=noise * clipping_norm,
        noise_standard_deviation_of_mean=noise * clipping_norm / batch_size, signal_to_noise_along=along,
        signal_to_noise=per_step, signal_to_noise_training=overall, regime=regime(per_step, overall),
        notes=tuple(_notes(epsilon, delta, rows)),
    )  # fmt: skip


def regime(per_step: float | None, overall: float | None) -> Regime | None:
    """Which of three regimes: 1 is where signal and noise are equally long, in one step or over the whole training."""
    if per_step is None or overall is None:
        return None
    if per_step >= 1:
        return "signal leads"
    return "noise averages out" if overall >= 1 else "noise leads"


def _notes(epsilon: float, delta: float, rows: int) -> list[str]:
    notes = []
    if delta > 1 / rows:
        notes.append(
            f"delta {delta:.3g} is above 1/{rows:,}: publishing a row in full, chosen by lot, would keep this promise; "
            "take --delta auto"
        )
    if epsilon > 10:
        notes.append(
            f"epsilon {epsilon:g} lets the odds about a row grow by a factor of up to e^{epsilon:g}: by itself it "
            "proves little; rest on the attacks, too (Ponomareva et al. 2023, arXiv:2303.00654)"
        )
    return notes
