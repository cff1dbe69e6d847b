"""Promises of book-keeping: the clipped gradients of a plain loop over single examples, for every architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from core_model.errors import OptionUnfit
from privacy.bookkeeping.factors import Factors, squared_norms
from privacy.bookkeeping.keeper import BookKeeper

ROWS, TOKENS, VOCABULARY = 5, 9, 50
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def build(name: str) -> Any:
    """Tiny models with random weights, without dropout: a plain loop draws other dropout than a batch."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM
    from transformers import AutoModelForSequenceClassification as Classifier

    t5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "dropout_rate": 0.0}
    marian = {
        "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "dropout": 0.0,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "attention_dropout": 0.0,
    }  # fmt: skip
    gpt2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}
    bert = {**SMALL, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    family, loader, settings = {
        "bert": ("bert", Classifier, {**bert, "num_labels": 3}),
        "bert, tied": ("bert", AutoModelForMaskedLM, bert),
        "gpt2, tied": ("gpt2", AutoModelForCausalLM, gpt2),
        "llama": ("llama", AutoModelForCausalLM, {**SMALL, "num_key_value_heads": 1, "tie_word_embeddings": False}),
        "llama, tied": ("llama", AutoModelForCausalLM, {**SMALL, "tie_word_embeddings": True}),
        "t5": ("t5", AutoModelForSeq2SeqLM, {**t5, "tie_word_embeddings": False}),
        "t5, tied": ("t5", AutoModelForSeq2SeqLM, {**t5, "tie_word_embeddings": True}),
        "marian, tied": ("marian", AutoModelForSeq2SeqLM, marian),
    }[name]
    tokens = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
    starts = {"decoder_start_token_id": 0} if loader is AutoModelForSeq2SeqLM else {}
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family, vocab_size=VOCABULARY, max_position_embeddings=20, **tokens, **starts, **settings
    )
    return loader.from_config(config).train()


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids and mask, the second row shorter than the others, and something to predict."""
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(2, VOCABULARY, (ROWS, TOKENS), generator=draw)
    mask = torch.ones_like(ids)
    ids[1, 6:], mask[1, 6:] = 0, 0
    labels = torch.randint(1, VOCABULARY, (ROWS, TOKENS), generator=draw)
    labels[1, 6:] = -100
    return ids, mask, labels


def loss_of(model: Any, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, summed over rows."""
    if model.config.is_encoder_decoder:
        shifted = model.prepare_decoder_input_ids_from_labels(labels=labels)
        logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=shifted, use_cache=False).logits
    else:
        logits = model(input_ids=ids, attention_mask=mask).logits
    if logits.dim() == 2:
        return nn.functional.cross_entropy(logits, labels[:, 0] % 3, reduction="sum")
    return nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="sum")


def plain_loop(
    model: Any, clip: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """Each example alone through autograd, clipped, added up."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in trained.items()}
    parts = batch()
    for row in range(ROWS):
        found = torch.autograd.grad(
            loss_of(model, *(part[row : row + 1] for part in parts)), list(trained.values()), allow_unused=True
        )
        own = {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(trained.items(), found, strict=True)}
        for name, gradient in clip(own).items():
            total[name] += gradient
    return total


def whole_norm(limit: float) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    def clip(own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        norm = torch.stack([g.square().sum() for g in own.values()]).sum().sqrt()
        return {name: g * min(1.0, limit / (float(norm) + 1e-6)) for name, g in own.items()}

    return clip


def each_norm(limit: float) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    def clip(own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        share = limit / len(own) ** 0.5
        return {name: g * min(1.0, share / (float(g.norm()) + 1e-6)) for name, g in own.items()}

    return clip


ARCHITECTURES = ["bert", "bert, tied", "gpt2, tied", "llama", "llama, tied", "t5", "t5, tied", "marian, tied"]


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("per_layer", [False, True], ids=["flat", "per layer"])
def test_the_sum_is_that_of_a_plain_loop(name: str, per_layer: bool):
    model = build(name)
    limit = 0.5
    wanted = plain_loop(model, each_norm(limit) if per_layer else whole_norm(limit))
    keeper = BookKeeper(model)
    _, norms = keeper.add_clipped_gradients(
        lambda: loss_of(model, *batch()), rows=ROWS, max_norm=limit, per_layer=per_layer
    )
    assert (norms > limit).all()  # so that clipping is what is tested
    for parameter_name, gradient in wanted.items():
        found = model.get_parameter(parameter_name).grad
        assert float((found - gradient).abs().max()) < 1e-6, parameter_name


def test_without_clipping_it_is_the_ordinary_gradient():
    model = build("t5, tied")
    keeper = BookKeeper(model)
    keeper.add_clipped_gradients(lambda: loss_of(model, *batch()), rows=ROWS, max_norm=1e9)
    kept = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    keeper.close()
    model.zero_grad()
    loss_of(model, *batch()).backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(kept[name], parameter.grad, atol=1e-5), name


def test_two_parts_of_a_batch_add_up_to_the_whole():
    model = build("bert")
    keeper = BookKeeper(model)
    parts = batch()
    keeper.add_clipped_gradients(lambda: loss_of(model, *parts), rows=ROWS, max_norm=0.5)
    whole = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    for rows in (slice(0, 2), slice(2, ROWS)):
        some = [part[rows] for part in parts]
        keeper.add_clipped_gradients(lambda some=some: loss_of(model, *some), rows=len(some[0]), max_norm=0.5)
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, whole[name], atol=1e-6), name


def test_adapters_alone_are_clipped_alone():
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = get_peft_model(
        build("bert"), LoraConfig(r=2, target_modules=["query", "value"], modules_to_save=["classifier"])
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    wanted = plain_loop(model, whole_norm(0.3))
    BookKeeper(model).add_clipped_gradients(lambda: loss_of(model, *batch()), rows=ROWS, max_norm=0.3)
    assert any("lora_A" in name for name in wanted)
    for name, gradient in wanted.items():
        assert float((model.get_parameter(name).grad - gradient).abs().max()) < 1e-6, name


def test_the_model_is_put_back_as_it_was():
    model = build("t5")
    before = [p.requires_grad for p in model.parameters()]
    keeper = BookKeeper(model)
    keeper.add_clipped_gradients(lambda: loss_of(model, *batch()), rows=ROWS, max_norm=1.0)
    keeper.close()
    assert [p.requires_grad for p in model.parameters()] == before
    assert not any(layer._forward_hooks for layer in model.modules())


def test_ghost_norm_and_product_agree_where_texts_are_long():
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(3, 40, width, generator=draw) for width in (4, 6))
    direct = torch.einsum("btp,btd->bpd", left, right).square().sum(dim=(1, 2))
    assert torch.allclose(squared_norms([Factors(left, right)], 4), direct, rtol=1e-5)
    twice = squared_norms([Factors(left, right)] * 2, 4)  # two equal uses: twice the gradient
    assert torch.allclose(twice, 4 * direct, rtol=1e-5)


class Scaled(nn.Module):
    """A layer with a parameter of its own that no rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.inner = nn.Parameter(torch.ones(4)), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x * self.scale)


@pytest.mark.parametrize(
    ("model", "letter"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), r"'1' \(BatchNorm1d\) mixes the rows(.|\n)*LayerNorm"),
        (nn.Sequential(nn.Linear(4, 4), Scaled()), r"'1' \(Scaled\) has no rule"),
        (Scaled(), r"'the model itself' \(Scaled\)"),
    ],
)
def test_a_layer_without_a_rule_is_refused_by_name(model: nn.Module, letter: str):
    with pytest.raises(OptionUnfit, match=letter):
        BookKeeper(model)


def test_a_layer_that_mixes_rows_is_refused_when_it_is_seen():
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x.reshape(-1, 2)).sum()

    model = Mixer()
    with pytest.raises(OptionUnfit, match="'inner' \\(Linear\\) was given 6 rows in a batch of 3"):
        BookKeeper(model).add_clipped_gradients(lambda: model(torch.ones(3, 4)), rows=3, max_norm=1.0)


def test_frozen_layers_need_no_rule():
    model = nn.Sequential(nn.BatchNorm1d(4).requires_grad_(False), nn.Linear(4, 2)).eval()
    keeper = BookKeeper(model)
    keeper.add_clipped_gradients(lambda: model(torch.ones(3, 4)).sum(), rows=3, max_norm=1.0)
    assert model[1].weight.grad is not None
