"""Promises of exported graphs as checkpoints: opened without being run, held against their task, or refused."""

from __future__ import annotations

import builtins
import json
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from core_model.checkpoint import open_checkpoint
from core_model.checkpoint_files import content_hash
from core_model.errors import BadInput, CheckpointDamaged, CheckpointMissing, CheckpointUnsafe, OptionUnfit, TaskUnfit
from core_model.prediction import Predictor
from tests.core_model.graph_world import tables, write_graph_folder

pytest.importorskip("onnxruntime")


@pytest.fixture
def graph(tmp_path, checkpoint):
    """A folder written by hand; settings as in `write_graph_folder`."""

    def write(**settings) -> Path:
        folder = tmp_path / "graph"
        shutil.rmtree(folder, ignore_errors=True)
        return write_graph_folder(folder, checkpoint, **settings)

    return write


def test_a_graph_is_a_checkpoint_that_numpy_can_follow(graph, checkpoint):
    opened = open_checkpoint(graph())
    assert (opened.task, opened.labels) == ("classification", ("negative", "positive"))
    words, head = tables(opened.facts["vocabulary"], 2)
    assert opened.parameters == words.size + head.size
    texts = ["a good film", "the cruel king said that this was a bad day", "a", "good " * 90]
    rows = opened.load_tokenizer()(texts, truncation=True, max_length=64)["input_ids"]
    expected = np.array([words[ids].sum(0) @ head for ids in rows])
    found = Predictor(opened, cache=None).predict(texts).logits
    assert np.abs(found - expected).max() < 1e-4


def test_without_a_padding_id_rows_of_equal_length_share_a_batch(graph):
    folder = graph()
    texts = ["a good film", "the cruel king said that", "a bad day", "he saw the good film"]
    usual = Predictor(open_checkpoint(folder), cache=None).predict(texts).logits
    config = json.loads((folder / "config.json").read_text()) | {"pad_token_id": None}
    (folder / "config.json").write_text(json.dumps(config))
    predictor = Predictor(open_checkpoint(folder), cache=None)
    assert not predictor.forward.can_pad
    assert predictor.predict(texts).logits == pytest.approx(usual, abs=1e-5)


def test_the_record_says_what_it_is_and_what_was_hashed(graph):
    folder = graph()
    opened = open_checkpoint(folder)
    assert opened.architecture == "BertForSequenceClassification as ONNX, opset 20, not quantized"
    assert "model.onnx" in opened.files and "model.safetensors" not in opened.files
    assert opened.sha256 == content_hash(
        {name: sha256((folder / name).read_bytes()).hexdigest() for name in opened.files}
    )
    named = open_checkpoint(folder / "model.onnx")
    assert (named.sha256, named.name) == (opened.sha256, "graph/model.onnx")


def test_safetensors_go_before_a_graph_beside_them(graph, checkpoint):
    folder = graph()
    shutil.copyfile(checkpoint / "model.safetensors", folder / "model.safetensors")
    assert open_checkpoint(folder).graph is None
    assert open_checkpoint(folder / "model.onnx").graph is not None


def test_numbers_beside_the_graph_are_hashed_and_held_against_it(graph):
    folder = graph(external="model.onnx.data")
    words, _ = tables(json.loads((folder / "config.json").read_text())["vocab_size"], 2)
    data = folder / "model.onnx.data"
    with pytest.raises(CheckpointDamaged, match=r"lacks model\.onnx\.data"):
        open_checkpoint(folder)
    data.write_bytes(words.tobytes()[:-4])
    with pytest.raises(CheckpointDamaged, match="is truncated"):
        open_checkpoint(folder)
    data.write_bytes(words.tobytes())
    opened = open_checkpoint(folder)
    assert "model.onnx.data" in opened.files and opened.parameters == words.size + 64
    assert len(Predictor(opened, cache=None).predict(["a good film"])) == 1
    data.write_bytes(words[::-1].tobytes())
    with pytest.raises(CheckpointDamaged, match="changed since it was opened"):
        Predictor(opened, cache=None).predict(["a good film"])


@pytest.mark.parametrize("place", ["../words.bin", "/etc/hostname", "a/../../words.bin", "..\\words.bin", ""])
def test_numbers_outside_the_folder_are_refused_by_name(graph, place):
    folder = graph(external=place)
    (folder.parent / "words.bin").write_bytes(bytes(1 << 16))
    with pytest.raises(CheckpointUnsafe, match="outside the graph's folder") as letter:
        open_checkpoint(folder)
    assert repr(place) in letter.value.found


def test_a_link_out_of_the_folder_is_refused(graph, tmp_path):
    folder = graph(external="words.bin")
    (tmp_path / "elsewhere.bin").write_bytes(bytes(1 << 16))
    (folder / "words.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(CheckpointUnsafe, match="link out of the checkpoint's folder"):
        open_checkpoint(folder)


def test_operators_of_a_library_are_refused_by_name(graph):
    with pytest.raises(CheckpointUnsafe, match=r"'Steal' is of the domain 'com\.example'"):
        open_checkpoint(graph(operator=("Steal", "com.example")))


def test_an_operator_that_onnx_runtime_lacks_is_told_before_anything_is_asked(graph):
    opened = open_checkpoint(graph(operator=("NoSuchOperator", "com.microsoft")))
    with pytest.raises(CheckpointDamaged, match="cannot hold the graph"):
        _ = Predictor(opened).forward


@pytest.mark.parametrize(
    ("settings", "letter"),
    [
        ({"wide": 3}, r"gives logits of shape \(any, 3\); a number for each label of each row \(2\) is needed"),
        ({"output": "scores"}, "gives scores; the task classification needs logits"),
        ({"tokens": 16}, r"takes input_ids of shape \(any, 16\)"),
        ({"inputs": ("input_ids", "attention_mask", "position_ids")}, "asks for 'position_ids'"),
    ],
)
def test_what_goes_in_and_comes_out_is_held_against_the_task(graph, settings, letter):
    with pytest.raises(TaskUnfit, match=letter):
        open_checkpoint(graph(**settings))


def test_a_width_that_the_graph_does_not_say_is_found_before_anything_is_asked(graph):
    opened = open_checkpoint(graph(wide=3, said="classes"))
    with pytest.raises(CheckpointDamaged, match=r"gives logits of shape \(2, 3\) for 2 rows of 3 tokens"):
        _ = Predictor(opened).forward


def test_a_truncated_or_empty_graph_is_damaged(graph):
    folder = graph()
    whole = (folder / "model.onnx").read_bytes()
    for kept in (0, 40, len(whole) // 2, len(whole) - 1):
        (folder / "model.onnx").write_bytes(whole[:kept])
        with pytest.raises(CheckpointDamaged, match=r"model\.onnx"):
            open_checkpoint(folder)


def test_what_must_lie_beside_a_graph(graph):
    folder = graph()
    (folder / "config.json").rename(folder / "elsewhere")
    with pytest.raises(CheckpointMissing, match=r"exported graph .* no config\.json"):
        open_checkpoint(folder)
    (folder / "elsewhere").rename(folder / "config.json")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BadInput, match="has no tokenizer"):
        open_checkpoint(folder)


def test_of_several_graphs_one_must_be_named(graph):
    folder = graph()
    for name in ("a.onnx", "b.onnx"):
        shutil.copyfile(folder / "model.onnx", folder / name)
    assert open_checkpoint(folder).graph.file == "model.onnx"
    (folder / "model.onnx").unlink()
    with pytest.raises(CheckpointMissing, match=r"2 graphs \(a\.onnx, b\.onnx\)"):
        open_checkpoint(folder)
    assert open_checkpoint(folder / "b.onnx").graph.file == "b.onnx"


def test_a_graph_that_reads_a_source_and_writes_a_target_is_refused(graph):
    folder = graph()
    config = json.loads((folder / "config.json").read_text()) | {"architectures": ["BartForConditionalGeneration"]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(TaskUnfit, match="graph of translation cannot be audited") as letter:
        open_checkpoint(folder)
    assert "exported from" in letter.value.mend


def test_without_the_packages_the_extra_is_named(graph, monkeypatch):
    folder, real = graph(), builtins.__import__

    def missing(name, *rest, **more):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(OptionUnfit, match="needs the package onnxruntime") as letter:
        open_checkpoint(folder)
    assert "aboveboard[onnx]" in letter.value.mend


def test_what_needs_the_model_itself_gets_a_letter(graph):
    opened = open_checkpoint(graph())
    with pytest.raises(TaskUnfit, match="torch cannot load it"):
        opened.load_model()
    predictor = Predictor(opened)
    with pytest.raises(TaskUnfit, match="no gradients"):
        predictor.embedding_gradients(["a good film"], [0])
    with pytest.raises(TaskUnfit, match="gives logits"):
        predictor.answer(["who?"], ["the king"])
    with pytest.raises(OptionUnfit, match="runs on the CPU"):
        _ = Predictor(opened, device="cuda").forward


def test_a_fault_of_the_tables_shape_is_found(graph):
    import onnx

    folder = graph()
    model = onnx.load(str(folder / "model.onnx"))
    model.graph.initializer[1].raw_data += b"1234"
    onnx.save(model, str(folder / "model.onnx"))
    with pytest.raises(CheckpointDamaged, match="'head' of shape"):
        open_checkpoint(folder)
