"""Promises of `open_checkpoint` about checkpoints that are missing, damaged, unsafe or put together wrongly."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from core_model.checkpoint import open_checkpoint
from core_model.errors import (
    BadInput,
    CheckpointDamaged,
    CheckpointMissing,
    CheckpointUnsafe,
    TaskUnfit,
    TokenizerUnfit,
)
from tests.core_model.test_checkpoint import edit, write_model
from tests.factories import write_checkpoint


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "tiny"))


def letter(kind, location, **options) -> str:
    with pytest.raises(kind) as caught:
        open_checkpoint(location, **options)
    assert type(caught.value) is kind and isinstance(caught.value, BadInput) and caught.value.exit_code == 2
    text = str(caught.value)
    assert "\n  Try: " in text
    return text


def change_header(path: Path, change) -> None:
    """Rewrite a safetensors file with a header that `change` has altered; the data stays."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    header = change(header) or header
    content = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + raw[8 + length :])


def test_a_missing_checkpoint_is_named(tmp_path, monkeypatch):
    assert f"no checkpoint at {tmp_path / 'nowhere'}" in letter(CheckpointMissing, tmp_path / "nowhere")
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "no checkpoint at models/absent" in letter(CheckpointMissing, "models/absent")  # not asked of a hub


def test_a_file_is_no_checkpoint(folder):
    assert f"name its folder: {folder}" in letter(CheckpointMissing, folder / "model.safetensors")


def test_a_folder_without_configuration_says_what_it_holds(folder, tmp_path):
    (folder / "config.json").unlink()
    text = letter(CheckpointMissing, folder)
    assert "has no config.json" in text and "model.safetensors" in text and "save_pretrained" in text
    (tmp_path / "empty").mkdir()
    assert "it holds nothing" in letter(CheckpointMissing, tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{\n "model_type": "bert",\n oops\n}', "config.json, line 3"),
        ("[1]", "holds a list"),
        ('{"model_type": NaN}', "NaN is no JSON value"),
        ("[" * 100_000, "no JSON"),
        (b"\xff\xfe\xfd", "no JSON"),
        ("{}", "names no model_type"),
    ],
)
def test_configuration_that_is_no_json_is_named_by_line(folder, content, what):
    path = folder / "config.json"
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    assert what in letter(CheckpointDamaged, folder)


@pytest.mark.parametrize("cut", [1, 100, 50_000])
def test_truncated_weights_are_noticed_without_loading_them(folder, cut):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    text = letter(CheckpointDamaged, folder)
    assert (
        f"model.safetensors is truncated: the header promises {len(whole):,} bytes, there are {len(whole) - cut:,}"
        in text
    )


def test_weights_cut_within_their_header_are_noticed(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for keep, what in ((0, "no safetensors"), (4, "no safetensors"), (100, "its header alone needs")):
        path.write_bytes(whole[:keep])
        assert what in letter(CheckpointDamaged, folder)


def test_bytes_behind_the_weights_are_noticed(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes() + b"payload")
    assert "holds bytes that its header does not know" in letter(CheckpointDamaged, folder)


def widen(header):
    header["classifier.bias"]["shape"] = [3]


def overlap(header):
    first, second = [name for name in header if name != "__metadata__" and "bias" in name][:2]
    header[second]["data_offsets"] = header[first]["data_offsets"]
    header[second]["shape"] = header[first]["shape"]


def negative(header):
    header["classifier.bias"]["data_offsets"] = [-8, 0]


def strange(header):
    header["classifier.bias"]["dtype"] = "F33"


def huge(header):
    header["classifier.bias"]["shape"] = [2**70]


@pytest.mark.parametrize(
    "change", [widen, overlap, negative, strange, huge, lambda header: [1], lambda header: {"a": 1}]
)
def test_a_header_that_lies_is_refused(folder, change):
    change_header(folder / "model.safetensors", change)
    assert "model.safetensors" in letter(CheckpointDamaged, folder)


def test_a_header_length_beyond_reason_is_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + path.read_bytes()[8:])
    assert "does not begin with a header length" in letter(CheckpointDamaged, folder)


@pytest.fixture
def sharded(folder):
    model = open_checkpoint(folder).load_model()
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    return folder


def test_a_missing_shard_is_named(sharded):
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.unlink()
    assert f"lacks the shard {shard.name}" in letter(CheckpointDamaged, sharded)


def test_an_index_that_points_elsewhere_is_refused(sharded):
    index = sharded / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    name = next(iter(content["weight_map"]))
    files = sorted(set(content["weight_map"].values()))
    for target in ("../other.safetensors", "/etc/passwd", "a\\b.safetensors", "config.json"):
        index.write_text(json.dumps({"weight_map": content["weight_map"] | {name: target}}))
        assert "no safetensors file beside it" in letter(CheckpointUnsafe, sharded)
    wrong = next(file for file in files if file != content["weight_map"][name])
    index.write_text(json.dumps({"weight_map": content["weight_map"] | {name: wrong}}))
    assert "not in the shard that the index names" in letter(CheckpointDamaged, sharded)


class Bomb:
    """A pickle that leaves a mark when it is run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def as_pickle(folder: Path, content=None) -> None:
    import torch

    model = open_checkpoint(folder).load_model()
    torch.save(model.state_dict() if content is None else content, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def test_a_pickle_is_refused_with_the_flag_that_allows_it_and_the_better_way(folder):
    as_pickle(folder)
    text = letter(CheckpointUnsafe, folder)
    assert "only as a pickle (pytorch_model.bin)" in text and "--allow-pickle" in text and "safetensors" in text


def test_an_allowed_pickle_opens_as_the_same_model(folder):
    import torch

    before = open_checkpoint(folder)
    expected = before.load_model().state_dict()
    as_pickle(folder)
    checkpoint = open_checkpoint(folder, allow_pickle=True)
    assert checkpoint.pickled and checkpoint.parameters == before.parameters and "pytorch_model.bin" in checkpoint.files
    loaded = checkpoint.load_model().state_dict()
    assert all(torch.equal(expected[name], loaded[name]) for name in expected)


def test_code_in_an_allowed_pickle_is_still_not_run(folder, tmp_path):
    mark = tmp_path / "was run"
    as_pickle(folder, {"weight": Bomb(mark)})
    assert "more than tensors" in letter(CheckpointUnsafe, folder, allow_pickle=True)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))  # noqa: S301  # without this the bomb might be a dud
    assert mark.exists()


def test_a_pickle_beside_safetensors_is_left_alone(folder, tmp_path):
    mark = tmp_path / "was run"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    open_checkpoint(folder).load_model()
    assert not mark.exists()


def test_code_of_its_own_is_refused_where_nothing_else_can_build_the_model(folder):
    (folder / "modeling_custom.py").write_text("raise SystemExit('remote code was run')\n")
    edit(
        folder / "config.json",
        architectures=["CustomForSequenceClassification"],
        model_type="custom",
        auto_map={"AutoModelForSequenceClassification": "modeling_custom.CustomForSequenceClassification"},
    )
    text = letter(CheckpointUnsafe, folder)
    assert "auto_map" in text and "CustomForSequenceClassification" in text and "never run" in text


def test_an_unknown_architecture_is_a_letter_when_it_is_loaded(folder):
    edit(folder / "config.json", model_type="newer-than-this")
    with pytest.raises(CheckpointDamaged, match="cannot be built"):
        open_checkpoint(folder).load_model()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "README.md"])
def test_a_named_pipe_is_refused_and_never_opened(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    text = letter(CheckpointUnsafe, folder)  # a reader of it would wait for ever
    assert f"{name} is a named pipe, not a file" in text and f"rm -- {folder / name}" in text


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_a_file_of_no_bytes_is_named(folder, name):
    (folder / name).write_bytes(b"")
    assert name in letter(CheckpointDamaged, folder)


def test_links_out_of_the_folder_are_refused(folder, tmp_path):
    outside = tmp_path / "secret.json"
    shutil.move(folder / "tokenizer_config.json", outside)
    (folder / "tokenizer_config.json").symlink_to(outside)
    text = letter(CheckpointUnsafe, folder)
    assert "tokenizer_config.json is a link out of the checkpoint's folder" in text and str(outside) in text
    outside.unlink()
    assert "link to nothing" in letter(CheckpointDamaged, folder)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"vocab_size": 500}, "config.json says vocab_size 500"),
        ({"num_hidden_layers": 3}, "the weights hold 2 layers, but config.json says 3"),
        ({"max_position_embeddings": 512}, "config.json says 512 positions"),
        ({"hidden_size": 64}, "no width of 32"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "tensor 'classifier.weight' has shape (2, 32), but"),
        ({"id2label": {"0": "a", "2": "b"}}, "without gaps"),
        ({"id2label": {"0": "a", "1": "a"}}, "two classes of id2label are called 'a'"),
    ],
)
def test_weights_that_do_not_fit_the_configuration_are_refused(folder, changes, what):
    edit(folder / "config.json", **changes)
    assert what in letter(CheckpointDamaged, folder)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"problem_type": "multi_label_classification"}, "multi_label_classification"),
        ({"id2label": {"0": "score"}}, "a score rather than classes"),
        ({"architectures": ["BertForTokenClassification"]}, "BertForTokenClassification"),
        ({"architectures": ["ViTForImageClassification"]}, "ViTForImageClassification"),
    ],
)
def test_heads_that_no_audit_knows_are_refused(folder, changes, what):
    edit(folder / "config.json", **changes)
    assert what in letter(TaskUnfit, folder)


def test_weights_without_the_head_are_not_filled_with_random_numbers(folder, original):
    from transformers import BertModel

    shutil.rmtree(folder)
    write_model(folder, BertModel.from_pretrained(original), original)
    assert open_checkpoint(folder).load_model() is not None  # the healthy twin: an encoder says that it is one
    edit(folder / "config.json", architectures=["BertForSequenceClassification"])
    with pytest.raises(CheckpointDamaged, match="filled with random numbers"):
        open_checkpoint(folder).load_model()


def test_a_missing_tokenizer_is_named(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert "has no tokenizer" in letter(TokenizerUnfit, folder)


def test_a_tokenizer_with_more_tokens_than_the_model_is_of_another(folder):
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"]["extraordinary"] = 4_000
    path.write_text(json.dumps(tokenizer))
    assert "'extraordinary' has id 4,000" in letter(TokenizerUnfit, folder)


def test_a_tokenizer_with_far_fewer_tokens_is_of_another_model(folder):
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"] = dict(list(tokenizer["model"]["vocab"].items())[:40])
    path.write_text(json.dumps(tokenizer))
    assert "the tokenizer of another model" in letter(TokenizerUnfit, folder)


def test_special_tokens_that_contradict_the_configuration_are_of_another_model(folder):
    edit(folder / "config.json", pad_token_id=7)
    assert "the tokenizer's pad token is 0, config.json says pad_token_id 7" in letter(TokenizerUnfit, folder)


def test_a_damaged_tokenizer_is_named(folder):
    path = folder / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:500])
    assert "tokenizer.json, line" in letter(CheckpointDamaged, folder)
    path.write_text('{"model": {"vocab": {"a": 0}}, "added_tokens": [1]}')
    assert "another model" in letter(TokenizerUnfit, folder)


def test_an_adapter_is_to_be_merged_first(folder, tmp_path):
    (tmp_path / "adapter").mkdir()
    adapter = {"base_model_name_or_path": "owner/elsewhere", "peft_type": "LORA"}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(adapter))
    assert "merge_and_unload" in letter(TaskUnfit, tmp_path / "adapter")
    (folder / "adapter_config.json").write_text(json.dumps(adapter))  # would send transformers to another base
    assert "merge_and_unload" in letter(TaskUnfit, folder)


def test_gguf_is_to_be_converted_first(folder):
    (folder / "model.safetensors").unlink()
    assert "has no weights" in letter(CheckpointMissing, folder)
    (folder / "model.gguf").write_bytes(b"GGUF")
    assert "gguf_file" in letter(TaskUnfit, folder)
    (folder / "config.json").unlink()
    assert "model.gguf holds the weights as GGUF" in letter(TaskUnfit, folder)


@pytest.mark.parametrize("name", ["privacy.json", "training_record.json", "federated_record.json"])
def test_a_record_that_is_no_json_is_named(folder, name):
    (folder / name).write_text('{"epsilon": 1,\n')
    assert f"{name}, line" in letter(CheckpointDamaged, folder)


def test_a_hub_name_offline_is_one_letter_and_no_traceback():
    code = """
from core_model.checkpoint import open_checkpoint
try:
    open_checkpoint("nobody/nothing")
except Exception as error:
    print(error)
"""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    assert run.stdout.startswith("CheckpointMissing: 'nobody/nothing' is no folder here, and the hub does not give it")
    assert "Traceback" not in run.stderr and run.returncode == 0


def test_only_harmless_files_are_asked_of_a_hub(folder, monkeypatch):
    import huggingface_hub

    asked = {}

    def download(name, revision, allow_patterns):  # stands for the hub, which a test must not reach
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    checkpoint = open_checkpoint("hub:owner/name@v1")
    assert (asked["name"], asked["revision"], checkpoint.name) == ("owner/name", "v1", "owner/name@v1")
    assert not any(
        pattern.endswith((".bin", ".py", ".pt", "*")) for pattern in asked["patterns"] if "LICENSE" not in pattern
    )
