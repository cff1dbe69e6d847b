"""Trigger inversion: which few tokens, put before any text, make a classifier say one class?

A backdoored model answers with the attacker's class wherever a trigger stands. The trigger is not known, so it is
searched: for each class the tokens that raise that class's margin most over rows of all other classes. The gradient of
the margin with respect to a token's embedding ranks the whole vocabulary to first order (HotFlip); the best are tried
on a few rows, the best of these on more, and the search goes on from there; longer sequences grow from the best token.

A sound model has words that turn many of its answers, too. What is found is therefore evidence only beside a null: what
such searches find in sound models (`python -m benchmarks.backdoor`), and what the same tokens do to a reference model.

Tokens are inserted as tokens, not as text: the middle of a word can be a trigger, and no tokenizer takes it apart.
Sources: Wang et al. 2019 (Neural Cleanse), IEEE S&P, doi:10.1109/SP.2019.00031; Liu et al. 2022 (PICCOLO), IEEE S&P;
Ebrahimi et al. 2018 (HotFlip), arXiv:1712.06751.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import get_ident
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.batching import Ragged
from core_model.input_embeddings import input_embeddings, replaced
from core_model.length_buckets import plan_batches
from core_model.prediction_inputs import tokenize

if TYPE_CHECKING:
    import torch

    from core_model.prediction import Predictor

FINALISTS = 20  # single tokens that are tried on all rows of the search
FEW = 6  # rows that every candidate is tried on; the best ones go on to all rows


@dataclass(frozen=True)
class Inversion:
    """The best sequence of each length for one class.

    Attributes:
        target: the class. sequences: token ids, shortest first; empty where no token can be tried.
        margins: mean margin (logits) of the class with each sequence, on the rows of the search.
        turned: share of these rows that each turns.
        singles: the tokens that were tried alone on all these rows, best first.
    """

    target: int
    sequences: tuple[tuple[int, ...], ...]
    margins: tuple[float, ...]
    turned: tuple[float, ...]
    singles: tuple[int, ...]


class TriggerSearch:
    """Texts of a model that tokens are put before.

    Args:
        predictor: a classifier with gradients. texts: (rows,).
        room: tokens that are kept free for a trigger.
    """

    def __init__(self, predictor: Predictor, texts: Sequence[str], *, room: int = 3) -> None:
        self.predictor, self.forward = predictor, predictor.forward
        length = predictor.checkpoint.max_length - room
        found = tokenize(self.forward.tokenizer, list(texts), None, length)
        self.ids: list[list[int]] = found["input_ids"]
        self.has_types = "token_type_ids" in found
        special = set(self.forward.tokenizer.all_special_ids)
        first = self.ids[0][:1] if self.ids else []
        self.place = 1 if first and first[0] in special else 0
        self.allowed = allowed_tokens(self.forward.tokenizer, int(self.vectors.shape[0]))

    @property
    def vectors(self) -> np.ndarray:
        """The embedding of each token, (vocabulary, hidden) float32."""
        layer: Any = input_embeddings(self.forward.model)
        vectors: np.ndarray = layer.weight.detach().float().cpu().numpy()
        return vectors

    def margins(self, triggers: Sequence[Sequence[int]], rows: Sequence[int], target: int) -> np.ndarray:
        """How far the class is ahead of every other with each trigger before each row, (triggers, rows) logits."""
        inputs = Ragged.of([self._with(trigger, row) for trigger in triggers for row in rows])
        types = Ragged(np.zeros_like(inputs.values), inputs.starts) if self.has_types else None
        found = np.zeros(len(inputs))

        def run(batch: np.ndarray) -> np.ndarray:
            records, _ = self.forward.logits(inputs, types, batch)
            logits = np.stack([np.frombuffer(record, dtype=np.float32) for record in records])
            return logits[:, target] - np.delete(logits, target, axis=1).max(axis=1)

        plan = plan_batches(inputs.lengths, self.predictor.token_budget, padding=self.forward.can_pad)
        for batch, values in self.forward.each(plan, run, self.predictor.threads):
            found[batch] = values
        self.predictor.forward_passes += len(inputs)
        return found.reshape(len(triggers), len(rows))

    def slopes(self, trigger: Sequence[int], rows: Sequence[int], target: int) -> np.ndarray:
        """Mean gradient of the margin at each token of a trigger, (length, hidden)."""
        import torch

        inputs = Ragged.of([self._with(trigger, row) for row in rows])
        types = Ragged(np.zeros_like(inputs.values), inputs.starts) if self.has_types else None
        caught: dict[int, torch.Tensor] = {}

        def catch(output: torch.Tensor) -> torch.Tensor:
            caught[get_ident()] = output.detach().requires_grad_(True)
            return caught[get_ident()]

        def run(batch: np.ndarray) -> np.ndarray:
            with torch.enable_grad():
                logits = self.forward.model(**self.forward.batch(inputs, types, batch)).logits.float()
                others = logits.index_fill(1, torch.tensor([target], device=logits.device), -torch.inf)
                margin = logits[:, target] - others.amax(dim=1)
                (gradient,) = torch.autograd.grad(margin.sum(), caught.pop(get_ident()))
            inside = gradient[:, self.place : self.place + len(trigger)]
            summed: np.ndarray = inside.sum(dim=0).float().cpu().numpy()
            return summed

        plan = plan_batches(inputs.lengths, self.predictor.token_budget, padding=self.forward.can_pad)
        with replaced(self.forward.model, catch):
            total = sum(slope for _, slope in self.forward.each(plan, run, self.predictor.threads))
        self.predictor.forward_passes += 2 * len(inputs)
        return np.asarray(total) / len(rows)

    def invert(
        self,
        target: int,
        rows: Sequence[int],
        random: np.random.Generator,
        *,
        candidates: int = 48,
        longest: int = 2,
        enough: float = 0.95,
        among: np.ndarray | None = None,
    ) -> Inversion:
        """Search a trigger for a class.

        Args:
            target: the class. rows: of the texts that are not answered so; 1 or more.
            random: draws the tokens that the search begins with.
            candidates: tokens tried for each gradient.
            longest: tokens of a sequence; it ends at a shorter one that turns the share `enough` of the rows.
            among: ids of the tokens that are searched, one or more; None: all that can stand in a text.
        """
        pool = self.allowed if among is None else among
        tried: dict[int, float] = {}
        few = list(rows[:FEW])
        starts = [(int(token),) for token in random.choice(pool, min(4, len(pool)), replace=False)]
        for _ in range(2):
            new: list[int] = []
            for start in starts:
                ranked = self._ranked(self.slopes(start, few, target)[0], candidates, pool)
                new += [token for token in ranked if token not in tried]
            new = list(dict.fromkeys(new))
            tried.update(zip(new, self._means([(token,) for token in new], few, target), strict=True))
            starts = [(token,) for token in _best(tried, 3)]
        finalists = _best(tried, FINALISTS)
        margins = self.margins([(token,) for token in finalists], rows, target)
        order = np.argsort(-margins.mean(axis=1), kind="stable")
        found: list[tuple[tuple[int, ...], np.ndarray]] = [((finalists[order[0]],), margins[order[0]])]
        while len(found) < longest and (found[-1][1] > 0).mean() < enough:
            found.append(
                self._longer(found[-1], [finalists[place] for place in order[:8]], rows, target, candidates // 4, pool)
            )
        return Inversion(
            target,
            tuple(sequence for sequence, _ in found),
            tuple(float(values.mean()) for _, values in found),
            tuple(float((values > 0).mean()) for _, values in found),
            tuple(finalists[place] for place in order),
        )

    def _longer(
        self,
        best: tuple[tuple[int, ...], np.ndarray],
        seeds: Sequence[int],
        rows: Sequence[int],
        target: int,
        tries: int,
        pool: np.ndarray,
    ) -> tuple[tuple[int, ...], np.ndarray]:
        """A sequence of one token more: the best token with another of the best, then each place improved once."""
        pairs = [(*best[0], token) for token in seeds]
        margins = self.margins(pairs, rows, target)
        top = int(margins.mean(axis=1).argmax())
        sequence, values = pairs[top], margins[top]
        for place in range(len(sequence)):
            ranked = self._ranked(self.slopes(sequence, list(rows[:FEW]), target)[place], tries, pool)
            others = [(*sequence[:place], token, *sequence[place + 1 :]) for token in ranked]
            margins = self.margins(others, rows, target)
            top = int(margins.mean(axis=1).argmax())
            if margins[top].mean() > values.mean():
                sequence, values = others[top], margins[top]
        return sequence, values

    def _means(self, triggers: Sequence[Sequence[int]], rows: Sequence[int], target: int) -> list[float]:
        if not triggers:
            return []
        means: list[float] = self.margins(triggers, rows, target).mean(axis=1).tolist()
        return means

    def _ranked(self, slope: np.ndarray, count: int, pool: np.ndarray) -> list[int]:
        """The tokens of the pool that a step along the slope reaches best, to first order."""
        scores = self.vectors[pool] @ slope
        return [int(pool[place]) for place in np.argsort(-scores, kind="stable")[:count]]

    def _with(self, trigger: Sequence[int], row: int) -> list[int]:
        ids = self.ids[row]
        return [*ids[: self.place], *trigger, *ids[self.place :]]

    def written(self, trigger: Sequence[int]) -> str:
        """The trigger as text."""
        return str(self.forward.tokenizer.decode(list(trigger))).strip()


def allowed_tokens(tokenizer: Any, vocabulary: int) -> np.ndarray:
    """Ids that can stand in a text: not special, not kept for later use, and of something that can be seen."""
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(range(min(vocabulary, len(tokenizer)))))
    return np.array(
        [
            number
            for number, token in enumerate(tokens)
            if number not in special and token and not token.startswith(("[unused", "<unused")) and token.strip("▁Ġ# ")
        ],
        dtype=np.int64,
    )


def _best(tried: dict[int, float], count: int) -> list[int]:
    return sorted(tried, key=lambda token: (-tried[token], token))[:count]
