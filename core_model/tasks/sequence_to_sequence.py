"""Sequence to sequence: an encoder reads a source, a decoder writes the target.

Translation and summarization share it. The loss is the cross-entropy of each token of the target, its end included,
given the source and the tokens before it (teacher forcing). The decoder's input is made by the model's own rule, so
that any encoder-decoder of transformers can be trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.batching import Ragged
from core_model.data_columns import TARGET
from core_model.errors import DataDamaged
from core_model.tasks.heads import (
    check_ids,
    forget_truncation,
    from_base,
    from_scratch,
    give_padding,
    length_limit,
    require_whole,
)
from core_model.tasks.language_modeling import CHUNK, IGNORED, refuse_row_mitigations, token_loss, token_measures
from core_model.tasks.prepared import Prepared, nothing_to_begin_from
from core_model.tokenizer_training import train_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from core_model.architectures import Architecture
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.tasks import Task
    from core_model.training_options import TrainingOptions

LOADER = "AutoModelForSeq2SeqLM"
ROWS_SHOWN = 5


@dataclass(frozen=True)
class Pairs:
    """Sources and targets in tokens.

    Attributes:
        sources, targets: ids of each row, the end of text included.
        cut: rows whose source or target lost its end.
    """

    sources: Ragged
    targets: Ragged
    cut: int

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, source and target together, (rows,) int64: what a row costs."""
        return self.sources.lengths + self.targets.lengths

    @cached_property
    def sides(self) -> np.ndarray:
        """Tokens of each row's source and of its target, (rows, 2) int64: each is padded for itself."""
        return np.stack([self.sources.lengths, self.targets.lengths], axis=1)

    def units(self, rows: np.ndarray) -> int:
        """Each token of a target is one term of the loss."""
        return int(self.targets.lengths[rows].sum())


class SequenceToSequence(Prepared[Pairs]):
    """An encoder-decoder with its data (see `TrainingTask`)."""

    def batch(self, examples: Pairs, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """input_ids and attention_mask, (rows, longest source); decoder_input_ids and targets, (rows, longest target).

        All int64; targets are IGNORED behind their end.
        """
        import torch

        targets = torch.from_numpy(examples.targets.padded(rows, IGNORED))
        model: Any = self.model
        return {
            **self.padded(examples.sources, rows),
            "decoder_input_ids": model.prepare_decoder_input_ids_from_labels(labels=targets),
            "targets": targets,
        }

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor], label_smoothing: float) -> torch.Tensor:
        """Cross-entropy in nats, summed over the targets' tokens."""
        return token_loss(_logits(model, batch), batch["targets"], label_smoothing)

    def measures(self, model: Any, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Sums over the targets' tokens of the cross-entropy, and of whether the most probable token is right."""
        return token_measures(_logits(model, batch), batch["targets"])


def _logits(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(rows, longest target, vocabulary)."""
    logits: torch.Tensor = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
        decoder_input_ids=batch["decoder_input_ids"], use_cache=False,
    ).logits  # fmt: skip
    return logits


def prepare_pairs(
    task: Task,
    options: TrainingOptions,
    *,
    base: Checkpoint | None,
    architecture: Architecture | None,
    data: Table,
    evaluation: Table | None,
) -> SequenceToSequence:
    """An encoder-decoder, from a base or from scratch, and the data in tokens.

    From scratch, both sides share a vocabulary.

    Raises: TaskUnfit when the base is no encoder-decoder; OptionUnfit when the architecture is none, or max_length is
        beyond the positions; ColumnMissing when no target column was named; DataDamaged when a target is longer than
        the model's positions and nothing was said about cutting.
    """
    refuse_row_mitigations(options)
    references = data.require_references(TARGET)
    if base is not None:
        tokenizer, positions = base.load_tokenizer(), base.max_length
        model = require_whole(from_base(base, LOADER, task=task, seed=options.seed), base, task=task)
    elif architecture is not None:
        tokenizer, positions = train_tokenizer(chain(data.texts, references), architecture), architecture.max_length
        model = from_scratch(
            architecture, LOADER, kinds=("encoder-decoder",), task=task, vocabulary=len(tokenizer), seed=options.seed
        )
    else:
        raise nothing_to_begin_from()
    length = length_limit(options.max_length, positions)
    give_padding(model, tokenizer)
    may_cut = options.max_length is not None
    prepared = SequenceToSequence(
        model=model,
        tokenizer=tokenizer,
        head="kept" if base is not None else "new",
        training=_tokenize(data, tokenizer, length, may_cut=may_cut),
        evaluation=None if evaluation is None else _tokenize(evaluation, tokenizer, length, may_cut=may_cut),
    )
    for part in filter(None, (prepared.training, prepared.evaluation)):
        check_ids(model, part.sources, part.targets)
    return prepared


def _tokenize(data: Table, tokenizer: PreTrainedTokenizerBase, length: int, *, may_cut: bool) -> Pairs:
    references = data.require_references(TARGET)
    sources, targets, cut, too_long, row = [], [], 0, [], 0
    streams = zip(data.texts, references, strict=True)
    while chunk := list(islice(streams, CHUNK)):
        texts, wanted = ([pair[side] for pair in chunk] for side in (0, 1))
        read = _encode(tokenizer, texts, length)
        written = _encode(tokenizer, wanted, length, target=True)
        too_long += [row + i + 1 for i, (_, over) in enumerate(written) if over]
        cut += sum(over or longer for (_, over), (_, longer) in zip(read, written, strict=True))
        sources.append(Ragged.of([ids for ids, _ in read]))
        targets.append(Ragged.of([ids for ids, _ in written]))
        row += len(chunk)
    forget_truncation(tokenizer)
    if too_long and not may_cut:
        shown = ", ".join(f"{row:,}" for row in too_long[:ROWS_SHOWN])
        more = f" and {len(too_long) - ROWS_SHOWN:,} more" if len(too_long) > ROWS_SHOWN else ""
        raise DataDamaged(
            f"{data.name}: the target (column {data.reference_column!r}) has more than the {length} tokens that the "
            f"model can write in row{'s' * (len(too_long) > 1)} {shown}{more}",
            mend=f"drop these rows, or --max-length {length} to cut them",
        )
    return Pairs(Ragged.joined(sources), Ragged.joined(targets), cut)


def _encode(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], length: int, *, target: bool = False
) -> list[tuple[list[int], bool]]:
    """Ids of each text, cut to `length`, and whether it was cut."""
    side: dict[str, Any] = {"text_target": texts} if target else {"text": texts}
    found = tokenizer(**side, truncation=True, max_length=length, return_attention_mask=False, verbose=False)
    ids: list[list[int]] = found["input_ids"]
    if found.encodings is not None:
        return [(row, bool(one.overflowing)) for row, one in zip(ids, found.encodings, strict=True)]
    # A tokenizer without a fast half does not say what it cut: what fills the length is tokenized once more, whole.
    full = [len(row) >= length for row in ids]
    some = [text for text, is_full in zip(texts, full, strict=True) if is_full]
    whole = iter(tokenizer(**{next(iter(side)): some}, verbose=False)["input_ids"] if some else [])
    return [(row, is_full and len(next(whole)) > len(row)) for row, is_full in zip(ids, full, strict=True)]
