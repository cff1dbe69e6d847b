"""Causal language modeling: a decoder learns to say the next token.

Each text begins with the tokenizer's beginning of text, where it has one, and ends with its end of text, so that a
model learns to stop. A text of more than `max_length` tokens becomes several blocks, each beginning with the last token
of the block before it: every token but a text's first is predicted once. The loss is the cross-entropy of these tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.batching import Ragged
from core_model.errors import DataDamaged, OptionUnfit
from core_model.tasks import Task
from core_model.tasks.heads import (
    check_ids,
    forget_truncation,
    from_base,
    from_scratch,
    give_padding,
    length_limit,
    require_whole,
)
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
LONGEST = 512  # tokens of a block where nothing is asked for; decoders have thousands of positions, memory has not
IGNORED = -100  # a target that adds nothing to the loss, as in transformers
LOADER = "AutoModelForCausalLM"


@dataclass(frozen=True)
class Blocks:
    """Texts in tokens, cut into blocks.

    Attributes:
        tokens: ids of each block.
        origins: (blocks,) int64, which text a block is of.
        cut: texts that became more than one block; nothing of them is lost.
    """

    tokens: Ragged
    origins: np.ndarray
    cut: int

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each block, (blocks,) int64."""
        return self.tokens.lengths

    def units(self, rows: np.ndarray) -> int:
        """Each token but a block's first is one term of the loss."""
        return int((self.lengths[rows] - 1).sum())


class LanguageModeling(Prepared[Blocks]):
    """A language model with its data (see `TrainingTask`)."""

    def batch(self, examples: Blocks, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """input_ids and attention_mask, (rows, longest) int64; targets, likewise, IGNORED where nothing follows."""
        import torch

        batch = self.padded(examples.tokens, rows)
        ids, inside = batch["input_ids"], batch["attention_mask"].bool()
        targets = torch.full_like(ids, IGNORED)
        targets[:, :-1] = torch.where(inside[:, 1:], ids[:, 1:], IGNORED)
        return {**batch, "targets": targets}

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor], label_smoothing: float) -> torch.Tensor:
        """Cross-entropy in nats, summed over the predicted tokens."""
        return token_loss(_logits(model, batch), batch["targets"], label_smoothing)

    def measures(self, model: Any, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Sums over the predicted tokens of the cross-entropy, and of whether the most probable token is right."""
        return token_measures(_logits(model, batch), batch["targets"])


def token_loss(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float) -> torch.Tensor:
    """Cross-entropy summed over the targets that are not IGNORED.

    Args:
        logits: (rows, tokens, vocabulary). targets: (rows, tokens) int64.
    """
    from torch.nn.functional import cross_entropy

    told = targets != IGNORED  # padding is left out before the vocabulary's width is turned into float32
    return cross_entropy(logits[told].float(), targets[told], reduction="sum", label_smoothing=label_smoothing)


def token_measures(logits: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
    """Sums over the targets that are not IGNORED: "loss", and "accuracy" of the most probable token."""
    from torch.nn.functional import cross_entropy

    told = targets != IGNORED
    chosen, right = logits[told].float(), targets[told]
    return {
        "loss": cross_entropy(chosen, right, reduction="sum"),
        "accuracy": (chosen.argmax(dim=1) == right).sum(),
    }


def _logits(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(rows, longest, vocabulary)."""
    logits: torch.Tensor = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
    ).logits
    return logits


def prepare(
    options: TrainingOptions,
    *,
    base: Checkpoint | None,
    architecture: Architecture | None,
    data: Table,
    evaluation: Table | None,
) -> LanguageModeling:
    """A language model, from a base or from scratch, and the data in blocks of tokens.

    Raises: TaskUnfit when the base writes no next token; OptionUnfit when the architecture is no decoder, max_length is
        beyond the positions, or a mitigation for classifiers is asked for.
    """
    refuse_row_mitigations(options)
    if base is not None:
        tokenizer, positions = base.load_tokenizer(), base.max_length
        model = require_whole(
            from_base(base, LOADER, task=Task.LANGUAGE_MODELING, seed=options.seed), base, task=Task.LANGUAGE_MODELING
        )
    elif architecture is not None:
        tokenizer, positions = train_tokenizer(data.texts, architecture), architecture.max_length
        model = from_scratch(
            architecture, LOADER, kinds=("decoder",), task=Task.LANGUAGE_MODELING, vocabulary=len(tokenizer),
            seed=options.seed,
        )  # fmt: skip
    else:
        raise nothing_to_begin_from()
    length = length_limit(options.max_length, positions) if options.max_length else min(positions, LONGEST)
    give_padding(model, tokenizer)
    task = LanguageModeling(
        model=model,
        tokenizer=tokenizer,
        head="kept" if base is not None else "new",
        training=blocks_of(data.texts, tokenizer, length),
        evaluation=None if evaluation is None else blocks_of(evaluation.texts, tokenizer, length),
    )
    check_ids(model, task.training.tokens, *([task.evaluation.tokens] if task.evaluation else []))
    return task


def refuse_row_mitigations(options: TrainingOptions) -> None:
    """Options that speak of labels and groups have no meaning where a model writes.

    Raises: OptionUnfit.
    """
    if options.reweigh is not None:
        raise OptionUnfit(
            f"task {options.task} has no labels to make independent of column {options.reweigh!r}",
            mend="leave --reweigh out",
        )


def blocks_of(texts: Iterator[str] | Sequence[str], tokenizer: PreTrainedTokenizerBase, length: int) -> Blocks:
    """Texts in blocks of 2 to `length` tokens, neighbours sharing one.

    Raises: DataDamaged when no text has two tokens, so that there is nothing to predict.
    """
    begin = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    end = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    parts, origins, cut, texts_before = [], [], 0, 0
    stream = iter(texts)
    while chunk := list(islice(stream, CHUNK)):
        rows = tokenizer(chunk, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
        pieces: list[list[int]] = []
        for place, row in enumerate(rows):
            whole = [*begin, *row, *end]
            starts = range(0, len(whole) - 1, length - 1)
            pieces += [whole[start : start + length] for start in starts]
            origins += [texts_before + place] * len(starts)
            cut += len(starts) > 1
        texts_before += len(chunk)
        parts.append(Ragged.of(pieces))
    forget_truncation(tokenizer)
    joined = Ragged.joined(parts)
    if not len(joined):
        raise DataDamaged("no text has two tokens: there is nothing to predict", mend="name longer texts")
    return Blocks(joined, np.array(origins, dtype=np.int64), cut)
