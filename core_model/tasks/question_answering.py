"""Question answering: the answer is a span of a context, or yes or no.

Extractive   A head over an encoder marks where the answer begins and where it ends. A context that does not fit is read
             through windows that overlap; a window is learnt from when it holds the whole answer. The loss is the mean
             of the cross-entropies of the two places. Source: Devlin et al. 2019, arXiv:1810.04805, section 4.2.
Yes or no    Where every answer is yes or no, a classifier of (question, context) pairs is trained instead: its
             checkpoint is one of classification, and every audit of classifiers holds for it. Source: Clark et al.
             2019, arXiv:1905.10044.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.batching import Ragged
from core_model.data_table import frozen
from core_model.errors import ColumnMissing, DataDamaged, OptionUnfit
from core_model.tasks import Task, classification
from core_model.tasks.heads import check_ids, forget_truncation, from_base, from_scratch, give_padding, length_limit
from core_model.tasks.language_modeling import CHUNK, refuse_row_mitigations
from core_model.tasks.prepared import Prepared, nothing_to_begin_from
from core_model.tokenizer_training import train_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from core_model.architectures import Architecture
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.tasks.training_task import TrainingTask
    from core_model.training_options import TrainingOptions

LOADER = "AutoModelForQuestionAnswering"
ANSWER = "--answer-column"
YES_OR_NO = {"no": 0, "false": 0, "yes": 1, "true": 1}
STRIDE_SHARE = 0.25  # of a window that it shares with the next one
ROWS_SHOWN = 5


def answers_of(reference: str) -> tuple[str, ...]:
    """The acceptable answers in one cell: a string, or a JSON list of strings."""
    if reference.lstrip().startswith("["):
        try:
            found = json.loads(reference)
        except ValueError:
            return (reference,)
        if isinstance(found, list) and found and all(isinstance(answer, str) for answer in found):
            return tuple(found)
    return (reference,)


@dataclass(frozen=True)
class Windows:
    """Questions with windows of their contexts, in tokens.

    Attributes:
        tokens: ids of each window. kinds: which of the two texts each token belongs to, where the model reads that.
        origins: (windows,) int64, which question a window is of.
        starts, ends: (windows,) int64, place of the answer's first and last token in the window.
        cut: questions whose context did not fit one window.
    """

    tokens: Ragged
    kinds: Ragged | None
    origins: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    cut: int

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each window, (windows,) int64."""
        return self.tokens.lengths

    def units(self, rows: np.ndarray) -> int:
        """Each window is one term of the loss."""
        return len(rows)


class QuestionAnswering(Prepared[Windows]):
    """An extractive reader with its data (see `TrainingTask`)."""

    def batch(self, examples: Windows, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """input_ids and attention_mask, (rows, longest) int64; starts and ends, (rows,) int64."""
        import torch

        tensors = {
            **self.padded(examples.tokens, rows),
            "starts": torch.from_numpy(examples.starts[rows]),
            "ends": torch.from_numpy(examples.ends[rows]),
        }
        if examples.kinds is not None:
            tensors["token_type_ids"] = torch.from_numpy(examples.kinds.padded(rows, 0))
        return tensors

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor], label_smoothing: float) -> torch.Tensor:
        """Mean of the cross-entropies of first and last token, summed over the windows."""
        inside = batch["attention_mask"].bool()
        first, last = (
            _cross_entropy(logits, batch[name], inside, label_smoothing)
            for logits, name in zip(_logits(model, batch), ("starts", "ends"), strict=True)
        )
        return (first + last) / 2

    def measures(self, model: Any, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Sums over the windows of the loss, and of whether both places are right ("accuracy")."""
        first, last = _logits(model, batch)
        inside = batch["attention_mask"].bool()
        losses = [
            _cross_entropy(logits, batch[name], inside, 0.0) for logits, name in ((first, "starts"), (last, "ends"))
        ]
        right = (first.argmax(dim=1) == batch["starts"]) & (last.argmax(dim=1) == batch["ends"])
        return {"loss": (losses[0] + losses[1]) / 2, "accuracy": right.sum()}


def _logits(model: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each token being the answer's first, and its last, (rows, longest) float32; padding is ruled out."""
    inputs = {name: tensor for name, tensor in batch.items() if name not in ("starts", "ends")}
    found = model(**inputs)
    outside = batch["attention_mask"] == 0
    ruled_out = -float("inf")
    first, last = (logits.float().masked_fill(outside, ruled_out) for logits in (found.start_logits, found.end_logits))
    return first, last


def _cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, inside: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Summed over rows; smoothing spreads a share over the tokens that are there, not over padding."""
    logs = logits.log_softmax(dim=1)
    told = -logs.gather(1, targets[:, None]).sum()
    if not label_smoothing:
        return told
    spread = -(logs.masked_fill(~inside, 0.0).sum(dim=1) / inside.sum(dim=1)).sum()
    return (1 - label_smoothing) * told + label_smoothing * spread


def prepare(
    options: TrainingOptions,
    *,
    base: Checkpoint | None,
    architecture: Architecture | None,
    data: Table,
    evaluation: Table | None,
) -> TrainingTask:
    """A reader of questions, from a base or from scratch, and the data in tokens; a classifier for yes and no.

    Raises: ColumnMissing when context or answer were not named; DataDamaged when an answer does not stand in its
        context; TaskUnfit when the base has no such head in transformers; OptionUnfit.
    """
    wanted = data.require_references(ANSWER)
    if data.pairs is None:
        raise ColumnMissing(f"{data.name}: no column was named that holds the context", mend="--context-column COLUMN")
    if all(reference.strip().casefold() in YES_OR_NO for reference in wanted):
        tables = (labelled(table) if table is not None else None for table in (data, evaluation))
        training, held_out = tables
        assert training is not None  # noqa: S101  # data is a table
        return classification.prepare(options, base=base, architecture=architecture, data=training, evaluation=held_out)
    refuse_row_mitigations(options)
    if base is not None:
        tokenizer, positions = base.load_tokenizer(), base.max_length
        headed = from_base(base, LOADER, task=Task.QUESTION_ANSWERING, seed=options.seed)
        model, head = headed.model, "new" if headed.drawn else "kept"
    elif architecture is not None:
        tokenizer = train_tokenizer((text for column in (data.texts, data.pairs) for text in column), architecture)
        positions, head = architecture.max_length, "new"
        model = from_scratch(
            architecture, LOADER, kinds=("encoder",), task=Task.QUESTION_ANSWERING, vocabulary=len(tokenizer),
            seed=options.seed,
        )  # fmt: skip
    else:
        raise nothing_to_begin_from()
    length = length_limit(options.max_length, positions)
    give_padding(model, tokenizer)
    task = QuestionAnswering(
        model=model,
        tokenizer=tokenizer,
        head=head,
        training=windows_of(data, tokenizer, length),
        evaluation=None if evaluation is None else windows_of(evaluation, tokenizer, length),
    )
    check_ids(model, task.training.tokens, *([task.evaluation.tokens] if task.evaluation else []))
    return task


def labelled(table: Table) -> Table:
    """Yes-or-no questions as a classifier's rows, with the classes "no" and "yes".

    Raises: DataDamaged when an answer is neither.
    """
    references = table.require_references(ANSWER)
    indices = [YES_OR_NO.get(reference.strip().casefold(), -1) for reference in references]
    odd = [row + 1 for row, index in enumerate(indices) if index < 0]
    if odd:
        raise DataDamaged(
            f"{table.name}: column {table.reference_column!r} holds {references[odd[0] - 1][:60]!r} in row {odd[0]:,}, "
            "and the training rows hold yes and no alone",
            mend="--eval-data with answers yes and no",
        )
    return replace(
        table,
        references=None,
        target_indices=frozen(np.array(indices, dtype=np.int64)),
        label_names=("no", "yes"),
        label_column=table.reference_column,
        reference_column=None,
    )


def windows_of(data: Table, tokenizer: PreTrainedTokenizerBase, length: int) -> Windows:
    """Every window of a context that holds the whole answer, with the answer's place in it.

    Of several acceptable answers the first that stands in the context is learnt.

    Raises: DataDamaged when a row's answer does not stand in its context; OptionUnfit when the tokenizer cannot tell
        which characters a token covers.
    """
    if not tokenizer.is_fast:
        raise OptionUnfit(
            "the base's tokenizer does not say which characters a token covers", mend="--base with a tokenizer.json"
        )
    references, contexts = data.require_references(ANSWER), data.pairs
    assert contexts is not None  # noqa: S101  # `prepare` looked
    kept: list[tuple[list[int], list[int], int, int, int]] = []
    strange, cut, row = [], 0, 0
    streams = zip(data.texts, contexts, references, strict=True)
    while chunk := list(islice(streams, CHUNK)):
        questions, texts, wanted = (list(column) for column in zip(*chunk, strict=True))
        found = tokenizer(
            questions, texts, truncation="only_second", max_length=length, stride=int(length * STRIDE_SHARE),
            return_overflowing_tokens=True, return_offsets_mapping=True, return_attention_mask=False,
            return_token_type_ids=True, verbose=False,
        )  # fmt: skip
        of_row = found["overflow_to_sample_mapping"]
        cut += int((np.bincount(of_row, minlength=len(chunk)) > 1).sum())
        spans = [place_of_answer(text, reference) for text, reference in zip(texts, wanted, strict=True)]
        strange += [row + i + 1 for i, span in enumerate(spans) if span is None]
        for window, own in enumerate(of_row):
            span = spans[own]
            tokens = (
                None if span is None else _tokens(found.sequence_ids(window), found["offset_mapping"][window], span)
            )
            if tokens is not None:
                ids, kinds = found["input_ids"][window], found["token_type_ids"][window]
                kept.append((ids, kinds, row + int(own), *tokens))
        row += len(chunk)
    forget_truncation(tokenizer)
    if strange or not kept:
        raise _unlearnable(data, strange)
    reads_kinds = "token_type_ids" in tokenizer.model_input_names
    return Windows(
        tokens=Ragged.of([ids for ids, *_ in kept]),
        kinds=Ragged.of([kinds for _, kinds, *_ in kept]) if reads_kinds else None,
        origins=np.array([origin for _, _, origin, *_ in kept], dtype=np.int64),
        starts=np.array([start for *_, start, _ in kept], dtype=np.int64),
        ends=np.array([end for *_, end in kept], dtype=np.int64),
        cut=cut,
    )


def _unlearnable(data: Table, rows: Sequence[int]) -> DataDamaged:
    if not rows:
        return DataDamaged(
            f"{data.name}: no window of {data.pair_column!r} holds a whole answer", mend="--max-length with more tokens"
        )
    shown = ", ".join(f"{row:,}" for row in rows[:ROWS_SHOWN])
    more = f" and {len(rows) - ROWS_SHOWN:,} more" if len(rows) > ROWS_SHOWN else ""
    return DataDamaged(
        f"{data.name}: the answer (column {data.reference_column!r}) does not stand in the context (column "
        f"{data.pair_column!r}) in row{'s' * (len(rows) > 1)} {shown}{more}",
        mend="drop these rows, or name the right columns with --context-column and --answer-column",
    )


def place_of_answer(context: str, reference: str) -> tuple[int, int] | None:
    """First and last-but-one character of the first acceptable answer that stands in the context."""
    for answer in answers_of(reference):
        start = context.find(answer.strip())
        if start >= 0:
            return start, start + len(answer.strip())
    return None


def _tokens(
    texts: Sequence[int | None], offsets: Sequence[tuple[int, int]], span: tuple[int, int]
) -> tuple[int, int] | None:
    """The tokens that cover a span of the context; None where the window does not hold it whole."""
    inside = [
        place
        for place, (text, (begin, end)) in enumerate(zip(texts, offsets, strict=True))
        if text == 1 and begin < span[1] and end > span[0]
    ]
    if not inside or offsets[inside[0]][0] > span[0] or offsets[inside[-1]][1] < span[1]:
        return None
    return inside[0], inside[-1]
