"""The flags of `aboveboard train` that say how it learns; what each does: docs/training.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]

LENGTH = "Length, batches"
RATE = "Optimizer, rate"
REGULAR = "Regularization"
ADAPTERS = "Adapters"
EVALUATION = "Evaluation, saving"

FLAGS: dict[str, list[Callable[[Command], Command]]] = {
    LENGTH: [
        click.option("--epochs", type=int, metavar="N", help="Passes over the data. Default: 2."),
        click.option("--max-steps", type=int, metavar="N", help="Stop after so many steps."),
        click.option("--max-minutes", type=float, metavar="M",
                     help="Stop after so many minutes of training, with the weights of then."),
        click.option("--batch-size", type=int, metavar="N", help="Rows in a batch. Default: 32."),
        click.option("--batch-tokens", type=int, metavar="N",
                     help="Instead: padded tokens in a batch; faster where rows differ in length."),
        click.option("--accumulate", type=int, metavar="N",
                     help="Batches in a step: as one batch N times as large, in the memory of one. Default: 1."),
        click.option("--max-length", type=int, metavar="N",
                     help="Tokens of a row; longer ones are cut. Default: the model's."),
    ],
    RATE: [
        click.option("--optimizer", metavar="adamw|adam", help="Default: adamw."),
        click.option("--beta2", type=float, metavar="X", help="Of Adam; 0.98 is usual to translate. Default: 0.999."),
        click.option("--learning-rate", type=float, metavar="X",
                     help="Peak rate. Default: 5e-5 from a base, 5e-4 from scratch."),
        click.option("--schedule", metavar="linear|cosine|inverse-sqrt",
                     help="How the rate falls after warm-up. Default: linear."),
        click.option("--warmup-share", type=float, metavar="X",
                     help="Share of the steps in which the rate rises. Default: 0.1."),
        click.option("--warmup-steps", type=int, metavar="N", help="Instead: a number of steps."),
        click.option("--clip-norm", type=float, metavar="X", help="Longest gradient; 0: never clipped. Default: 1."),
    ],
    REGULAR: [
        click.option("--dropout", type=float, metavar="X",
                     help="Share of activations set to 0, everywhere. Default: what the model's config says."),
        click.option("--weight-decay", type=float, metavar="X", help="Default: 0.01."),
        click.option("--label-smoothing", type=float, metavar="X",
                     help="Share of a label spread over all classes. Default: 0."),
        click.option("--class-weights", metavar="balanced|LABEL=X,...|FILE.toml",
                     help="How much a row of each class counts in the loss."),
        click.option("--ema", type=float, metavar="DECAY",
                     help="Evaluate and save a moving average of the weights, such as 0.999."),
    ],
    ADAPTERS: [
        click.option("--adapters", type=int, metavar="RANK",
                     help="Train low-rank adapters (LoRA) and the head alone; --out has them merged, and in adapter/."),
        click.option("--adapter-targets", metavar="A,B", help="Layers by name. Default: every linear one."),
        click.option("--freeze", metavar="A,B",
                     help="Instead: hold these parts still, such as embeddings; body: train the head alone."),
    ],
    EVALUATION: [
        click.option("--evaluate-every", type=int, metavar="N", help="Steps between evaluations. Default: an epoch."),
        click.option("--early-stopping", type=int, metavar="PATIENCE",
                     help="Stop after so many evaluations without a lower loss; keep the best weights."),
        click.option("--checkpoint-every", type=int, metavar="N",
                     help="Steps between saved states. Default: a minute apart."),
        click.option("--resume", is_flag=True, help="Go on with the interrupted run in --out."),
        click.option("--precision", metavar="auto|float32|bf16",
                     help="Of the forward pass. Default: bf16 where a GPU has it."),
        click.option("--seed", type=int, metavar="N", help="Seed of everything that is random. Default: 0."),
        click.option("--country", metavar="ISO3", help="Whose electricity, such as DEU. Default: WORLD."),
    ],
}  # fmt: skip


def tensorboard_option(command: Command) -> Command:
    """Where events go; no option of the training itself, which is the same with and without."""
    return click.option(
        "--tensorboard", type=click.Path(path_type=Path), metavar="DIR",
        help="Write events for TensorBoard into DIR, in a folder named as --out: loss, rate, epsilon, evaluations.",
    )(command)  # fmt: skip


def training_options(command: Command) -> Command:
    """Length, optimizer, regularization, adapters, evaluation."""
    for option in reversed([option for group in FLAGS.values() for option in group]):
        command = option(command)
    return command


def read_values(flags: dict[str, Any]) -> dict[str, Any]:
    """What was given, in the words of `TrainingOptions`.

    Raises: OptionUnfit for class weights that cannot be read.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if given.get("clip_norm") == 0:
        given["clip_norm"] = None
    for several in ("adapter_targets", "freeze"):
        if several in given:
            given[several] = tuple(filter(None, (name.strip() for name in given[several].split(","))))
    if "class_weights" in given:
        from core_model.class_weights import read_class_weights

        given["class_weights"] = read_class_weights(given["class_weights"])
    return given
