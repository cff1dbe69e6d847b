"""A Transformer from scratch: its shape, read from a TOML file, and the tokenizer that it learns from the data.

    # encoder.toml: about 1.9 million parameters
    kind = "encoder"
    layers = 4
    hidden = 128
    heads = 4
    feed_forward = 512
    vocabulary = 8000
    max_length = 128

The shape becomes a BERT configuration of transformers, so that every checkpoint is a standard one that other tools
load. Source: Devlin et al. 2019, arXiv:1810.04805.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core_model.errors import OptionUnfit
from core_model.settings import checked, read_toml

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import BertConfig, PreTrainedTokenizerFast

REPEATED = 10_000  # occurrences of a word that are handed to the trainer at once
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Architecture(BaseModel):
    """The shape of a Transformer and of its vocabulary."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["encoder"] = Field("encoder", description="an encoder reads a whole text at once, as BERT does")
    layers: int = Field(4, ge=1, le=200, description="Transformer blocks")
    hidden: int = Field(128, ge=4, description="width of a token's vector; a multiple of heads")
    heads: int = Field(4, ge=1, description="attention heads of a block")
    feed_forward: int | None = Field(None, ge=4, description="width inside a block; 4 times hidden when left out")
    vocabulary: int = Field(8000, ge=64, description="tokens that the tokenizer may learn, the special ones included")
    max_length: int = Field(128, ge=4, description="positions: tokens of the longest text")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of values silenced in training")
    lowercase: bool = Field(True, description="whether capitals are folded before tokens are learnt")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Architecture:
        if self.hidden % self.heads:
            down = max(self.hidden // self.heads, 1) * self.heads
            raise ValueError(
                f"hidden = {self.hidden} is not divisible by heads = {self.heads}: each head takes an equal part; "
                f"hidden = {down} or hidden = {down + self.heads}"
            )
        return self

    def config(self, *, vocabulary: int, labels: Sequence[str]) -> BertConfig:
        """As a configuration of transformers.

        Args:
            vocabulary: tokens that the tokenizer really learnt; at most `self.vocabulary`.
            labels: names of the classes, in the order of the outputs.
        """
        from transformers import BertConfig

        return BertConfig(
            vocab_size=vocabulary,
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.feed_forward or 4 * self.hidden,
            max_position_embeddings=self.max_length,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            pad_token_id=SPECIAL.index("[PAD]"),
            id2label=dict(enumerate(labels)),
            label2id={label: i for i, label in enumerate(labels)},
        )


def read_architecture(file: str | Path) -> Architecture:
    """The architecture in a TOML file.

    Raises: OptionUnfit for a missing or broken file (with its line), an unknown key (with its nearest neighbour), or a
        shape that cannot be built (with one that can).
    """
    file = Path(file)
    values = read_toml(file, flag="--architecture")
    for name, value in values.items():
        if isinstance(value, dict):
            near = get_close_matches(name, list(Architecture.model_fields), n=1)
            raise OptionUnfit(
                f"{file}: [{name}] is a table; an architecture has none",
                mend=f"{near[0]} = ..." if near else f"write its keys at the top of the file, without [{name}]",
            )
    return checked(Architecture, values, where=str(file))


def train_tokenizer(texts: Iterable[str], architecture: Architecture) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer learnt from the data. The same texts give the same tokenizer.

    Source: Wu et al. 2016, arXiv:1609.08144, section 4.1; trained by `tokenizers`.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    normalizer = normalizers.BertNormalizer(lowercase=architecture.lowercase)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = Counter[str]()
    for text in texts:
        words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    letters, continuing = _letters(words, limit=max(architecture.vocabulary // 4, 16))
    # The trainer numbers letters inside words in the order of a hash table that differs from run to run, and breaks
    # ties between merges by these numbers. Given as special tokens they have their numbers beforehand.
    learner = Tokenizer(models.WordPiece(unk_token=SPECIAL[1]))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    learner.train_from_iterator(
        (
            " ".join([word] * min(REPEATED, count - done))
            for word, count in sorted(words.items())
            for done in range(0, count, REPEATED)
        ),
        trainers.WordPieceTrainer(
            vocab_size=architecture.vocabulary,
            special_tokens=[*SPECIAL, *continuing],
            initial_alphabet=letters,
            limit_alphabet=len(letters),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=_assemble(learner.get_vocab(), normalizer, splitter),
        **dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)),
        model_max_length=architecture.max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _letters(words: Mapping[str, int], *, limit: int) -> tuple[list[str], list[str]]:
    """The most frequent letters, and those of them that stand inside words, as "##a"; both sorted.

    Every letter costs a token: a text of many scripts must not spend the whole vocabulary on letters.
    """
    counts, inside = Counter[str](), set[str]()
    for word, count in words.items():
        for letter in word:
            counts[letter] += count
        inside.update(word[1:])
    letters = sorted(sorted(counts, key=lambda letter: (-counts[letter], letter))[:limit])
    return letters, [f"##{letter}" for letter in letters if letter in inside]


def _assemble(vocabulary: dict[str, int], normalizer: Any, splitter: Any) -> Tokenizer:
    """The tokenizer that uses a vocabulary as BERT does."""
    from tokenizers import Tokenizer, decoders, models, processors

    inner = Tokenizer(models.WordPiece(vocabulary, unk_token=SPECIAL[1]))
    inner.normalizer, inner.pre_tokenizer, inner.decoder = normalizer, splitter, decoders.WordPiece()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return inner
