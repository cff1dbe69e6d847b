"""Promises of `aboveboard federate`: bad input is one letter with its mend, and nothing that was there is lost."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch

import federated.client
from audit.main import run as command
from federated import local_training
from federated.record import NAME
from tests.core_model.training_world import planted_rows
from tests.factories import write_rows
from tests.federated.test_faults import Troubled
from tests.federated.world import LABELS, folder


def federate(out, *flags: str, data: str = "train.jsonl") -> int:
    return command(
        ["federate", "--base", str(folder() / "base"), "--data", str(folder() / data), "--out", str(out),
         "--rounds", "2", "--learning-rate", "1e-3", "--batch-size", "8", *flags]
    )  # fmt: skip


def write(name: str, labels) -> None:
    write_rows(
        folder() / name,
        [
            {"text": text, "label": labels(place, LABELS[label]), "site": f"site {place % 3}"}
            for place, (text, label) in enumerate(planted_rows(30, 2))
        ],
    )


def test_the_whole_way_from_the_command_line_with_json(tmp_path, capsys):
    flags = ("--partition", "column:site", "--eval-data", str(folder() / "test.jsonl"), "--json")
    assert federate(tmp_path / "m", *flags) == 0
    told = capsys.readouterr()
    record = json.loads(told.out)
    assert [client["name"] for client in record["partition"]["clients"]] == [f"site {i}" for i in range(4)]
    assert told.err.count("round ") == 2
    assert "guessed for --data: --text-column text" in told.err


def test_the_result_can_be_audited(tmp_path, capsys):
    assert federate(tmp_path / "m", "--clients", "4") == 0
    rows, train = str(folder() / "test.jsonl"), str(folder() / "train.jsonl")
    audited = ["audit", str(tmp_path / "m"), "--data", rows, "--train-data", train, "--only", "evaluability"]
    assert command([*audited, "--out", str(tmp_path / "audit")]) == 0
    record = json.loads((tmp_path / "audit/audit.json").read_text())
    assert record["audits"][0]["status"] == "measured"
    assert "federated_record.json" in json.dumps(record["claims"])


@pytest.mark.parametrize("threads", [1, 2])
def test_clients_compute_with_the_threads_that_the_record_names(tmp_path, monkeypatch, threads):
    before, seen = torch.get_num_threads(), set()
    trained = local_training.train_locally
    monkeypatch.setattr(
        local_training, "train_locally",
        lambda *given, **options: seen.add(torch.get_num_threads()) or trained(*given, **options),
    )  # fmt: skip
    assert federate(tmp_path / "m", "--clients", "2", "--threads", str(threads)) == 0
    assert seen == {threads} and torch.get_num_threads() == before
    records = [json.loads((tmp_path / "m" / name).read_text()) for name in (NAME, "training_record.json")]
    assert [records[0]["threads"], records[1]["hardware"]["threads"]] == [threads, threads]


BAD = {
    "nobody said how many": ((), "--clients is missing"),
    "no threads": (("--clients", "2", "--threads", "0"), "--threads is 0"),
    "more threads than Ray has cores": (("--clients", "2", "--threads", "99999", "--engine", "ray"), "--threads"),
    "more clients than rows": (("--clients", "65"), "--clients 65, but train.jsonl has 64 rows"),
    "a column that is missing": (("--partition", "column:sex"), "sex"),
    "a column of one value": (("--partition", "column:one"), "has one value, 'same'"),
    "a skew that leaves clients empty": (
        ("--clients", "20", "--partition", "dirichlet:0.01"), "leaves",
    ),
    "fewer rows than asked for": (("--clients", "10", "--min-rows", "9"), "--min-rows 6"),
    "a scheme that is none": (("--clients", "2", "--partition", "random"), "dirichlet:0.3"),
    "a strategy that is none": (("--clients", "2", "--strategy", "fedsgd"), "fedavg"),
    "fedprox without its term": (("--clients", "2", "--strategy", "fedprox"), "--proximal-mu 0.01"),
    "a median of masked updates": (("--clients", "5", "--strategy", "fedmedian", "--secure"), "median"),
    "a promise without a budget": (("--clients", "5", "--private"), "--private --epsilon 8"),
    "a budget without a promise": (("--clients", "5", "--epsilon", "8"), "read by private training alone"),
    "a compression that is none": (("--clients", "5", "--compress", "zip"), "int8"),
    "clients that evaluate under a promise": (
        ("--clients", "5", "--private", "--epsilon", "8", "--held-out", "0.2"), "without noise",
    ),
    "two clients under masks": (("--clients", "2", "--secure"), "--clients 3"),
    "more answers than clients": (("--clients", "2", "--min-clients", "3"), "--min-clients 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_letter(tmp_path, capsys, case):
    flags, said = BAD[case]
    assert federate(tmp_path / "m", *flags) == 2
    told = capsys.readouterr().err
    assert said in told and "Try: " in told and "Traceback" not in told
    assert not (tmp_path / "m" / "config.json").exists()


def test_sites_with_other_words_for_the_same_class_are_refused_by_name(tmp_path, capsys):
    write("words.jsonl", lambda place, label: f"{label}!" if place % 3 == 1 else label)
    assert federate(tmp_path / "m", "--partition", "column:site", data="words.jsonl") == 2
    told = capsys.readouterr().err
    assert "label sets differ: client 'site 0'" in told and "--labels" in told


def test_a_site_without_one_of_the_classes_takes_part_when_the_classes_are_named(tmp_path, capsys):
    write("lacking.jsonl", lambda place, label: "positive" if place % 3 == 1 else label)
    flags = ("--partition", "column:site")
    assert federate(tmp_path / "m", *flags, data="lacking.jsonl") == 2
    assert "client 'site 1' has positive; it lacks negative" in capsys.readouterr().err
    assert federate(tmp_path / "m", *flags, "--labels", "negative,positive", data="lacking.jsonl") == 0


def test_ctrl_c_saves_what_was_done_and_leaves_with_130(tmp_path, monkeypatch, capsys):
    def presses(call):
        os.kill(os.getpid(), signal.SIGINT)
        return call()

    with monkeypatch.context() as patch:
        patch.setattr(federated.client, "app", Troubled({1: presses}, since=2))
        assert federate(tmp_path / "m", "--clients", "4") == 130
    assert "the rounds that were done are saved" in capsys.readouterr().err
    assert federate(tmp_path / "m", "--clients", "4") == 2  # it is not begun again by mistake
    assert federate(tmp_path / "m", "--clients", "3", "--resume") == 2
    assert "clients = 4; now it is 3" in capsys.readouterr().err
    assert federate(tmp_path / "m", "--clients", "4", "--resume") == 0


def test_what_stands_in_the_folder_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text("{}")
    assert federate(tmp_path / "m", "--clients", "2") == 2
    assert "did not make" in capsys.readouterr().err
    assert (tmp_path / "m/config.json").read_text() == "{}"
