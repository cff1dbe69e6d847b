"""Promises of the three clippers: the same sum, and a refusal with a name where one of them would not give it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from core_model.errors import OptionUnfit
from privacy.clipping import Clipper, check, clipper
from tests.privacy.bookkeeping.test_keeper import ROWS, batch, build, loss_of, plain_loop, whole_norm

ABLE = [("bert", "ghost"), ("bert", "hooks"), ("llama", "ghost"), ("llama", "hooks"), ("llama, tied", "hooks"),
        ("gpt2, tied", "hooks")]  # fmt: skip
UNABLE = [
    ("bert, tied", "hooks", r"'cls.predictions' \(BertLMPredictionHead\) has parameters beside"),
    ("gpt2, tied", "ghost", r"'transformer.wte' and 'lm_head' share a weight"),
    ("llama, tied", "ghost", r"'model.embed_tokens' and 'lm_head' share a weight"),
    ("t5", "hooks", "relative_attention_bias"),
    # Its decoder begins with the padding token, which has no gradient in torch, and has one in Opacus.
    ("marian, tied", "hooks", "'model.shared.weight': the gradients of single rows add up to something else"),
]


def held_against_autograd(clipping: Clipper, model: Any) -> None:
    first = [part[:1] for part in batch()]
    check(clipping, model, lambda: loss_of(model, *batch()), lambda: loss_of(model, *first), rows=ROWS)


@pytest.mark.parametrize(("name", "kind"), ABLE)
def test_opacus_gives_the_sum_of_the_plain_loop(name: str, kind: Any):
    model = build(name)
    wanted = plain_loop(model, whole_norm(0.5))
    clipping = clipper(kind, model)
    held_against_autograd(clipping, model)
    clipping.add_clipped_gradients(lambda: loss_of(model, *batch()), rows=ROWS, max_norm=0.5)
    for parameter_name, gradient in wanted.items():
        assert float((model.get_parameter(parameter_name).grad - gradient).abs().max()) < 1e-5, parameter_name


@pytest.mark.parametrize(("name", "kind", "letter"), UNABLE)
def test_what_opacus_cannot_do_is_refused_by_name(name: str, kind: Any, letter: str):
    model = build(name)
    with pytest.raises(OptionUnfit, match=letter):
        held_against_autograd(clipper(kind, model), model)


class PastTheLayer(nn.Module):
    """Uses a layer's weight once more, past the layer, where no hook sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.inner(x), self.inner.weight)


@pytest.mark.parametrize("kind", ["book-keeping", "hooks", "ghost"])
def test_a_weight_that_is_used_past_its_layer_is_found(kind: Any):
    torch.manual_seed(0)
    model, x = PastTheLayer(), torch.randn(3, 4)
    letter = "'inner.weight': the gradients of single rows|norm of a row's gradient is found"
    with pytest.raises(OptionUnfit, match=letter):
        check(clipper(kind, model), model, lambda: model(x).sum(), lambda: model(x[:1]).sum(), rows=3)


def test_a_healthy_twin_passes():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), torch.randn(3, 4)
    for kind in ("book-keeping", "hooks", "ghost"):
        clipping = clipper(kind, model)  # type: ignore[arg-type]
        check(clipping, model, lambda: model(x).square().sum(), lambda: model(x[:1]).square().sum(), rows=3)
        clipping.close()


def test_ghost_clipping_has_no_norm_for_each_layer():
    model = nn.Linear(4, 2)
    with pytest.raises(OptionUnfit, match="book-keeping"):
        clipper("ghost", model).add_clipped_gradients(
            lambda: model(torch.ones(2, 4)).sum(), rows=2, max_norm=1.0, per_layer=True
        )
