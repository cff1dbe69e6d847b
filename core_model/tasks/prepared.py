"""What every prepared task holds, and how its rows become padded tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from core_model.errors import OptionUnfit

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from core_model.batching import Ragged

Rows = TypeVar("Rows")


@dataclass(kw_only=True)
class Prepared(Generic[Rows]):
    """A model with its data (see `core_model.tasks.training_task.TrainingTask`, whose words these are)."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    head: str
    training: Rows
    evaluation: Rows | None
    labels: tuple[str, ...] = ()
    mitigation: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = field(default_factory=list)

    def padded(self, tokens: Ragged, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """input_ids and attention_mask of some rows, (rows, longest) int64, padded on the right."""
        import torch

        ids = torch.from_numpy(tokens.padded(rows, int(self.tokenizer.pad_token_id or 0)))
        lengths = torch.from_numpy(tokens.lengths[rows])
        inside = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
        return {"input_ids": ids, "attention_mask": inside.long()}


def nothing_to_begin_from() -> OptionUnfit:
    """Neither a base nor a shape was given."""
    return OptionUnfit("there is neither a base nor an architecture", mend="--base CKPT or --architecture FILE.toml")
