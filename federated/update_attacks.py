"""Attacks on the very updates that left a client: which rows were in them, and which words?

What it measures  What a server that keeps to the protocol reads out of what it is sent: one client's update without
                  secure aggregation, the sum of all with it. Each attack returns one score for each candidate, higher
                  for "was in"; estimates with intervals are made of them elsewhere.
Membership        A step goes against the gradients of the rows it was made from. Three scores of a row: the cosine of
                  the update, turned round, with its gradient at the global model (alignment); its coefficient where
                  the update is written as a sum of all candidates' gradients (attribution: exact for one step of SGD,
                  as Li et al.'s premise is that gradients are nearly independent); how far its loss falls.
Words             The gradient of an embedding is 0 for every token that is not in a batch: its rows that moved are the
                  words that the client wrote. Weight decay, which moves all of them, is known to the server, which
                  asked for it, and is taken off first.
What it is not    The strongest attack: nothing is optimized, and no shadow models are trained. A score of chance says
                  that these attacks fail, not that all do.
Source            Nasr, Shokri and Houmansadr 2019, arXiv:1812.00910; Li, Li and Ribeiro, ICLR 2023 (cosine); Melis et
                  al. 2019, arXiv:1805.04049, and Gupta et al. 2022, arXiv:2205.08514 (words in embedding gradients).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from federated.arrays import Update, add, norm

if TYPE_CHECKING:
    from federated.workbench import Workbench

SKETCH = 8_192  # numbers that stand for a gradient: more than there are candidates
SMALLEST_DIRECTION = 1e-6  # of the candidates' gradients, over the largest: below, float32 leaves noise
ROUNDING = 1e-6  # share of an embedding's length that float32 may move it by without a gradient


@dataclass(frozen=True)
class MembershipScores:
    """One score for each candidate row, higher for "was trained on".

    Attributes:
        alignment: cosine of the update, turned round, with the row's gradient; in [-1, 1].
        attribution: coefficient of the row's gradient in the update, turned round (least squares).
        loss_drop: loss of the row before the update less after it, in nats.
    """

    alignment: np.ndarray
    attribution: np.ndarray
    loss_drop: np.ndarray


@dataclass(frozen=True)
class TokenScores:
    """One score for each token of the vocabulary, higher for "was in a batch".

    Attributes:
        moved: how far the token's embedding moved beyond weight decay, (vocabulary,).
        seen: whether it moved at all, (vocabulary,) bool. Without noise no other token is among them, and only those
            are missing whose gradient is lost in the rounding of float32.
    """

    moved: np.ndarray
    seen: np.ndarray


def membership_scores(
    bench: Workbench, start: Update, update: Update, rows: Sequence[int] | np.ndarray, *, head: Update | None = None
) -> MembershipScores:
    """All attacks on candidate rows, by one update; see `scores_of_each`."""
    [found] = scores_of_each(bench, start, [update], rows, head=head)
    return found


def scores_of_each(
    bench: Workbench,
    start: Update,
    updates: Sequence[Update],
    rows: Sequence[int] | np.ndarray,
    *,
    head: Update | None = None,
) -> list[MembershipScores]:
    """All attacks on candidate rows, by each of the updates of a round.

    A row's gradient is computed once for all of them: one gradient a row, and one more forward pass for each update.

    Args:
        bench: its rows are the candidates' pool.
        start: the global model that the clients began from.
        updates: what is seen: of one client each, or the mean of all.
        rows: indices of the bench's rows.
    """
    lengths, sketcher = [norm(update) for update in updates], Sketcher(start)
    before, aligned, sketches = [], [], []
    with bench.loaded(start, head) as model:
        model.eval()
        for loss, gradient in _row_gradients(bench, model, rows, start):  # one at a time: they are as long as a model
            before.append(loss)
            own = _dot(gradient, gradient) ** 0.5
            aligned.append([_cosine(u, gradient, length * own) for u, length in zip(updates, lengths, strict=True)])
            sketches.append(sketcher.of(gradient))
    found = []
    for place, update in enumerate(updates):
        with bench.loaded(add(start, update), head) as model:
            model.eval()
            after = _losses(bench, model, rows)
        coefficients = gradient_attribution(sketcher.of(update), np.array(sketches))
        alignment = np.array([cosines[place] for cosines in aligned])
        found.append(MembershipScores(alignment, coefficients, np.array(before) - after))
    return found


def gradient_alignment(update: Mapping[str, np.ndarray], gradient: Mapping[str, np.ndarray]) -> float:
    """Cosine of the update, turned round, with a gradient; 0 where either has no length."""
    return _cosine(update, gradient, norm(update) * norm(gradient))


def sketch(update: Mapping[str, np.ndarray], width: int = SKETCH) -> np.ndarray:
    """A short stand-in of an update or a gradient, (width,) float64; see `Sketcher`."""
    return Sketcher(update, width).of(update)


class Sketcher:
    """Short stand-ins: numbers with random signs, added up in `width` buckets in turn.

    They are linear: a sum of gradients has the sum of their sketches, so that what is solved for in sketches is right
    for the whole; a sketch of every row fits where a gradient of every row would not. Up to `width` numbers are kept
    one by one. Signs are drawn once for all rows: for millions of numbers that takes longer than a row's gradient.

    Args:
        like: names and shapes; the order of the names, in which files and models differ, does not matter.
        width: buckets.
    Source: Charikar, Chen and Farach-Colton 2002 (count sketch; buckets in turn here, which costs a tenth).
    """

    def __init__(self, like: Mapping[str, np.ndarray], width: int = SKETCH) -> None:
        random, self.names = np.random.default_rng(0), sorted(like)
        sizes = [like[name].size for name in self.names]
        self.ends = np.cumsum(sizes)
        self.signs = 1 - 2 * random.integers(2, size=sum(sizes), dtype=np.int8)
        self.signed = np.zeros((-(-sum(sizes) // width), width), np.result_type(*like.values()))

    def of(self, update: Mapping[str, np.ndarray]) -> np.ndarray:
        """The sketch, (width,) float64."""
        flat, begin = self.signed.reshape(-1), 0
        for name, end in zip(self.names, self.ends, strict=True):
            np.multiply(update[name].ravel(), self.signs[begin:end], out=flat[begin:end], casting="same_kind")
            begin = end
        return np.asarray(self.signed.sum(axis=0, dtype=np.float64))


def gradient_attribution(update: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Coefficients x of the least squares fit update = - gradients^T x, of the least length.

    Args:
        update: sketched, (width,).
        gradients: sketched, (rows, width); more rows than `width` cannot be told apart.
    Returns: (rows,).
    """
    fitted = np.linalg.lstsq(gradients.T, -update, rcond=SMALLEST_DIRECTION)
    return np.asarray(fitted[0])


def token_scores(update: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray], *, name: str,
                 decay: float = 0.0) -> TokenScores:  # fmt: skip
    """Which tokens were in the batches behind an update.

    Args:
        name: of the embedding, (vocabulary, width); see `embedding_name`.
        decay: share by which weight decay alone moved every weight; see `decay_of`.
    """
    weights = start[name].astype(np.float64)
    moved = np.linalg.norm(update[name] - decay * weights, axis=1)
    return TokenScores(moved, moved > ROUNDING * np.linalg.norm(weights, axis=1))


def common_decay(update: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray], *, name: str) -> float:
    """The share by which weight decay alone moved an embedding, read from the update itself.

    What `decay_of` computes for one client that nobody clips, an attacker can see in any update, a clipped or a
    weighted one too, and in a sum: of tokens without a gradient all embeddings moved by one and the same share. It is
    the median share of the quarter of tokens whose move is most nearly along their embedding.

    Returns: 0 where hardly any token moved along its embedding; with every token in the batch it means nothing, and
        takes nothing of what is seen away.
    """
    weights, moved = start[name].astype(np.float64), update[name].astype(np.float64)
    squares = np.square(weights).sum(axis=1)
    known = squares > 0
    weights, moved, squares = weights[known], moved[known], squares[known]
    if not len(squares):
        return 0.0
    shares = (weights * moved).sum(axis=1) / squares
    aside = np.linalg.norm(moved - shares[:, None] * weights, axis=1) / np.sqrt(squares)
    return float(np.median(shares[np.argsort(aside, kind="stable")[: max(len(shares) // 4, 1)]]))


def decay_of(*, learning_rate: float, weight_decay: float, steps: int) -> float:
    """(1 - rate decay)^steps - 1: what is added to a weight that has no gradient, over the weight itself."""
    return float((1 - learning_rate * weight_decay) ** steps - 1)


def embedding_name(model: Any) -> str | None:
    """Name of the model's word embedding among its shared parameters; None where it is not trained."""
    wanted = model.get_input_embeddings().weight
    return next((n for n, parameter in model.named_parameters() if parameter is wanted and wanted.requires_grad), None)


def _row_gradients(
    bench: Workbench, model: Any, rows: Sequence[int] | np.ndarray, like: Update
) -> Iterator[tuple[float, Update]]:
    """Loss and gradient of each row alone, of the shared parameters."""
    parameters = {name: parameter for name, parameter in model.named_parameters() if name in like}
    for row in rows:
        model.zero_grad(set_to_none=True)
        loss = _loss(bench, model, int(row))
        loss.backward()
        gradient = {
            name: np.zeros(tuple(p.shape), np.float32) if p.grad is None else p.grad.detach().cpu().numpy()
            for name, p in parameters.items()
        }
        yield float(loss.detach()), gradient
    model.zero_grad(set_to_none=True)


def _losses(bench: Workbench, model: Any, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return np.array([float(_loss(bench, model, int(row))) for row in rows])


def _loss(bench: Workbench, model: Any, row: int) -> Any:
    """Mean loss of a row alone; over all of its windows, where the task cuts rows into several."""
    from core_model.training_step import to_device

    examples: Any = bench.task.training
    origins = getattr(examples, "origins", None)
    places = np.array([row]) if origins is None else np.flatnonzero(origins == row)
    return bench.task.loss(model, to_device(bench.task.batch(examples, places), bench.device), 0.0)


def _cosine(update: Mapping[str, np.ndarray], gradient: Mapping[str, np.ndarray], lengths: float) -> float:
    return -_dot(update, gradient) / lengths if lengths > 0 else 0.0


def _dot(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    """In the arrays' own type within each array: a hundred times as fast, and exact enough for a cosine."""
    return sum(float(np.dot(array.ravel(), other[name].ravel())) for name, array in one.items())
