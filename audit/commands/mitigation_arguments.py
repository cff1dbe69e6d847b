"""The flags of `aboveboard train` that mend what audits find; what each does: docs/mitigation.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]
PARITY = "demographic-parity|equalized-odds"


def mitigation_options(command: Command) -> Command:
    """Noise, weights, constraints, adversaries, and what comes before."""
    for option in reversed(
        [
            click.option("--augment", multiple=True, metavar="identity-swap|typos|noise|token-dropout|word-order",
                         help="Rows once more with identity terms swapped, or with noise; or words left out or moved. "
                         "Repeatable."),
            click.option("--identity-terms", metavar="FILE",
                         help="TOML list of term pairs for --augment. Default: our own."),
            click.option("--token-dropout-rate", type=float, metavar="X",
                         help="Share of words that are left out. Default: 0.1."),
            click.option("--word-order-distance", type=int, metavar="N",
                         help="Places that a word moves at most. Default: 3."),
            click.option("--reweigh", metavar="COLUMN",
                         help="Weigh rows so that this group column and the label are independent."),
            click.option("--fairness-penalty", metavar=PARITY,
                         help="Add to the loss how far the mean probabilities of groups lie apart."),
            click.option("--reductions", metavar=PARITY,
                         help="Weigh rows anew after each epoch until the rates of groups agree; two classes."),
            click.option("--fairness-column", metavar="COLUMN", help="Group column of these two."),
            click.option("--fairness-weight", type=float, metavar="X", help="Weight of the penalty. Default: 10."),
            click.option("--adversarial", metavar="freelb", help="Train where small shifts of the embeddings hurt."),
            click.option("--adversarial-steps", type=int, metavar="N", help="Passes over each batch. Default: 3."),
            click.option("--adversarial-radius", type=float, metavar="X",
                         help="Longest shift, in norms of a row's embeddings. Default: 0.02."),
            click.option("--adversarial-step-size", type=float, metavar="X", help="Default: 2.5 radii over all steps."),
            click.option("--pretrain", type=click.Choice(["masked", "causal"]),
                         help="Train the base further on texts alone, before the task: an encoder or a decoder."),
            click.option("--pretrain-epochs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
                         help="Passes of that over the texts."),
            click.option("--pretrain-data", metavar="FILE", help="Texts for that. Default: those of --data."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command
