"""A Transformer from scratch: its shape, read from a TOML file, and the tokenizer that it learns from the data.

    # encoder.toml: about 3 million parameters
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

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core_model.errors import OptionUnfit
from core_model.settings import checked, read_toml

if TYPE_CHECKING:
    from transformers import BertConfig, PreTrainedTokenizerFast

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
    """A WordPiece tokenizer learnt from the data. The same texts in the same order give the same tokenizer.

    Source: Wu et al. 2016, arXiv:1609.08144, section 4.1; trained by `tokenizers`.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of text, not of access
    inner.normalizer = normalizers.BertNormalizer(lowercase=architecture.lowercase)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    inner.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(
            vocab_size=architecture.vocabulary,
            special_tokens=list(SPECIAL),
            # Every letter costs a token; a text of many scripts must not spend the whole vocabulary on letters.
            limit_alphabet=max(architecture.vocabulary // 4, 16),
            show_progress=False,
        ),
    )
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, SPECIAL.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    unknown, padding, start, end, mask = (SPECIAL[i] for i in (1, 0, 2, 3, 4))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token=unknown,
        pad_token=padding,
        cls_token=start,
        sep_token=end,
        mask_token=mask,
        model_max_length=architecture.max_length,
    )
