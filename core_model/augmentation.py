"""Noise on a batch's texts, new in every epoch: words left out, words out of order.

    noise = TextNoise(tokenizer, TrainingOptions(augment=("token-dropout", "word-order")))
    noise(batch, rows, epoch=3)

Token dropout   Each word is left out with probability `token_dropout_rate`; of a text at least one word stays.
                Iyyer et al. 2015 (aclanthology.org/P15-1162), section 3.1; Sennrich et al. 2016, arXiv:1606.02891.
Word order      A word moves fewer than `word_order_distance` + 1 places: words are sorted by i + U(0, k + 1).
                Lample et al. 2018, arXiv:1711.00043, section 2.3.

What a row becomes follows from (seed, epoch, row) alone: a resumed run, and each of several processes, make the same.
A word is its first token and those that continue it; special tokens stay where they are, and the parts of a pair stay
apart. Of an encoder-decoder the source alone is disturbed: its target is what the loss asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.masking import Masking
from core_model.tasks import Task

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from core_model.training_options import TrainingOptions


class TextNoise:
    """Disturbs the texts of a batch; see the module.

    Attributes:
        special: (vocabulary,) bool, tokens that stay where they are.
        begins: (vocabulary,) bool, tokens that begin a word; all of them where the tokenizer marks no words.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, options: TrainingOptions) -> None:
        self.special, self.begins = vocabulary_marks(tokenizer)
        self.padding, self.seed = int(tokenizer.pad_token_id or 0), options.seed
        self.rate = options.token_dropout_rate if "token-dropout" in options.augment else 0.0
        self.distance = options.word_order_distance if "word-order" in options.augment else 0

    def __call__(self, batch: Mapping[str, torch.Tensor], rows: np.ndarray, *, epoch: int) -> dict[str, torch.Tensor]:
        """The batch with its texts disturbed; labels, weights and targets are handed on as they are.

        Args:
            batch: input_ids and attention_mask, (rows, tokens), padded on the right, and others.
            rows: (rows,) which rows of the training data these are.
        """
        import torch

        ids, lengths = batch["input_ids"].numpy(), batch["attention_mask"].numpy().sum(axis=1)
        orders = [
            self.order(line[:length], np.random.default_rng([self.seed, epoch, int(row)]))
            for line, length, row in zip(ids, lengths, rows, strict=True)
        ]
        disturbed = dict(batch)
        fills = {"input_ids": self.padding, "token_type_ids": 0, "attention_mask": 0}
        for name in fills.keys() & batch.keys():
            values = batch[name].numpy()
            fresh = np.full((len(orders), max(map(len, orders))), fills[name], dtype=values.dtype)
            for line, order in enumerate(orders):
                fresh[line, : len(order)] = values[line, order]
            disturbed[name] = torch.from_numpy(fresh)
        return disturbed

    def order(self, ids: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Which places of a row's tokens stay, in their new order, (tokens kept,) int64."""
        special = self.special[ids]
        starts = special | self.begins[ids]
        starts[:1] = True
        starts[1:] |= special[:-1]
        word = np.cumsum(starts) - 1  # of each token, which word it belongs to; a special token is one of its own
        fixed = special[starts]
        part = np.cumsum(fixed)  # words between the same two special tokens; the first of a part is special
        place = np.arange(len(fixed), dtype=np.float64)
        if self.distance:
            moved = place + random.uniform(0, self.distance + 1, len(fixed))
            place[np.lexsort((moved, ~fixed, part))] = np.arange(len(fixed))
        stays = np.ones(len(fixed), dtype=bool)
        if self.rate:
            stays = fixed | (random.random(len(fixed)) >= self.rate)
            for emptied in np.setdiff1d(part[~fixed], part[~fixed & stays]):
                stays[random.choice(np.flatnonzero(~fixed & (part == emptied)))] = True
        tokens = np.flatnonzero(stays[word])
        return tokens[np.lexsort((tokens, place[word[tokens]]))]


def vocabulary_marks(tokenizer: PreTrainedTokenizerBase) -> tuple[np.ndarray, np.ndarray]:
    """Of each token, whether it is special (the unknown word is not), and whether it begins a word; (vocabulary,) bool.

    WordPiece marks what continues a word, SentencePiece and byte-level BPE mark the space before one.
    """
    size = len(tokenizer)
    texts = [str(token or "") for token in tokenizer.convert_ids_to_tokens(list(range(size)))]
    special = np.zeros(size, dtype=bool)
    special[[i for i in tokenizer.all_special_ids if i < size and i != tokenizer.unk_token_id]] = True
    if any(text.startswith("##") for text in texts):
        return special, np.array([not text.startswith("##") for text in texts])
    spaced = np.array([text.startswith(("▁", "Ġ")) for text in texts])
    return special, spaced if spaced.any() else np.ones(size, dtype=bool)


def text_noise(tokenizer: PreTrainedTokenizerBase, options: TrainingOptions) -> TextNoise | Masking | None:
    """The noise that was asked for, or that the task itself is made of; None where none was.

    Raises: TokenizerUnfit when tokens are to be hidden, and the tokenizer has no mask.
    """
    if options.task is Task.MASKED_LANGUAGE_MODELING:
        return Masking(tokenizer, seed=options.seed)
    if not {"token-dropout", "word-order"} & set(options.augment):
        return None
    return TextNoise(tokenizer, options)


def noise_record(options: TrainingOptions) -> dict[str, Any]:
    """What was done, for training_record.json; empty without noise."""
    record: dict[str, Any] = {}
    if "token-dropout" in options.augment:
        record["token_dropout"] = {
            "source": "Iyyer et al. 2015, aclanthology.org/P15-1162; Sennrich et al. 2016, arXiv:1606.02891",
            "share_of_words_left_out": options.token_dropout_rate,
        }
    if "word-order" in options.augment:
        record["word_order"] = {
            "source": "Lample et al. 2018, arXiv:1711.00043, section 2.3",
            "distance": options.word_order_distance,
        }
    return record
