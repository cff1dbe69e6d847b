"""Fewer heads: the pruned model says what the whole one says when those heads are struck dumb."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.compression.compress import Made, compress
from core_model.compression.heads import attentions, magnitudes, weakest
from core_model.compression.options import PruneHeads
from core_model.errors import OptionUnfit
from tests.core_model.compression_world import classifier, logits, writer

SIZE = 8  # numbers of a head in all of these models
OUTPUTS = ("attention.output.dense", "out_lin", "o_proj", "out_proj", ".o", "attn.c_proj")


@cache
def pruned(family: str, *, writes: bool, share: float = 0.5) -> tuple[Checkpoint, Made]:
    folder = Path(mkdtemp()) / "pruned"
    made = compress((writer if writes else classifier)(family), PruneHeads(share=share), folder)
    return open_checkpoint(folder), made


def struck_dumb(original: Checkpoint, lost: dict[str, str]):
    """The original with what these heads say set to zero before the output projection reads it."""
    model = original.load_model()
    queries = int(original.facts["heads"]) // getattr(model.config, "num_key_value_heads", original.facts["heads"])
    for name, groups in lost.items():
        gone = [int(group) * queries * SIZE + i for group in groups.split(", ") for i in range(queries * SIZE)]
        projection = next(
            module for below, module in model.named_modules()
            if below.startswith(name) and below.endswith(OUTPUTS) and "crossattention" not in below.removeprefix(name)
        )  # fmt: skip
        projection.register_forward_pre_hook(lambda _, given, gone=gone: (_zeroed(given[0], gone),))
    return model


def _zeroed(values: torch.Tensor, gone: list[int]) -> torch.Tensor:
    values = values.clone()
    values[..., gone] = 0
    return values


@pytest.mark.parametrize(
    ("family", "writes", "cut"),
    [
        ("bert", False, False),
        ("distilbert", False, False),
        ("gpt2", True, False),
        ("marian", True, False),
        ("llama", True, True),
        ("llama", False, True),
        ("t5", True, True),
    ],
)
def test_it_says_what_the_original_says_without_these_heads(family, writes, cut):
    original = (writer if writes else classifier)(family)
    after, made = pruned(family, writes=writes)
    found, expected = logits(after), logits(original, struck_dumb(original, made.settings["lost"]))
    assert torch.allclose(found, expected, atol=2e-5, rtol=1e-4)
    assert not torch.allclose(found, logits(original), atol=1e-3)  # the heads had said something
    assert made.settings["cut_out"] is cut
    assert (after.parameters < original.parameters) is cut
    assert ("silenced" in made.notes[0]) is not cut
    assert made.settings["heads_left"] * 2 == made.settings["heads"]


def test_cut_heads_stand_in_the_configuration_that_other_tools_read():
    config = pruned("llama", writes=True)[0].load_model().config
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (2, 1, SIZE)


def test_magnitude_is_the_norm_of_what_a_head_can_write():
    model = classifier("bert").load_model()
    one = attentions(model)[0]
    value = model.get_submodule(f"{one.name}.self.value").weight.double()
    output = model.get_submodule(f"{one.name}.output.dense").weight.double()
    slow = [
        torch.linalg.norm(output[:, h * SIZE : (h + 1) * SIZE] @ value[h * SIZE : (h + 1) * SIZE]) for h in range(4)
    ]
    assert torch.allclose(magnitudes(model, one), torch.stack(slow), rtol=1e-9)


@pytest.mark.parametrize(("family", "writes"), [("bert", False), ("gpt2", False), ("llama", False), ("t5", True)])
def test_a_head_that_writes_nothing_goes_first(family, writes):
    model = (writer if writes else classifier)(family).load_model()
    one = attentions(model)[-1]
    before = magnitudes(model, one)
    strongest = int(before.argmax())
    module = model.get_submodule(one.name)
    per_group = one.heads // one.groups * one.size
    columns = slice(strongest * per_group, (strongest + 1) * per_group)
    with torch.no_grad():
        if family == "gpt2":
            module.c_proj.weight[columns] = 0
        else:
            (module.output.dense if family == "bert" else getattr(module, one.output)).weight[:, columns] = 0
    assert weakest(magnitudes(model, one), 0.01) == [strongest]


def test_one_head_at_least_goes_and_one_stays():
    scores = torch.tensor([3.0, 1.0, 2.0, 1.0])
    assert weakest(scores, 0.01) == [1]
    assert weakest(scores, 0.5) == [1, 3]
    assert weakest(scores, 0.99) == [1, 2, 3]


def test_a_single_group_of_heads_is_refused(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=149, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
            intermediate_size=16, max_position_embeddings=64, pad_token_id=0,
        )
    )  # fmt: skip
    model.save_pretrained(tmp_path / "lone")
    writer("llama").load_tokenizer().save_pretrained(tmp_path / "lone")
    with pytest.raises(OptionUnfit, match=r"layers.0.self_attn has 1 group of heads"):
        compress(open_checkpoint(tmp_path / "lone"), PruneHeads(), tmp_path / "out")
