"""A classifier asked about points in embedding space: between a baseline and a text, or near a text.

    path = EmbeddingPath(predictor, texts)
    path.ask(rows, shares, targets, gradients=True)     # scores, and what each token adds

The baseline of a text is the same text with every token's embedding replaced by that of the padding token; special
tokens stay. A point is given by shares: of each token (or of all), how far it has come from the baseline (0) to the
text (1). Texts and points are flattened into one list and share length-bucketed batches. Points enter by a hook at the
embedding layer, so that models that look at token ids (for positions, padding or the end) still see them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import closing
from functools import cached_property
from threading import get_ident
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.attribution_words import Worded, word_text
from core_model.batching import Ragged
from core_model.errors import DataDamaged, TokenizerUnfit
from core_model.input_embeddings import input_embeddings, replaced
from core_model.length_buckets import plan_batches
from core_model.prediction_inputs import tokenize

if TYPE_CHECKING:
    import torch
    from transformers import BatchEncoding

    from core_model.prediction import Predictor
    from core_model.prediction_forward import Target


class EmbeddingPath:
    """Some texts, tokenized, with their words and their baselines.

    Args:
        predictor: whose model is asked; its forward passes are counted.
        texts, pairs: (rows,).
        of: whether scores are "probability" or "logit".

    Attributes:
        worded: (rows,) the words of each text, as far as the model sees it.
        of_token: (rows,) of (tokens,): which word each token belongs to; -1 for special tokens and the like.
        truncated: how many texts were cut to the model's length.
    """

    reads_twice = True  # an encoder-decoder that classifies reads the text on both sides

    def __init__(
        self,
        predictor: Predictor,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        of: Target = "probability",
    ) -> None:
        self.predictor = predictor
        self.of = of
        found = tokenize(
            predictor.forward.tokenizer, list(texts), None if pairs is None else list(pairs),
            predictor.checkpoint.max_length,
        )  # fmt: skip
        self.ids = Ragged.of(found["input_ids"])
        self.types = Ragged.of(found["token_type_ids"]) if "token_type_ids" in found else None
        self.worded: list[Worded] = []
        self.of_token: list[np.ndarray] = []
        special = []
        self.truncated = 0
        for row, encoding in enumerate(encodings_of(found, len(texts))):
            if not encoding.ids:
                raise DataDamaged(f"the text of row {row + 1} (counted from 1) has no token", mend="leave it out")
            sequence = sequence_of(encoding)
            cut = bool(encoding.overflowing)
            self.truncated += cut
            worded, of_token = word_text(
                texts[row], None if pairs is None else pairs[row], np.array(encoding.offsets), sequence, cut=cut
            )
            self.worded.append(worded)
            self.of_token.append(of_token)
            special.append((sequence < 0).astype(np.int32).tolist())
        self._special = Ragged.of(special)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, (rows,)."""
        return self.ids.lengths

    @property
    def costs(self) -> np.ndarray:
        """What each row takes of a batch's budget, in tokens, (rows,)."""
        return self.lengths

    @property
    def token_budget(self) -> int:
        """Tokens in a batch, padding included."""
        return self.predictor.token_budget

    def select(self, rows: np.ndarray) -> EmbeddingPath:
        """Some of the texts, or some of them several times, without tokenizing again."""
        twin = copy.copy(self)
        lists, chosen = ("worded", "of_token"), np.asarray(rows, dtype=np.int64).tolist()
        for name in lists:
            setattr(twin, name, [getattr(self, name)[row] for row in chosen])
        for name in ("ids", "types", "_special"):
            ragged = getattr(self, name)
            if ragged is not None:
                parts = [ragged.values[ragged.starts[row] : ragged.starts[row + 1]] for row in chosen]
                setattr(twin, name, Ragged.of(parts))
        return twin

    def asking(self, predictor: Predictor) -> EmbeddingPath:
        """The same texts, asked of another model with the same tokenizer and the same embedding sizes."""
        twin = copy.copy(self)
        twin.__dict__.pop("_padding", None)  # the other model's own
        twin.predictor = predictor
        return twin

    def ask(
        self,
        rows: np.ndarray,
        shares: np.ndarray | Sequence[np.ndarray],
        targets: np.ndarray,
        *,
        gradients: bool,
        noise: Sequence[np.ndarray] | None = None,
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """The target's score at each point and, with `gradients`, what each token adds there.

        Args:
            rows: (points,) which text each point is of.
            shares: (points,) numbers, or an array (tokens,) for each point: 0 is the baseline, 1 the text.
            targets: (points,) index of the class whose score is asked.
            gradients: whether to go backwards, too (about twice the cost).
            noise: (points,) of (tokens, hidden): added to the text's embeddings; the baseline stays.
        Returns: scores (points,) float64; and for each point (tokens,) float64: the gradient there times (text minus
            baseline), summed over the embedding; an empty list without `gradients`.
        """
        import torch

        rows = np.asarray(rows, dtype=np.int64)
        targets = np.asarray(targets, dtype=np.int64)
        forward = self.predictor.forward
        points: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # by thread: several batches run at once
        asked: dict[int, np.ndarray] = {}

        def move(output: torch.Tensor) -> torch.Tensor | None:
            batch = asked.pop(get_ident(), None)
            if batch is None:  # somebody else's pass
                return None
            base = torch.where(self._kept(rows[batch], output), output, self._padding.to(output))
            step = output - base
            if noise is not None:
                step = step + self._stacked([noise[point] for point in batch], output)
            share = self._shares(shares, batch, output)
            point = (base + share * step).detach().requires_grad_(gradients)
            points[get_ident()] = (point, step)
            return point

        def run(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            with torch.set_grad_enabled(gradients):
                asked[get_ident()] = batch
                chosen = self.scores_of(rows[batch], targets[batch])
                point, step = points.pop(get_ident())
                if not gradients:
                    return chosen.cpu().numpy(), None
                # Rows do not touch each other, so the gradient of the sum holds each row's own.
                (slope,) = torch.autograd.grad(chosen.sum(), point)
            return chosen.detach().cpu().numpy(), (slope * step).float().sum(dim=-1).cpu().numpy()

        scores = np.zeros(len(rows))
        added: list[np.ndarray] = [np.zeros(0)] * len(rows) if gradients else []
        with replaced(forward.model, move, on_both_sides=self.reads_twice):
            plan = plan_batches(self.costs[rows], self.token_budget, padding=forward.can_pad)
            with closing(forward.each(plan, run, self.predictor.threads)) as found:
                for batch, (some, tokens) in found:
                    self.predictor.forward_passes += len(batch)
                    scores[batch] = some
                    if tokens is not None:
                        for place, point in enumerate(batch):
                            added[point] = tokens[place, : self.lengths[rows[point]]].astype(np.float64)
        return scores, added

    def scores_of(self, rows: np.ndarray, targets: np.ndarray) -> torch.Tensor:
        """The target's score of some texts as the model is now, (rows,), as one batch."""
        import torch

        forward = self.predictor.forward
        logits = forward.short(**forward.batch(self.ids, self.types, rows)).logits.float()
        scores = logits if self.of == "logit" else logits.softmax(dim=-1)
        return scores.gather(1, torch.from_numpy(targets)[:, None].to(logits.device)).squeeze(1)

    def embeddings(self, row: int) -> np.ndarray:
        """A text's input embeddings, (tokens, hidden) float32."""
        import torch

        forward = self.predictor.forward
        ids = torch.from_numpy(self.ids.padded(np.array([row]), forward.pad)).to(forward.device)
        with torch.inference_mode():
            return np.asarray(input_embeddings(forward.model)(ids)[0].float().cpu().numpy())

    @cached_property
    def _padding(self) -> torch.Tensor:
        """Embedding of the padding token, (hidden,); zeros where the tokenizer has none."""
        import torch

        layer: Any = input_embeddings(self.predictor.forward.model)
        token = self.predictor.forward.tokenizer.pad_token_id
        weight = layer.weight
        if token is None or token >= len(weight):
            return torch.zeros(weight.shape[1], device=weight.device)
        with torch.inference_mode():
            found = layer(torch.tensor([token], device=weight.device))[0]
        return found.clone().detach()

    def _kept(self, rows: np.ndarray, like: torch.Tensor) -> torch.Tensor:
        """Which tokens stand in the baseline, too: the special ones, (rows, tokens, 1) bool."""
        import torch

        return torch.from_numpy(self._special.padded(rows, 1) > 0)[:, :, None].to(like.device)

    def _shares(self, shares: np.ndarray | Sequence[np.ndarray], batch: np.ndarray, like: torch.Tensor) -> torch.Tensor:
        import torch

        if isinstance(shares, np.ndarray) and shares.ndim == 1 and shares.dtype != object:
            return torch.from_numpy(shares[batch].astype(np.float32))[:, None, None].to(like)
        matrix = np.ones((len(batch), like.shape[1]), dtype=np.float32)
        for line, point in enumerate(batch):
            matrix[line, : len(shares[point])] = shares[point]
        return torch.from_numpy(matrix)[:, :, None].to(like)

    def _stacked(self, parts: Sequence[np.ndarray], like: torch.Tensor) -> torch.Tensor:
        import torch

        block = np.zeros(tuple(like.shape), dtype=np.float32)
        for line, part in enumerate(parts):
            block[line, : len(part)] = part
        return torch.from_numpy(block).to(like)


def encodings_of(found: BatchEncoding, texts: int) -> Sequence[Any]:
    """What a fast tokenizer says of each text's tokens.

    Raises: TokenizerUnfit where it does not say where they stand.
    """
    encodings = found.encodings or []
    if texts and not encodings:
        raise TokenizerUnfit(
            "this tokenizer does not say where its tokens stand in a text, so that words cannot be scored",
            mend="save the checkpoint with a fast tokenizer (tokenizer.json)",
        )
    return encodings


def sequence_of(encoding: Any) -> np.ndarray:
    """Of each token 0 for the text, 1 for its pair, -1 for special tokens, (tokens,) int64."""
    return np.array([-1 if number is None else number for number in encoding.sequence_ids], dtype=np.int64)
