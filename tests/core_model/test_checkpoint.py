"""Promises of `open_checkpoint` about sound checkpoints: what it says of them is what the built model says."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core_model import checkpoint_files
from core_model.checkpoint import open_checkpoint
from core_model.errors import CheckpointDamaged
from core_model.tasks import Task
from tests.factories import write_checkpoint


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "tiny"))


def edit(path: Path, **changes) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def write_model(folder: Path, model, tokenizer_from: Path) -> Path:
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer_from / name, folder / name)
    return folder


def test_it_says_what_the_built_model_says(folder):
    checkpoint = open_checkpoint(str(folder))
    model = checkpoint.load_model()
    assert checkpoint.architecture == type(model).__name__ == "BertForSequenceClassification"
    assert checkpoint.parameters == sum(p.numel() for p in model.parameters())
    assert checkpoint.task is Task.CLASSIFICATION and checkpoint.labels == ("negative", "positive")
    assert checkpoint.max_length == 64 and checkpoint.name == "tiny" and checkpoint.location == str(folder)
    assert checkpoint.facts == {
        "model_type": "bert", "layers": 2, "hidden_size": 32, "heads": 4, "positions": 64,
        "vocabulary": model.get_input_embeddings().num_embeddings, "dtype": "F32", "notes": (),
    }  # fmt: skip


def test_the_model_is_loaded_quietly_in_eval_mode_and_the_asked_dtype(folder, capfd):
    import torch

    checkpoint = open_checkpoint(folder)
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    assert not model.training and model.dtype == torch.float32
    assert checkpoint.load_model("bfloat16").dtype == torch.bfloat16
    assert tokenizer("a good film")["input_ids"] and tokenizer.model_max_length == 64
    output = capfd.readouterr()
    assert output.out + output.err == ""


def test_opening_does_not_import_torch(folder):
    code = f"import sys; from core_model.checkpoint import open_checkpoint; open_checkpoint({str(folder)!r}); " + (
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_anyone_can_recompute_the_content_hash_with_sha256sum(folder):
    names = "config.json model.safetensors tokenizer.json tokenizer_config.json"
    script = (
        f"for f in $(printf '%s\\n' {names} | LC_ALL=C sort); do"
        " printf '%s\\0%s\\n' $f $(sha256sum < $f | cut -c1-64); done | sha256sum | cut -c1-64"
    )
    printed = subprocess.run(
        ["/bin/sh", "-c", script], cwd=folder, check=False, capture_output=True, text=True
    ).stdout.strip()
    checkpoint = open_checkpoint(folder)
    assert checkpoint.sha256 == printed
    assert " ".join(sorted(checkpoint.files)) == names


def test_the_hash_moves_with_weights_configuration_and_tokenizer_and_with_nothing_else(folder):
    before = open_checkpoint(folder).sha256
    (folder / "README.md").write_text("# A card\n")
    (folder / "training_record.json").write_text("{}")
    assert open_checkpoint(folder).sha256 == before
    for name in ("config.json", "tokenizer_config.json"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(kept + b"\n")
        assert open_checkpoint(folder).sha256 != before
        (folder / name).write_bytes(kept)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert open_checkpoint(folder).sha256 != before


def test_a_large_file_is_hashed_once(folder, monkeypatch):
    hashed = []
    monkeypatch.setattr(checkpoint_files, "hash_file", lambda path: hashed.append(path.name) or "0" * 64)
    monkeypatch.setattr(checkpoint_files, "_hashes", {})
    open_checkpoint(folder)
    open_checkpoint(folder)
    assert sorted(hashed) == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


def test_a_file_that_changes_after_opening_is_noticed_before_loading(folder):
    checkpoint = open_checkpoint(folder)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointDamaged, match=r"model\.safetensors changed since it was opened"):
        checkpoint.load_model()


def test_shards_are_one_model(folder, original):
    checkpoint = open_checkpoint(folder)
    model = checkpoint.load_model()
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    sharded = open_checkpoint(folder)
    assert len([name for name in sharded.files if name.startswith("model-")]) > 1
    assert sharded.parameters == checkpoint.parameters and sharded.sha256 != checkpoint.sha256
    assert sum(p.numel() for p in sharded.load_model().parameters()) == checkpoint.parameters


def test_tied_matrices_are_counted_once_however_they_were_saved(original, tmp_path):
    from safetensors.torch import load_file, save_file
    from transformers import GPT2Config, GPT2LMHeadModel

    rows = open_checkpoint(original).facts["vocabulary"]
    model = GPT2LMHeadModel(GPT2Config(vocab_size=rows, n_positions=32, n_embd=16, n_layer=1, n_head=2, bos_token_id=2,
                                       eos_token_id=3))  # fmt: skip
    folder = write_model(tmp_path / "gpt", model, original)
    counted = sum(p.numel() for p in model.parameters())  # torch counts a shared parameter once
    checkpoint = open_checkpoint(folder)
    assert checkpoint.parameters == counted and checkpoint.task is Task.LANGUAGE_MODELING
    assert checkpoint.labels == () and checkpoint.max_length == 32
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert open_checkpoint(folder).parameters == counted
    assert checkpoint_of_untied(folder, tensors) == counted + tensors["lm_head.weight"].numel()


def checkpoint_of_untied(folder, tensors) -> int:
    from safetensors.torch import save_file

    tensors["lm_head.weight"] += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return open_checkpoint(folder).parameters


def test_robertas_positions_hold_two_tokens_less(original, tmp_path):
    from transformers import RobertaConfig, RobertaForSequenceClassification

    rows = open_checkpoint(original).facts["vocabulary"]
    config = RobertaConfig(vocab_size=rows, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                           intermediate_size=16, max_position_embeddings=34, pad_token_id=0)  # fmt: skip
    folder = write_model(tmp_path / "roberta", RobertaForSequenceClassification(config), original)
    edit(folder / "tokenizer_config.json", bos_token=None, eos_token=None)
    checkpoint = open_checkpoint(folder)
    model = checkpoint.load_model()
    longest = checkpoint.max_length
    import torch

    assert longest == 34 - (config.pad_token_id + 1)
    model(input_ids=torch.full((1, longest), 9))  # fits
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, longest + 1), 9))  # and not one more


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertModel", Task.FEATURE_EXTRACTION),
        ("BertForMaskedLM", Task.FEATURE_EXTRACTION),
        ("BertForQuestionAnswering", Task.QUESTION_ANSWERING),
        ("LlamaForCausalLM", Task.LANGUAGE_MODELING),
        ("T5ForConditionalGeneration", Task.TRANSLATION),
        ("MarianMTModel", Task.TRANSLATION),
    ],
)
def test_the_task_follows_from_the_head(folder, architecture, task):
    edit(folder / "config.json", architectures=[architecture])
    assert open_checkpoint(folder).task is task


def test_a_sequence_to_sequence_head_takes_its_task_from_record_or_card(folder):
    edit(folder / "config.json", architectures=["T5ForConditionalGeneration"])
    (folder / "README.md").write_text("---\npipeline_tag: summarization\n---\n# Card\n")
    assert open_checkpoint(folder).task is Task.SUMMARIZATION
    (folder / "training_record.json").write_text('{"task": "translation"}')
    assert open_checkpoint(folder).task is Task.TRANSLATION


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
BART = {"d_model": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32}
BART |= {"encoder_layers": 1, "decoder_layers": 1, "decoder_ffn_dim": 32}
T5 = {"d_model": 16, "d_kv": 8, "num_layers": 1, "num_heads": 2, "d_ff": 32}


@pytest.mark.parametrize(
    ("family", "head", "options"),
    [
        ("DistilBert", "ForSequenceClassification", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}),
        ("Albert", "ForSequenceClassification", SMALL | {"embedding_size": 8}),
        ("Electra", "ForSequenceClassification", SMALL | {"embedding_size": 8}),
        ("DebertaV2", "ForSequenceClassification", SMALL),
        ("XLNet", "ForSequenceClassification", {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32}),
        ("Llama", "ForCausalLM", SMALL),
        ("OPT", "ForCausalLM", SMALL | {"ffn_dim": 32, "word_embed_proj_dim": 16}),
        ("Bart", "ForSequenceClassification", BART),
        ("Bart", "ForConditionalGeneration", BART),
        ("T5", "ForConditionalGeneration", T5),
        ("T5", "EncoderModel", T5),
    ],
)
def test_sound_models_of_many_families_open_and_load(original, tmp_path, family, head, options):
    import transformers

    rows = open_checkpoint(original).facts["vocabulary"]
    config = getattr(transformers, f"{family}Config")(vocab_size=rows, pad_token_id=0, **options)
    model = getattr(transformers, f"{family}{head}")(config)
    checkpoint = open_checkpoint(write_model(tmp_path / "model", model, original))
    counted = sum(p.numel() for p in model.parameters())
    assert checkpoint.parameters == counted == sum(p.numel() for p in checkpoint.load_model().parameters())
    assert checkpoint.architecture == f"{family}{head}"


def test_unnamed_labels_keep_their_default_names(folder):
    edit(folder / "config.json", id2label=None, label2id=None)
    assert open_checkpoint(folder).labels == ("LABEL_0", "LABEL_1")


@pytest.mark.parametrize(
    ("card", "licence_file", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# A model\n", None, "apache-2.0"),
        ("---\nlicense: other\nlicense_name: my-own\n---\n", None, "my-own"),
        ("---\nlicense: [mit, cc-by-4.0]\n---\n", None, "mit, cc-by-4.0"),
        ("# no front matter\n", "MIT License\n\nCopyright (c) 2021 A\n", "mit"),
        (None, "                Apache License\n           Version 2.0, January 2004\n", "apache-2.0"),
        (None, "All rights reserved.", "see LICENSE"),
        ("---\nlicense: [unclosed\n---\n", None, None),
        ("---\nlicense: !!python/object/apply:os.system ['exit 1']\n---\n", None, None),
        (None, None, None),
    ],
)
def test_the_licence_comes_from_the_card_or_the_licence_file(folder, card, licence_file, licence):
    if card is not None:
        (folder / "README.md").write_text(card)
    if licence_file is not None:
        (folder / "LICENSE").write_text(licence_file)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.licence == licence and checkpoint.card == card


def test_claims_are_what_its_own_records_assert(folder):
    (folder / "privacy.json").write_text('{"epsilon": 8.0, "delta": 1e-5, "accountant": {"name": "prv"}, "q": [1]}')
    (folder / "training_record.json").write_text('{"seed": 3, "data": {"sha256": "ab"}}')
    checkpoint = open_checkpoint(folder)
    assert checkpoint.claims == (
        ("epsilon", 8.0, "privacy.json"),
        ("delta", 1e-5, "privacy.json"),
        ("accountant.name", "prv", "privacy.json"),
        ("seed", 3, "training_record.json"),
        ("data.sha256", "ab", "training_record.json"),
    )
    assert checkpoint.training_record == {"seed": 3, "data": {"sha256": "ab"}}
    assert open_checkpoint(folder).claims == checkpoint.claims


def test_a_hub_cache_with_its_links_to_blobs_opens(folder, tmp_path):
    cache = tmp_path / "models--owner--name"
    snapshot = cache / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for file in folder.iterdir():
        blob = cache / "blobs" / hashlib.sha256(file.name.encode()).hexdigest()
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(Path("..") / ".." / "blobs" / blob.name)
    assert open_checkpoint(snapshot).sha256 == open_checkpoint(folder).sha256


def test_code_of_its_own_stays_unused_where_transformers_has_the_architecture(folder):
    (folder / "modeling_custom.py").write_text("raise SystemExit('remote code was run')\n")
    edit(folder / "config.json", auto_map={"AutoModelForSequenceClassification": "modeling_custom.Custom"})
    checkpoint = open_checkpoint(folder)
    assert "auto_map" in checkpoint.facts["notes"][0]
    assert type(checkpoint.load_model()).__module__.startswith("transformers.models.bert")
