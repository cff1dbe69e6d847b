"""Opacus' noisy optimizer for a sum that is whole when the step begins."""

from __future__ import annotations

from opacus.optimizers.optimizer_fast_gradient_clipping import DPOptimizerFastGradientClipping


class NoisyOptimizer(DPOptimizerFastGradientClipping):
    """Noise on the sum of clipped gradients that stands in `.grad`, then the optimizer's own step.

    Opacus adds up batches in a place of its own, and copies the gradients there first. Here all batches of a step were
    added up by `privacy.clipping`: the sum is taken as it stands, which saves a copy of every weight.
    """

    def accumulate(self) -> None:
        """Take the sum from `.grad`."""
        for parameter in self.params:
            parameter.summed_grad, parameter.grad = parameter.grad, None
