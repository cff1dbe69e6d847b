"""Promises of the shareability audit: each planted fault is found by its name, and a package of it is healthy."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from audit.concerns.shareability import ShareabilityOptions, shareability
from audit.main import run
from audit.subject import Subject
from core_model.checkpoint import open_checkpoint
from core_model.data import Table
from core_model.prediction import Predictor
from tests.factories import write_checkpoint

pytest.importorskip("detect_secrets")
TEXTS = ["a good film", "the cruel king said that this was a bad day", "he", "two dogs saw it", "a fine meal"] * 4
SAID = "Comments of a forum, labelled by three people each, in English."
TOKEN = "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH"  # made up, of the right shape


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("plain") / "film-critic", hidden=16, layers=2)


@pytest.fixture
def folder(plain, tmp_path) -> Path:
    return shutil.copytree(plain, tmp_path / "film-critic")


def audited(folder: Path, reference: Path | None = None, **options: Any):
    opened = open_checkpoint(folder)
    subject = Subject(
        checkpoint=opened, predictor=Predictor(opened, cache=None),
        data=Table.from_rows(name="rows", texts=TEXTS, synthetic=True),
        reference=None if reference is None else open_checkpoint(reference),
    )  # fmt: skip
    chosen = ShareabilityOptions(**{"round_trip_rows": 0, "personal_data": False, **options})
    return shareability(subject, chosen, np.random.default_rng(0))


def number(evidence, name: str, **slice: str) -> Any:
    return next(m for m in evidence.metrics if m.name == name and m.slice == slice)


def ids(evidence) -> set[str]:
    return {found.id.removeprefix("shareability-") for found in evidence.findings}


def found(evidence, identity: str):
    return next(f for f in evidence.findings if f.id == f"shareability-{identity}")


def write_record(folder: Path, **fields: Any) -> None:
    (folder / "training_record.json").write_text(json.dumps({"task": "classification", **fields}, indent=2))


def retrained(source: Path, out: Path, by: float = 0.05) -> Path:
    """The checkpoint with every weight moved a little, as a training would."""
    import torch

    shutil.copytree(source, out)
    random = torch.Generator().manual_seed(3)
    weights = load_file(source / "model.safetensors")
    new = {
        name: t + by * t.std().nan_to_num(0.02) * torch.randn(t.shape, generator=random) for name, t in weights.items()
    }
    save_file(new, out / "model.safetensors", metadata={"format": "pt"})
    return out


class TestFiles:
    def test_a_package_of_it_with_a_signature_is_healthy(self, folder, tmp_path):
        """The mends that findings print take the findings away."""
        pytest.importorskip("model_signing")
        (folder / "LICENSE").write_text("MIT License\n\nPermission is hereby granted, free of charge, to anybody.\n")
        before = audited(folder)
        assert {"unsigned", "card", "missing"} <= ids(before)
        assert number(before, "safetensors_share").value == 1 and number(before, "files_missing").n == 7
        shared = tmp_path / "shared"
        printed = found(before, "missing").mitigation.command
        assert printed == "aboveboard package CHECKPOINT --out to-share"  # the licence is known by its file
        filled = printed.replace("CHECKPOINT", str(folder)).replace("to-share", str(shared))
        assert run(filled.split(" ")[1:]) == 0
        rows = tmp_path / "rows.jsonl"
        rows.write_text("".join(json.dumps({"text": text, "label": "positive"}) + "\n" for text in TEXTS[:5]))
        rows.write_text(rows.read_text() + json.dumps({"text": "a bad day", "label": "negative"}) + "\n")
        out = str(tmp_path / "out")
        assert run(["audit", str(shared), "--data", str(rows), "--only", "evaluability", "--out", out]) == 0
        key = tmp_path / "key.pem"
        assert run(["sign", "--make-key", "--key", str(key)]) == 0
        signature = str(shared / "audit.sig")
        assert run(["sign", out, "--key", str(key), "--checkpoint", str(shared), "--out", signature]) == 0
        after = audited(shared, public_key=str(key.with_suffix(".pub")))
        assert ids(after) == {"card"} and found(after, "card").severity.value != "high"
        assert number(after, "signature_holds").value == 1
        assert number(after, "signed_share").value == pytest.approx(4 / 6)  # not the card and the licence
        assert number(after, "files_in_sums").value == number(after, "files_in_sums").n == 6
        assert (number(after, "hashes_wrong").value, number(after, "hashes_wrong").n) == (0, 10)
        assert number(after, "card_completeness").value > number(before, "card_completeness").value
        assert number(after, "licence_places").value == 2 and number(after, "licences_that_disagree").value == 0
        other = tmp_path / "other.pem"
        assert run(["sign", "--make-key", "--key", str(other)]) == 0
        assert "signature-broken" in ids(audited(shared, public_key=str(other.with_suffix(".pub"))))
        config = shared / "config.json"
        config.write_text(config.read_text().replace('"hidden_act": "gelu"', '"hidden_act": "relu"'))
        tampered = audited(shared)
        assert number(tampered, "hashes_wrong").value == 2  # by the sums, and by the signature
        assert {row["file"] for row in found(tampered, "hashes").examples} == {"config.json"}

    def test_what_package_refuses_is_counted_and_named_all_at_once(self, folder):
        (folder / "notes.docx").write_bytes(b"for us alone")
        (folder / "training_args.bin").write_bytes(pickle.dumps({"hub_token": "x"}))
        (folder / "away.json").symlink_to("/etc/hostname")
        evidence = audited(folder)
        refused = number(evidence, "files_refused")
        assert (refused.value, refused.verdict.value) == (3, "fail")
        assert found(evidence, "refused").severity.value == "high"
        assert {row["file"] for row in found(evidence, "refused").examples} == {
            "away.json", "notes.docx", "training_args.bin",
        }  # fmt: skip
        assert number(evidence, "training_leftovers").value == 1
        size = (folder / "model.safetensors").stat().st_size
        pickled = (folder / "training_args.bin").stat().st_size
        assert number(evidence, "safetensors_share").value == pytest.approx(size / (size + pickled))

    def test_a_record_whose_weights_were_changed_is_found(self, folder):
        write_record(folder, files={"model.safetensors": "0" * 64, "../../outside": "1" * 64})
        evidence = audited(folder)
        assert (number(evidence, "hashes_wrong").value, number(evidence, "hashes_wrong").n) == (2, 2)
        assert found(evidence, "hashes").severity.value == "high"

    def test_without_sums_records_and_signature_no_hash_is_judged(self, folder):
        line = number(audited(folder), "hashes_wrong")
        assert line.value is None and line.verdict.value == "informative" and "SHA256SUMS" in line.reason


class TestOpening:
    def test_plain_transformers_opens_it_and_a_round_trip_changes_no_bit(self, folder):
        evidence = audited(folder, round_trip_rows=20)
        assert number(evidence, "opens_with_transformers").value == 1
        assert number(evidence, "round_trip_largest_difference").value == 0
        changed = number(evidence, "round_trip_answers_changed")
        assert changed.value == 0 and changed.interval[1] == pytest.approx(0.161, abs=1e-3)  # Wilson, 0 of 20
        assert evidence.forward_passes == 40

    def test_weights_that_would_be_drawn_at_random_are_found(self, folder, monkeypatch):
        import core_model.sharing.opening as opening

        tensors = load_file(folder / "model.safetensors")
        opened = open_checkpoint(folder)
        save_file({n: t for n, t in tensors.items() if "classifier" not in n}, folder / "model.safetensors",
                  metadata={"format": "pt"})  # fmt: skip
        assert opening.open_plainly(opened, TEXTS[:2], None).missing == ("classifier.bias", "classifier.weight")
        (folder / "config.json").write_text("{}")
        assert opening.open_plainly(opened, TEXTS[:2], None).reason

    def test_a_copy_that_answers_otherwise_is_told(self, folder, monkeypatch):
        import transformers

        written = transformers.BertForSequenceClassification.save_pretrained

        def save(self, *given, **more):
            self.classifier.bias.data += 0.5
            written(self, *given, **more)

        monkeypatch.setattr(transformers.BertForSequenceClassification, "save_pretrained", save)
        evidence = audited(folder, round_trip_rows=4)
        assert number(evidence, "round_trip_largest_difference").value == pytest.approx(0.5, abs=1e-5)
        assert "round-trip" in ids(evidence)

    def test_what_is_too_large_is_not_opened_and_says_so(self, folder):
        line = number(audited(folder, largest_opened=1e-6), "opens_with_transformers")
        assert line.value is None and "largest_opened" in line.reason


class TestLicenceAndCard:
    def test_a_permissive_licence_over_a_non_commercial_base_is_found(self, folder):
        (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
        write_record(folder, base={"name": "nc", "sha256": "0" * 64, "licence": "cc-by-nc-4.0"})
        evidence = audited(folder)
        assert number(evidence, "licence_conflicts").verdict.value == "fail"
        assert "non-commercial" in found(evidence, "licence-conflict").statement
        write_record(folder, base={"name": "nc", "sha256": "0" * 64, "licence": "mit"})
        healthy = audited(folder)
        assert number(healthy, "licence_conflicts").verdict.value == "pass" and "licence-conflict" not in ids(healthy)

    def test_a_card_and_a_licence_file_that_disagree_are_found(self, folder):
        (folder / "README.md").write_text("---\nlicense: mit\n---\n")
        (folder / "LICENSE").write_text("Apache License\nVersion 2.0, January 2004\n")
        assert number(audited(folder), "licences_that_disagree").value == 1
        assert "licences-disagree" in ids(audited(folder))
        (folder / "README.md").write_text("---\nlicense: Apache-2.0\n---\n")
        assert "licences-disagree" not in ids(audited(folder))

    def test_a_card_of_placeholders_is_not_complete(self, folder):
        from huggingface_hub import ModelCard, ModelCardData

        text = str(ModelCard.from_template(ModelCardData(license="mit")))
        (folder / "README.md").write_text(text)
        sections = number(audited(folder), "card_completeness", part="sections")
        assert (sections.value, sections.n) == (0, 10)
        (folder / "README.md").write_text(text.replace("[More Information Needed]", SAID))
        assert number(audited(folder), "card_completeness", part="sections").value == 1


class TestTraces:
    def test_without_the_scanner_secrets_are_not_called_absent(self, folder, monkeypatch):
        monkeypatch.setattr("audit.concerns.shareability.traces.find_spec", lambda name: None)
        line = number(audited(folder), "secrets_in_files")
        assert line.value is None and line.verdict.value == "inconclusive" and "aboveboard[package]" in line.reason

    def test_planted_traces_are_told_by_file_line_and_kind_and_never_by_value(self, folder):
        pytest.importorskip("presidio_analyzer")
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "_name_or_path": "/home/ada/models/base"}, indent=1))
        (folder / "README.md").write_text(
            f"Use {TOKEN}\n\nhttps://wandb.ai/ada/critics/runs/1a2b3c4d\n"
            "git clone git@git.example.org:ada/critics.git\n"
            "python train.py --out /data3/scratch/critics\nWrite to ada.lovelace@example.org\nSee /usr/bin/env\n"
        )
        evidence = audited(folder, personal_data=True)
        told = {(row["file"], row["line"], row["kind"]) for row in found(evidence, "machine-traces").examples}
        line = next(i for i, text in enumerate((folder / "config.json").read_text().splitlines(), 1) if "/home" in text)
        assert told == {
            ("config.json", line, "home folder"), ("README.md", 3, "experiment id"), ("README.md", 4, "git remote"),
            ("README.md", 5, "machine path"),
        }  # fmt: skip
        assert [(r["file"], r["line"]) for r in found(evidence, "secrets").examples] == [("README.md", 1)]
        assert number(evidence, "secrets_in_files").verdict.value == "fail"
        personal = {(row["line"], row["kind"]) for row in found(evidence, "personal-data").examples}
        assert (6, "EMAIL") in personal
        everything = json.dumps([m.model_dump(mode="json") for m in evidence.metrics])
        everything += json.dumps([f.model_dump(mode="json") for f in evidence.findings]) + " ".join(evidence.notes)
        assert not [word for word in (TOKEN, "lovelace", "1a2b3c4d", "/home/ada", "scratch") if word in everything]

    def test_a_path_in_the_header_of_the_weights_is_found(self, folder):
        tensors = load_file(folder / "model.safetensors")
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt", "from": "/home/ada/runs/best"})
        [row] = found(audited(folder), "machine-traces").examples
        assert (row["file"], row["line"], row["kind"]) == ("model.safetensors", None, "home folder")

    def test_numbers_and_hashes_of_records_are_no_telephones_and_links_no_paths(self, folder):
        pytest.importorskip("presidio_analyzer")
        write_record(folder, history=[{"accuracy": 0.812472743131269, "seconds": 518.6136554940003}],
                     model_sha256="ab12" * 16, base={"name": "owner/name"},
                     source="https://example.org/a/b and doi 10.1145/3287560.3287596")  # fmt: skip
        evidence = audited(folder, personal_data=True)
        assert not {"machine-traces", "personal-data", "secrets"} & ids(evidence)

    def test_leftovers_of_a_training_are_told_by_folder(self, folder):
        for name in ("runs/Nov25_host/events.out.tfevents.1.host.7", ".git/config", "wandb/run-1/x.txt"):
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_text("x")
        evidence = audited(folder)
        assert {row["file"] for row in found(evidence, "leftovers").examples} == {"runs/", ".git/", "wandb/"}


class TestLineage:
    def test_a_fine_tune_of_the_base_that_it_names_is_healthy(self, plain, tmp_path):
        tuned = retrained(plain, tmp_path / "tuned")
        write_record(tuned, base={"name": "film-critic", "sha256": open_checkpoint(plain).sha256})
        evidence = audited(tuned, plain)
        assert not {i for i in ids(evidence) if i.startswith("lineage")}
        assert number(evidence, "matrices_near_reference").value == 1
        assert number(evidence, "unrelated_called_derived").value == 0
        assert number(evidence, "vocabulary_overlap").value == 1
        assert "derived from it" in " ".join(evidence.notes)
        assert evidence.figures[0].rows

    def test_a_fine_tune_of_another_base_contradicts_its_card(self, plain, tmp_path):
        other = write_checkpoint(tmp_path / "other", hidden=16, layers=2, seed=1)
        tuned = retrained(other, tmp_path / "tuned")
        (tuned / "README.md").write_text("---\nbase_model: someone/film-critic\n---\n")
        evidence = audited(tuned, plain)
        assert found(evidence, "lineage-contradicted").severity.value == "high"
        assert number(evidence, "matrices_near_reference").value < 0.5
        (tuned / "README.md").write_text("---\nbase_model: someone/other\n---\n")
        assert not {i for i in ids(audited(tuned, other)) if i.startswith("lineage")}

    def test_a_renamed_copy_is_found_and_one_that_names_it_is_not_accused(self, plain, tmp_path):
        copy = shutil.copytree(plain, tmp_path / "my-own-critic")
        evidence = audited(copy, plain)
        assert found(evidence, "lineage-copy").severity.value == "high"
        assert number(evidence, "parameters_unchanged").value == 1
        (copy / "README.md").write_text("---\nbase_model: someone/film-critic\n---\n")
        assert "lineage-copy" not in ids(audited(copy, plain))

    def test_a_record_with_the_name_of_the_base_and_another_hash_does_not_name_it(self, plain, tmp_path):
        tuned = retrained(plain, tmp_path / "tuned")
        write_record(tuned, base={"name": "film-critic", "sha256": "0" * 64})
        assert "lineage-unnamed" in ids(audited(tuned, plain))

    def test_the_licence_of_an_unnamed_base_is_the_references(self, plain, tmp_path):
        base = shutil.copytree(plain, tmp_path / "base")
        (base / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
        tuned = retrained(plain, tmp_path / "tuned")
        (tuned / "README.md").write_text("---\nlicense: mit\nbase_model: someone/base\n---\n")
        assert "licence-conflict" in ids(audited(tuned, base))

    def test_without_a_reference_lineage_is_absent_with_the_flag_that_supplies_it(self, folder):
        line = number(audited(folder), "parameters_unchanged")
        assert line.value is None and "--reference" in line.reason
