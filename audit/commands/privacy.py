"""`aboveboard privacy`: what a promise of privacy costs, before anything is trained."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from audit.commands.arguments import json_option, print_json

if TYPE_CHECKING:
    from privacy.budget import BudgetPlan


@click.group()
def privacy() -> None:
    """What a promise of privacy costs, before anything is trained."""


@privacy.command()
@click.option("--epsilon", type=float, required=True, metavar="E", help="Most that may be spent: smaller is safer.")
@click.option("--rows", type=int, required=True, metavar="N", help="Rows of training data.")
@click.option("--epochs", type=float, required=True, metavar="K", help="Passes over the data.")
@click.option("--batch-size", type=int, required=True, metavar="B", help="Expected rows in a step.")
@click.option("--delta", default="auto", show_default=True, metavar="D", help="Chance of failure; auto: 1 / (10 rows).")
@click.option(
    "--parameters", type=int, metavar="P", help="Trained parameters; without: no ratio to the noise's length."
)
@click.option("--clip", type=float, default=1.0, show_default=True, metavar="C", help="Longest gradient of a row.")
@click.option(
    "--accountant", type=click.Choice(["prv", "rdp"]), default="prv", show_default=True, help="Whose epsilon."
)
@json_option
def budget(
    epsilon: float, rows: int, epochs: float, batch_size: int, delta: str, parameters: int | None, clip: float,
    accountant: str, as_json: bool,
) -> None:  # fmt: skip
    """The noise that a promise needs, and how loud it is, before anything is trained.

    \b
    Examples:
      aboveboard privacy budget --epsilon 8 --rows 10000 --epochs 3 --batch-size 256 --parameters 22713986
      aboveboard privacy budget --epsilon 1 --rows 2293 --epochs 10 --batch-size 512 --json
    """
    from privacy.budget import CAVEAT, REGIMES, plan_budget

    plan = plan_budget(
        epsilon=epsilon, rows=rows, epochs=epochs, batch_size=batch_size, delta=_delta(delta), parameters=parameters,
        clipping_norm=clip, accountant="prv" if accountant == "prv" else "rdp",
    )  # fmt: skip
    if as_json:
        expected = None if plan.regime is None else REGIMES[plan.regime]
        print_json({**asdict(plan), "expected": expected, "caveat": CAVEAT})
    else:
        _tell(plan)


def _delta(given: str) -> float | None:
    from core_model.errors import OptionUnfit

    if given == "auto":
        return None
    try:
        return float(given)
    except ValueError as error:
        raise OptionUnfit(f"--delta is {given!r}", mend="--delta auto, or a number such as 1e-5") from error


def _tell(plan: BudgetPlan) -> None:
    from privacy.budget import CAVEAT, REGIMES

    click.echo(
        f"promise: epsilon {plan.epsilon:g} at delta {plan.delta:.3g}, for one row more or less of {plan.rows:,}"
    )
    click.echo(
        f"training: {plan.steps:,} steps of {plan.batch_size:,} rows (Poisson, rate {plan.sampling_rate:.4g}), "
        f"gradients clipped to {plan.clipping_norm:g}"
    )
    click.echo(
        f"noise multiplier: {plan.noise_multiplier:.4g}  (spends epsilon {plan.epsilon_spent:.4g} by "
        f"{plan.accountant.upper()}, {plan.epsilon_rdp:.4g} by RDP)"
    )
    click.echo(
        f"noise per coordinate: {plan.noise_standard_deviation:.4g} on the sum, "
        f"{plan.noise_standard_deviation_of_mean:.3g} on the mean gradient"
    )
    click.echo(f"signal to noise, one step: at most {plan.signal_to_noise_along:.4g} along the gradient's direction")
    if plan.regime is None or plan.signal_to_noise is None or plan.signal_to_noise_training is None:
        click.echo("signal to the whole noise: not measured: --parameters is missing")
    else:
        click.echo(
            f"signal to the whole noise, {plan.parameters:,} parameters: at most {plan.signal_to_noise:.3g} in "
            f"one step, {plan.signal_to_noise_training:.3g} over the training"
        )
        click.echo(f"expect: {plan.regime}. {REGIMES[plan.regime]}")
    for note in plan.notes:
        click.echo(f"note: {note}")
    click.echo(CAVEAT)
