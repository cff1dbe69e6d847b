"""Promises of `aboveboard compress`: a folder that audits, an honest trade, and letters for what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audit.main import run
from audit.trade import weight_bytes
from core_model.checkpoint import open_checkpoint
from core_model.prediction import Predictor
from reports.trade import Trade
from tests.core_model.compression_world import classifier, writer
from tests.core_model.test_files import small_disk
from tests.factories import WORDS, write_rows

ROWS = 60


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, random.integers(3, 12))) for _ in range(ROWS)]
    labels = [f"LABEL_{y}" for y in random.integers(0, 2, ROWS)]
    rows = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    write_rows(folder / "test.jsonl", rows)
    write_rows(folder / "train.jsonl", rows[::-1])
    write_rows(folder / "texts.jsonl", [{"text": text} for text in texts])
    return {file.stem: str(file) for file in folder.iterdir()}


def compress(files, out: Path, *more: str, model: str = "bert") -> int:
    return run(["compress", str(classifier(model).path), "--data", files["test"], "--out", str(out), *more])


@pytest.fixture(scope="module")
def rounded(files, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("made") / "int8"
    assert compress(files, out, "--method", "quantize") == 0
    return out


def lines(folder: Path) -> dict[str, dict]:
    return {line["name"]: line for line in json.loads((folder / "compression.json").read_text())["lines"]}


def test_numbers_of_both_sides_are_those_of_both_models(files, rounded):
    found = lines(rounded)
    before, after = classifier(), open_checkpoint(rounded)
    rows = [json.loads(line) for line in Path(files["test"]).read_text().splitlines()]
    truth = np.array([int(row["label"][-1]) for row in rows])
    said = [Predictor(side, cache=None).predict([row["text"] for row in rows]).predicted for side in (before, after)]
    accuracy = found["accuracy"]
    assert accuracy["before"]["value"] == np.mean(said[0] == truth)
    assert accuracy["after"]["value"] == np.mean(said[1] == truth)
    assert accuracy["change"]["value"] == pytest.approx(np.mean(said[1] == truth) - np.mean(said[0] == truth))
    assert accuracy["paired"] and accuracy["change"]["n"] == ROWS
    assert found["answers that stayed the same"]["after"]["value"] == np.mean(said[0] == said[1])
    assert found["weights on disk"]["after"]["value"] == (rounded / "model.safetensors").stat().st_size
    assert found["weights on disk"]["before"]["value"] == weight_bytes(before)
    assert found["rows answered"]["before"]["interval"][0] > 0


def test_every_number_has_an_interval_or_says_why_not(rounded):
    for line in lines(rounded).values():
        for side in ("before", "after", "change"):
            number = line[side]
            assert number["interval"] or number["method"] == "counted" or number["reason"], (line["name"], side)


def test_the_result_is_audited_like_any_checkpoint(files, rounded, tmp_path):
    code = run(["audit", str(rounded), "--data", files["test"], "--only", "evaluability", "--out", str(tmp_path)])
    assert code == 0
    assert "int8" in json.loads((tmp_path / "audit.json").read_text())["subject"]["facts"]["quantization"]


def test_the_folder_says_what_it_was_made_of(rounded):
    record = Trade.model_validate({**json.loads((rounded / "compression.json").read_text()), "lines": []})
    assert record.before.sha256 == classifier().sha256
    assert record.after.sha256 == open_checkpoint(rounded).sha256
    assert record.after.name == "int8"  # not the neighbour that it was made in
    assert f"Sha256 of the original: {classifier().sha256}" in (rounded / "README.md").read_text()


def test_the_same_command_again_replaces_its_own_folder(files, rounded):
    sha256 = open_checkpoint(rounded).sha256
    assert compress(files, rounded, "--method", "quantize") == 0
    assert open_checkpoint(rounded).sha256 == sha256
    assert not [path for path in rounded.parent.iterdir() if path != rounded]


def test_pruning_that_cannot_shrink_says_so(files, tmp_path, capsys):
    assert compress(files, tmp_path / "pruned", "--method", "prune-heads", "--share", "0.5", "--lang", "de") == 0
    assert "bytes and time do not shrink" in capsys.readouterr().out
    assert lines(tmp_path / "pruned")["parameters"]["conclusion"] == "unchanged"
    assert "Bytes und Zeit werden nicht kleiner" in (tmp_path / "pruned" / "compression.html").read_text("utf-8")


def test_a_student_is_taught_and_measured(files, tmp_path):
    out = tmp_path / "student"
    more = ["--method", "distill", "--train-data", files["train"], "--epochs", "1"]
    assert compress(files, out, *more) == 0
    assert open_checkpoint(out).facts["layers"] == 1
    assert lines(out)["parameters"]["conclusion"] == "better"
    assert json.loads((out / "training_record.json").read_text())["identity"]["teacher_sha256"] == classifier().sha256
    assert not [path for path in tmp_path.iterdir() if path != out]
    assert compress(files, out, *more) == 0  # done already: measured once more


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_models_that_write_are_judged_by_their_own_metrics(files, tmp_path, family):
    data = files["texts"]
    more = []
    if family == "t5":
        rows = [json.loads(line)["text"] for line in Path(data).read_text().splitlines()][:8]
        data = str(write_rows(tmp_path / "pairs.jsonl", [{"source": text, "target": text} for text in rows]))
        more = ["--source-column", "source", "--target-column", "target"]
    out = tmp_path / "out"
    arguments = ["compress", str(writer(family).path), "--method", "prune-heads", "--share", "0.5", "--data", data]
    assert run([*arguments, *more, "--out", str(out)]) == 0
    found = lines(out)
    assert found["parameters"]["conclusion"] == "better"
    assert ("perplexity" if family == "llama" else "bleu") in found


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--method", "shrink"], "no method 'shrink'"),
        (["--method", "quantize", "--lang", "dee"], "--lang de"),
        (["--method", "quantize", "--share", "0.5"], "--share is an option of prune-heads, not of quantize"),
        (["--method", "quantize", "--train-data", "x.jsonl"], "--train-data is an option of distill"),
        (["--method", "distill"], "--train-data FILE"),
        (["--method", "prune-heads", "--share", "1.5"], "share"),
        (["--method", "distill", "--layers", "2", "--train-data", "TRAIN"], "--layers 1"),
    ],
)
def test_options_that_do_not_fit_are_a_letter(files, tmp_path, capsys, more, said):
    more = [files["train"] if word == "TRAIN" else word for word in more]
    assert compress(files, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert said in error and "Try:" in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_data_that_is_missing_is_a_letter(tmp_path, capsys):
    code = run(["compress", str(classifier().path), "--method", "quantize", "--data", str(tmp_path / "no.jsonl"),
                "--out", str(tmp_path / "out")])  # fmt: skip
    assert code == 2
    assert "no.jsonl is not there" in capsys.readouterr().err


def test_a_head_that_fits_no_rows_is_a_letter(files, tmp_path, capsys):
    from transformers import AutoTokenizer, BertModel

    folder = tmp_path / "headless"
    BertModel.from_pretrained(classifier().path).save_pretrained(folder)
    AutoTokenizer.from_pretrained(classifier().path).save_pretrained(folder)
    code = run(["compress", str(folder), "--method", "quantize", "--data", files["test"], "--out",
                str(tmp_path / "out")])  # fmt: skip
    assert code == 2
    assert "feature-extraction checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_others_is_not_overwritten(files, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert compress(files, tmp_path, "--method", "quantize") == 2
    assert "not of this command" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_full_disk_leaves_the_earlier_result(files, rounded, capsys):
    before = {path.name: path.read_bytes() for path in rounded.iterdir()}
    with small_disk():
        code = compress(files, rounded, "--method", "quantize", "--float-words")
    assert code == 2
    assert "disk is full" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in rounded.iterdir()} == before
    assert not [path for path in rounded.parent.iterdir() if path != rounded]
