"""Small made-up subjects for tests. Everything here is synthetic, and says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from core_model.predictions import Generations, Predictions, Scores, SpanAnswers
from core_model.tasks import Task

WORDS = (
    "a the is was and not very this that film book meal city day good bad great awful fine poor happy sad kind cruel "
    "he she man woman boy girl king queen black white muslim christian jewish gay straight old young friend people "
    "said went saw likes hates i you we they it in on of to with from red green blue one two three dog cat bird"
).split()


def write_checkpoint(
    folder: Path, *, labels: Sequence[str] = ("negative", "positive"), hidden: int = 32, layers: int = 2, seed: int = 0
) -> Path:
    """A tiny BERT classifier with random weights and a WordPiece tokenizer over WORDS, as a Hugging Face folder."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789")
    words = list(
        dict.fromkeys([*special, *WORDS, *letters, *(f"##{c}" for c in letters), ".", ",", "!", "?", "'", "-"])
    )
    vocabulary = {word: i for i, word in enumerate(words)}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=50))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * hidden,
        max_position_embeddings=64,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        pad_token_id=0,
    )
    model = BertForSequenceClassification(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Rows as JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


class StubPredictor:
    """A predictor whose answers are planted: `answer(text)` gives the probability of each class."""

    def __init__(self, answer: Callable[[str], Sequence[float]]) -> None:
        self.answer = answer
        self.forward_passes = 0

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        self.forward_passes += len(texts)
        probabilities = np.array([self.answer(text) for text in texts], dtype=np.float64)
        return Predictions(np.log(np.clip(probabilities, 1e-12, 1)).astype(np.float32))


def stub_checkpoint(labels: Sequence[str] = ("negative", "positive"), **facts: Any) -> Any:
    """As much of a checkpoint as an audit reads, without one."""
    return SimpleNamespace(
        path=None,
        sha256="0" * 64,
        files={},
        task=Task.CLASSIFICATION,
        labels=tuple(labels),
        architecture="Planted",
        parameters=1,
        training_record=None,
        max_length=64,
        **facts,
    )


def stub_subject(
    *,
    texts: Sequence[str],
    answer: Callable[[str], Sequence[float]],
    targets: Sequence[int] | None = None,
    groups: dict[str, Sequence[str]] | None = None,
    training: tuple[Sequence[str], Sequence[int]] | None = None,
    labels: Sequence[str] = ("negative", "positive"),
) -> Any:
    """A Subject over planted rows and planted answers."""
    from audit.subject import Subject
    from core_model.data import Table

    def table(name: str, texts: Sequence[str], targets: Sequence[int] | None, groups: Any = None) -> Table:
        return Table.from_rows(
            name=name, texts=texts, targets=targets, label_names=tuple(labels), groups=groups or {}, synthetic=True
        )

    return Subject(
        checkpoint=stub_checkpoint(labels),
        data=table("planted", texts, targets, groups),
        predictor=StubPredictor(answer),
        training=table("planted training rows", *training) if training else None,
    )


class StubWriter:
    """A predictor of every task that writes, whose words are planted.

    Args:
        write: what it writes for a text (or answers to a question and its context).
        nats: what a text, or a target given its text, costs it, in nats; tokens are words.
    """

    def __init__(
        self, write: Callable[..., str] = str, nats: Callable[..., float] = lambda *texts: len(texts[-1])
    ) -> None:
        self.forward_passes = 0
        self.write = write
        self.nats = nats

    def score(self, texts: Sequence[str], targets: Sequence[str] | None = None) -> Scores:
        self.forward_passes += len(texts)
        rows = [(text,) for text in texts] if targets is None else list(zip(texts, targets, strict=True))
        return Scores(
            np.array([float(self.nats(*row)) for row in rows]),
            np.array([len(row[-1].split()) for row in rows]),
            np.array([len(row[-1].encode()) for row in rows]),
        )

    def generate(self, texts: Sequence[str], *, beams: int = 1, max_new_tokens: int | None = None) -> Generations:
        self.forward_passes += len(texts)
        written = tuple(self.write(text) for text in texts)
        tokens = np.array([len(text.split()) + 1 for text in written])
        limit = max_new_tokens or 1_000_000
        return Generations(written, np.minimum(tokens, limit), tokens > limit, f"beams:{beams}|limit:{limit}")

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> SpanAnswers:
        self.forward_passes += len(questions)
        texts = tuple(self.write(*row) for row in zip(questions, contexts, strict=True))
        return SpanAnswers(texts, np.full(len(texts), -1.0))


def stub_writing_subject(
    task: Task,
    *,
    texts: Sequence[str],
    references: Sequence[str] | None = None,
    pairs: Sequence[str] | None = None,
    groups: dict[str, Sequence[str]] | None = None,
    training: dict[str, Sequence[str]] | None = None,
    write: Callable[..., str] = str,
    nats: Callable[..., float] = lambda *texts: len(texts[-1]),
) -> Any:
    """A Subject of a task whose answer is a text or a likelihood, over planted rows and planted words.

    Args:
        training: `texts`, and `references` and `pairs` where the task has them.
        write, nats: as in StubWriter.
    """
    from audit.subject import Subject
    from core_model.data import Table

    def table(name: str, groups: Any = None, **columns: Any) -> Table:
        return Table.from_rows(name=name, groups=groups or {}, synthetic=True, **columns)

    checkpoint = stub_checkpoint(())
    checkpoint.task = task
    checkpoint.name = "planted"
    return Subject(
        checkpoint=checkpoint,
        data=table("planted", groups, texts=texts, references=references, pairs=pairs),
        predictor=StubWriter(write, nats),
        training=table("planted training rows", **training) if training else None,
    )
