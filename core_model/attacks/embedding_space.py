"""Texts moved in embedding space: how far must they go before the model says something else?

    FGSM   one step along the gradient                Goodfellow et al. 2015, arXiv:1412.6572; on embeddings and with
                                                      the L2 norm: Miyato et al. 2017, arXiv:1605.07725
    PGD    several steps, each back onto the ball     Madry et al. 2018, arXiv:1706.06083

Radii are in units of the text's own embeddings, so that they mean the same for every model and length: of their
Frobenius norm for L2 (the unit of `--adversarial-radius`), of their root mean square for L-infinity. Special tokens
stay. Nothing is drawn: the way begins at the text. A text that fell at a small radius has fallen at every larger one,
because its ball holds the smaller; it is not attacked again, so that accuracy cannot rise with the radius.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from threading import get_ident
from typing import TYPE_CHECKING, Literal

import numpy as np

from core_model.batching import Ragged
from core_model.errors import OptionUnfit
from core_model.input_embeddings import replaced
from core_model.length_buckets import plan_batches
from core_model.prediction_inputs import tokenize

if TYPE_CHECKING:
    import torch

    from core_model.prediction import Predictor

Norm = Literal["L2", "Linf"]
NORMS: tuple[Norm, ...] = ("L2", "Linf")
PACE = 2.5  # step times steps, in radii, as in Madry's and FreeLB's settings


@dataclass(frozen=True)
class Fallen:
    """What an attack in embedding space did.

    Attributes:
        radii: (radii,) ascending.
        right: (radii, rows) of bool: whether the model still says the target with the text moved so far.
        flat: whether the gradient is 0 at every row, so that there is no way to go.
        forward_passes: rows that went through the model, backward passes included.
    """

    radii: tuple[float, ...]
    right: np.ndarray
    flat: bool
    forward_passes: int


class EmbeddedTexts:
    """Texts as points in embedding space, and the model asked near them."""

    def __init__(self, predictor: Predictor, texts: Sequence[str], pairs: Sequence[str] | None = None) -> None:
        self.predictor = predictor
        tokenizer = predictor.forward.tokenizer
        found = tokenize(
            tokenizer, list(texts), None if pairs is None else list(pairs), predictor.checkpoint.max_length
        )
        self.ids = Ragged.of(found["input_ids"])
        self.types = Ragged.of(found["token_type_ids"]) if "token_type_ids" in found else None
        special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        self.movable = [~np.isin(self.ids.row(row), list(special)) for row in range(len(self.ids))]
        self.forward_passes = 0

    def __len__(self) -> int:
        return len(self.ids)

    def ask(
        self, rows: np.ndarray, shifts: Sequence[np.ndarray | None], targets: np.ndarray, *, gradients: bool
    ) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """What the model says of some texts with their embeddings shifted.

        Args:
            rows: (points,); shifts: (points,) of (tokens, hidden), or None for the text itself.
            targets: (points,) index of the class whose cross-entropy is differentiated.
        Returns: predicted classes (points,); with `gradients`, of each point the gradient of the loss and the text's
            own embeddings, (tokens, hidden) float32 each, 0 where a token may not move.
        """
        import torch

        forward = self.predictor.forward
        asked: dict[int, np.ndarray] = {}  # by thread: several batches run at once
        met: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

        def move(output: torch.Tensor) -> torch.Tensor | None:
            batch = asked.pop(get_ident(), None)
            if batch is None:  # somebody else's pass
                return None
            block = np.zeros(tuple(output.shape), dtype=np.float32)
            for line, point in enumerate(batch):
                shift = shifts[point]
                if shift is not None:
                    block[line, : len(shift)] = shift
            at = (output + torch.from_numpy(block).to(output)).detach().requires_grad_(gradients)
            met[get_ident()] = (at, output.detach())
            return at

        def run(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
            with torch.set_grad_enabled(gradients):
                asked[get_ident()] = batch
                logits = forward.model(**forward.batch(self.ids, self.types, rows[batch])).logits.float()
                at, base = met.pop(get_ident())
                said = logits.argmax(dim=-1).cpu().numpy()
                if not gradients:
                    return said, None, None
                wanted = torch.from_numpy(targets[batch]).to(logits.device)
                loss = torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
                (slope,) = torch.autograd.grad(loss, at)
            return said, slope.float().cpu().numpy(), base.float().cpu().numpy()

        predicted = np.zeros(len(rows), dtype=np.int64)
        slopes: list[np.ndarray] = [np.zeros(0)] * (len(rows) if gradients else 0)
        bases = list(slopes)
        with replaced(forward.model, move):
            plan = plan_batches(self.ids.lengths[rows], self.predictor.token_budget, padding=forward.can_pad)
            with closing(forward.each(plan, run, self.predictor.threads)) as found:
                for batch, (said, slope, base) in found:
                    self.forward_passes += len(batch)
                    predicted[batch] = said
                    if slope is None or base is None:
                        continue
                    for place, point in enumerate(batch):
                        mask = self.movable[rows[point]][:, None]
                        slopes[point] = slope[place, : len(mask)] * mask
                        bases[point] = base[place, : len(mask)] * mask
        return predicted, slopes, bases


def fgsm(texts: EmbeddedTexts, targets: np.ndarray, radii: Sequence[float], *, norm: Norm) -> Fallen:
    """One step along the gradient at the text, as long as the radius.

    Args:
        targets: (rows,) index of the class that is right.
        radii: in units of the text's embeddings; 0 is the text itself.
    Raises: OptionUnfit for radii that do not ascend from 0 or more.
    """
    return _attack(texts, targets, radii, norm=norm, steps=1, pace=1.0)


def pgd(texts: EmbeddedTexts, targets: np.ndarray, radii: Sequence[float], *, norm: Norm, steps: int) -> Fallen:
    """Several steps along the gradient, each `2.5 / steps` radii long, and back onto the ball after each.

    Args and raises: as in `fgsm`.
    """
    return _attack(texts, targets, radii, norm=norm, steps=steps, pace=PACE)


def _attack(
    texts: EmbeddedTexts, targets: np.ndarray, radii: Sequence[float], *, norm: Norm, steps: int, pace: float
) -> Fallen:
    if any(radius < 0 for radius in radii) or list(radii) != sorted(set(radii)):
        raise OptionUnfit(f"radii = {list(radii)}: they do not ascend from 0 or more", mend="radii = 0.05, 0.1, 0.2")
    targets = np.asarray(targets, dtype=np.int64)
    passes = texts.forward_passes
    rows = np.arange(len(texts))
    said, slopes, bases = texts.ask(rows, [None] * len(rows), targets, gradients=True)
    standing = said == targets
    right = np.zeros((len(radii), len(rows)), dtype=bool)
    for place, radius in enumerate(radii):
        left = np.flatnonzero(standing)
        if radius > 0 and len(left):
            shifts: list[np.ndarray] = [np.zeros_like(bases[row]) for row in left]
            here = [slopes[row] for row in left]
            for step in range(steps):
                shifts = [
                    onto_ball(shift + _step(slope, norm) * _unit(bases[row], norm) * radius * pace / steps,
                              _unit(bases[row], norm) * radius, norm)
                    for row, shift, slope in zip(left, shifts, here, strict=True)
                ]  # fmt: skip
                last = step + 1 == steps
                said, here, _ = texts.ask(left, shifts, targets[left], gradients=not last)
                still = said == targets[left]
                standing[left[~still]] = False  # wherever on the way it fell, that point lies in the ball
                if not last:
                    left = left[still]
                    shifts = [shift for shift, stands in zip(shifts, still, strict=True) if stands]
                    here = [slope for slope, stands in zip(here, still, strict=True) if stands]
                if not len(left):
                    break
        right[place] = standing
    flat = not any(slope.any() for slope in slopes)
    return Fallen(tuple(radii), right, flat, texts.forward_passes - passes)


def _unit(base: np.ndarray, norm: Norm) -> float:
    """The length that radius 1 means: the Frobenius norm of the movable embeddings, or their root mean square."""
    if norm == "L2":
        return float(np.linalg.norm(base))
    moved = base[np.abs(base).any(axis=1)]
    return float(np.sqrt((moved**2).mean())) if len(moved) else 0.0


def _step(slope: np.ndarray, norm: Norm) -> np.ndarray:
    """The direction of length 1 that raises the loss most, to first order; none where there is no gradient."""
    if norm == "Linf":
        return np.sign(slope)
    length = float(np.linalg.norm(slope))
    return slope / length if length > 0 else slope


def onto_ball(shift: np.ndarray, radius: float, norm: Norm) -> np.ndarray:
    """The nearest point of the ball around 0."""
    if norm == "Linf":
        return np.clip(shift, -radius, radius)
    length = float(np.linalg.norm(shift))
    return shift * (radius / length) if length > radius else shift
