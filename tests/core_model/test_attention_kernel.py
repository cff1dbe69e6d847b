"""Promises of the attention kernel: the same numbers either way, and nothing of the choice in the saved files."""

from __future__ import annotations

import pytest
import torch

from core_model.architectures import Architecture
from core_model.attention_kernel import LONGEST, choose_attention
from core_model.tasks import Task
from core_model.tasks.heads import from_scratch

CPU = torch.device("cpu")
SHAPE = Architecture(kind="encoder-decoder", layers=1, hidden=16, heads=2, vocabulary=64, max_length=32, dropout=0.0)


def model():
    return from_scratch(
        SHAPE, "AutoModelForSeq2SeqLM", kinds=("encoder-decoder",), task=Task.TRANSLATION, vocabulary=64, seed=0
    )


@pytest.mark.parametrize(
    ("dtype", "longest", "kernel"),
    [(torch.bfloat16, LONGEST, "eager"), (torch.bfloat16, LONGEST + 1, "sdpa"), (torch.float32, 8, "sdpa")],
)
def test_short_rows_in_bfloat16_on_a_cpu_take_plain_products(dtype, longest, kernel):
    chosen = model()
    choose_attention(chosen, device=CPU, dtype=dtype, longest=longest)
    assert chosen.config._attn_implementation == kernel
    assert chosen.model.decoder.layers[0].encoder_attn.config._attn_implementation == kernel


def test_both_kernels_give_the_same_logits_and_gradients():
    fused, plain = model().eval(), model().eval()
    choose_attention(plain, device=CPU, dtype=torch.bfloat16, longest=8)
    ids = torch.arange(3, 27).reshape(3, 8)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    for each in (fused, plain):
        logits = each(input_ids=ids, attention_mask=mask, decoder_input_ids=ids.flip(1)).logits
        logits.logsumexp(-1).sum().backward()
    for (name, one), other in zip(fused.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_a_saved_checkpoint_says_nothing_of_the_kernel(tmp_path):
    files = {}
    for name, longest in (("fused", 1_000), ("plain", 8)):
        chosen = model()
        choose_attention(chosen, device=CPU, dtype=torch.bfloat16, longest=longest)
        chosen.save_pretrained(tmp_path / name)
        files[name] = (tmp_path / name / "config.json").read_bytes()
    assert files["fused"] == files["plain"]
