"""Promises of the testability audit: breaks are noticed and false alarms are few, by simulation and by planted models.

All rows are synthetic.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar

from audit.concerns import testability as room
from audit.concerns.testability.mutants import split, try_mutants
from audit.concerns.testability.noticing import chance_of, is_noticed, moved, smallest_noticed_break
from audit.concerns.testability.suite import make_suite
from audit.main import run as command
from audit.plugin import Evidence, Size, plugin_of
from audit.selftest.texts import SOUND, WEIGHTS, draw, subject_of, table_of, written
from audit.session import as_csv
from audit.subject import Subject
from core_model.behaviour import judge, questions
from core_model.checkpoint import open_checkpoint
from core_model.export.onnx import export_onnx
from core_model.mutation import permuted
from core_model.prediction import Predictor
from core_model.smoothed_prediction import SmoothedPredictor
from core_model.smoothing import Smoothing
from core_model.tasks import Task
from reports.record import Finding, Metric, Verdict
from tests.factories import stub_subject, stub_writing_subject

SMALL = {"rows": 30, "mutants": 12, "mutant_suite_rows": 15, "labelled_rows": 40, "held_out_rows": 40}


@lru_cache
def folder(link: float = 0.0) -> Path:
    """A model whose log odds are good words less bad ones; and the weight of a link."""
    out = Path(mkdtemp(prefix="aboveboard-testability-")) / "checkpoint"
    written(SOUND.but(weights={**WEIGHTS, "https": link}), out)
    return out


def subject(link: float = 0.0, rows: int = 160, *, groups=None, training=None) -> Subject:
    drawn = draw(np.random.default_rng(5), rows, margins=(1, 2, 3))
    return subject_of(open_checkpoint(folder(link)), drawn, groups=groups, training=training)


def run(on: Subject, **options) -> Evidence:
    options = room.TestabilityOptions(**{**SMALL, **options})
    return room.testability(on.narrowed(plugin_of(room.testability)), options, np.random.default_rng(0))


@lru_cache
def sound() -> Evidence:
    return run(subject())


def one(evidence: Evidence, name: str, **part: str) -> Metric:
    [found] = [line for line in evidence.metrics if line.name == name and line.slice == part]
    return found


def found(evidence: Evidence) -> dict[str, Finding]:
    return {finding.id.removeprefix("testability-"): finding for finding in evidence.findings}


def test_a_model_that_a_link_turns_is_found_and_its_sound_twin_passes():
    sick = run(subject(link=-40.0), mutants=0, rows=60)
    line = one(sick, "behavioural_failure_rate", kind="INV")
    assert line.verdict is Verdict.FAIL
    assert one(sick, "behavioural_failure_rate", kind="INV", capability="link added").value > 0.3
    assert one(sick, "behavioural_failure_rate", kind="INV", capability="handle added").value == 0
    finding = found(sick)["invariance"]
    assert finding.severity == "medium" and all(e["capability"] == "link added" for e in finding.examples)
    twin = run(subject(), mutants=0, rows=60)
    assert one(twin, "behavioural_failure_rate", kind="INV").verdict is Verdict.PASS
    assert "invariance" not in found(twin) and "direction" not in found(twin)


def test_failure_rates_are_a_slow_count_of_the_table_that_is_written():
    on = subject(link=-40.0)
    evidence = run(on, mutants=0)
    tests = evidence.tables["behavioural_suite"]
    for name in ("link added", "end punctuation", "other class appended"):
        rows = [row for row in tests if row["capability"] == name]
        failed = 0
        for row in rows:
            after, before = (on.predict([row[key]]).probabilities[0] for key in ("text", "base"))
            if row["kind"] == "INV":
                failed += after.argmax() != before.argmax()
            else:
                place = on.labels.index(row["label"])
                failed += after[place] - before[place] > 0.1
        line = one(evidence, "behavioural_failure_rate", kind=rows[0]["kind"], capability=name)
        assert (line.n, line.value) == (len(rows), pytest.approx(failed / len(rows)))


def test_a_test_of_a_label_expects_the_rows_label_and_not_the_models_answer():
    """Planted: a model that says the opposite of everything."""
    on = subject()
    flipped = stub_subject(
        texts=on.texts, targets=on.targets.tolist(), labels=on.labels,
        answer=lambda text: on.predict([text]).probabilities[0][::-1].tolist(),
    )  # fmt: skip
    suite = make_suite(flipped, 40, np.random.default_rng(0))
    appended = [case for case in suite.cases if case.capability == "other class appended"]
    assert appended and all(case.label == on.labels[on.targets[case.cluster]] for case in appended)
    evidence = run(flipped)
    assert one(evidence, "behavioural_failure_rate", kind="MFT", capability="label-bound words").value == 1
    assert one(evidence, "mutation_score", noticed_by="suite").reason == "the model is not asked through torch"


def test_mutants_are_noticed_and_the_model_on_trial_stays_as_it_was():
    on = subject()
    before = {name: t.numpy().tobytes() for name, t in on.predictor.forward.model.state_dict().items()}
    evidence = run(on)
    after = {name: t.numpy().tobytes() for name, t in on.predictor.forward.model.state_dict().items()}
    assert before == after
    [figure] = [figure for figure in evidence.figures if figure.id == "testability-mutants"]
    fates = {row["label"]: row["value"] for row in figure.rows}
    assert fates["outputs swapped 1: suite and labelled rows"] > 0.9
    assert one(evidence, "mutation_false_alarm_rate").value == 0
    score, either = (one(evidence, "mutation_score", noticed_by=who) for who in ("suite", "either"))
    real = sum(row["value"] >= 0.05 for row in figure.rows)
    assert score.n == either.n == real and score.value <= either.value
    noticed = sum(row["value"] >= 0.05 and "suite" in row["label"] for row in figure.rows)
    assert score.value == pytest.approx(noticed / real)
    exact = binomtest(noticed, real).proportion_ci(method="exact")
    assert score.interval == pytest.approx((exact.low, exact.high))


def test_held_out_rows_stand_in_neither_suite_nor_labelled_rows():
    used = frozenset(range(0, 60, 2))
    drawn = np.arange(0, 40, 2)
    suite, labelled, out = split(
        100, drawn, used, labelled=50, held_out=30, suite_rows=10, random=np.random.default_rng(0)
    )
    assert len(out) == 30 and len(labelled) == 50 and suite.tolist() == drawn[:10].tolist()
    assert not set(out) & used and not set(out) & set(labelled) and len(set(labelled)) == 50


@pytest.mark.parametrize("rows", [2, 3, 9, 50])
def test_few_rows_leave_a_quarter_to_see_what_a_mutant_changes(rows):
    evidence = run(subject(rows=rows), mutants=1, rows=60)
    assert one(evidence, "mutants_that_change_answers").n == 1
    tests = evidence.tables["behavioural_suite"]
    used = {row["made_of"] for row in tests if row["made_of"] < rows}
    assert len(used) <= max(1, 3 * rows // 4) and len({r["made_of"] for r in tests if r["kind"] == "INV"}) >= 1


def test_a_trial_alone_is_as_in_the_run():
    on = subject()
    suite = make_suite(on, 30, np.random.default_rng(1))
    trials = try_mutants(
        on, suite, np.random.default_rng(2), mutants=5, suite_rows=15, labelled=40, held_out=20
    )  # fmt: skip
    assert [trial.name for trial in trials.equivalent] == ["hidden units permuted", "the same model again"]
    assert all(trial.changed == 0 and not trial.by_suite and not trial.by_rows for trial in trials.equivalent)
    assert trials.passes > 0 and len(trials.mutants) <= 5


def test_the_rule_is_mcnemars_for_single_rows():
    """Against statsmodels' exact test, which is two-sided."""
    for worse, better in ((8, 2), (5, 0), (12, 11)):
        theirs = mcnemar([[0, worse], [better, 0]], exact=True).pvalue
        assert chance_of(worse, better) == pytest.approx(theirs / 2, rel=1e-6)
        assert chance_of(worse, better) == pytest.approx(binomtest(worse, worse + better, alternative="greater").pvalue)
    assert chance_of(0, 0) == 1


def test_moved_is_a_slow_loop():
    random = np.random.default_rng(0)
    before, after, clusters = random.random(60) < 0.7, random.random(60) < 0.5, random.integers(0, 15, 60)
    worse = better = 0
    for cluster in set(clusters.tolist()):
        lost = sum(b and not a for b, a, c in zip(before, after, clusters, strict=True) if c == cluster)
        won = sum(a and not b for b, a, c in zip(before, after, clusters, strict=True) if c == cluster)
        worse, better = worse + (lost > won), better + (won > lost)
    assert moved(before, after, clusters) == (worse, better)


@pytest.mark.parametrize("turning", [0.02, 0.1, 0.4])
def test_false_alarms_are_at_most_five_in_a_hundred_where_nothing_broke(turning):
    """Simulated: rows whose tests turn together, one way as easily as the other; three kinds of tests."""
    random, times = np.random.default_rng(7), 1500
    clusters = np.repeat(np.arange(40), 3)
    kinds = ["MFT", "INV", "DIR"] * 40
    alarms = 0
    for _ in range(times):
        shared = random.random(40) < turning
        moves = shared[clusters] & (random.random(120) < 0.9)
        before = random.random(120) < 0.5
        alarms += is_noticed(before, before ^ moves, clusters, kinds)
    assert alarms / times <= 0.05 + 3 * (0.05 * 0.95 / times) ** 0.5


def test_no_equivalent_mutant_is_called_broken():
    """Thirty orders of the hidden units of one model: the same function by other sums."""
    on = subject()
    suite = make_suite(on, 30, np.random.default_rng(1))
    texts, pairs = questions(suite.cases)
    passed = judge(suite.cases, on.predict(texts, pairs), on.labels).passed
    clusters, kinds = np.array([c.cluster for c in suite.cases]), [c.kind for c in suite.cases]
    copy = Predictor(on.checkpoint, cache=None)
    alarms = 0
    for seed in range(30):
        with permuted(copy.forward.model, np.random.default_rng(seed)) as made:
            assert made
            now = judge(suite.cases, copy.predict(texts, pairs), on.labels).passed
        alarms += is_noticed(passed, now, clusters, kinds)
    assert alarms == 0


@pytest.mark.parametrize("rows", [5, 20, 66, 400])
def test_the_smallest_noticed_break_is_noticed_in_eight_of_ten_simulations(rows):
    share = smallest_noticed_break(rows)
    random = np.random.default_rng(rows)
    turned = random.random((4000, rows)) < share
    noticed = np.mean([chance_of(int(some.sum()), 0) <= 0.05 for some in turned])
    assert noticed == pytest.approx(0.8, abs=0.03)
    assert smallest_noticed_break(4) is None
    assert smallest_noticed_break(66) < 0.101 < smallest_noticed_break(64)  # as the finding's mend says: about 70


def test_a_label_of_three_rows_is_named_and_words_and_groups_are_slow_counts():
    drawn = draw(np.random.default_rng(1), 150, margins=(3,))
    kept = [*np.flatnonzero(drawn.labels == 0), *np.flatnonzero(drawn.labels == 1)[:3]]
    whole = subject(training=draw(np.random.default_rng(2), 80))
    data = table_of(drawn, "planted", {"sex": ["f", "m", "f"] * 50}).select(np.array(kept))
    on = Subject(
        checkpoint=whole.checkpoint, data=data, predictor=Predictor(whole.checkpoint), training=whole.training
    )  # fmt: skip
    evidence = run(on, mutants=0, rows=10)
    thin = one(evidence, "smallest_noticed_break", label="yes")
    assert thin.value is None and "would not be noticed" in thin.reason
    assert found(evidence)["thin-classes"].severity == "medium"
    assert "thin-classes" not in found(sound())
    few = 0
    for value in ("f", "m"):
        for label in (0, 1):
            few += sum(g == value and t == label for g, t in zip(data.groups["sex"], data.targets, strict=True)) < 5
    assert one(evidence, "groups_without_rows", by="sex").value == few / 4
    words = {word for text in whole.training.texts for word in text.split()}
    here = {word for text in data.texts for word in text.split()}
    line = one(evidence, "training_words_exercised")
    assert (line.n, line.value) == (len(words), pytest.approx(len(words & here) / len(words)))


def test_without_labels_only_invariance_is_tested_and_the_rest_says_why():
    on = subject()
    bare = Subject(
        checkpoint=on.checkpoint, predictor=on.predictor,
        data=type(on.data).from_rows(name="bare", texts=list(on.texts), synthetic=True),
    )  # fmt: skip
    evidence = run(bare, mutants=2)
    for kind in ("MFT", "DIR"):
        line = one(evidence, "behavioural_failure_rate", kind=kind)
        assert line.value is None and "--label-column" in line.reason
    assert one(evidence, "behavioural_failure_rate", kind="INV").n > 0
    assert "--label-column" in one(evidence, "mutation_score", noticed_by="labelled rows").reason


def test_answers_out_of_a_context_must_stay_and_mutants_are_absent():
    texts = [f"who is number {number}" for number in range(30)]
    sick, healthy = (
        run(
            stub_writing_subject(Task.QUESTION_ANSWERING, texts=texts, pairs=["somebody"] * 30, write=write),
            rows=30,
        )
        for write in (lambda q, c: "link" if "http" in q else "none", lambda q, c: "none")
    )
    assert one(sick, "behavioural_failure_rate", kind="INV", capability="link added").value == 1
    assert one(healthy, "behavioural_failure_rate", kind="INV").value == 0
    assert one(healthy, "mutation_score", noticed_by="suite").reason == "mutants are made of classifiers only"


def test_of_a_graph_and_of_the_smoothed_classifier_the_suite_runs_and_mutants_are_absent(tmp_path):
    pytest.importorskip("onnxruntime")
    on = subject()
    export_onnx(on.checkpoint, on.data, tmp_path, max_difference=1e-2, int8=False, threads=1)
    graph = open_checkpoint(tmp_path)
    for checkpoint, predictor in (
        (graph, Predictor(graph)),
        (on.checkpoint, SmoothedPredictor(Predictor(on.checkpoint), Smoothing(keep=0.7, looks=5, choosing=1))),
    ):
        evidence = run(Subject(checkpoint=checkpoint, data=on.data, predictor=predictor), rows=8)
        line = one(evidence, "behavioural_failure_rate", kind="INV")
        assert line.n == 8 * 5
        assert "no gradients" in one(evidence, "mutation_score", noticed_by="suite").reason
        assert "no gradients" in one(evidence, "mutation_false_alarm_rate").reason
        assert not evidence.forward_passes


def test_pairs_of_texts_have_invariance_tests_and_mutants_and_no_test_of_words():
    on = subject()
    data = type(on.data).from_rows(
        name="pairs", texts=list(on.texts), pairs=list(on.texts)[::-1], targets=on.targets, label_names=on.labels,
        synthetic=True,
    )  # fmt: skip
    evidence = run(Subject(checkpoint=on.checkpoint, data=data, predictor=on.predictor), mutants=5)
    assert "two texts" in one(evidence, "behavioural_failure_rate", kind="MFT").reason
    assert all(row["pair"] == data.pairs[row["made_of"]] for row in evidence.tables["behavioural_suite"])
    assert one(evidence, "mutants_that_change_answers").n == 5


def test_the_plan_tells_the_passes():
    on = subject()
    on.predictions  # noqa: B018 - paid for before
    before = on.predictor.forward_passes
    evidence = run(on, **SMALL)
    planned = room._planned(Size(rows=160, training_rows=0, classes=2), room.TestabilityOptions(**SMALL))
    assert planned["behavioural tests"] == pytest.approx(on.predictor.forward_passes - before, rel=0.3)
    assert planned["mutants"] == pytest.approx(evidence.forward_passes, rel=0.3)


@pytest.fixture
def suite_file(tmp_path) -> Path:
    file = tmp_path / "suite.csv"
    file.write_text(as_csv(sound().tables["behavioural_suite"]), encoding="utf-8")
    return file


@pytest.fixture
def broken(tmp_path) -> Path:
    """The same checkpoint with its two outputs exchanged."""
    shutil.copytree(folder(), tmp_path / "broken")
    weights = load_file(tmp_path / "broken" / "model.safetensors")
    weights["classifier.weight"] = weights["classifier.weight"].flip(0).contiguous()
    save_file(weights, tmp_path / "broken" / "model.safetensors", metadata={"format": "pt"})
    return tmp_path / "broken"


def test_behave_bars_a_broken_version_and_lets_the_same_one_through(suite_file, broken, capsys):
    same = ["behave", str(folder()), "--suite", str(suite_file), "--against", str(folder()), "--gate"]
    assert command(same) == 0
    assert "0 worse and 0 better" in capsys.readouterr().out
    assert command(["behave", str(broken), "--suite", str(suite_file), "--against", str(folder()), "--gate"]) == 1
    said = capsys.readouterr().out
    assert "BROKEN  broken against the other checkpoint" in said and "BROKEN  MFT" in said
    assert command(["behave", str(broken), "--suite", str(suite_file), "--json"]) == 0
    assert '"against": null' in capsys.readouterr().out


def test_behave_names_what_is_no_suite(tmp_path, capsys):
    file = tmp_path / "rows.csv"
    file.write_text("text,label\na,yes\n", encoding="utf-8")
    assert command(["behave", str(folder()), "--suite", str(file)]) == 2
    said = capsys.readouterr().err
    assert "rows.csv, row 1" in said and "Traceback" not in said
    assert command(["behave", str(folder()), "--suite", str(tmp_path / "nowhere.csv")]) == 2


def test_the_fixture_fails_a_test_of_a_broken_version(suite_file, broken, tmp_path):
    own = tmp_path / "test_own.py"
    own.write_text(
        f"def test_same(assert_behaviour):\n    assert_behaviour({str(folder())!r}, suite={str(suite_file)!r})\n\n"
        f"def test_broken(assert_behaviour):\n    assert_behaviour({str(broken)!r}, suite={str(suite_file)!r}, "
        f"against={str(folder())!r})\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(own)],
                          capture_output=True, text=True, check=False, cwd=tmp_path, env=dict(os.environ))  # fmt: skip
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "does not behave" in done.stdout and "Traceback" not in done.stdout
