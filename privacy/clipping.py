"""Three ways to the same sum of clipped gradients, and the check that none of them lies.

book-keeping  Ours: one backward pass for outputs, one product a layer (`privacy.bookkeeping`).
ghost         Opacus' fast gradient clipping: norms in one backward pass, the clipped sum in a second one.
hooks         Opacus' first way: every row's gradient is written out. The reference, slow and large.

Opacus hooks onto layers, and a weight that a model uses past its layers, or one that mixes rows, is not seen there. So
every training begins with `check`: on its first rows, without clipping, the sum must be what autograd says, and the
norm of a row no less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from core_model.errors import OptionUnfit
from privacy.bookkeeping.keeper import TINY, BookKeeper, refuse_batch_norm
from privacy.options import GradSample
from privacy.positions import spread_positions

Loss = Callable[[], torch.Tensor]
UNCLIPPED = 1e12  # a norm that no gradient reaches
MEND = "--grad-sample book-keeping, train adapters alone with --adapters, or another architecture"


class Clipper(Protocol):
    """Adds up clipped gradients."""

    def add_clipped_gradients(
        self, loss: Loss, *, rows: int, max_norm: float, per_layer: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `BookKeeper.add_clipped_gradients`."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """While a `with` lasts, ordinary backward passes are not watched."""
        ...

    def close(self) -> None:
        """Take every hook off the model."""
        ...


def clipper(kind: GradSample, model: nn.Module) -> Clipper:
    """The clipper of this name over a model's trainable parameters.

    Raises: OptionUnfit when a layer cannot be done, naming it.
    """
    made: dict[str, Callable[[nn.Module], Clipper]] = {"book-keeping": BookKeeper, "ghost": Ghost, "hooks": Hooks}
    return made[kind](model)


class _Opacus:
    """What both of Opacus' ways share."""

    def __init__(self, model: nn.Module, hooks: Callable[..., Any]) -> None:
        refuse_batch_norm(model)
        _refuse_wholes(model)
        self.model = model
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.rows: int | None = None
        self.undo = spread_positions(model, lambda: self.rows)
        self.hooks = hooks(model, loss_reduction="sum", strict=False)

    def close(self) -> None:
        """Take every hook off the model."""
        self.hooks.remove_hooks()
        while self.undo:
            self.undo.pop()()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """See `Clipper.aside`."""
        self.hooks.disable_hooks()
        try:
            yield
        finally:
            self.hooks.enable_hooks()

    def _backward(self, loss: Loss, rows: int, **settings: Any) -> torch.Tensor:
        self.rows = rows
        try:
            value = loss()
            value.backward(**settings)
        except (NotImplementedError, RuntimeError, ValueError, AttributeError, IndexError, TypeError) as error:
            raise OptionUnfit(f"Opacus cannot clip this model row by row: {error}", mend=MEND) from error
        finally:
            self.rows = None
        return value


class Hooks(_Opacus):
    """Every row's gradient, written out by Opacus."""

    def __init__(self, model: nn.Module) -> None:
        from opacus.grad_sample import GradSampleHooks

        super().__init__(model, GradSampleHooks)

    def add_clipped_gradients(
        self, loss: Loss, *, rows: int, max_norm: float, per_layer: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `BookKeeper.add_clipped_gradients`."""
        before = {name: p.grad for name, p in self.trained.items()}
        value = self._backward(loss, rows)
        found = {name: self._of_each(name, p, rows) for name, p in self.trained.items()}
        squares = [gradients.flatten(1).square().sum(dim=1) for gradients in found.values()]
        norms = torch.stack(squares).sum(dim=0).sqrt()
        share = max_norm / len(squares) ** 0.5
        for (name, gradients), square in zip(found.items(), squares, strict=True):
            own = share / (square.sqrt() + TINY) if per_layer else max_norm / (norms + TINY)
            summed = torch.tensordot(own.clamp(max=1.0), gradients, dims=1)
            parameter, earlier = self.trained[name], before[name]
            parameter.grad = summed if earlier is None else earlier + summed
            parameter.grad_sample = None  # type: ignore[attr-defined]
        return value.detach(), norms

    def _of_each(self, name: str, parameter: torch.Tensor, rows: int) -> torch.Tensor:
        found: Any = getattr(parameter, "grad_sample", None)
        if found is None:
            return parameter.new_zeros(rows, *parameter.shape)
        if not isinstance(found, torch.Tensor) or len(found) != rows:
            raise OptionUnfit(f"Opacus finds no gradient of single rows for parameter {name!r}", mend=MEND)
        return found


class Ghost(_Opacus):
    """Opacus' norms in a first backward pass; the clipped sum in a second, with each row's loss weighed."""

    def __init__(self, model: nn.Module) -> None:
        from opacus.grad_sample import GradSampleHooksFastGradientClipping

        _refuse_tied(model)
        super().__init__(model, GradSampleHooksFastGradientClipping)
        self.coefficients: torch.Tensor | None = None
        self.undo.append(model.register_forward_hook(self._weigh_rows).remove)

    def add_clipped_gradients(
        self, loss: Loss, *, rows: int, max_norm: float, per_layer: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `BookKeeper.add_clipped_gradients`.

        Raises: OptionUnfit for `per_layer`, which one weight a row cannot do.
        """
        if per_layer:
            raise OptionUnfit("ghost clipping weighs whole rows, not layers", mend="--grad-sample book-keeping")
        before = {name: p.grad for name, p in self.trained.items()}
        value = self._backward(loss, rows, retain_graph=True)
        self._fill(rows)
        self.hooks.max_grad_norm = max_norm
        self.coefficients = self.hooks.get_clipping_coef()
        for parameter in self.trained.values():
            parameter.grad = None
        with self.aside():
            value.backward()
        self.coefficients = None
        for name, parameter in self.trained.items():
            summed = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            earlier = before[name]
            parameter.grad = summed if earlier is None else earlier + summed
        return value.detach(), self.hooks.per_sample_gradient_norms

    def _fill(self, rows: int) -> None:
        """A parameter that the loss did not use has no norm yet."""
        for parameter in self.trained.values():
            if parameter.grad is None or not hasattr(parameter, "_norm_sample"):
                parameter._norm_sample = parameter.new_zeros(rows)  # type: ignore[attr-defined]

    def _weigh_rows(self, _: nn.Module, __: Any, output: Any) -> None:
        """The loss is a sum over rows, so that a row's loss is weighed where its gradient enters the model's output."""
        if self.rows is None:
            return
        parts = output.values() if isinstance(output, dict) else [output]
        for part in parts:
            if isinstance(part, torch.Tensor) and part.requires_grad:
                part.register_hook(self._weighed)

    def _weighed(self, gradient: torch.Tensor) -> torch.Tensor:
        if self.coefficients is None:
            return gradient
        return gradient * self.coefficients.view(-1, *[1] * (gradient.dim() - 1)).to(gradient.dtype)


def check(clipping: Clipper, model: nn.Module, loss: Loss, alone: Loss, *, rows: int) -> None:
    """Hold a clipper against autograd: without clipping, both must give the same gradients. Gradients are left empty.

    Args:
        loss: of a few rows, summed. alone: of one row.
    Raises: OptionUnfit naming the parameter that differs, or when a row's norm is found too small.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def run(backward: Callable[[], Any]) -> dict[str, torch.Tensor]:
        for parameter in trained.values():
            parameter.grad = None
        with torch.random.fork_rng():  # both must draw the same dropout
            torch.manual_seed(0)
            backward()
        return {n: torch.zeros_like(p) if p.grad is None else p.grad.detach().clone() for n, p in trained.items()}

    norms: list[torch.Tensor] = []
    clipped = run(lambda: clipping.add_clipped_gradients(loss, rows=rows, max_norm=UNCLIPPED))
    run(lambda: norms.append(clipping.add_clipped_gradients(alone, rows=1, max_norm=UNCLIPPED)[1]))
    with clipping.aside():
        plain = run(lambda: loss().backward())
        single = run(lambda: alone().backward())
    for parameter in trained.values():
        parameter.grad = None
    true = float(torch.nn.utils.get_total_norm(list(single.values())))
    if not float(norms[0]) >= 0.999 * true - 1e-6:
        raise OptionUnfit(
            f"the norm of a row's gradient is found to be {float(norms[0]):.4g}, and it is {true:.4g}: it would not be "
            "clipped enough",
            mend=MEND,
        )
    scale = max(float(g.abs().max()) for g in plain.values())
    for name, gradient in plain.items():
        apart = float((gradient - clipped[name]).abs().max())
        if not apart <= 1e-3 * scale + 1e-6:
            raise OptionUnfit(
                f"parameter {name!r}: the gradients of single rows add up to something else than the gradient of the "
                f"batch (they differ by {apart:.2g} of {scale:.2g}), so that it would be trained without protection",
                mend=MEND,
            )


def _refuse_wholes(model: nn.Module) -> None:
    """A layer with a parameter of its own and layers below it is one whole to Opacus, which then loses the layers."""
    from opacus.grad_sample import GradSampleHooks

    for name, layer in model.named_modules():
        own = any(p.requires_grad for p in layer.parameters(recurse=False))
        if own and type(layer) not in GradSampleHooks.GRAD_SAMPLERS and next(layer.children(), None) is not None:
            raise OptionUnfit(
                f"layer {name or 'the model itself'!r} ({type(layer).__name__}) has parameters beside the layers "
                "inside it, which Opacus cannot take apart",
                mend=MEND,
            )


def _refuse_tied(model: nn.Module) -> None:
    """Norms of two uses of one weight do not add up: Opacus leaves out how they point."""
    seen: dict[int, str] = {}
    for name, layer in model.named_modules():
        for parameter in layer.parameters(recurse=False):
            if parameter.requires_grad and id(parameter) in seen:
                raise OptionUnfit(
                    f"layers {seen[id(parameter)]!r} and {name!r} share a weight, which ghost clipping cannot do",
                    mend=MEND,
                )
            seen[id(parameter)] = name
