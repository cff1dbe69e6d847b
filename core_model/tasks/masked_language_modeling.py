"""Masked language modeling: an encoder learns to tell hidden tokens from those around them. For training alone.

It needs no labels, so that an encoder can be trained further on the texts of a field before it is fine-tuned
(Gururangan et al. 2020, arXiv:2004.10964). A text of more than `max_length` tokens becomes several windows. The loss is
the cross-entropy of the hidden tokens (`core_model.masking`); of evaluation rows the same ones are hidden each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.batching import Ragged
from core_model.errors import DataDamaged
from core_model.masking import Masking, chosen_count
from core_model.tasks import Task
from core_model.tasks.heads import check_ids, forget_truncation, from_base, from_scratch, length_limit
from core_model.tasks.language_modeling import refuse_row_mitigations, token_loss, token_measures
from core_model.tasks.prepared import Prepared, nothing_to_begin_from
from core_model.tokenizer_training import train_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from core_model.architectures import Architecture
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.training_options import TrainingOptions

CHUNK = 1024  # rows that are tokenized at once
LOADER = "AutoModelForMaskedLM"
EVALUATION_DRAW = 2**32 - 1  # in the place of an epoch


@dataclass(frozen=True)
class Windows:
    """Texts in tokens, cut into windows.

    Attributes:
        tokens: ids of each window, special tokens included.
        told: (windows,) int64, how many tokens of each are hidden and must be told.
        cut: texts that became more than one window; nothing of them is lost.
    """

    tokens: Ragged
    told: np.ndarray
    cut: int

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each window, (windows,) int64."""
        return self.tokens.lengths

    def units(self, rows: np.ndarray) -> int:
        """Each hidden token is one term of the loss."""
        return int(self.told[rows].sum())


@dataclass(kw_only=True)
class MaskedLanguageModeling(Prepared[Windows]):
    """An encoder with its texts (see `TrainingTask`). The training loop hides tokens: `core_model.augmentation`."""

    masking: Masking

    def batch(self, examples: Windows, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """input_ids and attention_mask, (rows, longest) int64; of evaluation rows with tokens hidden, and targets."""
        batch = self.padded(examples.tokens, rows)
        return self.masking(batch, rows, epoch=EVALUATION_DRAW) if examples is self.evaluation else batch

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor], label_smoothing: float) -> torch.Tensor:
        """Cross-entropy in nats, summed over the hidden tokens."""
        return token_loss(_logits(model, batch), batch["targets"], label_smoothing)

    def measures(self, model: Any, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Sums over the hidden tokens of the cross-entropy, and of whether the most probable token is right."""
        return token_measures(_logits(model, batch), batch["targets"])


def _logits(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(rows, longest, vocabulary)."""
    logits: torch.Tensor = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits


def prepare(
    options: TrainingOptions,
    *,
    base: Checkpoint | None,
    architecture: Architecture | None,
    data: Table,
    evaluation: Table | None,
) -> MaskedLanguageModeling:
    """An encoder under a head that tells words, from a base or from scratch, and the texts in windows of tokens.

    Raises: TaskUnfit when the base is no encoder; TokenizerUnfit without a mask token; OptionUnfit when the
        architecture is no encoder, or max_length is beyond the positions.
    """
    refuse_row_mitigations(options)
    notes: list[str] = []
    if base is not None:
        tokenizer, positions = base.load_tokenizer(), base.max_length
        masking = Masking(tokenizer, seed=options.seed)
        headed = from_base(base, LOADER, task=Task.MASKED_LANGUAGE_MODELING, seed=options.seed)
        model, head = headed.model, "new" if headed.drawn else "kept"
        if headed.drawn:
            notes.append("The base has no head that tells words; one was drawn anew.")
    elif architecture is not None:
        tokenizer, positions = train_tokenizer(_texts(data), architecture), architecture.max_length
        masking, head = Masking(tokenizer, seed=options.seed), "new"
        model = from_scratch(
            architecture, LOADER, kinds=("encoder",), task=Task.MASKED_LANGUAGE_MODELING, vocabulary=len(tokenizer),
            seed=options.seed,
        )  # fmt: skip
    else:
        raise nothing_to_begin_from()
    length = length_limit(options.max_length, positions)
    task = MaskedLanguageModeling(
        model=model,
        tokenizer=tokenizer,
        head=head,
        training=_windows(data, tokenizer, length, masking),
        evaluation=None if evaluation is None else _windows(evaluation, tokenizer, length, masking),
        masking=masking,
        notes=notes,
    )
    check_ids(model, task.training.tokens, *([task.evaluation.tokens] if task.evaluation else []))
    return task


def _texts(data: Table) -> Iterator[str]:
    """All texts: those of pairs each for itself."""
    return chain(data.texts, data.pairs or ())


def _windows(data: Table, tokenizer: PreTrainedTokenizerBase, length: int, masking: Masking) -> Windows:
    """Raises: DataDamaged when no text has a token that can be hidden."""
    parts, cut, stream = [], 0, iter(_texts(data))
    while chunk := list(islice(stream, CHUNK)):
        encoded = tokenizer(
            chunk, truncation=True, max_length=length, return_overflowing_tokens=True, return_attention_mask=False,
            return_token_type_ids=False,
        )  # fmt: skip
        origins = encoded["overflow_to_sample_mapping"]
        cut += int((np.bincount(origins) > 1).sum())
        parts.append(Ragged.of([row for row in encoded["input_ids"] if not masking.special[row].all()]))
    forget_truncation(tokenizer)
    tokens = Ragged.joined(parts)
    if not len(tokens):
        raise DataDamaged(f"{data.name}: no text has a token that could be hidden", mend="name texts with words")
    ordinary = np.add.reduceat(~masking.special[tokens.values], tokens.starts[:-1])
    return Windows(tokens, np.array([chosen_count(int(n)) for n in ordinary], dtype=np.int64), cut)
