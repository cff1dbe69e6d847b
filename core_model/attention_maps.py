"""Where does each head look? Attention weights, an overview of the heads, and attention rollout.

    [found] = attention_maps(predictor, ["a good film"])
    found.weights[layer, head]      # (tokens, tokens): from the token that asks to the token that is looked at

Attention is what a layer mixes, not why the model decides: weights can be changed without changing the answer (Jain and
Wallace 2019, arXiv:1902.10186), and many heads park theirs on special tokens (Clark et al. 2019, arXiv:1906.04341).
Rollout multiplies the layers' maps and says how much of each token could have reached the token that the head of the
model reads; it knows nothing of the class (Abnar and Zuidema 2020, arXiv:2005.00928).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.attribution_path import EmbeddingPath
from core_model.attribution_words import Worded
from core_model.errors import TaskUnfit
from core_model.length_buckets import plan_batches

if TYPE_CHECKING:
    from core_model.prediction import Predictor


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """One text's attention.

    Attributes:
        worded: its words.
        tokens: (tokens,) as the tokenizer writes them, special tokens included.
        of_token: (tokens,) which word each token belongs to; -1 for special tokens.
        weights: (layers, heads, tokens that ask, tokens) float32; each row sums to 1.
        reads: (tokens,) how much of each token's last state the model's head reads; sums to 1, or is 0 where no head
            reads the text.
        asks: the tokens that ask, where they are others: those that were written, of an encoder-decoder that writes.
        answer: how many of the last tokens the model wrote itself; they are no words of the text.
    """

    worded: Worded
    tokens: tuple[str, ...]
    of_token: np.ndarray
    weights: np.ndarray
    reads: np.ndarray
    asks: tuple[str, ...] = ()
    answer: int = 0

    @property
    def to_words(self) -> np.ndarray:
        """Share of the words' attention that goes to words, (layers, heads); the rest goes to special tokens.

        Where other tokens ask, of theirs.

        In a decoder without special tokens the first token is left out of the words: it takes what no one needs (Xiao
        et al. 2023, arXiv:2309.17453). NaN-free: 0 for a text without words.
        """
        word = self.of_token >= 0
        target = word.copy()
        if target[: len(target) - self.answer].all():
            target[:1] = False
        if not word.any():
            return np.zeros(self.weights.shape[:2])
        asking = np.ones(len(self.asks), dtype=bool) if self.asks else word
        return np.asarray(self.weights[:, :, asking][:, :, :, target].sum(axis=3).mean(axis=2), dtype=np.float64)


def attention_maps(
    predictor: Predictor, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> list[AttentionMap]:
    """Attention of every layer and head on each text.

    Args:
        texts, pairs: (rows,); longer ones are cut to what the model takes.
    Raises: TaskUnfit for a model that keeps no attention weights, or has two stacks of them (encoder-decoders).
    """
    return attention_of(EmbeddingPath(predictor, texts, pairs)) if len(texts) else []


def attention_of(path: EmbeddingPath) -> list[AttentionMap]:
    """The same for texts that are tokenized already; see `attention_maps`."""
    import torch

    forward, predictor = path.predictor.forward, path.predictor
    refuse_without_maps(forward.model)
    found: list[AttentionMap | None] = [None] * len(path)
    with torch.inference_mode(), written_out(forward.model):
        for rows in plan_batches(path.lengths, predictor.token_budget, padding=forward.can_pad):
            output = forward.model(**forward.batch(path.ids, path.types, rows), output_attentions=True)
            predictor.forward_passes += len(rows)
            if not output.attentions or output.attentions[0] is None:
                raise no_maps(forward.model)
            layers = torch.stack(list(output.attentions), dim=1).float().cpu().numpy()
            for place, row in enumerate(rows):
                length = int(path.lengths[row])
                ids = path.ids.values[path.ids.starts[row] : path.ids.starts[row + 1]]
                found[row] = AttentionMap(
                    worded=path.worded[row],
                    tokens=tuple(forward.tokenizer.convert_ids_to_tokens(ids.tolist())),
                    of_token=path.of_token[row],
                    weights=layers[place, :, :, :length, :length].copy(),
                    reads=where_head_reads(forward.model, length),
                )
    return [one for one in found if one is not None]


def rollout(weights: np.ndarray) -> np.ndarray:
    """How much of each token could have come to each other one through all layers, (tokens, tokens); rows sum to 1.

    Half of each layer is its residual connection, half the mean of its heads.

    Args:
        weights: (layers, heads, tokens, tokens).
    Source: Abnar and Zuidema 2020, arXiv:2005.00928, section 3.
    """
    tokens = weights.shape[-1]
    mixed = np.eye(tokens)
    for layer in np.asarray(weights, dtype=np.float64).mean(axis=1):
        step = 0.5 * layer + 0.5 * np.eye(tokens)
        mixed = (step / step.sum(axis=1, keepdims=True)) @ mixed
    return mixed


def refuse_without_maps(model: Any) -> None:
    """Raises: TaskUnfit for an encoder-decoder: its decoder looks at the text only through a second stack."""
    if getattr(model.config, "is_encoder_decoder", False):
        raise TaskUnfit(
            f"{type(model).__name__} has an encoder and a decoder; attention is shown for models of one stack",
            mend="--method integrated-gradients or occlusion, which go through both",
        )


def where_head_reads(model: Any, length: int) -> np.ndarray:
    """Weight of each token's last state in what the model's head reads, (length,); sums to 1.

    Encoders read their first token, decoders (whose classifiers take cached keys and values) their last one, and some
    models the mean of all.
    """
    import inspect

    config = model.config
    weights = np.zeros(length)
    if getattr(config, "classifier_pooling", None) == "mean":
        weights[:] = 1 / length
    elif "past_key_values" in inspect.signature(model.forward).parameters or config.model_type == "xlnet":
        weights[-1] = 1
    else:
        weights[0] = 1
    return weights


@contextmanager
def written_out(model: Any) -> Iterator[None]:
    """While a `with` lasts, attention is computed by the plain way, the only one that keeps its weights."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def no_maps(model: Any) -> TaskUnfit:
    """What is said of a model whose output holds no attention."""
    return TaskUnfit(
        f"{type(model).__name__} keeps no attention weights", mend="--method integrated-gradients or occlusion"
    )
