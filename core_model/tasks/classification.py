"""Classification: one label for each text, or pair of texts.

A linear head over an encoder (or any Transformer that transformers gives a classification head), cross-entropy over
the classes of the data. A base that already tells the same classes apart keeps its head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.batching import Ragged
from core_model.class_weights import class_weights, class_weights_record, row_weights
from core_model.errors import LabelsUnfit
from core_model.mitigation import Mitigated, mitigate
from core_model.tasks import Task
from core_model.tasks.heads import check_ids, forget_truncation, from_base, from_scratch, give_padding, length_limit
from core_model.tasks.prepared import Prepared, nothing_to_begin_from
from core_model.tokenizer_training import train_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from core_model.architectures import Architecture
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.groups import Groups
    from core_model.training_options import TrainingOptions

LOADER = "AutoModelForSequenceClassification"
CHUNK = 1024  # rows that are tokenized at once, so that a table larger than memory passes by


@dataclass(frozen=True)
class ClassifiedTexts:
    """Tokenized texts with their classes.

    Attributes:
        tokens: ids of each row, special tokens included.
        kinds: for pairs, which of the two texts each token belongs to.
        targets: (rows,) int64, index of the class.
        cut: rows that lost their end.
        weights: (rows,) float32, what each row's loss is multiplied by, mean 1; None: all count alike.
        groups: whom each row speaks of, where a fairness constraint asks.
    """

    tokens: Ragged
    kinds: Ragged | None
    targets: np.ndarray
    cut: int
    weights: np.ndarray | None = None
    groups: Groups | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, (rows,) int64."""
        return self.tokens.lengths

    def units(self, rows: np.ndarray) -> int:
        """Each row is one term of the loss."""
        return len(rows)


class Classification(Prepared[ClassifiedTexts]):
    """A classifier with its data (see `TrainingTask`)."""

    def batch(self, examples: ClassifiedTexts, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """input_ids and attention_mask, (rows, longest) int64, targets, (rows,) int64; weights where there are any."""
        import torch

        tensors = {**self.padded(examples.tokens, rows), "targets": torch.from_numpy(examples.targets[rows])}
        if examples.kinds is not None:
            tensors["token_type_ids"] = torch.from_numpy(examples.kinds.padded(rows, 0))
        if examples.weights is not None:
            tensors["weights"] = torch.from_numpy(examples.weights[rows])
        return tensors

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor], label_smoothing: float) -> torch.Tensor:
        """Cross-entropy summed over the rows, each times its weight where there are weights."""
        from torch.nn.functional import cross_entropy

        logits = _logits(model, batch)
        if "weights" in batch:
            losses = cross_entropy(logits, batch["targets"], reduction="none", label_smoothing=label_smoothing)
            return (losses * batch["weights"]).sum()
        return cross_entropy(logits, batch["targets"], reduction="sum", label_smoothing=label_smoothing)

    def measures(self, model: Any, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Sums over the rows of the cross-entropy, and of whether the most probable class is right."""
        from torch.nn.functional import cross_entropy

        logits = _logits(model, batch)
        return {
            "loss": cross_entropy(logits, batch["targets"], reduction="sum"),
            "accuracy": (logits.argmax(dim=1) == batch["targets"]).sum(),
        }


def _logits(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(rows, classes) float32."""
    inputs = {name: tensor for name, tensor in batch.items() if name not in ("targets", "weights")}
    logits: torch.Tensor = model(**inputs).logits
    return logits.float()


def prepare(
    options: TrainingOptions,
    *,
    base: Checkpoint | None,
    architecture: Architecture | None,
    data: Table,
    evaluation: Table | None,
) -> Classification:
    """A classifier of the data's classes, from a base or from scratch, and the data in tokens.

    Raises: LabelsUnfit when there is one class only, or evaluation has a class that training has not; TaskUnfit when
        the base has no classification head in transformers; OptionUnfit when max_length is beyond the positions, or
        a mitigation does not fit the data; ColumnMissing when the column to reweigh by was not opened.
    """
    data.require_two_classes()
    labels = _labels(base, data)
    mitigated = mitigate(data, options)
    if base is not None:
        tokenizer, positions = base.load_tokenizer(), base.max_length
        model, head, notes = _from_base(base, labels, options.seed)
    elif architecture is not None:
        texts = chain.from_iterable(map(_texts, mitigated.tables))
        tokenizer, positions = train_tokenizer(texts, architecture), architecture.max_length
        model = from_scratch(
            architecture, LOADER, kinds=("encoder", "decoder"), task=Task.CLASSIFICATION, vocabulary=len(tokenizer),
            seed=options.seed, labels=labels,
        )  # fmt: skip
        head, notes = "new", []
    else:
        raise nothing_to_begin_from()
    length = length_limit(options.max_length, positions)
    give_padding(model, tokenizer)
    training, weighed = _weighed(_training(mitigated, tokenizer, labels, length), options, labels)
    task = Classification(
        model=model,
        tokenizer=tokenizer,
        labels=labels,
        head=head,
        training=training,
        evaluation=None if evaluation is None else _tokenize(evaluation, tokenizer, labels, length),
        mitigation={**mitigated.record, **weighed},
        notes=[*notes, *mitigated.notes],
    )
    check_ids(model, *(part.tokens for part in (task.training, task.evaluation) if part is not None))
    return task


def _labels(base: Checkpoint | None, data: Table) -> tuple[str, ...]:
    """The data's classes; in the base's order where it tells the same classes apart."""
    if base is not None and _keeps_head(base, data.label_names):
        return tuple(base.labels)
    return tuple(data.label_names)


def _keeps_head(base: Checkpoint, labels: Sequence[str]) -> bool:
    return base.task is Task.CLASSIFICATION and sorted(base.labels) == sorted(labels)


def _from_base(base: Checkpoint, labels: tuple[str, ...], seed: int) -> tuple[PreTrainedModel, str, list[str]]:
    """The base's weights under a head for these labels; what the base does not have is drawn from the seed."""
    import torch
    from transformers import AutoModelForSequenceClassification

    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    headed = from_base(
        base, LOADER, task=Task.CLASSIFICATION, seed=seed,
        settings={"problem_type": "single_label_classification", **names},
    )  # fmt: skip
    model = headed.model
    if _keeps_head(base, labels):
        return model, "kept", []
    inner = model.base_model_prefix + "."
    head = {name for name, _ in model.named_parameters() if not name.startswith(inner)}
    if head - headed.drawn:  # the base's head has the right size but tells other classes apart
        torch.manual_seed(seed)
        fresh = AutoModelForSequenceClassification.from_config(model.config).state_dict()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in head:
                    parameter.copy_(fresh[name])
    had = f" (it told {', '.join(base.labels)} apart)" if base.labels and base.task is Task.CLASSIFICATION else ""
    pooler = ["The base has no pooler; it was drawn anew."] if any("pooler" in key for key in headed.drawn) else []
    return model, "replaced", [f"The base's head{had} was replaced by a new one for {', '.join(labels)}.", *pooler]


def _texts(data: Table) -> Iterator[str]:
    yield from data.texts
    if data.pairs is not None:
        yield from data.pairs


def _training(
    mitigated: Mitigated, tokenizer: PreTrainedTokenizerBase, labels: tuple[str, ...], max_length: int
) -> ClassifiedTexts:
    """The training rows in tokens; rows that a mitigation added come last, and their cuts are not counted."""
    own, *added = (_tokenize(table, tokenizer, labels, max_length) for table in mitigated.tables)
    if not added:
        return replace(own, weights=mitigated.weights, groups=mitigated.groups)
    parts = [own, *added]
    return ClassifiedTexts(
        tokens=Ragged.joined([part.tokens for part in parts]),
        kinds=None if own.kinds is None else Ragged.joined([part.kinds for part in parts if part.kinds is not None]),
        targets=np.concatenate([part.targets for part in parts]),
        cut=own.cut,
        weights=mitigated.weights,
        groups=mitigated.groups,
    )


def _weighed(
    training: ClassifiedTexts, options: TrainingOptions, labels: tuple[str, ...]
) -> tuple[ClassifiedTexts, dict[str, Any]]:
    """Training rows with the weights of their classes, where such were asked for; and the record of it."""
    if options.class_weights is None:
        return training, {}
    by_class = class_weights(options.class_weights, labels, training.targets)
    weights = row_weights(by_class, training.targets, training.weights)
    record = class_weights_record(options.class_weights, labels, by_class, training.targets)
    return replace(training, weights=weights), record


def _tokenize(
    data: Table, tokenizer: PreTrainedTokenizerBase, labels: tuple[str, ...], max_length: int
) -> ClassifiedTexts:
    """Every row in tokens, cut after `max_length`, and its class's place in `labels`."""
    place = {label: i for i, label in enumerate(labels)}
    used = np.bincount(data.targets, minlength=len(data.label_names))
    unknown = {name: int(rows) for name, rows in zip(data.label_names, used, strict=True) if rows and name not in place}
    if unknown:
        found = ", ".join(f"{name!r} in {rows:,} rows" for name, rows in unknown.items())
        raise LabelsUnfit(
            f"{data.name}: column {data.label_column!r} has labels that the training data has not: {found}",
            mend=f"--eval-data with the labels {', '.join(labels)} alone",
        )
    translate = np.array([place.get(name, -1) for name in data.label_names], dtype=np.int64)
    tokens, kinds, cut = [], [], 0
    texts, pairs = iter(data.texts), None if data.pairs is None else iter(data.pairs)
    while chunk := list(islice(texts, CHUNK)):
        encoded = tokenizer(
            chunk,
            None if pairs is None else list(islice(pairs, CHUNK)),
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=pairs is not None,
        )
        tokens.append(Ragged.of(encoded["input_ids"]))
        if pairs is not None:
            kinds.append(Ragged.of(encoded["token_type_ids"]))
        cut += sum(bool(row.overflowing) for row in encoded.encodings or ())
    forget_truncation(tokenizer)
    return ClassifiedTexts(
        tokens=Ragged.joined(tokens),
        kinds=Ragged.joined(kinds) if _reads_kinds(tokenizer) and kinds else None,
        targets=translate[data.targets],
        cut=cut,
    )


def _reads_kinds(tokenizer: PreTrainedTokenizerBase) -> bool:
    return "token_type_ids" in tokenizer.model_input_names
