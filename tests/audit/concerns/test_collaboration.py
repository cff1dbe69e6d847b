"""Promises of the collaboration audit: who loses, who harms and who is worth what is found, and nobody else accused."""

from __future__ import annotations

import shutil
from itertools import permutations
from math import factorial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from audit.concerns.collaboration.clients import Answered, ClientRows, client_metrics, clients_of, level_for
from audit.concerns.collaboration.contributions import Effort, _estimate, why_not
from audit.concerns.collaboration.gains import paired
from audit.concerns.collaboration.merged_adapters import MergedAdapters
from audit.concerns.collaboration.other_models import Unfit, solo_model
from audit.main import run as command
from audit.subject import Subject
from core_model.checkpoint import open_checkpoint
from core_model.prediction import Predictor
from federated.contribution import shapley
from federated.kept_updates import FOLDER, read_round
from federated.record import FederatedRecord
from reports.record import AuditResult, Metric, Severity, Status, Verdict
from tests.audit.concerns.collaboration_federations import (
    FLIPPED,
    SITES,
    audited,
    base,
    federate,
    federation,
    opened,
    test_rows,
    training_rows,
)

CLIENTS = [f"site {place}" for place in range(SITES)]


@pytest.fixture(scope="module")
def sick(tmp_path_factory) -> AuditResult:
    """The labels of one client were flipped; the rows of the audit tell the truth."""
    return audited(federation(flipped=True), tmp_path_factory.mktemp("sick"), test_rows())


@pytest.fixture(scope="module")
def losing(tmp_path_factory) -> AuditResult:
    """For one client the other label is the true one, in training and in the audit: the others outvote it."""
    return audited(federation(flipped=True), tmp_path_factory.mktemp("losing"), test_rows(flipped=True))


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> AuditResult:
    return audited(federation(flipped=False), tmp_path_factory.mktemp("healthy"), test_rows())


def by_client(result: AuditResult, name: str) -> dict[str, Metric]:
    return {m.slice["client"]: m for m in result.metrics if m.name == name and "client" in m.slice}


def one(result: AuditResult, key: str) -> Metric:
    return next(m for m in result.metrics if m.key == key)


def ids(result: AuditResult, start: str) -> list[str]:
    return [finding.id for finding in result.findings if finding.id.startswith(start)]


def test_the_client_whose_labels_were_flipped_is_worth_least_and_less_than_nothing(sick):
    values = by_client(sick, "shapley_value")
    assert min(values, key=lambda name: values[name].value) == FLIPPED
    assert values[FLIPPED].interval[1] < 0
    assert all(values[name].value > 0 for name in CLIENTS if name != FLIPPED)
    [harm] = [f for f in sick.findings if f.id.startswith("collaboration-harms")]
    assert FLIPPED in harm.statement and harm.mitigation.command.startswith("aboveboard federate")
    assert "--strategy fedmedian" in harm.mitigation.command


def test_among_healthy_clients_nobody_is_accused(healthy):
    assert not ids(healthy, "collaboration-harms") and not ids(healthy, "collaboration-loses")
    assert all(m.interval[1] > 0 for m in by_client(healthy, "shapley_value").values())
    assert all(m.verdict is not Verdict.FAIL for m in healthy.metrics)


def test_a_client_that_loses_by_taking_part_is_found(losing, healthy):
    gain = by_client(losing, "gain_over_solo")[FLIPPED]
    assert gain.interval[1] < -0.05 and gain.verdict is Verdict.FAIL
    [loses] = [f for f in losing.findings if f.id.startswith("collaboration-loses")]
    assert loses.severity is Severity.HIGH and FLIPPED in loses.statement and loses.metrics == [gain.key]
    assert one(losing, f"worst_client_accuracy[client={FLIPPED}]").value < 0.3
    assert one(losing, "client_accuracy_spread[by=client]").interval[0] > 0.3
    assert ids(losing, "collaboration-unequal") and not ids(healthy, "collaboration-unequal")


def test_the_printed_mend_helps_the_client_that_loses(losing, tmp_path):
    """The command of the finding, run as it stands; its clients keep heads of their own, and are audited by them."""
    [loses] = [f for f in losing.findings if f.id.startswith("collaboration-loses")]
    flags = loses.mitigation.command.replace("TRAIN_FILE", str(training_rows(flipped=True))).split()[1:]
    flags[flags.index("--out") + 1] = str(tmp_path / "mended")
    assert command(flags) == 0
    mended = audited(tmp_path / "mended", tmp_path / "audit", test_rows(flipped=True))
    before, after = by_client(losing, "client_accuracy"), by_client(mended, "client_accuracy")
    assert after[FLIPPED].interval[0] > before[FLIPPED].interval[1]


def test_values_are_those_of_the_definition_with_models_put_together_by_hand(sick):
    """Slowly: transformers' own forward pass, means over rounds by a loop, and marginal gains over all orders."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, table = federation(flipped=True), opened(test_rows())
    model, tokenizer = (c.from_pretrained(folder) for c in (AutoModelForSequenceClassification, AutoTokenizer))
    kept = [read_round(folder, number) for number in (1, 2)]
    start = kept[0].start()

    def accuracy(coalition: tuple[int, ...]) -> float:
        moved = {name: array.astype(np.float64) for name, array in start.items()}
        for sent in kept if coalition else []:
            total = sum(sent.examples[client] for client in coalition)
            for client in coalition:
                for name, array in sent.update(client).items():
                    moved[name] += sent.examples[client] / total * array
        model.load_state_dict({name: torch.tensor(array) for name, array in moved.items()}, strict=False)
        with torch.no_grad():
            logits = model.eval()(**tokenizer(list(table.texts), padding=True, return_tensors="pt")).logits
        return float((logits.argmax(-1).numpy() == table.targets).mean())

    known = {}
    values = np.zeros(SITES)
    for order in permutations(range(SITES)):
        for place, client in enumerate(order):
            with_it, without = tuple(sorted(order[: place + 1])), tuple(sorted(order[:place]))
            for coalition in (with_it, without):
                known.setdefault(coalition, accuracy(coalition) if coalition not in known else None)
            values[client] += (known[with_it] - known[without]) / factorial(SITES)
    found = by_client(sick, "shapley_value")
    assert [found[name].value for name in CLIENTS] == pytest.approx(list(values), abs=1e-9)


def test_values_add_up_to_what_everybody_together_reaches_over_nobody(sick):
    total = sum(m.value for m in by_client(sick, "shapley_value").values())
    ends = [one(sick, f"coalition_accuracy[coalition={who}]").value for who in ("everybody", "nobody")]
    assert total == pytest.approx(ends[0] - ends[1])
    assert any("answers as the checkpoint does on 160 of these rows" in note for note in sick.notes)


def test_gains_are_paired_and_their_intervals_hold_for_all_clients_at_once():
    """Newcombe 1998, method 10, asked for at 1 - 0.05 / 4: wider than one alone, at 0% and 100% too."""
    from audit.statistics import paired_difference_of_proportions

    right = np.arange(200) % 2 == 0
    alone = paired_difference_of_proportions(80, 20, 10, 90, confidence=1 - 0.05 / 4)
    ours, theirs = np.repeat([True, True, False, False], [80, 20, 10, 90]), np.repeat(
        [True, False, True, False], [80, 20, 10, 90]
    )  # fmt: skip
    found = paired(ours, theirs, clients=4)
    assert found.interval == alone.interval and found.confidence == 0.95 and "Bonferroni over 4" in found.method
    assert paired(right, np.ones(200, dtype=bool), clients=4).high < 0
    assert paired(right, right, clients=4).covers(0.0)


def test_the_worst_client_and_the_spread_are_found():
    rows = np.arange(400) < 200
    clients = [
        ClientRows(0, "a", 200, rows),
        ClientRows(1, "b", 200, ~rows),
        ClientRows(2, "c", 9, np.zeros(400, bool)),
    ]
    correct = np.where(rows, np.arange(400) % 10 != 0, np.arange(400) % 2 == 0)  # 90% and 50%
    found = {m.key: m for m in client_metrics(clients, Answered(correct, np.ones(400)), np.random.default_rng(0), None)}
    worst, spread = found["worst_client_accuracy[client=b]"], found["client_accuracy_spread[by=client]"]
    assert worst.value == 0.5 and worst.interval[0] < 0.45
    assert spread.value == pytest.approx(0.4) and spread.interval[0] > 0.2
    assert found["client_accuracy[client=c]"].value is None and "no row" in found["client_accuracy[client=c]"].reason


def test_the_pooled_model_is_compared_on_the_same_rows(losing, healthy):
    assert one(healthy, "difference_from_pooled").interval is not None
    assert one(losing, "pooled_accuracy").n == 160
    assert one(healthy, "gain_over_solo").n == 160  # over all rows, each by its own client's model


def test_where_rows_were_dealt_out_models_are_compared_on_all_rows_and_it_says_why(tmp_path):
    made = federate(
        tmp_path / "m", "--partition", "iid", "--clients", "3", "--rounds", "1", "--with-solo", "--with-pooled",
        flipped=False,
    )  # fmt: skip
    found = audited(made, tmp_path / "audit", test_rows())
    assert {m.n for m in by_client(found, "gain_over_solo").values()} == {160}
    assert "dealt rows out" in one(found, "client_accuracy_spread[by=client]").reason
    assert one(found, "difference_from_pooled").value is not None
    assert "no updates were kept" in by_client(found, "shapley_value")["client 0"].reason


def test_without_the_column_it_says_which_flag_gives_it(tmp_path):
    found = audited(federation(flipped=False), tmp_path, test_rows(), groups=False, contribution_rows=10)
    assert "--group-column site is needed" in one(found, "client_accuracy_spread[by=client]").reason
    assert {m.n for m in by_client(found, "gain_over_solo").values()} == {160}


def test_the_plan_counts_what_the_audit_then_pays(healthy, tmp_path, capsys):
    import json

    assert command(
        ["plan", str(federation(flipped=False)), "--data", str(test_rows()), "--group-column", "site", "--only",
         "collaboration", "--out", str(tmp_path), "--json"]
    ) == 0  # fmt: skip
    planned = json.loads(capsys.readouterr().out)["audits"][0]["forward_passes"]
    texts = len(set(opened(test_rows()).texts))
    assert planned == 160 * (1 + 1 + 1 + 2**SITES)  # the model, alone, pooled, and every coalition
    assert texts * (2 + 2**SITES) <= healthy.cost.forward_passes <= planned


@pytest.fixture
def copied(tmp_path) -> Path:
    """A federation to spoil."""
    return Path(shutil.copytree(federation(flipped=False), tmp_path / "m"))


def test_an_update_that_is_not_the_one_that_was_kept_gives_no_contribution(copied, tmp_path):
    file = copied / FOLDER / "round-0002" / "client-001.safetensors"
    file.write_bytes(file.read_bytes()[:-8] + b"\0" * 8)
    found = audited(copied, tmp_path / "audit", test_rows())
    for value in by_client(found, "shapley_value").values():
        assert value.value is None and "updates/round-0002/client-001.safetensors" in value.reason
        assert str(tmp_path) not in value.reason
    assert one(found, "gain_over_solo").value is not None  # the rest is measured


def other_base(folder: Path) -> str:
    record = folder / "solo/client-001/training_record.json"
    text = record.read_text()
    start = text.index('"sha256": "', text.index('"base"')) + len('"sha256": "')
    record.write_text(text[:start] + "0" * 64 + text[start + 64 :])
    return "began from another base than the federation"


def other_client(folder: Path) -> str:
    record = folder / "solo/client-001/training_record.json"
    record.write_text(record.read_text().replace('"rows": 30', '"rows": 31'))
    return "learnt from 31 rows, and there were 30 in the federation"


def other_task(folder: Path) -> str:
    config = folder / "solo/client-001/config.json"
    config.write_text(config.read_text().replace('"negative"', '"no"').replace('"positive"', '"yes"'))
    return "answers another question (classification: no, yes)"


def longer(folder: Path) -> str:
    record = folder / "solo/client-001/training_record.json"
    record.write_text(record.read_text().replace('"epochs": 8', '"epochs": 100'))
    return "was trained with epochs = 100, where the federation's means are epochs = 8"


def unrecorded(folder: Path) -> str:
    (folder / "solo/client-001/training_record.json").unlink()
    return "has no training_record.json"


def gone(folder: Path) -> str:
    shutil.rmtree(folder / "solo/client-001")
    return "solo/client-001 is not there"


def cut(folder: Path) -> str:
    weights = folder / "solo/client-001/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    return "solo/client-001 cannot be opened"


def unfinished(folder: Path) -> str:
    state = folder / "solo/client-001/.training_state"
    state.mkdir()
    (state / "state.json").write_text("{}")
    return "solo/client-001 is not trained to its end"


@pytest.mark.parametrize("spoil", [unfinished, other_base, other_client, other_task, longer, unrecorded, gone, cut])
def test_a_model_that_is_not_this_client_alone_is_refused_with_the_mend(copied, tmp_path, spoil):
    subject, record = subject_of(copied)
    assert solo_model(subject, record, 1, 30, None).labels == subject.labels
    said = spoil(copied)
    with pytest.raises(Unfit) as refused:
        solo_model(subject, record, 1, 30, None)
    assert said in str(refused.value) and "--resume --with-solo" in str(refused.value)
    assert str(tmp_path) not in str(refused.value)  # where it lay is no part of what was found


def test_a_client_without_a_model_of_its_own_is_told_and_the_others_are_compared(copied, tmp_path):
    gone(copied)
    found = audited(copied, tmp_path / "audit", test_rows(), contribution_rows=10)
    gains = by_client(found, "gain_over_solo")
    assert gains["site 1"].value is None and "is not there" in gains["site 1"].reason
    assert gains["site 0"].value is not None
    assert one(found, "gain_over_solo").value is None  # not a mean over those that happen to be there


def subject_of(folder: Path) -> tuple[Subject, FederatedRecord]:
    checkpoint = open_checkpoint(folder)
    subject = Subject(checkpoint=checkpoint, data=opened(test_rows()), predictor=Predictor(checkpoint))
    return subject, subject.federated_record


def test_models_are_found_where_the_options_say(copied, tmp_path):
    shutil.move(copied / "solo", tmp_path / "elsewhere")
    shutil.move(copied / "pooled", tmp_path / "in-one-place")
    found = audited(
        copied, tmp_path / "audit", test_rows(), solo=str(tmp_path / "elsewhere"),
        pooled=str(tmp_path / "in-one-place"), contribution_rows=10,
    )  # fmt: skip
    assert one(found, "gain_over_solo").value is not None and one(found, "difference_from_pooled").value is not None


@pytest.mark.parametrize("harm", ["another version", "other weights"])
def test_a_record_that_is_not_of_this_checkpoint_is_not_believed(copied, tmp_path, harm):
    record = copied / "federated_record.json"
    text = record.read_text()
    record.write_text(
        text.replace('"schema_version": "1.0"', '"schema": 7') if harm == "another version"
        else text.replace('"model_sha256": "', '"model_sha256": "0')
    )  # fmt: skip
    found = audited(copied, tmp_path / "audit", test_rows())
    assert found.status is Status.NOT_MEASURED
    assert "cannot be read, or is of other weights" in found.reason and "aboveboard federate" in found.supply


def test_a_record_that_was_cut_is_one_letter(copied, tmp_path, capsys):
    record = copied / "federated_record.json"
    record.write_text(record.read_text()[:500])
    asked = ["audit", str(copied), "--data", str(test_rows()), "--only", "collaboration", "--out", str(tmp_path / "a")]
    assert command(asked) == 2
    told = capsys.readouterr().err
    assert "federated_record.json" in told and "Traceback" not in told


def test_an_ordinary_checkpoint_is_not_asked_how_clients_made_it_unless_by_name(tmp_path):
    from audit.configuration import Configuration
    from audit.session import prepare

    alone, data = federation(flipped=False) / "pooled", str(test_rows())
    by_itself = prepare(alone, Configuration(data=data, out=str(tmp_path)))
    assert "collaboration" not in by_itself.registry.ids
    assert "collaboration" in prepare(federation(flipped=False), Configuration(data=data)).registry.ids
    found = audited(alone, tmp_path / "audit", test_rows())
    assert found.status is Status.NOT_MEASURED and found.reason == "needs a federated record"
    assert "aboveboard federate" in found.supply


def test_coalitions_of_adapters_are_rebuilt_without_the_base(tmp_path):
    """The oracle is the base itself: nobody's adapters leave its layers as they were."""
    from safetensors.numpy import load_file

    made = federate(tmp_path / "m", "--adapters", "2", "--keep-updates", flipped=False)
    subject, _ = subject_of(made)
    adapters = MergedAdapters(made, subject.checkpoint.load_model())
    nobody, original = adapters.parameters(read_round(made, 1).start()), load_file(base() / "model.safetensors")
    layers = [name for name in nobody if name.startswith("bert.encoder")]
    assert len(layers) == 6 and all(np.allclose(nobody[name], original[name], atol=1e-5) for name in layers)
    assert {"classifier.weight", "classifier.bias"} < set(nobody)
    found = audited(made, tmp_path / "audit", test_rows())
    assert all(m.value is not None for m in by_client(found, "shapley_value").values())
    assert any("answers as the checkpoint does on 160 of these rows" in note for note in found.notes)
    shutil.rmtree(made / "adapter")
    with pytest.raises(Unfit, match="not in adapter/ any more"):
        MergedAdapters(made, subject.checkpoint.load_model())


REFUSED = {
    "masked updates": ({"secure": True}, "the sum alone"),
    "a promise to whole clients": ({"private": {"unit": "client"}}, "promised to be hidden"),
    "no updates": ({"keep_updates": False}, "federate --keep-updates"),
    "personal heads": ({"personalize": "head"}, "a head of its own"),
    "a median": ({"strategy": "fedmedian"}, "with fedmedian a round's step is not the weighted mean"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_contributions_that_cannot_or_may_not_be_told_are_refused_with_the_reason(case):
    changes, said = REFUSED[case]
    record = SimpleNamespace(
        options={"strategy": "fedavg", "keep_updates": True, "private": {"unit": "example"}},
        partition={"clients": [{}, {}]},
    )
    assert why_not(record) is None
    record.options |= changes
    assert said in why_not(record)


def test_beyond_eight_clients_the_interval_holds_the_known_value_over_rows_and_orders():
    """Ten clients, of which each adds 0.01, 0.02 ... 0.1 on average, in rows that chance picks; two of them also get in
    each other's way, so that orders differ."""
    share = np.arange(1, 11) / 100
    held = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        adds = (random.random((10, 150)) < share[:, None] * 10) / 10
        jam = (random.random(150) < 0.5) / 10

        def worth(coalition, adds=adds, jam=jam):
            return sum((adds[c] for c in coalition), np.zeros(150)) - jam * ({0, 1} <= coalition)

        found = shapley(10, worth, random, orders=30, confidence=level_for(10))
        estimate = _estimate(found, 0, random, Effort("accuracy", 150, 30))
        held.append(estimate.covers(share[0] - 0.5 * 0.5 / 10))  # of the jam each of the two bears half
    assert np.mean(held) >= 0.95  # at least: it holds for all ten at once
    assert "orders" in estimate.method and "Bonferroni over 10" in estimate.method


def test_two_clients_that_call_themselves_the_same_are_told_apart():
    listed = [{"client": 4, "name": "north", "rows": 9}, {"client": 7, "name": "north", "rows": None}]
    record = SimpleNamespace(partition={"scheme": "each client's own file", "clients": listed})
    found = clients_of(record, {}, 3)
    assert [(c.name, c.learnt_from) for c in found] == [("north (4)", 9), ("north (7)", None)]
