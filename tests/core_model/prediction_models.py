"""Tiny models of several families with random weights, and the slow loop that every prediction is held against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.factories import WORDS, write_checkpoint

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {**SIZES, "max_position_embeddings": 64},
    "roberta": {**SIZES, "max_position_embeddings": 66, "type_vocab_size": 1},
    "electra": {**SIZES, "max_position_embeddings": 64, "embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "llama": {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 64},
}
# Encoder-decoders that classify read the state at the end of the text.
TWO_STACKS = {
    "bart": {
        "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
        "scale_embedding": True,
    },
    "mt5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
}  # fmt: skip


def open_tiny(folder: Path, family: str = "bert", *, pad: bool = True, labels: int = 2) -> Any:
    """As much of a checkpoint as a predictor needs. Weights are larger than at birth, so that logits spread."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    write_checkpoint(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    segments = ["token_type_ids"] if family in ("bert", "electra") else []
    tokenizer.model_input_names = ["input_ids", *segments, "attention_mask"]
    shape = FAMILIES[family] if family in FAMILIES else {**TWO_STACKS[family], "eos_token_id": tokenizer.sep_token_id}
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), num_labels=labels, pad_token_id=tokenizer.pad_token_id, **shape
    )
    if not pad:
        config.pad_token_id = None
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and "embed" not in name:
                parameter.mul_(5)
    model.eval()
    return SimpleNamespace(
        sha256="d" * 64, max_length=64, load_model=lambda dtype="float32": model, load_tokenizer=lambda: tokenizer
    )


WRITERS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "llama": {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 64},
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
    "marian": {
        "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
    },
    "bart": {
        "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
    },
}  # fmt: skip
# Its positions are counted by padding: a random one that writes padding goes on otherwise with a cache than without.
SCORED_ONLY = {"m2m_100": WRITERS["bart"]}
DECODERS = ("gpt2", "llama")
TEMPLATES = {"gpt2": "$A", "llama": "[CLS] $A", "bart": "[CLS] $A [SEP]"}
ENDS = [3, 30, 40, 50, 60, 70, 80, 90, 100]  # [SEP] and, so that random models come to an end, a few words


def open_writer(folder: Path, family: str, *, pad: bool = True) -> Any:
    """As much of a checkpoint that writes as a predictor needs; [CLS] begins a text, [SEP] ends it.

    Weights are larger than at birth, so that the next token depends on those before it.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    tokenizer = tiny_tokenizer(folder, TEMPLATES.get(family, "$A [SEP]"))
    if not pad:
        tokenizer.pad_token = None
    specials = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0 if pad else None}
    if family not in DECODERS:
        specials["decoder_start_token_id"] = 2
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), tie_word_embeddings=False, **specials, **(WRITERS | SCORED_ONLY)[family]
    )
    torch.manual_seed(1)
    loader = AutoModelForCausalLM if family in DECODERS else AutoModelForSeq2SeqLM
    model = loader.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if family == "t5":  # its embedding, tied to the output, is born with weights of order 1
                parameter.mul_(0.2 if "shared" in name else 2)
            elif parameter.dim() == 2 and "position" not in name:
                parameter.mul_(10)
    model.generation_config.eos_token_id = ENDS
    model.generation_config.forced_eos_token_id = None  # an end at the limit is no end
    return SimpleNamespace(
        sha256="e" * 64, max_length=64, load_model=lambda dtype="float32": model, load_tokenizer=lambda: tokenizer
    )


def tiny_tokenizer(folder: Path, template: str) -> Any:
    """The tokenizer of `write_checkpoint`, putting its special tokens as `template` says."""
    from tokenizers import processors
    from transformers import AutoTokenizer

    write_checkpoint(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.bos_token, tokenizer.eos_token = "[CLS]", "[SEP]"
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    return tokenizer


def open_reader(folder: Path, family: str = "bert") -> Any:
    """As much of a checkpoint that finds answers in contexts as a predictor needs."""
    import torch
    from transformers import AutoConfig, AutoModelForQuestionAnswering, AutoTokenizer

    write_checkpoint(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    segments = ["token_type_ids"] if family in ("bert", "electra") else []
    tokenizer.model_input_names = ["input_ids", *segments, "attention_mask"]
    shape = (FAMILIES | TWO_STACKS)[family]
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **shape)
    torch.manual_seed(1)
    model = AutoModelForQuestionAnswering.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(5)
    return SimpleNamespace(
        sha256="f" * 64, max_length=64, load_model=lambda dtype="float32": model, load_tokenizer=lambda: tokenizer
    )


def slow_logits(checkpoint: Any, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
    """The plain loop, one row at a time, no padding, no cache."""
    import torch

    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    rows = []
    with torch.no_grad():
        for row, text in enumerate(texts):
            second = None if pairs is None else pairs[row]
            inputs = tokenizer(text, second, truncation=True, max_length=64, return_tensors="pt")
            rows.append(model(**inputs).logits[0].numpy())
    return np.stack(rows)


def made_up_texts(rows: int, *, seed: int = 0, longest: int = 30) -> list[str]:
    """Random words over the tiny vocabulary; some texts come twice."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(rows)]
    return [texts[i] for i in random.integers(0, rows, rows)]
