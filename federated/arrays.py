"""What travels: the shared parameters of a model as named float32 arrays, and their way into Flower's records and back.

update = subtract(shared_parameters(model, None), global_parameters)
reply = RecordDict({"arrays": to_record(update), ...})
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from federated.environment import quiet_flower

if TYPE_CHECKING:
    from flwr.app import ArrayRecord

Update = dict[str, np.ndarray]  # float32, by the parameters' names in the model, in the model's order


def shared_names(model: Any, personalize: Literal["head"] | None) -> list[str]:
    """Names of the parameters that clients and server exchange: those that are trained, but for a personal head.

    Tied weights have one name. With adapters these are the adapters' (and the head's, where it is shared).
    """
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return trained if personalize is None else [name for name in trained if not is_head(model, name)]


def is_head(model: Any, name: str) -> bool:
    """Whether a parameter belongs to what answers the task, above the body."""
    return not name.startswith(f"{model.base_model_prefix}.")


def shared_parameters(model: Any, personalize: Literal["head"] | None) -> Update:
    """Copies of the shared parameters as they are now."""
    return _copies(model, shared_names(model, personalize))


def head_parameters(model: Any) -> Update:
    """Copies of the trained parameters of the head."""
    return _copies(model, [name for name in shared_names(model, None) if is_head(model, name)])


def load_parameters(model: Any, values: Mapping[str, np.ndarray]) -> None:
    """Put values into the model's parameters, in place: optimizers and tied weights keep theirs.

    Raises: KeyError for a name that the model has not; ValueError for another shape.
    """
    import torch

    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            parameter = parameters[name]
            if tuple(parameter.shape) != value.shape:
                raise ValueError(f"{name}: shape {value.shape}, and the model's is {tuple(parameter.shape)}")
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))


def subtract(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> Update:
    """one - other, name by name."""
    return {name: value - other[name] for name, value in one.items()}


def add(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> Update:
    """one + other, name by name."""
    return {name: value + other[name] for name, value in one.items()}


def norm(update: Mapping[str, np.ndarray]) -> float:
    """Euclidean length of all arrays together; squares are added up in float64."""
    return math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in update.values()))


def to_record(update: Mapping[str, np.ndarray]) -> ArrayRecord:
    """As Flower sends it."""
    quiet_flower()
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({name: Array(np.asarray(array, dtype=np.float32)) for name, array in update.items()})


def of_record(record: ArrayRecord) -> Update:
    """As it was before it was sent; arrays of another type than float32 are kept as they came, to be refused."""
    return {name: array.numpy() for name, array in record.items()}


def _copies(model: Any, names: list[str]) -> Update:
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach().cpu().float().numpy().copy() for name in names}
