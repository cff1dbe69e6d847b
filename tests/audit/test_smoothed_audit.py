"""Promises of an audit of the smoothed classifier: every number is the wrapper's, and every page says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audit.configuration import Configuration
from audit.engine import same_frame
from audit.main import run
from audit.own_record import own_record
from audit.planning import plan
from audit.session import prepare
from core_model.checkpoint import open_checkpoint
from core_model.errors import OptionUnfit
from core_model.prediction import Predictor
from core_model.smoothing import SmoothedClassifier, Smoothing
from core_model.tasks import Task
from reports.comparison import Comparison
from reports.reading import read_record
from reports.record import Record, Status
from tests.audit.rows import made_up_rows
from tests.audit.task_checkpoints import column_flags, write_task_checkpoint, write_task_rows
from tests.factories import write_rows
from tests.undecided_checkpoint import write_undecided_checkpoint

ROWS = made_up_rows(48)
TEXTS = [row["text"] for row in ROWS]
SMALL = {
    "explainability": {"rows": 6, "top_words": 2, "deletion_rows": 6, "cascade_stages": 1},
    "security": {"attack_rows": 6, "recipes": ("deepwordbug",)},
    "robustness": {"rows": 8, "smoothed_rows": 6, "smoothing_looks": 30},
    "fairness": {"minimum_group_rows": 10},
    "emissions": {"rows_per_repeat": 6, "repeats": 2},
}
HOW = {"smoothing_keep": 0.5, "smoothing_looks": 7}
FLAGS = ["--smoothing-keep", "0.5", "--smoothing-looks", "7"]


class World:
    """One checkpoint and its rows; audits of it, each run when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = write_rows(folder / "rows.jsonl", ROWS)
        self.checkpoint = write_undecided_checkpoint(folder / "checkpoint", TEXTS)

    def session(self, name: str, **asked):
        asked = {"only": ("evaluability", "fairness", "robustness", "security"), **asked}
        return prepare(
            self.checkpoint,
            Configuration(data=str(self.rows), text_column="text", label_column="label", group_columns=("sex",),
                          out=str(self.folder / name), profile="quick", threads=1,
                          audits={k: v for k, v in SMALL.items() if k in (asked["only"] or SMALL)}, **asked),
            cached=False,
        )  # fmt: skip

    def record(self, name: str, **asked) -> Record:
        path = self.folder / name / "audit.json"
        return read_record(path) if path.exists() else self.session(name, **asked).run()


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("smoothed"))


def rows_of(world: World, name: str):
    import pandas as pd

    return pd.read_parquet(world.folder / name / "evidence.parquet")


def test_the_rows_of_the_evidence_are_the_smoothed_classifiers_own_answers(world):
    record = world.record("smoothed", **HOW)
    model = Predictor(open_checkpoint(world.checkpoint), threads=1)
    own = SmoothedClassifier(model, Smoothing(keep=0.5, looks=7)).predict(TEXTS)
    assert rows_of(world, "smoothed")["predicted"].tolist() == own.predicted.tolist()
    assert (model.predict(TEXTS).predicted != own.predicted).any()
    truth = np.array([row["label"] == "positive" for row in ROWS])
    [accuracy] = [m for m in record.audit("evaluability").metrics if m.key == "accuracy"]
    assert accuracy.value == pytest.approx((own.predicted == truth).mean())


def test_the_same_seed_gives_the_same_content_and_another_one_asks_other_looks(world):
    first, again = world.record("smoothed", **HOW), world.record("again", **HOW)
    assert first.content_sha256 == again.content_sha256
    files = [(world.folder / name / "evidence.parquet").read_bytes() for name in ("smoothed", "again")]
    assert files[0] == files[1]
    other = world.record("other", seed=1, only=("evaluability",), **HOW)
    assert other.subject == first.subject.model_copy(update={"location": other.subject.location})
    assert rows_of(world, "other")["predicted"].tolist() != rows_of(world, "smoothed")["predicted"].tolist()


def test_the_record_names_the_wrapper_and_every_form_of_it_says_so(world, capsys):
    record = world.record("smoothed", **HOW)
    facts = record.subject.smoothing
    assert (facts.keep, facts.looks, facts.mask) == (0.5, 7, None)
    assert record.subject.sha256 == open_checkpoint(world.checkpoint).sha256
    assert all("smoothing:--smoothing-keep 0.5 --smoothing-looks 7" in audit.signature for audit in record.audits)
    sentence = "majority of 7 looks at the text, each at 50% of its words"
    assert sentence in (world.folder / "smoothed" / "report.html").read_text(encoding="utf-8")
    place = str(world.folder / "smoothed" / "audit.json")
    card = world.folder / "card.md"
    assert run(["report", "--from", place, "--format", "model-card", "--out", str(card)]) == 0
    assert sentence in card.read_text(encoding="utf-8") and "smoothed: 7 looks" in card.read_text(encoding="utf-8")
    assert sentence in record._repr_html_()
    plain = world.record("plain")
    assert plain.subject.smoothing is None and "smoothing" not in plain.content()["subject"]
    assert "majority of" not in (world.folder / "plain" / "report.html").read_text(encoding="utf-8")


def test_every_installed_audit_asks_the_wrapper_and_what_needs_gradients_is_not_measured(world):
    record = world.record("all", only=None, train_data=str(world.rows), **HOW)
    assert not [(audit.id, audit.reason) for audit in record.audits if audit.status is Status.ERRORED]
    reasons = {line.key: line.reason for audit in record.audits for line in audit.metrics if line.value is None}
    assert "counts votes" in reasons["attack_success_rate[attack=pgd-L2]"]
    assert "without --smoothing-keep" in reasons["trigger_success_over_random[class=negative]"]
    assert "counts votes" in reasons["comprehensiveness[method=integrated-gradients]"]
    attacked = {line.key: line for line in record.audit("security").metrics}
    assert attacked["queries_median[attack=deepwordbug]"].value > 0
    assert any("looks at parts" in note for note in record.audit("emissions").notes)
    commands = [f.mitigation.command for a in record.audits for f in a.findings if f.mitigation]
    again = [command for command in commands if command.startswith("aboveboard audit ")]
    assert again and all("--smoothing-keep 0.5 --smoothing-looks 7" in command for command in again)


def test_the_wrapper_itself_is_certified_by_more_looks(world):
    record = world.record("smoothed", **HOW)
    model = Predictor(open_checkpoint(world.checkpoint), threads=1)
    certificates = SmoothedClassifier(model, Smoothing(keep=0.5, looks=30)).certify(TEXTS)
    truth = [int(row["label"] == "positive") for row in ROWS]
    right = np.array([c.answer == y for c, y in zip(certificates, truth, strict=True)])
    frame = rows_of(world, "smoothed")
    counted = frame["outcome robustness certified_accuracy[radius=0]"].dropna()
    assert len(counted) == 6 and counted.astype(bool).tolist() == right[counted.index].tolist()
    assert record.audit("robustness").cost.forward_passes > 0


def test_compare_tells_the_gain_the_price_and_the_work_paired(world, tmp_path, capsys):
    for name, how in (("plain", {}), ("smoothed", HOW)):
        world.record(name, **how)
    places = [str(world.folder / name / "audit.json") for name in ("plain", "smoothed")]
    assert run(["compare", *places, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "B: The smoothed classifier around this checkpoint was audited" in said
    assert said.index("against attacks and noise:") < said.index("the price, where nobody attacks:")
    assert said.index("the price, where nobody attacks:") < said.index("forward passes of these audits:")
    found = Comparison.model_validate_json((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert found.a.smoothing is None and found.b.smoothing.looks == 7
    price = {one.name: one for one in found.mend.price}
    assert price["accuracy"].paired and price["accuracy"].n == 48
    assert {"balanced_accuracy", "demographic_parity_difference", "equalized_odds_difference"} <= set(price)
    costs = {cost.quantity: cost for cost in found.mend.costs}
    records = [read_record(Path(place)) for place in places]
    for cost, record in zip((costs["forward passes"].a, costs["forward passes"].b), records, strict=True):
        assert cost == sum(audit.cost.forward_passes for audit in record.audits)
    plain, smoothed = (record.audit("evaluability").cost.forward_passes for record in records)
    assert plain == 48 and smoothed > 5 * plain  # seven looks, of which a few are equal
    [proven] = [row for row in found.gains if row.name == "certified_accuracy"]
    assert "nothing is proven of A itself" in proven.reason
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "majority of 7 looks" in page and "The work: what the audits" in page


def test_two_audits_of_one_kind_tell_no_work(world, tmp_path, capsys):
    world.record("smoothed", **HOW)
    places = [str(world.folder / "smoothed" / "audit.json")] * 2
    assert run(["compare", *places, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mend"]["costs"] == [] and not any("nothing is proven" in (r["reason"] or "") for r in found["rows"])


def test_verify_asks_the_wrapper_again(world, capsys):
    world.record("smoothed", **HOW)
    assert run(["verify", str(world.folder / "smoothed" / "audit.json"), "--sample", "6", "--json"]) == 0
    assert '"differs"' not in capsys.readouterr().out


def test_a_record_of_the_wrapper_is_none_of_the_checkpoint(world, tmp_path):
    world.record("smoothed", **HOW)
    opened = open_checkpoint(world.checkpoint)
    with pytest.raises(OptionUnfit, match="of the smoothed classifier around") as refused:
        own_record(world.folder / "smoothed" / "audit.json", opened)
    assert "without --smoothing-keep" in refused.value.mend
    frames = [world.session("x", only=("evaluability",), **how).frame() for how in ({}, HOW, HOW)]
    assert not same_frame(frames[0], frames[1]) and same_frame(frames[1], frames[2])


def test_a_plan_counts_looks_and_counts_those_that_certify_once(world):
    plans = {
        name: plan(world.session(name, **how), probe=name == "looks")
        for name, how in (("none", {}), ("looks", HOW), ("more", {**HOW, "smoothing_looks": 14}))
    }
    passes = {name: {one.id: one.forward_passes for one in found.audits} for name, found in plans.items()}
    assert passes["looks"]["evaluability"] == 7 * passes["none"]["evaluability"]
    certified = 6 * 30
    for audit, extra in (("robustness", certified), ("security", 0)):
        assert passes["more"][audit] - extra == pytest.approx(2 * (passes["looks"][audit] - extra), abs=4)
    assert plans["looks"].rows_per_second > 0


@pytest.mark.parametrize(
    ("flags", "letter"),
    [
        (["--smoothing-keep", "0"], "smoothing_keep"),
        (["--smoothing-keep", "1.5"], "smoothing_keep"),
        (["--smoothing-keep", "nan"], "smoothing_keep"),
        (["--smoothing-keep", "0.3", "--smoothing-looks", "0"], "smoothing_looks"),
        (["--smoothing-looks", "9"], "--smoothing-looks was given without --smoothing-keep"),
        (["--smoothing-mask", "[MASK]"], "--smoothing-mask was given without --smoothing-keep"),
        (["--smoothing-keep", "0.3", "--smoothing-mask", "a b"], "one word stands in the place of one word"),
    ],
)
@pytest.mark.parametrize("command", ["audit", "plan"])
def test_what_cannot_be_is_a_letter_and_writes_nothing(world, tmp_path, capsys, command, flags, letter):
    out = tmp_path / "out"
    assert run([command, str(world.checkpoint), "--data", str(world.rows), "--out", str(out), *flags]) == 2
    error = capsys.readouterr().err
    assert letter in error and "Traceback" not in error and not (out / "audit.json").exists()


def test_a_checkpoint_that_is_no_classifier_is_refused(tmp_path, capsys):
    folder = write_task_checkpoint(tmp_path / "model", Task.LANGUAGE_MODELING, steps=1)
    rows = write_task_rows(tmp_path / "rows.jsonl", Task.LANGUAGE_MODELING, 8)
    command = ["audit", str(folder), "--data", str(rows), *column_flags(Task.LANGUAGE_MODELING), *FLAGS]
    assert run([*command, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "votes are counted for classes" in error and "leave --smoothing-keep out" in error


def test_an_exported_graph_is_audited_by_its_votes_too(world, tmp_path):
    pytest.importorskip("onnxruntime")
    from tests.audit.test_graph_audits import export

    graph = tmp_path / "onnx"
    export(world.checkpoint, prepared_table(world), graph)
    command = ["audit", str(graph), "--data", str(world.rows), "--only", "evaluability", *FLAGS]
    assert run([*command, "--out", str(tmp_path / "out")]) == 0
    record = read_record(tmp_path / "out" / "audit.json")
    assert record.subject.smoothing.looks == 7 and record.subject.facts["graph"]
    world.record("smoothed", **HOW)
    there, here = (m for m in (record, read_record(world.folder / "smoothed" / "audit.json")))
    assert value(there, "accuracy") == pytest.approx(value(here, "accuracy"), abs=2 / 48)  # a logit may tie


def value(record: Record, key: str) -> float:
    return next(m.value for m in record.audit("evaluability").metrics if m.key == key)


def prepared_table(world: World):
    return world.session("table", only=("evaluability",)).subject.data


def test_pairs_are_audited_with_their_second_text_whole(world, tmp_path):
    pairs = [{**row, "context": f"{row['sex']} said so"} for row in ROWS]
    rows = write_rows(tmp_path / "pairs.jsonl", pairs)
    command = ["audit", str(world.checkpoint), "--data", str(rows), "--text-column", "text", "--pair-column", "context",
               "--label-column", "label", "--only", "evaluability", *FLAGS, "--smoothing-mask", "[MASK]"]  # fmt: skip
    assert run([*command, "--out", str(tmp_path / "out")]) == 0
    import pandas as pd

    found = pd.read_parquet(tmp_path / "out" / "evidence.parquet")["predicted"].tolist()
    model = Predictor(open_checkpoint(world.checkpoint), threads=1)
    own = SmoothedClassifier(model, Smoothing(keep=0.5, looks=7, mask="[MASK]"))
    assert found == own.predict(TEXTS, [pair["context"] for pair in pairs]).predicted.tolist()
