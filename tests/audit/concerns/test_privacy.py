"""The privacy audit on planted answers: a leak is found, a null is not, and what proves nothing says so."""

from __future__ import annotations

import numpy as np
import pytest

from audit.concerns.privacy import PrivacyAuditOptions, privacy
from audit.concerns.privacy.figures import thinned
from audit.concerns.privacy.inference import AUC, TPR, true_positives
from audit.engine import Engine
from audit.evidence import Limit
from audit.plugin import Need, Size, plugin_of
from audit.policy import Policy, PolicyLimit
from audit.registry import Registry
from core_model.tasks import Task
from privacy.attacks.scores import tpr_at_fpr
from privacy.canaries import make_canaries, write_canaries
from reports.record import PolicyFacts, Severity, Status, Verdict
from tests.audit.concerns.privacy_subjects import ids, one, planted, run
from tests.audit.test_engine import frame
from tests.factories import stub_subject

# What attacks find -------------------------------------------------------------------------------------------------


def test_a_leak_is_found_by_every_attack_of_one_model_and_its_healthy_twin_is_not_accused():
    sick, healthy = run(planted(leak=1.5)), run(planted(leak=0.0))
    for attack in ("loss", "quantile regression"):
        assert one(sick, AUC, attack=attack).verdict is Verdict.FAIL
        assert one(sick, AUC, attack=attack).interval[0] > 0.6
        assert one(healthy, AUC, attack=attack).interval[0] <= 0.5 <= one(healthy, AUC, attack=attack).interval[1]
    [leak] = [f for f in sick.findings if f.id == "privacy-membership-inference"]
    assert leak.severity is Severity.HIGH and "--private --epsilon 8" in leak.mitigation.command
    assert ids(healthy) == set()


def test_on_nulls_the_interval_covers_one_half_at_its_nominal_rate():
    covered = 0
    for seed in range(60):
        subject = planted(rows=60, seed=seed)
        interval = one(run(subject, rows=60), AUC, attack="loss").interval
        covered += interval[0] <= 0.5 <= interval[1]
    assert covered >= 53  # 57 expected of 60; below 53 with probability 0.02


def test_a_leak_that_averages_hide_is_read_at_few_false_accusations():
    subject = planted(rows=2000)
    known = set(subject.training.texts[:200])
    plain = subject.predictor.answer
    targets = dict(zip(subject.training.texts, subject.training.targets, strict=True))
    sure = {text: [1e-9, 1 - 1e-9] if targets[text] else [1 - 1e-9, 1e-9] for text in known}
    subject.predictor.answer = lambda text: sure.get(text) or plain(text)
    found = run(subject)
    assert one(found, AUC, attack="loss").verdict is not Verdict.FAIL
    assert one(found, TPR, attack="loss", fpr="0.01").verdict is Verdict.FAIL
    assert one(found, TPR, attack="loss", fpr="0.001").value > 0.09
    assert any(f.severity is Severity.HIGH for f in found.findings)


def test_the_interval_of_a_true_positive_rate_covers_the_truth():
    """On nulls the truth is the false-positive rate itself; fixed thresholds would miss it far more often."""
    random = np.random.default_rng(0)
    covered = fixed = 0
    for _ in range(500):
        members, others = random.normal(size=400), random.normal(size=500)
        covered += true_positives(members, others, 0.02).covers(0.02)
        point = tpr_at_fpr(members, others, 0.02)
        half = 1.96 * (0.02 * 0.98 / 400) ** 0.5
        fixed += abs(point.rate - 0.02) <= half
    assert covered >= 475 > 450 > fixed


def test_too_few_held_out_rows_leave_a_rate_undecided_with_the_number_that_is_needed():
    found = run(planted(rows=80))
    rate = one(found, TPR, attack="loss", fpr="0.01")
    assert rate.value is None and "100 are needed" in rate.reason and rate.verdict is Verdict.INCONCLUSIVE
    quantile = one(found, AUC, attack="quantile regression")
    assert quantile.value is None and "200 are needed" in quantile.reason


def test_attacks_without_what_they_need_say_what_supplies_it_and_leave_no_limit_open():
    found = run(planted(rows=80))
    assert "--reference" in one(found, AUC, attack="calibrated loss").reason
    for attack in ("lira", "rmia", "bavaria"):
        assert "reference_models" in one(found, AUC, attack=attack).reason
    assert {one(found, AUC, attack=a).limit for a in ("calibrated loss", "lira", "rmia", "bavaria")} == {None}
    asked = run(planted(rows=80), reference_models=4)
    assert "--reference BASE" in one(asked, AUC, attack="lira").reason


# Whose rows -------------------------------------------------------------------------------------------------------


def test_the_group_that_leaks_is_told_from_the_one_that_does_not():
    found = run(planted(leak=2.0, grouped=True, rows=600))
    assert one(found, AUC, attack="loss", kind="b").interval[0] > 0.6
    low, high = one(found, AUC, attack="loss", kind="a").interval
    assert low <= 0.5 <= high
    assert one(found, AUC, attack="loss", kind="a").n == sum(
        (table.groups["kind"] == "a").sum() for table in (planted(grouped=True, rows=600).training,
                                                          planted(grouped=True, rows=600).data)
    )  # fmt: skip


def test_the_most_exposed_rows_are_named_by_number_and_id_and_never_by_their_text():
    subject = planted(leak=1.5, rows=200)
    found = run(subject)
    exposed = found.tables["most_exposed_rows"]
    scores = [row["score"] for row in exposed]
    assert scores == sorted(scores, reverse=True) and len(exposed) == 100
    first = exposed[0]
    assert first["row_id"] == subject.training.row_ids[first["training_row"] - 1]
    words = " ".join(str(value) for row in exposed for value in row.values())
    assert not any(text in words for text in subject.training.texts)


def test_as_many_training_rows_as_held_out_rows_are_asked_once_and_the_plan_says_so():
    subject = planted(rows=100, training_rows=700)
    found = run(subject)
    plan = plugin_of(privacy).forward_passes(Size(rows=100, training_rows=700, classes=2), PrivacyAuditOptions())
    assert plan == {"data": 100, "members": 100}
    assert subject.predictor.forward_passes == sum(plan.values())
    assert found.settings["members"] == found.settings["others"] == 100
    few = run(planted(rows=100, training_rows=700), rows=50)
    assert few.settings["members"] == few.settings["others"] == 50


def test_the_same_seed_draws_the_same_rows_and_another_one_others():
    def exposed(seed: int):
        return {row["training_row"] for row in run(planted(rows=50, training_rows=500), seed).tables[
            "most_exposed_rows"]}  # fmt: skip

    assert exposed(0) == exposed(0) != exposed(1)


# What proves nothing ----------------------------------------------------------------------------------------------


def test_rows_of_another_kind_are_found_without_the_model_and_no_verdict_rests_on_them():
    for leak in (0.0, 1.5):
        found = run(planted(leak=leak, shifted=True))
        assert one(found, "distribution_shift_auc").interval[0] > 0.55
        assert "privacy-distribution-shift" in ids(found) and "privacy-membership-inference" not in ids(found)
        judged = [m for m in found.metrics if m.name in (AUC, TPR) and m.limit is not None]
        assert judged and all(m.verdict is Verdict.INCONCLUSIVE for m in judged)
        assert "differ in their words" in one(found, AUC, attack="loss").reason
        assert any("No verdict" in note for note in found.notes)
    assert one(run(planted()), "distribution_shift_auc").interval[0] <= 0.5


def test_not_even_a_policy_passes_attacks_on_such_rows():
    policy = Policy(PolicyFacts(name="lax"), (PolicyLimit(metric=AUC, limit=0.99),))
    plugin = plugin_of(privacy)
    engine = Engine(registry=Registry((plugin,)), options={plugin.id: PrivacyAuditOptions()}, policy=policy)
    [result] = engine.run(planted(shifted=True), frame()).audits
    assert engine.crash(plugin.id) is None and result.status is Status.MEASURED
    assert Verdict.PASS not in {m.verdict for m in result.metrics if m.name == AUC}


def test_rows_of_one_kind_are_hardly_ever_taken_for_two():
    found = [one(run(planted(rows=60, seed=seed), rows=60), "distribution_shift_auc") for seed in range(40)]
    assert sum(m.interval[0] > 0.55 for m in found) == 0
    assert sum(m.interval[0] <= 0.5 <= m.interval[1] for m in found) >= 35


def test_rows_that_stand_on_both_sides_stop_the_attack_with_their_count_and_the_mend():
    subject = planted(leak=1.5, rows=100, overlapping=7)
    found = run(subject)
    refused = one(found, AUC, attack="loss")
    assert refused.value is None and refused.verdict is Verdict.INCONCLUSIVE and "7 of 100 rows" in refused.reason
    assert one(found, "members_overlap").value == 0.07
    [finding] = [f for f in found.findings if f.id == "privacy-members-overlap"]
    assert "rows_not_trained_on.csv" in finding.mitigation.command
    clean = found.tables["rows_not_trained_on"]
    assert [row["text"] for row in clean] == list(subject.data.texts[7:])
    assert subject.predictor.forward_passes == 0 and not any(f.id.endswith("inference") for f in found.findings)


def test_the_mend_for_overlap_is_the_truth_on_the_other_rows():
    subject = planted(leak=1.5, rows=120, overlapping=20)
    clean = run(subject).tables["rows_not_trained_on"]
    again = stub_subject(
        texts=[row["text"] for row in clean], answer=subject.predictor.answer,
        targets=[subject.labels.index(row["label"]) for row in clean],
        training=(subject.training.texts, subject.training.targets),
    )  # fmt: skip
    assert one(run(again), AUC, attack="loss").interval[0] > 0.6


def test_repeated_training_rows_are_counted_and_told_where_they_leak():
    subject = planted(leak=1.5, rows=100)
    texts, targets = list(subject.training.texts), list(subject.training.targets)
    twice = stub_subject(
        texts=subject.data.texts, answer=lambda text: subject.predictor.answer(text.lower()),
        targets=subject.data.targets, training=([*texts, *(t.upper() for t in texts[:10])], [*targets, *targets[:10]]),
    )  # fmt: skip
    found = run(twice)
    assert one(found, "repeated_training_rows").value == pytest.approx(10 / 110)
    [finding] = [f for f in found.findings if f.id == "privacy-repeated-training-rows"]
    assert "aboveboard prepare --data TRAIN_FILE" in finding.mitigation.command


# What stands in the record ----------------------------------------------------------------------------------------


def test_without_a_promise_the_audit_says_so_and_passes_nothing():
    found = run(planted(rows=60))
    assert "no folder" in one(found, "epsilon_claimed").reason
    assert one(found, "epsilon_lower_bound").verdict is Verdict.INFORMATIVE
    assert "privacy_sandwich" not in found.tables


def test_figures_are_drawn_on_logarithmic_axes_with_guessing_beside_them():
    areas, curves = run(planted(leak=1.5)).figures
    assert {row["label"] for row in areas.rows} == {"loss", "quantile regression"}
    guessing = [row for row in curves.rows if row["series"] == "guessing"]
    assert len(guessing) == 2 and all(row["x"] == row["y"] for row in guessing)
    assert curves.scale == "log" and all(0 < row[axis] <= 1 for row in curves.rows for axis in "xy")
    assert len(curves.rows) <= 2 * 61 + 2


def test_a_thinned_curve_keeps_its_ends_and_never_falls():
    points = [(x / 5000, min(1.0, 2 * x / 5000)) for x in range(1, 5001)]
    kept = thinned(points)
    assert len(kept) <= 61 and kept[-1] == (1.0, 1.0) and kept[0][0] <= 2 / 5000
    assert kept == sorted(kept)


def test_limits_name_whose_they_are():
    default = one(run(planted(rows=60)), AUC, attack="loss")
    own = one(run(planted(rows=60), max_auc=0.7), AUC, attack="loss")
    assert "default" in default.limit_source and own.limit == 0.7 and "set for this run" in own.limit_source
    tenth = one(run(planted(rows=1000), max_tpr_at_01_percent=0.005), TPR, attack="loss", fpr="0.001")
    assert tenth.limit == 0.005
    assert Limit(tenth.limit, tenth.limit_source).source.endswith("set for this run")


def test_what_it_needs_and_has_no_form_for():
    plugin = plugin_of(privacy)
    assert plugin.needs == {Need.LABELS, Need.TRAINING_DATA}
    assert Task.MASKED_LANGUAGE_MODELING not in plugin.tasks
    writing = plugin.forward_passes(
        Size(rows=50, training_rows=500, classes=0, task=Task.LANGUAGE_MODELING),
        PrivacyAuditOptions(extraction_rows=20, reference_models=4),
    )
    assert writing == {
        "tokens of data": 50, "tokens of members": 50, "reference models": 400, "continuations": 2 * 20 * 50,
    }  # fmt: skip


def test_the_plan_counts_canaries_and_the_reference_as_the_run_does(tmp_path):
    subject = planted(rows=60)
    canaries = make_canaries(subject.training, Task.CLASSIFICATION, 30, random=np.random.default_rng(0))
    write_canaries(tmp_path, canaries)
    size = Size(rows=60, training_rows=60, classes=2, folder=tmp_path, reference=True)
    planned = plugin_of(privacy).forward_passes(size, PrivacyAuditOptions())
    assert planned == {"data": 60, "training data": 60, "canaries": 30, "reference checkpoint": 150}
    (tmp_path / "canaries.json").write_text("{")  # what cannot be read is not asked
    assert "canaries" not in plugin_of(privacy).forward_passes(size, PrivacyAuditOptions())
