"""The book-keeper: a forward pass, a backward pass for the outputs' gradients alone, then norms and one clipped sum.

    keeper = BookKeeper(model)
    norms = keeper.add_clipped_gradients(lambda: task.loss(model, batch, 0.0), rows=32, max_norm=1.0)
    # every trainable parameter's .grad now holds the sum over rows of min(1, max_norm / |g_row|) g_row

An ordinary backward pass computes two products a layer: the gradient of its input, and of its weight. Here the weights
are held still, so that the first backward pass computes the inputs' gradients alone; once the norms are known, the
weights' products are computed once, already clipped. Ghost clipping pays a second backward pass for that.

Source: Bu et al. 2023, arXiv:2210.00038. The loss must be a sum over rows, and rows must not look at each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from core_model.errors import OptionUnfit
from privacy.bookkeeping.factors import Factors, Grams, squared_norms
from privacy.bookkeeping.layers import RULES
from privacy.bookkeeping.relative_bias import relative_attentions, spread_over_rows
from privacy.positions import spread_positions

TINY = 1e-6  # keeps a row without a gradient from dividing by 0; Opacus uses the same


@dataclass
class Book:
    """What was noted of one parameter in one pass: each use's factors, or each example's gradient itself."""

    uses: list[Factors] = field(default_factory=list)
    each: torch.Tensor | None = None

    def note(self, found: Factors | torch.Tensor) -> None:
        """One more use."""
        if isinstance(found, Factors):
            self.uses.append(found)
        else:
            self.each = found if self.each is None else self.each + found

    def squared_norms(self, parameter: torch.Tensor, grams: Grams) -> torch.Tensor:
        """|gradient of each example|^2, (rows,) float32."""
        if self.each is not None:
            return self.each.flatten(1).square().sum(dim=1)
        return squared_norms(self.uses, parameter.shape[0], grams)

    def add_clipped_sum(self, parameter: torch.Tensor, coefficients: torch.Tensor) -> None:
        """Add sum_b c_b gradient_b to the parameter's `.grad`, or make it; coefficients: (rows,)."""
        total = parameter.grad
        if self.each is not None:
            summed = torch.tensordot(coefficients, self.each, dims=1).to(parameter.dtype)
            total = summed if total is None else total.add_(summed)
        for use in self.uses:
            total = use.sum_into(total, coefficients, like=parameter)
        parameter.grad = total


class BookKeeper:
    """Clipped gradients of a model's trainable parameters.

    Args:
        model: in training mode, on its device; frozen parameters are left alone.
    Raises: OptionUnfit when a trainable parameter belongs to a layer without a rule, naming the layer.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._trained = {id(parameter) for parameter in self.parameters.values()}
        self._books: dict[int, Book] = {}
        self._rows: int | None = None
        relative = relative_attentions(model)
        refuse_without_rule(model, spared=set(relative))
        self._undo = spread_positions(model, lambda: self._rows)
        for name, layer in model.named_modules():
            trained = any(p.requires_grad for p in layer.parameters(recurse=False))
            if trained and name not in relative and type(layer) in RULES:
                self._undo.append(layer.register_forward_hook(self._watch(name)).remove)
        for attention in relative.values():
            weight = attention.relative_attention_bias.weight
            if weight.requires_grad:
                self._undo.append(spread_over_rows(attention, lambda: self._rows, self._note_of(weight)))

    def aside(self) -> AbstractContextManager[None]:
        """Ordinary backward passes are not watched anyway."""
        return nullcontext()

    def close(self) -> None:
        """Take every hook off the model again."""
        while self._undo:
            self._undo.pop()()

    def add_clipped_gradients(
        self, loss: Callable[[], torch.Tensor], *, rows: int, max_norm: float, per_layer: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the sum over rows of each row's clipped gradient to `.grad`.

        Args:
            loss: runs the forward pass on a batch of `rows` rows and returns the loss summed over them.
            max_norm: largest norm of a row's gradient over all parameters; of each parameter, max_norm / sqrt(their
                number), where `per_layer`.
        Returns: the loss, detached; and each row's norm before clipping, (rows,) float32.
        """
        with self._keeping(rows):
            value = loss()
            value.backward()
        books = {name: self._books.get(id(p)) for name, p in self.parameters.items()}
        grams = Grams()
        squares = [
            book.squared_norms(self.parameters[name], grams) if book is not None else value.new_zeros(rows)
            for name, book in books.items()
        ]
        norms = torch.stack(squares).sum(dim=0).sqrt()
        share = max_norm / len(squares) ** 0.5
        shared = (max_norm / (norms + TINY)).clamp(max=1.0)
        for (name, book), square in zip(books.items(), squares, strict=True):
            parameter = self.parameters[name]
            coefficients = (share / (square.sqrt() + TINY)).clamp(max=1.0) if per_layer else shared
            if book is not None:
                book.add_clipped_sum(parameter, coefficients)
            elif parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self._books = {}
        return value.detach(), norms

    @contextmanager
    def _keeping(self, rows: int) -> Iterator[None]:
        """Hold the parameters still and note what passes the layers."""
        self._rows, self._books = rows, {}
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            self._rows = None
            for parameter in self.parameters.values():
                parameter.requires_grad_(True)

    def _watch(self, name: str) -> Callable[[nn.Module, Any, Any], torch.Tensor | None]:
        def hook(layer: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor | None:
            rows = self._rows
            if rows is None or not torch.is_grad_enabled():
                return None
            seen = inputs[0].detach()
            if len(seen) != rows:
                raise OptionUnfit(
                    f"layer {name!r} ({type(layer).__name__}) was given {len(seen)} rows in a batch of {rows}: it does "
                    "not keep the rows apart, so that their gradients cannot be clipped one by one",
                    mend="freeze this layer, train adapters alone with --adapters, or choose another architecture",
                )
            if not output.requires_grad:
                output.requires_grad_()
            output.register_hook(lambda gradient: self._note(layer, seen, gradient))
            return output

        return hook

    def _note(self, layer: nn.Module, inputs: torch.Tensor, gradient: torch.Tensor) -> None:
        for name, found in RULES[type(layer)](layer, inputs, gradient.detach()).items():
            parameter = getattr(layer, name)
            if id(parameter) in self._trained:
                self._books.setdefault(id(parameter), Book()).note(found)

    def _note_of(self, parameter: torch.Tensor) -> Callable[[torch.Tensor], None]:
        return lambda found: self._books.setdefault(id(parameter), Book()).note(found)


def refuse_without_rule(model: nn.Module, *, spared: Sequence[str] | set[str] = ()) -> None:
    """Every trainable parameter must belong to a layer whose gradient is known example by example.

    Raises: OptionUnfit naming the layer.
    """
    refuse_batch_norm(model)
    held: set[int] = set()  # parameters that at least one layer with a rule uses
    owners: dict[int, tuple[str, nn.Module]] = {}
    for name, layer in model.named_modules():
        for parameter in layer.parameters(recurse=False):
            if parameter.requires_grad:
                owners.setdefault(id(parameter), (name, layer))
                if type(layer) in RULES or name in spared:
                    held.add(id(parameter))
    for key, (name, layer) in owners.items():
        if key not in held:
            raise OptionUnfit(
                f"layer {name or 'the model itself'!r} ({type(layer).__name__}) has no rule for the gradients of "
                "single examples",
                mend="freeze this layer, train adapters alone with --adapters, or choose another architecture",
            )


def refuse_batch_norm(model: nn.Module) -> None:
    """Statistics over a batch make each row's output depend on the others, frozen or not.

    Raises: OptionUnfit naming the layer.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training:
            raise OptionUnfit(
                f"layer {name!r} ({type(layer).__name__}) mixes the rows of a batch, so that no row's gradient can be "
                "clipped alone",
                mend="a model with LayerNorm or GroupNorm in its place",
            )
