"""Promises of `aboveboard sign` and of a signature in `aboveboard verify`. Other people's verifiers have a say."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from audit.main import run
from core_model.checkpoint_files import content_hash
from core_model.data_hash import hash_file
from reports.reading import read_record
from reports.record import SubjectFacts
from tests.reports.factories import sealed_record

pytest.importorskip("model_signing")
FILES = {"model.safetensors": b"weights", "config.json": b"{}", "tokenizer.json": b"[]"}
OPENSSL = shutil.which("openssl")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a checkpoint (its files alone are of interest here), its record, and a key."""
    monkeypatch.delenv("ABOVEBOARD_PASSPHRASE", raising=False)
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for name, content in FILES.items():
        (checkpoint / name).write_bytes(content)
    files = {name: hash_file(checkpoint / name) for name in FILES}
    subject = SubjectFacts(
        name="made up", sha256=content_hash(files), task="classification", architecture="BertForSequenceClassification",
        parameters=7, files=files, location=str(checkpoint),
    )  # fmt: skip
    (tmp_path / "audit.json").write_text(sealed_record(subject=subject).to_json(), encoding="utf-8")
    assert run(["sign", "--make-key", "--key", str(tmp_path / "key.pem")]) == 0
    return tmp_path


def sign(place: Path, *more: str, key: str = "key.pem") -> int:
    return run(["sign", str(place), "--key", str(place / key), *more])


def verify(place: Path, *more: str, key: str = "key.pub", file: str = "audit.json") -> int:
    arguments = ["--signature", str(place / "audit.sig"), "--public-key", str(place / key), "--sample", "0"]
    return run(["verify", str(place / file), *arguments, *more])


def model_signing(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_was_signed_is_said_file_by_file_and_agrees(place, capsys):
    assert sign(place) == 0
    said = capsys.readouterr().out
    for name in ["audit.json", *(f"checkpoint/{name}" for name in FILES)]:
        assert f"{hash_file(place / name)}  {name}" in said
    assert verify(place, "--json") == 0
    lines = {line["what"]: line["outcome"] for line in json.loads(capsys.readouterr().out)["lines"]}
    assert lines["signature"] == lines["signed audit.json"] == lines["signed checkpoint/config.json"] == "agrees"


def test_the_key_is_named_by_the_hash_of_its_public_file(place, capsys):
    capsys.readouterr()
    assert sign(place, "--json") == 0
    assert json.loads(capsys.readouterr().out)["key"] == f"sha256:{hash_file(place / 'key.pub')}"


def test_openssf_s_own_command_verifies_it_and_finds_a_changed_byte(place):
    assert sign(place, "--out", str(place.parent / f"{place.name}.sig")) == 0
    bundle = place.parent / f"{place.name}.sig"
    arguments = ["verify", "key", place, "--signature", bundle, "--public_key", place / "key.pub"]
    done = model_signing(*arguments, "--ignore_unsigned_files")
    assert done.returncode == 0, done.stdout + done.stderr
    (place / "checkpoint" / "config.json").write_bytes(b"[]")
    done = model_signing(*arguments, "--ignore_unsigned_files")
    assert done.returncode != 0 and "checkpoint/config.json" in done.stdout + done.stderr


def test_a_signature_of_openssf_s_own_command_is_read(place, capsys):
    folder = place.parent / f"{place.name}-signed"
    folder.mkdir()
    shutil.copy(place / "audit.json", folder)
    shutil.copytree(place / "checkpoint", folder / "checkpoint")
    done = model_signing("sign", "key", folder, "--signature", place / "audit.sig", "--private_key", place / "key.pem")
    assert done.returncode == 0, done.stdout + done.stderr
    assert verify(place) == 0


@pytest.mark.skipif(OPENSSL is None, reason="no openssl")
def test_openssl_verifies_the_envelope(place):
    assert sign(place) == 0
    envelope = json.loads((place / "audit.sig").read_text(encoding="utf-8"))["dsseEnvelope"]
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    # The pre-authentication encoding of DSSE v1, written from its specification.
    (place / "signed").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    (place / "bytes").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command = ["dgst", "-sha256", "-verify", place / "key.pub", "-signature", place / "bytes", place / "signed"]
    done = subprocess.run([str(OPENSSL), *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Verified OK" in done.stdout


@pytest.mark.parametrize("name", ["audit.json", *(f"checkpoint/{name}" for name in FILES)])
def test_a_changed_byte_is_found_and_its_file_named(place, name, capsys):
    assert sign(place) == 0
    path = place / name
    path.write_bytes(path.read_bytes() + b" ")
    capsys.readouterr()
    assert verify(place) == 1
    differ = [line for line in capsys.readouterr().out.splitlines() if line.startswith("differs")]
    assert len(differ) == 1 and f"signed {name}:" in differ[0]


def test_a_file_that_is_gone_is_named_and_a_checkpoint_elsewhere_is_not_checked(place, capsys):
    assert sign(place) == 0
    (place / "checkpoint" / "config.json").unlink()
    assert verify(place) == 1 and "no such file" in capsys.readouterr().out
    assert verify(place, "--checkpoint", str(place / "nowhere")) == 0
    assert "not checked  signed checkpoint" in capsys.readouterr().out


def test_another_key_is_refused_with_both_fingerprints(place, capsys):
    assert sign(place) == 0 and run(["sign", "--make-key", "--key", str(place / "other.pem")]) == 0
    capsys.readouterr()
    assert verify(place, key="other.pub") == 1
    out = capsys.readouterr().out
    assert hash_file(place / "key.pub") in out and hash_file(place / "other.pub") in out


def test_a_list_that_was_changed_after_it_was_signed_does_not_hold(place, capsys):
    assert sign(place) == 0
    (place / "checkpoint" / "config.json").write_bytes(b"[]")
    change_statement(place, lambda s: _resign(s, "checkpoint/config.json", hash_file(place / "checkpoint/config.json")))
    assert verify(place) == 1
    assert "does not hold" in capsys.readouterr().out


def _resign(statement: dict[str, Any], name: str, sha256: str) -> None:
    """What a forger would do: the file's new hash, and the root over all hashes as the format wants it."""
    resources = statement["predicate"]["resources"]
    next(resource for resource in resources if resource["name"] == name)["digest"] = sha256
    root = hashlib.sha256(b"".join(bytes.fromhex(resource["digest"]) for resource in resources)).hexdigest()
    statement["subject"][0]["digest"]["sha256"] = root


def change_statement(place: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    bundle = json.loads((place / "audit.sig").read_text(encoding="utf-8"))
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    (place / "audit.sig").write_text(json.dumps(bundle), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(predicateType="https://model_signing/signature/v9.0"),
        lambda s: s.update(_type="https://in-toto.io/Statement/v2"),
        lambda s: s["predicate"]["serialization"].update(hash_type="blake2"),
        lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]),
        lambda s: s.pop("predicate"),
        lambda s: s["predicate"].update(resources=[7]),
    ],
)
def test_a_statement_of_another_format_is_a_letter(place, change, capsys):
    assert sign(place) == 0
    change_statement(place, change)
    capsys.readouterr()
    assert verify(place) == 2
    assert "SignatureUnfit" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.9+json"}']
)
def test_a_file_that_is_no_signature_is_a_letter(place, content, capsys):
    (place / "audit.sig").write_bytes(content)
    assert verify(place) == 2
    assert "SignatureUnfit" in capsys.readouterr().err


def test_a_signature_cut_at_any_length_is_a_letter_or_does_not_hold(place):
    assert sign(place) == 0
    whole = (place / "audit.sig").read_bytes()
    for length in range(0, len(whole), len(whole) // 12):
        (place / "audit.sig").write_bytes(whole[:length])
        assert verify(place) == 2


def test_a_report_s_record_is_the_signed_one_also_when_people_have_spoken_since(place):
    assert sign(place) == 0
    assert run(["report", "--from", str(place / "audit.json"), "--out", str(place / "report.html")]) == 0
    assert verify(place, file="report.html") == 0


def test_an_edited_record_or_a_changed_checkpoint_is_not_signed(place, capsys):
    (place / "checkpoint" / "model.safetensors").write_bytes(b"others")
    assert sign(place) == 2
    assert "model.safetensors" in capsys.readouterr().err
    (place / "checkpoint" / "model.safetensors").write_bytes(FILES["model.safetensors"])
    record = read_record(place / "audit.json")
    (place / "audit.json").write_text(record.model_copy(update={"verdict": "pass"}).to_json(), encoding="utf-8")
    assert sign(place) == 2
    assert "RecordEdited" in capsys.readouterr().err
    assert not (place / "audit.sig").exists()


def test_a_key_is_its_owner_s_alone_and_is_never_written_over(place, capsys):
    key = place / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes(), (place / "key.pub").read_bytes()
    assert run(["sign", "--make-key", "--key", str(key)]) == 2
    assert (key.read_bytes(), (place / "key.pub").read_bytes()) == before
    assert run(["sign", "--make-key", "--key", str(place / "new.pub")]) == 2
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


def test_a_locked_key_opens_by_environment_or_prompt_and_its_passphrase_is_never_shown(place, monkeypatch, capsys):
    secret = "a made-up pass phrase ü"  # noqa: S105
    monkeypatch.setenv("ABOVEBOARD_PASSPHRASE", secret)
    assert run(["sign", "--make-key", "--key", str(place / "locked.pem")]) == 0
    assert b"ENCRYPTED" in (place / "locked.pem").read_bytes()
    assert sign(place, key="locked.pem") == 0 and verify(place, key="locked.pub") == 0
    monkeypatch.setenv("ABOVEBOARD_PASSPHRASE", "wrong")
    assert sign(place, key="locked.pem") == 2
    monkeypatch.delenv("ABOVEBOARD_PASSPHRASE")
    asked: list[str] = []
    monkeypatch.setattr(click, "prompt", lambda text, **options: asked.append(text) or secret)
    assert sign(place, key="locked.pem") == 0 and len(asked) == 1
    shown = capsys.readouterr()
    assert secret not in shown.out + shown.err and "does not open" in shown.err


@pytest.mark.skipif(OPENSSL is None, reason="no openssl")
def test_keys_of_openssl_sign_and_keys_of_another_kind_are_refused(place, capsys):
    def make(*arguments: str) -> None:
        subprocess.run([str(OPENSSL), *arguments], check=True, capture_output=True)

    own, rsa = str(place / "own.pem"), str(place / "rsa.pem")
    make("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", own)
    make("ec", "-in", own, "-pubout", "-out", str(place / "own.pub"))
    assert sign(place, key="own.pem") == 0 and verify(place, key="own.pub") == 0
    make("genrsa", "-out", rsa, "2048")
    assert sign(place, key="rsa.pem") == 2 and "NIST" in capsys.readouterr().err
    assert verify(place, key="own.pem") == 2 and "private key" in capsys.readouterr().err


def test_a_signature_without_its_key_is_a_question(place, capsys):
    assert run(["verify", str(place / "audit.json"), "--signature", str(place / "audit.sig")]) == 2
    assert "--public-key" in capsys.readouterr().err


def test_without_the_library_the_letter_says_what_to_install(place, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    assert sign(place) == 2
    assert "aboveboard[signing]" in capsys.readouterr().err
