"""Integrated gradients with as few gradients as the way allows: points where the model turns, none where it is calm.

A confident model goes from one answer to the other within a thousandth of the way, and hardly moves elsewhere. So the
way begins with a few even points, and while it is in doubt, the stretch most in doubt is halved. Two things are known
of every stretch: what its gradients must sum to (the change of the score along it, completeness), and how far two rules
for every single word are apart. Stretches err to either side, so that their doubts add as the root of their squares;
half as much again keeps it above the error. No point is ever asked again: curves go through all of them.

A probability bends where its log-odds still go straight on: its slope is theirs times p (1 - p). So it is the log-odds
that curves are laid through, and p (1 - p) is multiplied in between the points, too.

Source: adaptive quadrature by bisection (Piessens et al. 1983, QUADPACK), with splines as the rule, because they take
points wherever they lie, and Akima's curves beside them (Akima 1970, doi:10.1145/321607.321609); completeness
(Sundararajan et al. 2017, arXiv:1703.01365, proposition 1) as the exact error of a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core_model.attribution_path import EmbeddingPath
    from core_model.prediction_forward import Target

FIRST = 5  # even points to begin with, both ends among them
MOST_STEPS = 400  # gradients of one text
SMALLEST = 2.0**-20  # share of the way; a float32 cannot tell the ends of a much shorter stretch apart
OVER_THE_ROOT = 1.5  # of the sum of squared doubts; `benchmarks.explain` shows the error that this leaves
LEAST = 1e-7  # of 1 - p: a float32 knows no less
NODES = 16  # between two points, where curves are cheap and the model is not asked


@dataclass(frozen=True, eq=False)
class Way:
    """One text's points, in order from the baseline (0) to the text (1).

    Attributes:
        shares: (points,) how far each is.
        scores: (points,) of the class.
        slopes: (points, tokens) what each token adds there, per share of the way.
        of: what the scores are.
    """

    shares: np.ndarray
    scores: np.ndarray
    slopes: np.ndarray
    of: Target = "logit"

    @property
    def parts(self) -> np.ndarray:
        """What each token adds along each stretch, (points - 1, tokens), by splines."""
        return self._by_two_rules[0]

    @property
    def change(self) -> float:
        """What the text changes against the baseline."""
        return float(self.scores[-1] - self.scores[0])

    def doubts(self, of_words: np.ndarray) -> np.ndarray:
        """How far each stretch may be from the truth, (points - 1,), in units of the score.

        Args:
            of_words: (tokens, words) 1 where the token belongs to the word.
        """
        parts, others = self._by_two_rules
        return np.asarray(np.abs(self._missed) + np.abs((parts - others) @ of_words).max(axis=1, initial=0.0))

    def doubt(self, doubts: np.ndarray) -> float:
        """How far the whole way may be from the truth, in units of the score; never less than its completeness error.

        Args:
            doubts: of its stretches.
        """
        by_root = OVER_THE_ROOT * float(np.linalg.norm(doubts))
        return max(by_root, abs(float(self._missed.sum())))

    @property
    def _missed(self) -> np.ndarray:
        """What each stretch's parts lack of the change of the score along it, (points - 1,)."""
        return np.asarray(np.diff(self.scores) - self.parts.sum(axis=1))

    @cached_property
    def _by_two_rules(self) -> tuple[np.ndarray, np.ndarray]:
        """What each token adds along each stretch, by splines and by Akima's curves."""
        from scipy.interpolate import Akima1DInterpolator, CubicHermiteSpline, CubicSpline
        from scipy.special import expit

        nodes, weights = _nodes()
        lengths = np.diff(self.shares)[:, None]
        between, counts = self.shares[:-1, None] + lengths * (nodes + 1) / 2, lengths * weights / 2
        slopes = self.slopes
        if self.of == "probability":
            scores = np.clip(self.scores, LEAST, 1 - LEAST)
            of_odds = scores * (1 - scores)
            slopes = slopes / of_odds[:, None]
            odds = CubicHermiteSpline(self.shares, np.log(scores / (1 - scores)), slopes.sum(axis=1))(between)
            counts = counts * expit(odds) * expit(-odds)  # p (1 - p)
        spline, akima = (
            np.einsum("sn,snt->st", counts, rule(self.shares, slopes)(between))
            for rule in (CubicSpline, Akima1DInterpolator)
        )
        return spline, akima

    def with_points(self, shares: np.ndarray, scores: np.ndarray, slopes: np.ndarray) -> Way:
        """The same way with more points."""
        every = np.concatenate([self.shares, shares])
        order = np.argsort(every)
        return Way(
            every[order],
            np.concatenate([self.scores, scores])[order],
            np.concatenate([self.slopes, slopes])[order],
            self.of,
        )


@cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(NODES)


def halved_where_in_doubt(
    path: EmbeddingPath,
    targets: np.ndarray,
    *,
    tolerance: np.ndarray,
    noise: Sequence[np.ndarray] | None = None,
    most: int = MOST_STEPS,
) -> list[Way]:
    """The way of each text, halved until its doubt is within the tolerance, or `most` points are spent.

    All texts go on side by side, so that their points share batches.

    Args:
        targets: (texts,) the class; tolerance: (texts,) in units of the score.
        noise: (texts,) of (tokens, hidden), added to the texts' embeddings.
    """
    of_words = [
        (of_token[:, None] == np.arange(len(worded))).astype(np.float64)
        for of_token, worded in zip(path.of_token, path.worded, strict=True)
    ]
    ways: list[Way | None] = [None] * len(path)
    wanted = {row: np.linspace(0, 1, FIRST) for row in range(len(path))}
    while wanted:
        rows = np.repeat(list(wanted), [len(shares) for shares in wanted.values()])
        shares = np.concatenate(list(wanted.values()))
        around = None if noise is None else [noise[row] for row in rows]
        scores, slopes = path.ask(rows, shares, targets[rows], gradients=True, noise=around)
        ends = np.cumsum([len(more) for more in wanted.values()])
        for (row, more), end in zip(wanted.items(), ends.tolist(), strict=True):
            some = slice(end - len(more), end)
            known, found = ways[row], (more, scores[some], np.stack(slopes[some]))
            ways[row] = Way(*found, path.of) if known is None else known.with_points(*found)
        wanted = {row: more for row in wanted if len(more := _next(ways[row], of_words[row], tolerance[row], most))}
    return [way for way in ways if way is not None]


def _next(way: Way | None, of_words: np.ndarray, tolerance: float, most: int) -> np.ndarray:
    """The middle of the stretch most in doubt; none where the way is good enough, or the points are spent."""
    if way is None or len(way.shares) >= most or way.doubt(doubts := way.doubts(of_words)) <= tolerance:
        return np.zeros(0)
    doubts = np.where(np.diff(way.shares) > SMALLEST, doubts, 0.0)
    worst = int(doubts.argmax())
    return way.shares[worst : worst + 2].mean(keepdims=True) if doubts[worst] > 0 else np.zeros(0)
