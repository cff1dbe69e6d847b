"""How a class's score moves with each token's input embedding, for many texts at once.

The gradient is taken at the output of the embedding layer (before positions are added), caught by a hook, so that
models that look at token ids (to find padding or the end) still see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from threading import get_ident
from typing import TYPE_CHECKING

import numpy as np

from core_model.batching import Ragged
from core_model.input_embeddings import replaced
from core_model.length_buckets import plan_batches
from core_model.prediction_forward import Forward, Target
from core_model.prediction_inputs import tokenize

if TYPE_CHECKING:
    import torch
    from transformers import BatchEncoding


@dataclass(frozen=True)
class EmbeddingGradients:
    """One text's gradients.

    Attributes:
        tokens: (tokens,) as the tokenizer writes them, special tokens included.
        offsets: (tokens, 2) where each token stands in its text, in characters; (0, 0) for special tokens.
        sequence: (tokens,) 0 for the text, 1 for its pair, -1 for special tokens.
            Both are None where the tokenizer does not say (those written in Python).
        embeddings: (tokens, hidden) float32, what the gradient is taken at.
        gradients: (tokens, hidden) float32, in units of the score per unit of the embedding.
        score: the target's logit or probability.
    """

    tokens: tuple[str, ...]
    offsets: np.ndarray | None
    sequence: np.ndarray | None
    embeddings: np.ndarray
    gradients: np.ndarray
    score: float


def embedding_gradients(
    forward: Forward,
    texts: Sequence[str],
    targets: np.ndarray,
    pairs: Sequence[str] | None,
    *,
    of: Target,
    max_length: int,
    token_budget: int,
    threads: int,
) -> list[EmbeddingGradients]:
    """See `Predictor.embedding_gradients`."""
    import torch

    if len(targets) != len(texts):
        raise ValueError(f"{len(texts)} texts, but {len(targets)} targets")
    if not len(texts):
        return []
    found = tokenize(forward.tokenizer, list(texts), None if pairs is None else list(pairs), max_length)
    ids = Ragged.of(found["input_ids"])
    types = Ragged.of(found["token_type_ids"]) if "token_type_ids" in found else None
    caught: dict[int, torch.Tensor] = {}  # by thread: several batches run at once

    def catch(output: torch.Tensor) -> torch.Tensor:
        caught[get_ident()] = output.detach().requires_grad_(True)
        return caught[get_ident()]

    def run(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with torch.enable_grad():
            logits = forward.model(**forward.batch(ids, types, batch)).logits.float()
            scores = logits if of == "logit" else logits.softmax(dim=-1)
            chosen = scores.gather(1, torch.from_numpy(targets[batch])[:, None].to(logits.device)).squeeze(1)
            embeddings = caught.pop(get_ident())
            # Rows do not touch each other, so the gradient of the sum holds each row's own.
            (gradients,) = torch.autograd.grad(chosen.sum(), embeddings)
        return tuple(part.detach().float().cpu().numpy() for part in (embeddings, gradients, chosen))  # type: ignore[return-value]

    results: dict[int, EmbeddingGradients] = {}
    with replaced(forward.model, catch):
        plan = plan_batches(ids.lengths, token_budget, padding=forward.can_pad)
        with closing(forward.each(plan, run, threads)) as found_by_batch:
            for batch, (embeddings, gradients, scores) in found_by_batch:
                for place, row in enumerate(batch):
                    length = int(ids.lengths[row])
                    tokens = forward.tokenizer.convert_ids_to_tokens(found["input_ids"][row])
                    offsets, sequence = _places(found, int(row))
                    results[int(row)] = EmbeddingGradients(
                        tokens=tuple(tokens),
                        offsets=offsets,
                        sequence=sequence,
                        embeddings=embeddings[place, :length].copy(),
                        gradients=gradients[place, :length].copy(),
                        score=float(scores[place]),
                    )
    return [results[row] for row in range(len(texts))]


def _places(found: BatchEncoding, row: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Offsets and sequence number of each token of one row."""
    if not found.encodings:
        return None, None
    encoding = found.encodings[row]
    sequence = [-1 if number is None else number for number in encoding.sequence_ids]
    return np.array(encoding.offsets, dtype=np.int64), np.array(sequence, dtype=np.int64)
