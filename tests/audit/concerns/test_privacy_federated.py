"""The privacy audit of a federation: what the updates that left each client tell a server, alone and in sums."""

from __future__ import annotations

import json
import shlex
import shutil
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest

from audit.concerns.privacy import PrivacyAuditOptions, privacy
from audit.concerns.privacy.inference import AUC, TPR
from audit.concerns.privacy.server_view import _likes
from audit.concerns.privacy.server_view_lines import GAIN, NO_UPDATE, OWNERSHIP, PRECISION, RECALL
from audit.main import run as command_line
from audit.plugin import Evidence, Size, plugin_of
from audit.subject import Subject
from core_model.checkpoint import open_checkpoint
from core_model.data import Table, open_table
from core_model.prediction import Predictor
from federated.options import PrivacyPromise
from federated.simulation import simulate
from reports.record import Verdict
from tests.audit.concerns.privacy_subjects import ids, one, run
from tests.factories import WORDS, write_checkpoint, write_rows
from tests.federated.world import LABELS, settings

SITES, ROWS, OTHERS = 3, 24, 34
ONE_STEP = {
    "clients": SITES, "rounds": 2, "local_steps": 1, "batch_size": ROWS, "learning_rate": 0.05, "optimizer": "sgd",
    "weight_decay": 0.0, "clip_norm": None, "keep_updates": True, "partition": "column:site",
}  # fmt: skip
ATTRIBUTED = {"attack": "updates: attribution"}


@lru_cache
def folder() -> Path:
    """A base without dropout, which would stand between rows and updates, and rows of three sites. Synthetic."""
    made = Path(mkdtemp(prefix="aboveboard-server-view-"))
    base = write_checkpoint(made / "base", hidden=16, layers=1)
    config = json.loads((base / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (base / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)

    def rows(count: int, site: int | None) -> list[dict[str, str]]:
        words = WORDS if site is None else WORDS[16 * site : 16 * site + 24]  # each site has words of its own
        return [
            {"text": " ".join(random.choice(words, 6)), "label": LABELS[random.integers(2)],
             "site": f"site {random.integers(SITES) if site is None else site}"} for _ in range(count)
        ]  # fmt: skip

    write_rows(made / "train.jsonl", [row for site in range(SITES) for row in rows(ROWS, site)])
    write_rows(made / "test.jsonl", [row for site in range(SITES) for row in rows(OTHERS, site)])
    return made


def federate(out: Path, **options: Any) -> Path:
    made = settings(data=folder() / "train.jsonl", **{**ONE_STEP, **options})
    simulate(made.model_copy(update={"base": str(folder() / "base")}), out=out)
    return out


@lru_cache
def federated(**options: Any) -> Path:
    return federate(folder() / f"out-{abs(hash(tuple(sorted(options.items()))))}", **options)


def subject(path: Path, *, train: str = "train.jsonl", groups: tuple[str, ...] = ("site",)) -> Subject:
    checkpoint = open_checkpoint(path)

    def table(name: str) -> Any:
        return open_table(
            folder() / name,
            labels_required=True,
            label_names=checkpoint.labels,
            group_columns=groups,
            text_column="text",
        )

    return Subject(
        checkpoint=checkpoint, data=table("test.jsonl"), training=table(train), predictor=Predictor(checkpoint)
    )


@lru_cache
def found(**options: Any) -> Evidence:
    return run(subject(federated(**options)), max_shift_auc=0.99)


def tokens(evidence: Evidence, name: str, seen: str, client: str) -> Any:
    return one(evidence, name, seen=seen, client=client)


# Single updates ------------------------------------------------------------------------------------------------------


def test_a_server_that_sees_single_updates_tells_every_client_s_rows_from_rows_that_nobody_has():
    """One step of SGD without noise and dropout: each row's part in the update can be solved for."""
    for site in ("site 0", "site 1", "site 2"):
        area = one(found(), AUC, **ATTRIBUTED, seen="one update", client=site)
        assert area.value == 1.0 and area.verdict is Verdict.FAIL and area.n == ROWS + OTHERS
    rate = one(found(), TPR, **ATTRIBUTED, seen="the sum", fpr="0.01")
    assert rate.value == 1.0 and rate.interval[1] == 1.0  # 102 held-out rows leave the threshold uncertain
    assert {"privacy-server-sees-rows-in-updates", "privacy-server-sees-rows-in-sums"} <= ids(found())


def test_held_out_rows_are_of_the_client_s_kind_or_what_it_writes_about_would_accuse_it():
    data = Table.from_rows(
        name="planted", texts=list("abcdef"), targets=[0, 0, 0, 0, 1, 1], label_names=LABELS, synthetic=True,
        groups={"site": np.array(["north", "south", "north", "south", "south", "south"], dtype=object)},
    )  # fmt: skip
    rows = {0: ("north", np.array([0, 2])), 1: ("south", np.array([1, 4]))}
    random = np.random.default_rng(0)

    def likes(scheme: str) -> dict[int, list[int]]:
        options = settings(partition=scheme, clients=2).federation
        return {client: places.tolist() for client, places in _likes(data, data, options, rows, random).items()}

    assert likes("column:site") == {0: [0, 2], 1: [1, 3, 4, 5]}
    assert likes("iid") == {0: [0, 1, 2, 3, 4, 5], 1: [0, 1, 2, 3, 4, 5]}
    by_label = likes("dirichlet:0.5")
    assert by_label[0] == [0, 1, 2, 3]  # its rows are of one label
    assert [int(data.targets[place]) for place in by_label[1]].count(0) == 2 and len(by_label[1]) == 4


def test_a_client_without_a_held_out_row_of_its_kind_is_not_measured():
    """Its rows against those of others would be told apart by their words."""
    made = subject(federated())
    made.data = made.data.select(np.flatnonzero(made.data.groups["site"] != "site 1"))
    narrow = run(made, max_shift_auc=0.99)
    lonely = one(narrow, AUC, **ATTRIBUTED, seen="one update", client="site 1")
    assert lonely.value is None and "of this client's kind" in lonely.reason
    assert one(narrow, AUC, **ATTRIBUTED, seen="one update", client="site 0").value == 1.0


def test_secure_aggregation_hides_whose_row_it_was_and_not_that_it_was_there():
    for site in ("site 0", "site 1", "site 2"):
        whose = {**ATTRIBUTED, "client": site}
        assert one(found(), OWNERSHIP, **whose, seen="one update").value == 1.0
        low, high = one(found(), OWNERSHIP, **whose, seen="the sum").interval
        assert low <= 0.5 <= high
        gain = one(found(), GAIN, of=OWNERSHIP, **whose)
        assert gain.interval[0] > 0.2 and gain.interval[0] <= gain.value <= gain.interval[1]
        there = one(found(), GAIN, of=AUC, **whose)
        assert there.value == 0.0 and there.interval[0] < 0 < there.interval[1]  # both areas are 1, not for sure
    assert one(found(), AUC, **ATTRIBUTED, seen="the sum").verdict is Verdict.FAIL


def test_a_server_reads_the_words_that_a_client_wrote_and_common_words_would_not_tell_them():
    for site in ("site 0", "site 1", "site 2"):
        assert tokens(found(), PRECISION, "one update", site).value == 1.0
        assert tokens(found(), RECALL, "one update", site).value > 0.85
        common = tokens(found(), PRECISION, NO_UPDATE, site)
        assert common.value < tokens(found(), PRECISION, "one update", site).interval[0]
        assert tokens(found(), PRECISION, "the sum", site).value < 0.6  # the words of all three
    [finding] = [f for f in found().findings if f.id == "privacy-server-reads-words"]
    assert "100.0% are right" in finding.statement and "--secure --private" in finding.mitigation.command


def test_words_are_those_that_a_tokenizer_finds_in_the_client_s_rows():
    named = tokens(found(), RECALL, "one update", "site 1")
    rows = [json.loads(line) for line in (folder() / "train.jsonl").read_text().splitlines()]
    tokenizer = open_checkpoint(folder() / "base").load_tokenizer()
    wrote = {
        number for row in rows if row["site"] == "site 1"
        for number in tokenizer(row["text"], add_special_tokens=False)["input_ids"]
    }  # fmt: skip
    assert named.n == len(wrote)


def test_the_plan_counts_what_the_attacks_on_updates_cost():
    path = federated()
    size = Size(rows=SITES * OTHERS, training_rows=SITES * ROWS, classes=2, folder=path)
    plan = plugin_of(privacy).forward_passes(size, PrivacyAuditOptions())
    assert plan["rows on updates"] == found().forward_passes
    assert "rows on updates" not in plugin_of(privacy).forward_passes(
        Size(rows=OTHERS, training_rows=SITES * ROWS, classes=2), PrivacyAuditOptions()
    )


def test_the_same_seed_attacks_the_same_clients_and_no_more_than_asked_for():
    few = [run(subject(federated()), server_view_clients=1, server_view_rounds=1, max_shift_auc=0.99) for _ in range(2)]
    named = [{m.slice["client"] for m in evidence.metrics if "client" in m.slice} for evidence in few]
    assert named[0] == named[1] and len(named[0]) == 1
    assert few[0].metrics == few[1].metrics


# The sum alone -------------------------------------------------------------------------------------------------------


def test_under_secure_aggregation_single_updates_are_not_measured_and_the_sum_is():
    secure = found(secure=True)
    absent = one(secure, AUC, **ATTRIBUTED, seen="one update")
    assert absent.value is None and "no single update" in absent.reason
    assert not any("client" in m.slice for m in secure.metrics)
    assert one(secure, AUC, **ATTRIBUTED, seen="the sum").value == pytest.approx(1.0, abs=0.05)
    assert one(secure, PRECISION, seen="the sum").value == 1.0
    assert {"privacy-server-sees-rows-in-sums"} <= ids(secure)
    assert not {"privacy-server-sees-rows-in-updates", "privacy-server-reads-words"} & ids(secure)


# The sandwich in one row ---------------------------------------------------------------------------------------------


def promise(**changed: Any) -> PrivacyPromise:
    """A noise seed is published for these tests alone."""
    return PrivacyPromise(**{"epsilon": 1.0, "delta": 1e-6, "canary_clients": 100, "noise_seed": 7, **changed})


def test_claim_above_canary_clients_below_and_the_attack_that_the_promise_is_about_between():
    private = found(private=promise())
    [row] = private.tables["privacy_sandwich"]
    assert row["unit"] == "client" and row["rounds"] == 2 and row["canaries"] == 100
    assert 0.9 < row["epsilon claimed"] <= 1.0
    assert row["epsilon at least (95%)"] <= row["epsilon claimed"]
    assert row["what was seen"] == "the step" and row["updates' AUC low"] <= 0.5 <= row["updates' AUC high"]
    lower = one(private, "epsilon_lower_bound")
    assert lower.verdict is Verdict.PASS and lower.n == 100
    assert not {name for name in ids(private) if name.startswith("privacy-claim")}
    assert one(private, "epsilon_one_shot_estimate").interval is None
    # The server itself sees every update before the noise, and the record says that the promise does not hold there.
    assert one(private, AUC, **ATTRIBUTED, seen="one update", client="site 0").value == 1.0


def test_a_federation_whose_noise_is_silently_off_is_caught(monkeypatch):
    import federated.client_promise as promising

    true_mean = promising.private_mean
    monkeypatch.setattr(
        promising, "private_mean", lambda updates, **how: true_mean(updates, **{**how, "noise_multiplier": 0.0})
    )
    silent = run(subject(federate(folder() / "silent", private=promise())), max_shift_auc=0.99)
    lower = one(silent, "epsilon_lower_bound")
    assert lower.verdict is Verdict.FAIL and lower.value > 1.0 >= one(silent, "epsilon_claimed").value
    assert one(silent, "claim_contradictions").value == 0  # its papers are in order: only the canaries know
    [refuted] = [f for f in silent.findings if f.id == "privacy-claim-refuted"]
    assert refuted.mitigation.command.startswith("aboveboard federate")
    assert "--private --epsilon 1 --delta 1e-5 --canary-clients 200" in refuted.mitigation.command


def test_noise_in_each_client_hides_rows_and_words_from_the_server_itself():
    private = found(private=promise(unit="example", canary_clients=0, delta=None))
    [row] = private.tables["privacy_sandwich"]
    assert row["what was seen"] == "one update" and row["unit"] == "example"
    assert "rows" in one(private, "epsilon_lower_bound").reason
    assert "privacy-server-reads-words" not in ids(private)
    for site in ("site 0", "site 1", "site 2"):
        low, high = one(private, AUC, **ATTRIBUTED, seen="one update", client=site).interval
        assert low <= 0.5 <= high


# What cannot be measured ---------------------------------------------------------------------------------------------


def test_what_stands_in_the_way_is_said_with_what_supplies_it(tmp_path):
    def reason(path: Path, **changed: Any) -> str:
        line = one(run(subject(path, **changed)), AUC, **ATTRIBUTED, seen="one update")
        assert line.value is None
        return str(line.reason)

    assert "--group-column site" in reason(federated(), groups=())
    assert "not the one that was divided" in reason(federated(), train="test.jsonl")
    copy = tmp_path / "copy"
    shutil.copytree(federated(), copy)
    file = copy / "updates" / "round-0001" / "client-000.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    assert "client-000.safetensors is not the update that was kept" in reason(copy)
    shutil.rmtree(copy / "updates")
    assert "--keep-updates" in reason(copy)
    assert "privacy.server_view_clients" in str(
        one(run(subject(federated()), server_view_clients=0), AUC, **ATTRIBUTED, seen="one update").reason
    )


# Advice is code, too -------------------------------------------------------------------------------------------------


def test_the_mend_that_is_printed_runs_and_hides_the_rows(tmp_path):
    [finding] = [f for f in found().findings if f.id == "privacy-server-sees-rows-in-updates"]
    command = finding.mitigation.command.replace("BASE", str(folder() / "base"))
    command = command.replace("TRAIN_FILE", str(folder() / "train.jsonl"))
    command = command.replace("--out private", f"--out {tmp_path / 'private'}")
    assert command_line(shlex.split(command)[1:]) == 0
    mended = run(subject(tmp_path / "private"), max_shift_auc=0.99)
    assert one(mended, AUC, **ATTRIBUTED, seen="the sum").verdict is not Verdict.FAIL
    assert not {name for name in ids(mended) if name.startswith("privacy-server")}
    [row] = mended.tables["privacy_sandwich"]
    assert row["what was seen"] == "the sum"
