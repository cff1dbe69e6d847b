"""How the clients' models become one: Flower's strategies, made from our options, and what of them must be kept.

The round shell (`federated.rounds`) chooses participants and screens replies; a strategy makes the messages and the
mean (or the median, or what it is known for). None of them is written again here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.errors import OptionUnfit
from federated import client_promise, kept_updates
from federated import update_compression as compression
from federated.arrays import Update, of_record
from federated.environment import quiet_flower
from federated.options import MEANS, FederationOptions
from federated.secure_aggregation.strategies import refuse_strategy

if TYPE_CHECKING:
    from flwr.app import Message
    from flwr.serverapp.strategy import Strategy

MOMENTS = ("m_t", "v_t")  # what FedAdam carries from round to round


def refuse_unfit(options: FederationOptions) -> None:
    """Hold a strategy against what else was asked for, before anything runs.

    Raises: OptionUnfit, with the reason.
    """
    compression.refuse_unfit(options)
    kept_updates.refuse_unfit(options)
    if options.private is not None and options.private.unit == "client":
        client_promise.refuse_unfit(options)
    if options.strategy not in MEANS:
        means = ", ".join(MEANS)
        if options.secure:
            refuse_strategy(options.strategy)
        if options.private is not None and options.private.unit == "client":
            raise OptionUnfit(
                f"--strategy {options.strategy} does not go with --private --privacy-unit client: the noise is "
                "calibrated to what one client can move in a mean",
                mend=f"--strategy with one of {means}, or --privacy-unit example",
            )
    asked = max(round(options.participation * options.clients), 1)
    if options.strategy == "krum" and asked < 2 * options.malicious + 3:
        raise OptionUnfit(
            f"krum needs 2 x {options.malicious} + 3 clients in a round to bear {options.malicious} hostile ones, "
            f"and {asked} are asked",
            mend=f"--clients {2 * options.malicious + 3} or more, or a smaller --malicious",
        )
    if options.strategy == "trimmed-mean" and int(options.trimmed * asked) * 2 >= asked:
        raise OptionUnfit(
            f"trimmed-mean would cut {int(options.trimmed * asked)} of {asked} clients at either end, and none is left",
            mend=f"--malicious {max((asked - 1) // 2 - 1, 0)} or fewer",
        )


def build_strategy(options: FederationOptions) -> Strategy:
    """Flower's strategy of this name; all nodes that its grid shows are asked, since the shell has chosen them."""
    quiet_flower()
    from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian, FedProx, FedTrimmedAvg, Krum

    all_that_are_there: dict[str, Any] = {"min_train_nodes": 1, "min_evaluate_nodes": 1, "min_available_nodes": 1}
    makers: dict[str, Callable[..., Strategy]] = {
        "fedavg": FedAvg,
        "fedprox": lambda **of_all: FedProx(proximal_mu=options.proximal_mu, **of_all),
        "fedadam": lambda **of_all: FedAdam(eta=options.server_learning_rate, **of_all),
        "fedmedian": FedMedian,
        "krum": lambda **of_all: Krum(num_malicious_nodes=options.malicious, **of_all),
        "trimmed-mean": lambda **of_all: FedTrimmedAvg(beta=options.trimmed, **of_all),
    }
    return makers[options.strategy](**all_that_are_there)


def strategy_arrays(strategy: Strategy) -> dict[str, np.ndarray]:
    """What a strategy would forget with its process: "m_t/NAME" and "v_t/NAME"; empty where there is nothing."""
    return {
        f"{moment}/{name}": np.asarray(array)
        for moment in MOMENTS
        for name, array in (getattr(strategy, moment, None) or {}).items()
    }


def restore_strategy(strategy: Strategy, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a strategy back what `strategy_arrays` took down."""
    for moment in MOMENTS:
        own = {name.removeprefix(f"{moment}/"): a for name, a in arrays.items() if name.startswith(f"{moment}/")}
        if own:
            setattr(strategy, moment, own)


def aggregate(strategy: Strategy, server_round: int, replies: Sequence[Message]) -> Update:
    """The step that the clients' updates make together, to be added to the global model.

    Strategies are given updates rather than whole models: they do not care where the origin lies, and float32 does.
    (Krum's distances, taken as |x|^2 + |y|^2 - 2 x y, drown in the rounding of two nearly equal models.)

    Args:
        replies: contents {"arrays": an update, "metrics": {"num-examples": ...}}; their order is that of the sum.
    Raises: flwr's AggregationError and InconsistentMessageReplies.
    """
    if getattr(strategy, "current_arrays", None) is not None:  # FedAdam subtracts what it sent
        strategy.current_arrays = {  # type: ignore[attr-defined]
            name: np.zeros_like(array)
            for name, array in strategy.current_arrays.items()  # type: ignore[attr-defined]
        }
    arrays, _ = strategy.aggregate_train(server_round, replies)
    if arrays is None:
        raise ValueError("a round without replies has nothing to aggregate")
    return of_record(arrays)
