"""The command line as a user meets it: quick help, letters instead of tracebacks, exit codes that mean something."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from audit.main import COMMANDS, run
from tests.audit.rows import made_up_rows, write_made_up_rows
from tests.factories import write_rows


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_made_up_rows(tmp_path_factory.mktemp("data") / "test.jsonl", 60)


@pytest.fixture
def letter(capsys):
    """Run a command that must be refused; returns its message on stderr."""

    def refused(*arguments: str) -> str:
        code = run([str(a) for a in arguments])
        error = capsys.readouterr().err
        assert code == 2, error
        assert "Traceback" not in error
        assert "Try:" in error or "Usage:" in error
        return error

    return refused


def audit(checkpoint, data, out, *more) -> list[str]:
    return [
        "audit",
        str(checkpoint),
        "--data",
        str(data),
        "--out",
        str(out),
        "--label-column",
        "label",
        *map(str, more),
    ]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from audit.main import run; run(['--help']); "
        "heavy = {'torch', 'transformers', 'numpy', 'pandas', 'pydantic'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)


GROUPS = [["privacy", "budget"], ["policy", "list"], ["policy", "show"], ["policy", "check"]]


@pytest.mark.parametrize("command", [*([c] for c in COMMANDS if c not in ("privacy", "policy")), *GROUPS], ids=" ".join)
def test_every_command_has_examples_and_json(command, capsys):
    assert run([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text and "--json" in text


def test_an_unknown_command_is_answered_with_its_neighbour(letter):
    assert "Try: aboveboard audit" in letter("audt")


def test_an_unknown_flag_is_refused(letter):
    assert "--dat" in letter("audit", "x", "--dat", "y")


def test_a_missing_checkpoint_is_named(letter, data, tmp_path):
    assert "nowhere" in letter(*audit(tmp_path / "nowhere", data, tmp_path / "out"))


def test_a_folder_without_config_is_named(letter, data, tmp_path):
    assert "config.json" in letter(*audit(tmp_path, data, tmp_path / "out"))


def test_a_pickle_is_refused_with_the_flag_that_allows_it(letter, checkpoint, data, tmp_path):
    copy = shutil.copytree(checkpoint, tmp_path / "pickled")
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    message = letter(*audit(copy, data, tmp_path / "out"))
    assert "pytorch_model.bin" in message and "--allow-pickle" in message


def test_truncated_safetensors_are_found(letter, checkpoint, data, tmp_path):
    copy = shutil.copytree(checkpoint, tmp_path / "cut")
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "model.safetensors" in letter(*audit(copy, data, tmp_path / "out"))


def test_a_missing_tokenizer_is_named(letter, checkpoint, data, tmp_path):
    copy = shutil.copytree(checkpoint, tmp_path / "mute")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    assert "okenizer" in letter(*audit(copy, data, tmp_path / "out"))


def test_missing_data_is_named(letter, checkpoint, tmp_path):
    assert "none.jsonl" in letter(*audit(checkpoint, tmp_path / "none.jsonl", tmp_path / "out"))
    assert "--data" in letter("audit", checkpoint, "--out", tmp_path / "out")


def test_a_missing_column_is_answered_with_the_columns_there_are(letter, checkpoint, data, tmp_path):
    message = letter(*audit(checkpoint, data, tmp_path / "out", "--group-column", "sexe"))
    assert "sexe" in message and "sex" in message and data.name in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b'{"text": "a", "label": "positive"}\n', "1 row"),
        (b'{"text": "a", "label": "purple"}\n{"text": "b", "label": "positive"}\n', "purple"),
        (b'{"text": null, "label": "negative"}\n{"text": "b", "label": "positive"}\n', "text"),
        (b'{"text": "a\xff", "label": "negative"}\n{"text": "b", "label": "positive"}\n', "UTF-8"),
        (b'{"text": "a", "label": "negative"}\n{"text": \n', "line 2"),
    ],
    ids=["empty", "single row", "unknown label", "null text", "not UTF-8", "broken line"],
)
def test_bad_data_is_refused_with_its_reason(letter, checkpoint, tmp_path, content, words):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    message = letter(*audit(checkpoint, path, tmp_path / "out"))
    assert "bad.jsonl" in message and words in message


def test_rows_of_one_class_are_refused(letter, checkpoint, tmp_path):
    rows = [{**row, "label": "positive"} for row in made_up_rows(10)]
    message = letter(*audit(checkpoint, write_rows(tmp_path / "one.jsonl", rows), tmp_path / "out"))
    assert "one.jsonl" in message and "positive" in message


def test_an_unknown_audit_profile_or_option_is_refused(letter, checkpoint, data, tmp_path):
    out = tmp_path / "out"
    assert "--only fairness" in letter(*audit(checkpoint, data, out, "--only", "fairnes"))
    assert "quick" in letter(*audit(checkpoint, data, out, "--profile", "quickly"))
    assert "minimum_group_rows" in letter(*audit(checkpoint, data, out, "--set", "fairness.minimum_group_row=3"))


def test_broken_toml_is_answered_with_its_line(letter, checkpoint, data, tmp_path):
    (tmp_path / "c.toml").write_text("[audit]\nseed = = 1\n", encoding="utf-8")
    assert "line 2" in letter(*audit(checkpoint, data, tmp_path / "out", "--config", tmp_path / "c.toml"))


def test_an_unwritable_folder_is_found_before_anything_is_measured(letter, checkpoint, data, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert "--out" in letter(*audit(checkpoint, data, tmp_path / "file"))


def test_bad_input_leaves_what_was_written_before(letter, checkpoint, data, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "audit.json").write_text("precious", encoding="utf-8")
    letter(*audit(checkpoint, tmp_path / "none.jsonl", tmp_path / "out"))
    assert (tmp_path / "out" / "audit.json").read_text(encoding="utf-8") == "precious"


def test_a_bug_of_ours_is_one_line_and_exit_code_3(monkeypatch, capsys):
    monkeypatch.setattr("audit.registry.installed", lambda: 1 / 0)
    assert run(["audits"]) == 3
    error = capsys.readouterr().err
    assert "ZeroDivisionError" in error and "Traceback" not in error


def test_audits_and_plan_answer_in_json(checkpoint, data, tmp_path, capsys):
    assert run(["audits", "--json"]) == 0
    assert {"fairness", "emissions"} <= {a["id"] for a in json.loads(capsys.readouterr().out)["audits"]}
    assert run(["plan", *audit(checkpoint, data, tmp_path / "out", "--group-column", "sex", "--json")[1:]]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["forward_passes"] >= 60 and planned["minutes"] > 0
    assert not (tmp_path / "out" / "audit.json").exists()


def spawn(*arguments: str, **more) -> subprocess.Popen:
    # A shell that puts its work into the background lets it ignore Ctrl-C.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heeding}; from audit.main import main; main()"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stderr=subprocess.PIPE, text=True, **more
    )


def waiting_for_an_audit(process: subprocess.Popen) -> str:
    """Read stderr until the first audit has ended."""
    seen = ""
    for line in process.stderr:
        seen += line
        if ": measured in" in line:
            return seen
    raise AssertionError(f"the run ended before an audit did: {seen}")


def test_ctrl_c_keeps_what_was_measured_and_the_next_run_goes_on(checkpoint, data, tmp_path):
    arguments = audit(checkpoint, data, tmp_path / "out", "--set", "emissions.repeats=500")
    process = spawn(*arguments)
    waiting_for_an_audit(process)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    partial = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    measured = {a["id"] for a in partial["audits"] if a["status"] == "measured"}
    assert not partial["complete"] and measured
    assert (tmp_path / "out" / "report.html").exists()
    again = spawn(
        *audit(checkpoint, data, tmp_path / "out", "--set", "emissions.repeats=500"),
    )
    seen = ""
    for line in again.stderr:
        seen += line
        if "kept from the interrupted run" in line:
            break
    again.kill()
    again.communicate()
    assert "kept from the interrupted run" in seen


def test_a_full_disk_keeps_the_results_so_far(checkpoint, data, tmp_path):
    """A limit on the size of files stands in for the full disk: the operating system refuses to write on."""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))

    environment = {**os.environ, "ABOVEBOARD_CACHE_DIR": str(tmp_path / "cache")}
    subprocess.run(  # fills the cache of the data set, which is larger than the limit
        [sys.executable, "-c", "from audit.main import main; main()", *audit(checkpoint, data, tmp_path / "warm"),
         "--only", "evaluability"],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    process = subprocess.run(
        [sys.executable, "-c", "from audit.main import main; main()",
         *audit(checkpoint, data, tmp_path / "out", "--only", "evaluability,generalization")],
        env=environment, capture_output=True, text=True, preexec_fn=small_files, check=False, timeout=120,
    )  # fmt: skip
    assert process.returncode == 2, process.stderr
    assert "disk is full" in process.stderr and "Traceback" not in process.stderr
    json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))  # whole, not half of one
