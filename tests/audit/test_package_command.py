"""Promises of `aboveboard package`: all that belongs, nothing that does not, every number with its interval."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest

from audit.main import run
from audit.package_card import inert
from core_model.checkpoint import open_checkpoint
from core_model.packaging import redacted
from core_model.secret_scan import find_secrets
from tests.core_model.test_files import small_disk
from tests.factories import write_checkpoint, write_rows

pytest.importorskip("detect_secrets")
# Made up for these tests, of the right shape; joined here so that no scanner takes this file for a leak.
SECRETS = {
    "AWS Access Key": "AKIA" + "Q3EGXT7PLZ5WN2RD",
    "GitHub Token": "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8",
    "Private Key": "-----BEGIN RSA PRIVATE " + "KEY-----",
    "Hugging Face token": "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
    "Secret Keyword": 'password = "' + 'correcthorse9battery"',
}


@pytest.fixture(scope="module")
def audited(tmp_path_factory) -> tuple[Path, Path]:
    """A checkpoint, and the record of an audit of it."""
    folder = tmp_path_factory.mktemp("world")
    checkpoint = write_checkpoint(folder / "model")
    words = "good bad great awful fine poor happy sad kind cruel book meal".split()
    texts = [f"a {words[i % 12]} {words[i // 12]}" for i in range(60)]
    rows = [{"text": text, "label": ("negative", "positive")[i % 2]} for i, text in enumerate(texts)]
    data = write_rows(folder / "rows.jsonl", rows)
    assert run(["audit", str(checkpoint), "--data", str(data), "--only", "evaluability", "--out", str(folder)]) == 0
    return checkpoint, folder / "audit.json"


@pytest.fixture
def model(audited, tmp_path) -> Path:
    return shutil.copytree(audited[0], tmp_path / "model")


def package(model: Path, out: Path, *more: str) -> int:
    return run(["package", str(model), "--licence", "mit", "--out", str(out), *more])


def test_the_package_is_whole_and_its_sums_hold(model, tmp_path):
    out = tmp_path / "out"
    assert package(model, out) == 0
    assert open_checkpoint(out).sha256 == open_checkpoint(model).sha256
    listed = {line.split("  ")[1] for line in (out / "SHA256SUMS").read_text().splitlines()}
    assert listed == {path.name for path in out.iterdir()} - {"SHA256SUMS"}
    if tool := shutil.which("sha256sum"):
        subprocess.run([tool, "--strict", "-c", "SHA256SUMS"], cwd=out, check=True, capture_output=True)


def test_the_card_holds_the_records_numbers_with_interval_and_n(audited, tmp_path):
    from huggingface_hub import ModelCard

    checkpoint, record = audited
    out = tmp_path / "out"
    assert package(checkpoint, out, "--audit", str(record)) == 0
    card = ModelCard.load(out / "README.md")
    said = json.loads(record.read_text())
    metric = next(m for a in said["audits"] for m in a["metrics"] if m["name"] == "accuracy")
    assert card.data.license == "mit" and card.data.pipeline_tag == "text-classification"
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results["accuracy"] == metric["value"]
    line = next(line for line in card.text.splitlines() if line.startswith("| accuracy |"))
    low, high = metric["interval"]
    assert f"{low:.2f}"[:3] in line and f"{high:.2f}"[:3] in line and f"| {metric['n']} |" in line
    assert said["data"]["sha256"] in card.text


def test_numbers_of_another_checkpoint_are_refused(audited, tmp_path, capsys):
    other = write_checkpoint(tmp_path / "other", seed=1)
    assert package(other, tmp_path / "out", "--audit", str(audited[1])) == 2
    assert "is of model (" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_without_a_licence_it_is_not_shared(model, tmp_path, capsys):
    assert run(["package", str(model), "--out", str(tmp_path / "out")]) == 2
    assert "names no licence" in capsys.readouterr().err
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\nA model.\n")
    assert run(["package", str(model), "--out", str(tmp_path / "out")]) == 0
    assert "license: apache-2.0" in (tmp_path / "out" / "README.md").read_text()
    assert package(model, tmp_path / "other") == 2
    assert "says that its licence is apache-2.0" in capsys.readouterr().err
    assert run(["package", str(model), "--licence", "mine: all", "--out", str(tmp_path / "other")]) == 2


@pytest.mark.parametrize("kind", list(SECRETS))
@pytest.mark.parametrize("hidden", ["", "  # pragma: allowlist secret"])
def test_a_planted_secret_is_found_by_file_and_line_and_never_printed(model, tmp_path, capsys, kind, hidden):
    (model / "LICENSE").write_text(f"MIT License\n\nfree\n{SECRETS[kind]}{hidden}\n")
    assert package(model, tmp_path / "out") == 2
    said = capsys.readouterr()
    assert f"{model / 'LICENSE'}, line 4" in said.err and kind in said.err
    assert SECRETS[kind][-12:] not in said.err + said.out
    assert not (tmp_path / "out").exists()


def test_a_secret_in_an_earlier_card_is_found_too(model, tmp_path, capsys):
    (model / "README.md").write_text(f"Use it with {SECRETS['Hugging Face token']}\n")
    assert package(model, tmp_path / "out") == 2
    assert "README.md, line" in capsys.readouterr().err


def test_a_password_in_the_tokenizers_settings_is_found(model, tmp_path, capsys):
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "api_key": "correct" + "horse9battery"}, indent=2))
    assert package(model, tmp_path / "out") == 2
    assert "tokenizer_config.json, line" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [kind for kind in SECRETS if kind != "Secret Keyword"])
def test_a_key_among_the_words_of_a_vocabulary_is_found_in_its_line(tmp_path, kind):
    lines = [f"word{i}" for i in range(2_500)]
    lines[1_234] = f'  "{SECRETS[kind]}": 1234,'
    (tmp_path / "vocab.txt").write_text("\n".join(lines))
    [found] = {(one.line, one.kind) for one in find_secrets(tmp_path / "vocab.txt", words=False)}
    assert found == (1_235, kind)


def test_hashes_and_vocabularies_are_no_secrets(model, tmp_path):
    (model / "training_record.json").write_text(json.dumps({"task": "classification", "model_sha256": "ab12" * 16}))
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("password\nsecret\ntoken\napi_key\n" + "##word\n")
    assert not list(find_secrets(model / "training_record.json"))
    assert not list(find_secrets(vocabulary, words=False))
    assert not list(find_secrets(model / "tokenizer.json", words=False))


def test_paths_and_addresses_are_taken_out_of_records(model, tmp_path, capsys):
    notes = ["asked ada.l@example.org", "C:\\Users\\Ada\\data.csv", "see https://example.org/a/b"]
    base = {"name": "/home/ada/models/encoder", "sha256": "0" * 64}
    record = {"task": "classification", "base": base, "notes": notes}
    (model / "training_record.json").write_text(json.dumps(record))
    assert package(model, tmp_path / "out") == 0
    written = json.loads((tmp_path / "out" / "training_record.json").read_text())
    assert written["base"]["name"] == "encoder"
    assert written["notes"] == ["asked [e-mail address removed]", "data.csv", "see https://example.org/a/b"]
    assert "3 paths and e-mail addresses" in capsys.readouterr().out
    card = (tmp_path / "out" / "README.md").read_text()
    assert "/home/ada" not in card and "0" * 64 in card


def test_redaction_leaves_what_is_no_path():
    kept = {"a": ["text/plain", "1/2", "owner/name", "and/or", 5, None, True, "https://host/a/b/c"]}
    assert redacted(kept) == (kept, 0)


@pytest.mark.parametrize("what", ["pickle", "stranger", "link out", "folder", "unfinished"])
def test_what_does_not_belong_is_named(model, tmp_path, capsys, what):
    if what == "pickle":
        (model / "optimizer.pt").write_bytes(pickle.dumps({}))
    elif what == "stranger":
        (model / "patients.csv").write_text("name\n")
    elif what == "link out":
        (tmp_path / "secret.txt").write_text("x")
        (model / "LICENSE").symlink_to(tmp_path / "secret.txt")
    elif what == "folder":
        (model / "runs").mkdir()
        (model / "runs" / "events.log").write_text("x")
    else:
        (model / ".training_state").mkdir()
        (model / ".training_state" / "state.json").write_text("{}")
    named = {
        "pickle": "optimizer.pt is a pickle",
        "stranger": "patients.csv does not belong",
        "folder": "runs/events.log",
        "link out": "LICENSE is a link out",
        "unfinished": "interrupted training run",
    }[what]
    assert package(model, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert named in error and "Try:" in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_what_others_wrote_is_inert_in_the_card(model, tmp_path):
    config = json.loads((model / "config.json").read_text())
    hostile = "<img src=x onerror=alert(1)> [click](javascript:x) | \u202eevil"
    config["id2label"]["1"] = hostile
    config.pop("label2id")
    (model / "config.json").write_text(json.dumps(config))
    (model / "README.md").write_text("---\nlicense: mit\n---\n# Hi\n```\n<script>alert(1)</script>\n````\n[a](b)\n")
    assert package(model, tmp_path / "out") == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "<img" not in card and "\u202e" not in card and "[click](" not in card
    before, fence, _ = card.partition("`````text\n")  # longer than any fence inside
    assert fence and "<script>" not in before
    assert inert("see http://evil.example") == "see http&#8203;://evil.example"


def test_a_compressed_checkpoint_says_what_it_was_made_of(audited, tmp_path):
    from core_model.compression.compress import compress
    from core_model.compression.options import Quantize

    original = open_checkpoint(audited[0])
    compress(original, Quantize(), tmp_path / "int8")
    (tmp_path / "int8" / "compression.json").write_text(
        json.dumps({"before": {"name": "model", "sha256": original.sha256}})
    )
    (tmp_path / "int8" / "compression.html").write_text("<p>")
    assert package(tmp_path / "int8", tmp_path / "out") == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert original.sha256 in card and "base_model: model" in card and "int8 weights" in card
    assert not (tmp_path / "out" / "compression.html").exists()


def test_adapters_that_are_merged_already_stay_behind(model, tmp_path, capsys):
    (model / "adapter").mkdir()
    (model / "adapter" / "adapter_config.json").write_text("{}")
    assert package(model, tmp_path / "out") == 0
    assert "left out: adapter/adapter_config.json" in capsys.readouterr().out
    assert not (tmp_path / "out" / "adapter").exists()


def test_a_folder_of_others_and_a_full_disk_lose_nothing(model, tmp_path, capsys):
    out = tmp_path / "out"
    assert package(model, out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with small_disk():
        assert package(model, out) == 2
    assert "disk is full" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    assert package(model, tmp_path / "mine") == 2
    assert package(model, model / "inside") == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"
