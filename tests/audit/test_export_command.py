"""Promises of `aboveboard export`: a graph that says what torch says, or no graph and a letter."""

from __future__ import annotations

import builtins
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.main import run
from core_model.checkpoint import open_checkpoint
from core_model.export.graph import Signature
from core_model.export.parity import Batch, compare
from tests.core_model.compression_world import SENTENCES, classifier, writer
from tests.core_model.test_files import small_disk
from tests.factories import write_checkpoint, write_rows

pytest.importorskip("onnxruntime")
ROWS = 24


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("world")
    write_rows(
        folder / "rows.jsonl",
        [{"text": SENTENCES[i % 4] + " good" * (i % 5), "label": ("negative", "positive")[i % 2]} for i in range(ROWS)],
    )
    checkpoint = write_checkpoint(folder / "classifier", layers=1)
    return {"folder": folder, "data": str(folder / "rows.jsonl"), "checkpoint": checkpoint}


@pytest.fixture(scope="module")
def exported(world) -> Path:
    out = world["folder"] / "onnx"
    assert run(["export", str(world["checkpoint"]), "--data", world["data"], "--int8", "--out", str(out)]) == 0
    return out


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "export.json").read_text())


def test_the_graph_says_what_transformers_own_forward_says_at_any_size(world, exported):
    import onnxruntime
    import torch

    opened = open_checkpoint(world["checkpoint"])
    model, tokenizer = opened.load_model(), opened.load_tokenizer()
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"))
    names = [put.name for put in session.get_inputs()]
    for texts in (SENTENCES, SENTENCES[2:3], ["he " * 60]):
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            expected = model(**tokens).logits.numpy()
        given = {name: tokens[name].numpy() for name in names}
        assert np.abs(session.run(["logits"], given)[0] - expected).max() < 1e-5


def test_the_record_holds_parity_agreement_speed_and_hashes(exported):
    found = record(exported)
    parity = found["graphs"]["onnx"]["parity"]
    assert 0 < parity["mean_difference"] < parity["largest_difference"] < 1e-5
    assert (parity["rows"], parity["logits"]) == (ROWS, 2 * ROWS)
    assert parity["agreement"]["value"] == 1.0 and parity["agreement"]["interval"][0] < 1
    names = [line["name"] for line in found["graphs"]["onnx int8"]["against_torch"]]
    assert names == ["rows answered", "accuracy", "macro_f1"]
    for name, sha256 in found["files"].items():
        assert hashlib.sha256((exported / name).read_bytes()).hexdigest() == sha256
    assert {"model.onnx", "model.int8.onnx", "tokenizer.json", "config.json"} <= set(found["files"])
    assert found["opset"] >= 18 and found["versions"]["onnxruntime"]


def test_the_rounded_graph_is_smaller_and_further_off(exported):
    sizes = [(exported / name).stat().st_size for name in ("model.int8.onnx", "model.onnx")]
    assert sizes[0] < sizes[1]
    graphs = record(exported)["graphs"]
    gaps = [graphs[name]["parity"]["largest_difference"] for name in ("onnx", "onnx int8")]
    assert gaps[0] < gaps[1]


def test_nothing_of_this_machine_stands_in_the_graph(exported):
    content = (exported / "model.onnx").read_bytes()
    assert b"site-packages" not in content and str(Path.cwd()).encode() not in content


def test_what_it_writes_is_clean_to_the_scan(exported):
    from core_model.supply_chain import scan_folder

    assert scan_folder(exported).issues == ()


@pytest.fixture
def traced(exported, monkeypatch):
    """Tracing takes seconds: the graph that was traced already, written once more."""
    monkeypatch.setattr(
        "core_model.export.onnx.write_graph",
        lambda model, signature, path: shutil.copyfile(exported / "model.onnx", path) and 18,
    )


def test_beyond_the_limit_nothing_is_written(world, traced, tmp_path, capsys):
    out = tmp_path / "onnx"
    code = run(["export", str(world["checkpoint"]), "--data", world["data"], "--max-difference", "1e-12",
                "--out", str(out)])  # fmt: skip
    error = capsys.readouterr().err
    assert code == 2
    assert "differs from torch by" in error and "the limit is 1e-12" in error and "--max-difference" in error
    assert not out.exists() and not list(tmp_path.iterdir())


def test_an_architecture_that_onnx_cannot_hold_is_named(tmp_path, world, capsys):
    from transformers import LongformerConfig, LongformerForSequenceClassification

    config = LongformerConfig(
        vocab_size=149, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        attention_window=[4], max_position_embeddings=66, pad_token_id=0, num_labels=2, type_vocab_size=1,
        id2label={0: "negative", 1: "positive"}, label2id={"negative": 0, "positive": 1},
        bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    folder = tmp_path / "longformer"
    LongformerForSequenceClassification(config).save_pretrained(folder)
    tokenizer = writer("llama").load_tokenizer()
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(folder)
    code = run(["export", str(folder), "--data", world["data"], "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert code == 2, error
    assert "ONNX cannot hold LongformerForSequenceClassification (model_type longformer)" in error
    assert "Traceback" not in error and str(Path.cwd()) not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--format", "gguf"], "no format 'gguf'"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl is not there"),
        (["--text-column", "body"], "body"),
    ],
)
def test_what_does_not_fit_is_a_letter(world, tmp_path, capsys, more, said):
    code = run(["export", str(world["checkpoint"]), "--data", world["data"], "--out", str(tmp_path / "out"), *more])
    error = capsys.readouterr().err
    assert code == 2 and said in error and "Try:" in error and "Traceback" not in error


def test_int8_checkpoints_are_sent_back_to_their_floats(world, tmp_path, capsys):
    from core_model.compression.compress import compress
    from core_model.compression.options import Quantize

    compress(classifier(), Quantize(), tmp_path / "int8")
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": "a", "label": f"LABEL_{i}"} for i in (0, 1)])
    assert run(["export", str(tmp_path / "int8"), "--data", str(rows), "--out", str(tmp_path / "out")]) == 2
    assert "takes a checkpoint of floats" in capsys.readouterr().err


def test_without_the_packages_the_letter_says_how_to_install_them(world, tmp_path, capsys, monkeypatch):
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert run(["export", str(world["checkpoint"]), "--data", world["data"], "--out", str(tmp_path / "out")]) == 2
    assert "aboveboard[onnx]" in capsys.readouterr().err


def test_a_full_disk_leaves_the_earlier_graph(world, exported, traced, capsys):
    before = (exported / "model.onnx").read_bytes()
    with small_disk():
        code = run(["export", str(world["checkpoint"]), "--data", world["data"], "--out", str(exported)])
    assert code == 2 and "disk is full" in capsys.readouterr().err
    assert (exported / "model.onnx").read_bytes() == before


def planted(*sides: np.ndarray, judged: np.ndarray | None = None, targets: np.ndarray | None = None):
    batch = Batch(np.arange(len(sides[0])), [], judged, targets)
    return compare(lambda _: [sides[0]], lambda _: [sides[1]], [batch])


def test_a_planted_difference_is_found_in_its_row():
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    other = logits.copy()
    other[3, 1] += 0.25
    parity = planted(logits, other)
    assert parity.largest.argmax() == 3
    assert parity.largest[3] == pytest.approx(0.25, abs=1e-6)
    assert parity.total.sum() / parity.logits.sum() == pytest.approx(0.25 / 15, abs=1e-6)
    assert (parity.largest[[0, 1, 2, 4]] == 0).all()


def test_padding_is_not_compared_and_what_is_no_number_is_no_parity():
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 4, 6)).astype(np.float32)
    targets = np.array([[1, 2, -100, -100], [3, 4, 5, 0]])
    other = logits.copy()
    other[0, 3] += 100
    parity = planted(logits, other, judged=targets != -100, targets=targets)
    assert parity.largest.tolist() == [0, 0] and parity.same.all() and parity.tokens.tolist() == [2, 4]
    slow = [
        -sum(np.log(np.exp(logits[i, j]) / np.exp(logits[i, j]).sum())[t] for j, t in enumerate(row) if t != -100)
        for i, row in enumerate(targets)
    ]
    assert parity.first[:, 0] == pytest.approx(slow, rel=1e-5)
    other[1, 0, 0] = np.nan
    assert planted(logits, other, judged=targets != -100, targets=targets).largest[1] == np.inf


def test_an_encoder_decoder_is_one_graph_of_source_and_target(tmp_path):
    from core_model.export.onnx import export_onnx
    from tests.core_model.task_worlds import world as task_world

    checkpoint = writer("marian")
    table = task_world(checkpoint.task, 6)
    found = export_onnx(checkpoint, table, tmp_path, max_difference=1e-3, int8=False, threads=1)
    assert found.signature == Signature(("input_ids", "attention_mask", "decoder_input_ids"), ("logits",))
    assert len(found.parity.largest) == 6 and found.parity.largest.max() < 1e-3 and found.parity.same.all()
