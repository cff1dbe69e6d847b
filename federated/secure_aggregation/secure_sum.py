"""What the server learns of a secure round: the sum, who is in it, how exact it is, and against whom it held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from flwr.app import ConfigRecord

from federated.secure_aggregation.adversaries import Holds, adversaries
from federated.secure_aggregation.errors import Lost, RoundUnsafe
from federated.secure_aggregation.masking import Vector
from federated.secure_aggregation.messages import UNMASK
from federated.secure_aggregation.quantizing import Scale, decode
from federated.secure_aggregation.round_state import Revealed, RoundState
from federated.secure_aggregation.unmasking import Unrecoverable, remove_own_mask, remove_pairwise_masks


@dataclass(frozen=True)
class SecureSum:
    """What the server learns of a round.

    Attributes:
        update_sum: sum of weight times update, float64, by parameter. weight_sum: sum of the weights.
        metrics: weighted means of the metrics that all clients measured.
        survivors: nodes in the sum. dropped: nodes that were lost, each with stage and reason; one that was lost at
            the stage "agree" or "unmask" is in the sum all the same.
        scale: how updates became integers.
        quantization_error: no value of `mean()` is off by more; measured by the clients, summed under the masks.
        quantization_error_rms: root mean square of that error.
        proofs: what each survivor says that it applied.
        signed: whether node keys signed public keys and lists.
        adversaries: what each part holds against.
    """

    update_sum: dict[str, np.ndarray]
    weight_sum: int
    metrics: dict[str, float]
    survivors: tuple[int, ...]
    dropped: tuple[Lost, ...]
    scale: Scale
    quantization_error: float
    quantization_error_rms: float
    proofs: dict[int, ConfigRecord]
    signed: bool
    adversaries: tuple[Holds, ...]

    def mean(self) -> dict[str, np.ndarray]:
        """The weighted mean of the updates, float32."""
        return {name: (array / self.weight_sum).astype(np.float32) for name, array in self.update_sum.items()}


def sum_of(
    current: RoundState,
    scale: Scale,
    shapes: Mapping[str, tuple[int, ...]],
    revealed: Mapping[int, Revealed],
    *,
    announced: bool,
    dropped: Sequence[Lost],
) -> SecureSum:
    """Take the masks off the total, and read it.

    Args:
        shapes: of the parameters, in their order. revealed: by the client that helps. announced: see `adversaries`.
    Raises: RoundUnsafe when shares do not give a secret back, or the masks do not cancel.
    """
    assert current.total is not None  # noqa: S101 - the minimum of survivors is at least 2
    _remove_masks(current, current.total, revealed, dropped)
    try:
        decoded = decode(current.total, scale, len(current.survivors))
    except ValueError as problem:
        raise _unsafe(str(problem), dropped) from problem
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    pieces = np.split(decoded.values, np.cumsum(sizes)[:-1])
    return SecureSum(
        update_sum={name: piece.reshape(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)},
        weight_sum=decoded.weight,
        metrics=decoded.metrics,
        survivors=tuple(current.survivors),
        dropped=tuple(dropped),
        scale=scale,
        quantization_error=decoded.error_bound,
        quantization_error_rms=decoded.error_rms,
        proofs={node: current.advertised[node].proof for node in current.survivors},
        signed=current.signed,
        adversaries=adversaries(
            current.terms,
            shares=min(len(around) for around in current.neighbours.values()),
            signed=current.signed,
            announced=announced,
            survivors=len(current.survivors),
        ),
    )


def _remove_masks(
    current: RoundState, total: Vector, revealed: Mapping[int, Revealed], dropped: Sequence[Lost]
) -> None:
    """Of every client that shared its secrets: its own mask if it survived, else what the others masked with it."""
    publics = {node: one.keys["mask-public"] for node, one in current.advertised.items()}
    for node, shared in current.shared.items():
        threshold = current.terms.threshold(len(current.neighbours[node]))
        try:
            if node in current.survivors:
                shares = [one.seeds[node] for one in revealed.values() if node in one.seeds]
                remove_own_mask(total, shares, threshold, shared.commitment)
            else:
                shares = [one.keys[node] for one in revealed.values() if node in one.keys]
                alive = current.alive(node, current.survivors)
                remove_pairwise_masks(total, node, shares, threshold, publics, alive)
        except Unrecoverable as problem:
            raise _unsafe(f"the masks of node {node} cannot be taken off: {problem}", dropped) from problem


def _unsafe(found: str, dropped: Sequence[Lost]) -> RoundUnsafe:
    return RoundUnsafe(
        f"secure aggregation: {found}", mend="repeat the round, without that node", stage=UNMASK, dropped=dropped
    )
