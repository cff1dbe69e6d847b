"""A weight's gradient of one example, kept as the two factors that it is a product of.

A linear layer's gradient of example b is the sum over tokens t of left[b, t] right[b, t]^T: gradient of the output
times input. An embedding's has one-hot left factors, so that only their ids are kept. Neither norms nor the clipped sum
need the product of any single example:

    |gradient_b|^2 = sum over t, s of (left_t . left_s)(right_t . right_s)      "ghost norm"
    sum_b c_b gradient_b = one matrix product over all b, t

A weight that is used twice (a tied embedding and head, a layer called again) has the sum of its uses' gradients: their
cross terms enter the norm.

Sources: Goodfellow 2015, arXiv:1510.01799; Li et al. 2022, arXiv:2110.05679 (ghost clipping); Bu et al. 2023,
arXiv:2210.00038 (book-keeping).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Factors:
    """One use of a matrix of shape (p, d).

    Attributes:
        left: (rows, tokens, p), or ids (rows, tokens) int64 of one-hot vectors.
        right: (rows, tokens, d).
    """

    left: torch.Tensor
    right: torch.Tensor

    @property
    def is_one_hot(self) -> bool:
        """Whether the left factors are ids."""
        return self.left.dim() == 2

    def sum_into(self, total: torch.Tensor | None, coefficients: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """`total` + sum_b c_b gradient_b, (p, d), in place where there is a total.

        Args:
            coefficients: (rows,).
            like: of the result's shape and type.
        """
        left, right = self.left, self.right
        scale = coefficients[:, None, None].to(right.dtype)
        if self.is_one_hot:
            total = torch.zeros_like(like) if total is None else total
            return total.index_add_(0, left.flatten(), (right * scale).flatten(0, 1).to(like.dtype))
        if left.shape[2] < right.shape[2]:  # the narrower factor is the cheaper one to scale
            left = left * scale
        else:
            right = right * scale
        product = (left.flatten(0, 1).T.to(like.dtype), right.flatten(0, 1).to(like.dtype))
        return torch.mm(*product) if total is None else total.addmm_(*product)

    def of_each(self, p: int) -> torch.Tensor:
        """Each example's gradient, (rows, p, d): for small matrices alone."""
        if not self.is_one_hot:
            return torch.einsum("btp,btd->bpd", self.left, self.right)
        rows, _, d = self.right.shape
        found = self.right.new_zeros(rows, p, d)
        return found.scatter_add_(1, self.left[:, :, None].expand(-1, -1, d), self.right)


class Grams:
    """Products of every two tokens' vectors, x_t . x_s: (rows, tokens, tokens) float32.

    Layers that read the same activation (query, key and value) are asked for one behind the other, so that the last
    product is kept.
    """

    def __init__(self) -> None:
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    def of(self, vectors: torch.Tensor) -> torch.Tensor:
        """Of vectors (rows, tokens, width)."""
        if self._last is None or not _same(self._last[0], vectors):
            wide = vectors.float()
            self._last = vectors, torch.bmm(wide, wide.transpose(1, 2))
        return self._last[1]


def squared_norms(uses: Sequence[Factors], p: int, grams: Grams | None = None) -> torch.Tensor:
    """|gradient_b|^2 over all uses of one matrix, (rows,) float32.

    Args:
        p: rows of the matrix.
        grams: of one pass, where inputs are shared by several matrices.
    """
    grams = grams or Grams()
    if len(uses) == 1 and not uses[0].is_one_hot:
        [use] = uses
        tokens, d = use.right.shape[1:]
        if tokens * (p + d) >= p * d:  # long texts: the products themselves cost less than tokens x tokens
            return use.of_each(p).float().square().sum(dim=(1, 2))
    total = _own(uses[0], grams)
    for i, one in enumerate(uses):
        for j, other in enumerate(uses[: i + 1]):
            if i or j:
                total = total + (_own(one, grams) if i == j else 2 * _inner(one, other))
    return total.clamp(min=0)  # rounding may leave a norm of 0 a little below it


def _own(use: Factors, grams: Grams) -> torch.Tensor:
    """|gradient_b|^2 of one use, (rows,) float32."""
    return (_lefts(use, use) * grams.of(use.right)).sum(dim=(1, 2))


def _inner(one: Factors, other: Factors) -> torch.Tensor:
    """<gradient_b of one use, gradient_b of the other>, (rows,) float32."""
    right = torch.bmm(one.right.float(), other.right.float().transpose(1, 2))  # (rows, tokens, other tokens)
    return (_lefts(one, other) * right).sum(dim=(1, 2))


def _lefts(one: Factors, other: Factors) -> torch.Tensor:
    """left_t . left_s, (rows, tokens, other tokens) float32."""
    if one.is_one_hot and other.is_one_hot:
        return (one.left[:, :, None] == other.left[:, None, :]).float()
    if not one.is_one_hot and not other.is_one_hot:
        return torch.bmm(one.left.float(), other.left.float().transpose(1, 2))
    if other.is_one_hot:
        return _lefts(other, one).transpose(1, 2)
    # One-hot against dense: the dense vector's entry at the id.
    index = one.left[:, :, None].expand(-1, -1, other.left.shape[1])
    return other.left.float().transpose(1, 2).gather(1, index)


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are views of the same numbers; both are held, so that no place is given away twice."""
    return (
        one.data_ptr() == other.data_ptr()
        and one.shape == other.shape
        and one.stride() == other.stride()
        and one.dtype == other.dtype
    )
