"""How alike two sentences are, and which words are neighbours, by the embedded encoder (all-MiniLM-L6-v2).

    encoder = embedded_encoder()
    encoder.encode(["a good film", "a fine film"])     # (2, 384), unit length: a product is a cosine

A sentence is the mean of its tokens' last states (Reimers and Gurevych 2019, arXiv:1908.10084), as this encoder was
trained. It is not the model under attack: its passes are no queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core_model.attacks.neighbours import Neighbours
from core_model.batching import Ragged
from core_model.length_buckets import plan_batches

LONGEST = 128  # tokens of a sentence that are read, as in the encoder's training
TOKEN_BUDGET = 2_048  # tokens in a batch
MOST_KEPT = 20_000  # sentences whose vectors are kept


class SentenceEncoder:
    """An encoder of a folder, with mean pooling.

    Attributes:
        forward_passes: sentences that went through it so far; those asked again are not counted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.forward_passes = 0
        self._model: Any = None
        self._tokenizer: Any = None
        self._known: dict[str, np.ndarray] = {}

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, (texts, hidden) float32."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            if len(self._known) > MOST_KEPT:
                self._known = {text: self._known[text] for text in texts if text in self._known}
            self._known.update(zip(new, self._encoded(new), strict=True))
            self.forward_passes += len(new)
        return np.stack([self._known[text] for text in texts])

    def neighbours(self, *, most: int, least_cosine: float) -> Neighbours:
        """Nearest whole words of its own input embeddings."""
        self._load()
        vocabulary = {
            token: row for token, row in self._tokenizer.get_vocab().items() if token.isalpha() and len(token) > 1
        }
        ordered = dict(sorted(vocabulary.items(), key=lambda pair: pair[1]))
        vectors = self._model.get_input_embeddings().weight.detach().numpy()
        return Neighbours(vectors, ordered, most=most, least_cosine=least_cosine)

    def _encoded(self, texts: list[str]) -> np.ndarray:
        import torch

        self._load()
        found = self._tokenizer(texts, truncation=True, max_length=LONGEST, padding=False)
        ids = Ragged.of(found["input_ids"])
        vectors = np.zeros((len(texts), self._model.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for batch in plan_batches(ids.lengths, TOKEN_BUDGET):
                tokens = torch.from_numpy(ids.padded(batch, self._tokenizer.pad_token_id))
                mask = torch.from_numpy(np.arange(tokens.shape[1]) < ids.lengths[batch][:, None])
                states = self._model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
                means = (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
                vectors[batch] = torch.nn.functional.normalize(means, dim=1).numpy()
        return vectors

    def _load(self) -> None:
        if self._model is None:
            from transformers import AutoModel, AutoTokenizer

            from core_model.checkpoint_loading import quiet

            with quiet():
                self._model = AutoModel.from_pretrained(self.folder, use_safetensors=True).eval().requires_grad_(False)
                self._tokenizer = AutoTokenizer.from_pretrained(self.folder)


@lru_cache(maxsize=1)
def embedded_encoder() -> SentenceEncoder:
    """The encoder that travels with this suite.

    Raises: CheckpointMissing when its package is not installed, with what installs it.
    """
    from core_model.embedded import locate_encoder

    return SentenceEncoder(locate_encoder())
