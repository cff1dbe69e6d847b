"""Do configuration, weights and tokenizer belong together? Found before a model is built, which would not say.

Transformers fills what is missing with random numbers and a warning; a tokenizer of another model gives token ids that
mean other words. Both would be audited in all seriousness.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core_model.checkpoint_files import checked, read_json
from core_model.checkpoint_weights import Tensor
from core_model.errors import CheckpointDamaged, TokenizerUnfit
from core_model.tasks import Task

EMBEDDINGS = re.compile(r"(^|\.)(word_embeddings|wte|embed_tokens|shared|embed_in|tok_embeddings)\.weight$")
POSITIONS = re.compile(r"(^|\.)(position_embeddings|wpe)\.weight$")
CLASSIFIER = re.compile(r"^(classifier|score|logits_proj|classifier\.out_proj|classification_head\.out_proj)\.weight$")
LAYER = re.compile(r"\.(?:layer|layers|h)\.(\d+)\.")
# Position 0 and the padding position are never used by these, so that 514 positions hold 512 tokens.
OFFSET_POSITIONS = {
    "roberta",
    "xlm-roberta",
    "camembert",
    "longformer",
    "mpnet",
    "roberta-prelayernorm",
    "data2vec-text",
}
MOST_UNUSED_ROWS = 0.10  # rows of the embedding without a token; public models pad by at most 2%
ENDLESS = 1_000_000  # tokenizers without a limit write 10**30
DEFAULT_LENGTH = 512


def first(config: Mapping[str, Any], *names: str) -> int | None:
    """The first of these fields that holds a positive count; also from `text_config`."""
    places = [config, inner] if isinstance(inner := config.get("text_config"), dict) else [config]
    values = (place.get(name) for place in places for name in names)
    return next((value for value in values if type(value) is int and value > 0), None)


def check_weights(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], labels: int) -> None:
    """Hold the shapes of the weights against the configuration; `labels` is 0 without a classification head.

    Raises: CheckpointDamaged, naming the tensor and the field that disagree.
    """
    mend = "put back the config.json that was saved with these weights"
    counts = {value for value in config.values() if type(value) is int}
    counts |= {value for value in (config.get("text_config") or {}).values() if type(value) is int}

    def refuse(tensor: Tensor, what: str) -> CheckpointDamaged:
        return CheckpointDamaged(f"{folder}: tensor {tensor.name!r} has shape {tensor.shape}, but {what}", mend=mend)

    vocabulary = first(config, "vocab_size")
    positions = first(config, "max_position_embeddings", "n_positions")
    layers = first(config, "num_hidden_layers", "n_layers", "n_layer")
    for name, tensor in tensors.items():
        if len(tensor.shape) != 2:
            continue
        if EMBEDDINGS.search(name):
            if vocabulary is not None and tensor.shape[0] != vocabulary:
                raise refuse(tensor, f"config.json says vocab_size {vocabulary:,}")
            if tensor.shape[1] not in counts:
                raise refuse(tensor, f"config.json knows no width of {tensor.shape[1]:,}")
        elif POSITIONS.search(name) and positions is not None and tensor.shape[0] < positions:
            raise refuse(tensor, f"config.json says {positions:,} positions")
        elif labels and CLASSIFIER.search(name) and tensor.shape[0] != labels:
            raise refuse(tensor, f"config.json names {labels} labels")
    if layers is not None and not config.get("is_encoder_decoder"):
        numbers = {int(found[1]) for name in tensors if (found := LAYER.search(name))}
        if numbers and max(numbers) + 1 < layers:
            raise CheckpointDamaged(
                f"{folder}: the weights hold {max(numbers) + 1} layers, but config.json says {layers}", mend=mend
            )


@dataclass(frozen=True)
class TokenizerFacts:
    """What the tokenizer's files say: how many tokens, the largest id, ids of special tokens, and its length limit."""

    tokens: int | None
    largest: tuple[str, int] | None
    special: Mapping[str, int]
    max_length: int | None
    remote_code: bool


def read_tokenizer(folder: Path) -> TokenizerFacts:
    """Facts of the tokenizer, read without building it.

    Raises: TokenizerUnfit when there is none; CheckpointDamaged when a file is no JSON.
    """
    pieces = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "source.spm", "tekken.json")
    ids = _vocabulary(folder)
    if ids is None and not any(checked(folder, name) for name in pieces):
        raise TokenizerUnfit(
            f"{folder} has no tokenizer (tokenizer.json, vocab.txt, vocab.json with merges.txt, or spiece.model)",
            mend=f"copy its base model's: AutoTokenizer.from_pretrained(BASE).save_pretrained({str(folder)!r})",
        )
    path = checked(folder, "tokenizer_config.json")
    config = read_json(path) if path else {}
    special_map = checked(folder, "special_tokens_map.json")
    named = (read_json(special_map) if special_map else {}) | config
    special: dict[str, int] = {}
    for role in ("pad", "bos", "eos", "cls", "sep"):
        token = named.get(f"{role}_token")
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str) and ids is not None and token in ids:
            special[role] = ids[token]
    limit = config.get("model_max_length")
    return TokenizerFacts(
        tokens=len(ids) if ids is not None else None,
        largest=max(ids.items(), key=lambda item: item[1]) if ids else None,
        special=special,
        max_length=int(limit) if isinstance(limit, int | float) and 0 < limit < ENDLESS else None,
        remote_code="auto_map" in config,
    )


def _vocabulary(folder: Path) -> dict[str, int] | None:
    """Token -> id, from the file that the tokenizer would be built from."""
    ids: dict[str, int] | None = None
    if path := checked(folder, "tokenizer.json"):
        whole = read_json(path)
        vocabulary = (whole.get("model") or {}).get("vocab")
        if isinstance(vocabulary, dict):
            ids = {token: number for token, number in vocabulary.items() if type(number) is int}
        elif isinstance(vocabulary, list):
            ids = {str(entry[0]): i for i, entry in enumerate(vocabulary) if isinstance(entry, list) and entry}
        else:
            raise TokenizerUnfit(f"{path} has no vocabulary (model.vocab)", mend="fetch the tokenizer again")
        added = whole.get("added_tokens") or []
        ids |= {token["content"]: token["id"] for token in added if isinstance(token, dict) and _is_token(token)}
    elif path := checked(folder, "vocab.txt"):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        ids = {token: i for i, token in enumerate(lines)}
    elif (path := checked(folder, "vocab.json")) and (checked(folder, "merges.txt") or checked(folder, "source.spm")):
        ids = {token: number for token, number in read_json(path).items() if type(number) is int}
    if ids is not None and (path := checked(folder, "added_tokens.json")):
        ids |= {token: number for token, number in read_json(path).items() if type(number) is int}
    return ids


def _is_token(token: Mapping[str, Any]) -> bool:
    return isinstance(token.get("content"), str) and type(token.get("id")) is int


def check_tokenizer(
    folder: Path, config: Mapping[str, Any], rows: int | None, facts: TokenizerFacts, task: Task
) -> None:
    """Hold the tokenizer against the embedding's `rows` and the configuration's special tokens.

    Raises: TokenizerUnfit when its tokens cannot be those that the model was trained with.
    """
    mend = f"put the model's own tokenizer into {folder}"
    if rows is not None and facts.largest is not None and facts.tokens is not None:
        token, number = facts.largest
        if number >= rows:
            raise TokenizerUnfit(
                f"{folder}: the tokenizer's {token[:40]!r} has id {number:,}, the model's embedding {rows:,} rows",
                mend=mend,
            )
        if facts.tokens < rows * (1 - MOST_UNUSED_ROWS):
            raise TokenizerUnfit(
                f"{folder}: the tokenizer knows {facts.tokens:,} tokens, the model's embedding has {rows:,} rows; "
                "that is the tokenizer of another model",
                mend=mend,
            )
    # Chat models end a turn with another token than a text, so that only encoders are held to all of them.
    roles: Sequence[str] = (
        ("pad",) if task in (Task.CLASSIFICATION, Task.FEATURE_EXTRACTION, Task.QUESTION_ANSWERING) else ()
    )
    if config.get("model_type") in OFFSET_POSITIONS and roles:
        roles = ("pad", "bos", "eos")
    for role in roles:
        expected, found = config.get(f"{role}_token_id"), facts.special.get(role)
        if type(expected) is int and found is not None and expected != found:
            raise TokenizerUnfit(
                f"{folder}: the tokenizer's {role} token is {found:,}, config.json says {role}_token_id {expected:,}",
                mend=mend,
            )


def max_length(config: Mapping[str, Any], facts: TokenizerFacts) -> int:
    """How many tokens the model takes: the smaller of its positions and the tokenizer's limit; 512 without either."""
    positions = first(config, "max_position_embeddings", "n_positions", "max_sequence_length", "n_ctx")
    if positions is not None and config.get("model_type") in OFFSET_POSITIONS:
        padding = config.get("pad_token_id")
        positions -= (padding if isinstance(padding, int) else 1) + 1
    limits = [limit for limit in (positions, facts.max_length) if limit is not None]
    return min(limits) if limits else DEFAULT_LENGTH
