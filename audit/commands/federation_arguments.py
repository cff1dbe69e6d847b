"""The flags of `aboveboard federate` that say how a federation learns; what each does: docs/federated.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from federated.options import FederationOptions

Command = Callable[..., Any]

FLAGS: dict[str, list[Callable[[Command], Command]]] = {
    "Clients": [
        click.option("--clients", type=int, metavar="N", help="Among how many the rows are divided."),
        click.option("--partition", metavar="SCHEME",
                     help="iid, dirichlet:ALPHA (skewed labels) or column:NAME. Default: iid."),
        click.option("--min-rows", type=int, metavar="N", help="Rows that each client must have. Default: 1."),
        click.option("--held-out", type=float, metavar="X",
                     help="Share of each client's rows that it evaluates on. Default: 0."),
        click.option("--participation", type=float, metavar="X", help="Share of clients asked in a round. Default: 1."),
        click.option("--min-clients", type=int, metavar="N", help="Sound answers that a round needs. Default: 1."),
        click.option("--deadline", type=float, metavar="S", help="Seconds that a round waits. Default: 3600."),
        click.option("--seed", type=int, metavar="N", help="Seed of everything that is random. Default: 0."),
    ],
    "Rounds, strategy": [
        click.option("--rounds", type=int, metavar="N", help="Rounds of training. Default: 5."),
        click.option("--strategy", metavar="S",
                     help="fedavg, fedprox, fedadam, fedmedian, krum or trimmed-mean. Default: fedavg."),
        click.option("--proximal-mu", type=float, metavar="X", help="FedProx: how near clients stay to the model."),
        click.option("--server-learning-rate", type=float, metavar="X", help="FedAdam: the server's. Default: 0.001."),
        click.option("--malicious", type=int, metavar="N", help="Krum, trimmed-mean: clients that may be hostile."),
        click.option("--max-norm", type=float, metavar="X", help="Longest update that is believed."),
        click.option("--outlier-factor", type=float, metavar="X",
                     help="Nor is one so many times the round's median. Default: 10."),
    ],
    "Local training": [
        click.option("--local-epochs", type=int, metavar="N", help="Passes over its rows in a round. Default: 1."),
        click.option("--local-steps", type=int, metavar="N", help="Instead: a number of steps."),
        click.option("--batch-size", type=int, metavar="N", help="Rows in a batch. Default: 32."),
        click.option("--learning-rate", type=float, metavar="X", help="Of the clients. Default: 5e-5."),
        click.option("--optimizer", metavar="adamw|adam|sgd", help="Of the clients, new each round. Default: adamw."),
        click.option("--weight-decay", type=float, metavar="X", help="Default: 0.01."),
        click.option("--clip-norm", type=float, metavar="X", help="Longest gradient; 0: never clipped. Default: 1."),
        click.option("--max-length", type=int, metavar="N", help="Tokens of a row. Default: the model's."),
    ],
    "What is sent": [
        click.option("--adapters", type=int, metavar="RANK",
                     help="Train and send low-rank adapters (LoRA) and the head alone; --out has them merged."),
        click.option("--adapter-targets", metavar="A,B", help="Layers by name. Default: every linear one."),
        click.option("--freeze", metavar="A,B",
                     help="Instead: hold these parts still; body: train and send the head alone."),
        click.option("--personalize", metavar="head", help="Each client keeps a head of its own."),
        click.option("--compress", metavar="int8|top-k:X", help="Compressed updates, with error feedback."),
        click.option("--secure", is_flag=True, default=None,
                     help="Secure aggregation: the server sees the sum of the updates alone."),
        click.option("--keep-updates", is_flag=True, default=None,
                     help="Keep in --out what the server saw of every round: as sensitive as the rows."),
    ],
    "Privacy": [
        click.option("--private", is_flag=True, help="Train under a promise of differential privacy."),
        click.option("--epsilon", type=float, metavar="E", help="The most that may be spent: smaller is safer."),
        click.option("--delta", metavar="D", help="Chance that the promise fails. Default: auto, 1 / (10 units)."),
        click.option("--privacy-unit", "unit", metavar="client|example",
                     help="Whose presence is hidden: a whole client's, or a row's. Default: client."),
        click.option("--clipping", metavar="fixed|adaptive", help="Of a client's update. Default: fixed."),
        click.option("--clipping-norm", type=float, metavar="C",
                     help="Longest update of a client, or gradient of a row. Default: 1."),
        click.option("--canary-clients", type=int, metavar="N",
                     help="Made-up clients, half of which take part, to test the promise by. Default: 0."),
        click.option("--noise-seed", type=int, metavar="N", hidden=True),
    ],
}  # fmt: skip
PRIVATE = ("epsilon", "delta", "unit", "clipping", "clipping_norm", "canary_clients", "noise_seed")
SPELLED = {"unit": "privacy-unit"}


def federation_options(command: Command) -> Command:
    """Clients, rounds, local training, what is sent, privacy; and whose electricity it is."""
    command = click.option("--country", metavar="ISO3", help="Whose electricity, such as DEU. Default: WORLD.")(command)
    for option in reversed([option for group in FLAGS.values() for option in group]):
        command = option(command)
    return command


def read_federation(flags: dict[str, Any], *, task: str) -> FederationOptions:
    """What was given, in the words of `FederationOptions`.

    Raises: OptionUnfit for --private without --epsilon, flags of it without --private, or values that do not fit.
    """
    from core_model.errors import OptionUnfit
    from core_model.settings import checked
    from federated.options import FederationOptions, PrivacyPromise

    is_private = flags.pop("private")
    given = {name: value for name, value in flags.items() if value is not None}
    promise = {name: given.pop(name) for name in PRIVATE if name in given}
    if promise.get("delta") == "auto":
        del promise["delta"]
    if promise and not is_private:
        flag = "--" + SPELLED.get(next(iter(promise)), next(iter(promise))).replace("_", "-")
        raise OptionUnfit(f"{flag} is read by private training alone", mend=f"--private, or leave {flag} out")
    if is_private:
        if "epsilon" not in promise:
            raise OptionUnfit("--private needs to know what may be spent", mend="--private --epsilon 8")
        given["private"] = checked(PrivacyPromise, promise, where="the command line", write="--{key} ...")
    if given.get("clip_norm") == 0:
        given["clip_norm"] = None
    for several in ("adapter_targets", "freeze"):
        if several in given:
            given[several] = tuple(filter(None, (name.strip() for name in given[several].split(","))))
    return checked(FederationOptions, {"task": task, **given}, where="the command line", write="--{key} ...")
