"""A Transformer from scratch: its shape, read from a TOML file.

    # encoder.toml: about 1.9 million parameters
    kind = "encoder"
    layers = 4
    hidden = 128
    heads = 4
    feed_forward = 512
    vocabulary = 8000
    max_length = 128

An encoder becomes a BERT, a decoder a Llama or a GPT-2, an encoder-decoder a T5 or a Marian: configurations of
transformers, so that every checkpoint is a standard one that other tools load. Its tokenizer is learnt from the data
(`core_model.tokenizer_training`).

Sources: Devlin et al. 2019, arXiv:1810.04805 (BERT); Touvron et al. 2023, arXiv:2302.13971 (Llama); Radford et al. 2019
(GPT-2); Raffel et al. 2020, arXiv:1910.10683 (T5); Vaswani et al. 2017, arXiv:1706.03762, as in Junczys-Dowmunt et al.
2018, arXiv:1804.00344 (Marian).
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core_model.errors import OptionUnfit
from core_model.settings import checked, read_toml
from core_model.tokenizer_training import SpecialTokens, TokenizerKind, special_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Kind = Literal["encoder", "decoder", "encoder-decoder"]
Family = Literal["bert", "llama", "gpt2", "t5", "marian"]

FAMILIES: dict[Kind, tuple[Family, ...]] = {  # the first is taken where none is named
    "encoder": ("bert",),
    "decoder": ("llama", "gpt2"),
    "encoder-decoder": ("marian", "t5"),
}
TOKENIZERS: dict[Kind, TokenizerKind] = {"encoder": "wordpiece", "decoder": "bpe", "encoder-decoder": "unigram"}


class Architecture(BaseModel):
    """The shape of a Transformer and of its vocabulary."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = Field("encoder", description="an encoder reads, a decoder writes on, an encoder-decoder rewrites")
    family: Family | None = Field(
        None, description="bert; llama or gpt2; marian or t5; the first of its kind when left out"
    )
    layers: int = Field(4, ge=1, le=200, description="Transformer blocks (of the encoder, where there are two halves)")
    decoder_layers: int | None = Field(
        None, ge=1, le=200, description="blocks of an encoder-decoder's decoder; as many as layers when left out"
    )
    hidden: int = Field(128, ge=4, description="width of a token's vector; a multiple of heads")
    heads: int = Field(4, ge=1, description="attention heads of a block")
    feed_forward: int | None = Field(None, ge=4, description="width inside a block; 4 times hidden when left out")
    vocabulary: int = Field(8000, ge=64, description="tokens that the tokenizer may learn, the special ones included")
    tokenizer: TokenizerKind | None = Field(
        None, description="wordpiece, bpe (of bytes) or unigram; the usual one of its kind when left out"
    )
    max_length: int = Field(128, ge=4, description="positions: tokens of the longest text")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of values silenced in training")
    lowercase: bool | None = Field(
        None, description="whether capitals are folded before tokens are learnt; only for an encoder when left out"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Architecture:
        if self.hidden % self.heads:
            down = max(self.hidden // self.heads, 1) * self.heads
            raise ValueError(
                f"hidden = {self.hidden} is not divisible by heads = {self.heads}: each head takes an equal part; "
                f"hidden = {down} or hidden = {down + self.heads}"
            )
        if self.family is not None and self.family not in FAMILIES[self.kind]:
            kind = next(kind for kind, families in FAMILIES.items() if self.family in families)
            raise ValueError(
                f"family = {self.family!r} is no {self.kind}; family = {' or '.join(map(repr, FAMILIES[self.kind]))}, "
                f"or kind = {kind!r}"
            )
        if self.decoder_layers is not None and self.kind != "encoder-decoder":
            raise ValueError(f"decoder_layers is read by an encoder-decoder, and kind = {self.kind!r}; leave it out")
        if self.chosen_family == "llama" and (self.hidden // self.heads) % 2:
            raise ValueError(
                f"hidden / heads = {self.hidden // self.heads} is odd, and rotary positions turn pairs of numbers; "
                f"hidden = {2 * self.heads * max(self.hidden // (2 * self.heads), 1)}"
            )
        if self.chosen_family == "marian" and self.hidden % 2:
            raise ValueError(
                f"hidden = {self.hidden} is odd, and sinusoidal positions come in pairs; hidden = {self.hidden + 1}"
            )
        return self

    @property
    def chosen_family(self) -> Family:
        """Which configuration of transformers it becomes."""
        return self.family or FAMILIES[self.kind][0]

    @property
    def chosen_tokenizer(self) -> TokenizerKind:
        """Which kind of tokenizer it learns."""
        return self.tokenizer or TOKENIZERS[self.kind]

    @property
    def folds_capitals(self) -> bool:
        """Whether capitals are folded."""
        return self.lowercase if self.lowercase is not None else self.kind == "encoder"

    @property
    def special(self) -> SpecialTokens:
        """The tokens that are no text; their ids are their places."""
        return special_tokens(self.kind)

    def config(self, *, vocabulary: int, labels: Sequence[str] = ()) -> PreTrainedConfig:
        """As a configuration of transformers.

        Args:
            vocabulary: tokens that the tokenizer really learnt; at most `self.vocabulary`.
            labels: names of the classes, in the order of the outputs; none where the head has no classes.
        """
        from transformers import AutoConfig

        special = self.special
        shared: dict[str, Any] = {
            "vocab_size": vocabulary,
            "pad_token_id": special.id("pad"),
            "bos_token_id": special.id("bos"),
            "eos_token_id": special.id("eos"),
            "tie_word_embeddings": True,
        }
        if labels:
            shared |= {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
        return AutoConfig.for_model(self.chosen_family, **shared, **getattr(self, f"_{self.chosen_family}")())

    def _bert(self) -> dict[str, Any]:
        return {
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.feed_forward or 4 * self.hidden,
            "max_position_embeddings": self.max_length,
            "hidden_dropout_prob": self.dropout,
            "attention_probs_dropout_prob": self.dropout,
        }

    def _llama(self) -> dict[str, Any]:
        return {
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "intermediate_size": self.feed_forward or 4 * self.hidden,
            "max_position_embeddings": self.max_length,
            "attention_dropout": self.dropout,  # the one dropout that a Llama has
        }

    def _gpt2(self) -> dict[str, Any]:
        return {
            "n_embd": self.hidden,
            "n_layer": self.layers,
            "n_head": self.heads,
            "n_inner": self.feed_forward or 4 * self.hidden,
            "n_positions": self.max_length,
            "embd_pdrop": self.dropout,
            "resid_pdrop": self.dropout,
            "attn_pdrop": self.dropout,
        }

    def _t5(self) -> dict[str, Any]:
        return {
            "d_model": self.hidden,
            "d_kv": self.hidden // self.heads,
            "num_layers": self.layers,
            "num_decoder_layers": self.decoder_layers or self.layers,
            "num_heads": self.heads,
            "d_ff": self.feed_forward or 4 * self.hidden,
            "n_positions": self.max_length,
            "dropout_rate": self.dropout,
            "feed_forward_proj": "gated-gelu",
            "decoder_start_token_id": self.special.id("pad"),
        }

    def _marian(self) -> dict[str, Any]:
        return {
            "d_model": self.hidden,
            "encoder_layers": self.layers,
            "decoder_layers": self.decoder_layers or self.layers,
            "encoder_attention_heads": self.heads,
            "decoder_attention_heads": self.heads,
            "encoder_ffn_dim": self.feed_forward or 4 * self.hidden,
            "decoder_ffn_dim": self.feed_forward or 4 * self.hidden,
            "max_position_embeddings": self.max_length,
            "dropout": self.dropout,
            "attention_dropout": 0.0,
            "activation_dropout": 0.0,
            "activation_function": "relu",
            "scale_embedding": True,
            "share_encoder_decoder_embeddings": True,
            "decoder_start_token_id": self.special.id("pad"),
            "forced_eos_token_id": self.special.id("eos"),
        }


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
