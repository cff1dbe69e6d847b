"""Fairness: the planted fault is found, the healthy twin is not accused."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest

from audit.concerns.fairness import FairnessOptions, fairness, planned_passes
from audit.plugin import Evidence, Size, plugin_of
from core_model.errors import OptionUnfit, TaskUnfit
from reports.record import AuditResult, Metric, Severity, Status, Verdict
from tests.audit.concerns.fairness_subjects import Group, answered, planted


def run(subject, seed: int = 0, **options) -> Evidence:
    return fairness(subject, FairnessOptions(**options), np.random.default_rng(seed))


def the(evidence: Evidence, name: str, **part: str) -> Metric:
    [found] = [m for m in evidence.metrics if m.name == name and m.slice == part]
    return found


@pytest.fixture(scope="module")
def unfair():
    """Women are wrongly accused far more often; a third group lies between."""
    subject = planted(
        {
            "woman": Group(900, false_positive_rate=0.5),
            "man": Group(900, false_positive_rate=0.2),
            "other": Group(900, 0.35),
        }
    )
    return subject, run(subject)


@pytest.fixture(scope="module")
def fair():
    subject = planted({name: Group(4000) for name in ("woman", "man", "other")}, exact=True)
    return subject, run(subject)


def test_the_planted_gap_is_covered_by_its_interval_and_breaks_the_limit(unfair):
    gap = the(unfair[1], "equalized_odds_difference", by="sex")
    assert gap.interval[0] <= 0.3 <= gap.interval[1]
    assert gap.verdict is Verdict.FAIL and gap.limit == 0.1


def test_the_finding_names_the_groups_between_which_the_gap_lies():
    rates = {"woman": Group(900, false_positive_rate=0.5), "man": Group(900), "other": Group(900, 0.4)}
    evidence = run(planted(rates, exact=True))
    [finding] = [f for f in evidence.findings if f.id == "fairness-equalized-odds-sex"]
    low, high = the(evidence, "equalized_odds_difference", by="sex").interval
    assert finding.severity is Severity.HIGH
    assert finding.statement == (
        "The false-positive rate is 0.50 for woman and 0.20 for man (largest minus smallest 0.30, "
        f"95% interval {low:.2f} to {high:.2f}). The limit of 0.1 is broken."
    )
    assert finding.metrics == ["equalized_odds_difference[by=sex]"]


def test_the_fair_twin_passes_and_is_not_accused(fair):
    for name in ("equalized_odds_difference", "demographic_parity_difference"):
        gap = the(fair[1], name, by="sex")
        assert gap.verdict is Verdict.PASS and gap.interval[0] == 0
    ratios = [m for m in fair[1].metrics if m.name == "impact_ratio" and m.limit is not None]
    assert ratios and all(m.verdict is Verdict.PASS for m in ratios)
    assert not fair[1].findings


def test_examples_are_the_most_confident_errors_of_the_worst_group(unfair):
    subject, evidence = unfair
    [finding] = [f for f in evidence.findings if f.id == "fairness-equalized-odds-sex"]
    wrong = (subject.targets == 0) & (subject.predictions.predicted == 1) & (subject.groups["sex"] == "woman")
    assert finding.examples_total == wrong.sum()
    assert finding.examples_worst == 20
    seen = [example["probability"] for example in finding.examples[:20]]
    best = sorted(subject.predictions.confidence[wrong], reverse=True)[:20]
    assert seen == pytest.approx(best, abs=1e-4)
    assert {e["sex"] for e in finding.examples} == {"woman"} and {e["label"] for e in finding.examples} == {"negative"}


def test_an_impact_ratio_below_four_fifths_breaks_the_rule():
    """29 CFR 1607.4(D): 30% of one group and 60% of another are selected; the ratio is one half."""
    evidence = run(
        answered([0] * 800, ([1] * 120 + [0] * 280) + ([1] * 240 + [0] * 160), {"race": ["b"] * 400 + ["w"] * 400})
    )
    ratio = the(evidence, "impact_ratio", race="b")
    assert ratio.value == pytest.approx(0.5) and ratio.verdict is Verdict.FAIL and ratio.limit == 0.8
    assert "1607.4(D)" in ratio.limit_source
    reference = the(evidence, "impact_ratio", race="w")
    assert reference.value == 1 and reference.limit is None and "reference" in reference.reason
    [finding] = [f for f in evidence.findings if f.id == "fairness-impact-ratio-race"]
    assert finding.severity is Severity.HIGH and "impact ratio 0.50" in finding.statement


def test_a_group_of_which_nobody_is_selected_has_an_interval_and_is_the_worst_finding():
    predicted = [0] * 60 + [1] * 50 + [0] * 50
    evidence = run(answered([0, 1] * 80, predicted, {"sex": ["woman"] * 60 + ["man"] * 100}))
    rate, ratio = the(evidence, "selection_rate", sex="woman"), the(evidence, "impact_ratio", sex="woman")
    assert rate.value == 0 and rate.interval[0] == 0 < rate.interval[1] < 0.1
    assert ratio.value == 0 and ratio.interval[0] == 0 and ratio.interval[1] < 0.8 and ratio.verdict is Verdict.FAIL
    assert the(evidence, "demographic_parity_ratio", by="sex").value == 0


def test_where_nobody_at_all_is_selected_ratios_are_absent_with_the_reason():
    evidence = run(answered([0, 1] * 50, [0] * 100, {"sex": ["woman", "man"] * 50}))
    for found in (the(evidence, "demographic_parity_ratio", by="sex"), the(evidence, "impact_ratio", sex="man")):
        assert found.value is None and "nobody is selected" in found.reason
    assert the(evidence, "demographic_parity_difference", by="sex").value == 0


def test_a_small_group_is_shown_with_a_wide_interval_and_left_out_of_the_gap():
    subject = planted(
        {"woman": Group(300), "man": Group(300), "rare": Group(12, false_positive_rate=1.0, false_negative_rate=0.0)},
        exact=True,
    )
    evidence = run(subject)
    gap, rare = the(evidence, "equalized_odds_difference", by="sex"), the(evidence, "false_positive_rate", sex="rare")
    assert gap.value == 0 and gap.n == 600
    assert rare.value == 1 and rare.n == 6 and rare.interval[1] - rare.interval[0] > 0.3
    [note] = [n for n in evidence.notes if "small group" in n]
    assert "rare (12)" in note and "12 rows in all" in note and "left out of the gaps" in note
    assert run(subject, minimum_group_rows=10).notes != evidence.notes
    assert the(run(subject, minimum_group_rows=10), "equalized_odds_difference", by="sex").value == pytest.approx(0.8)


def test_with_fewer_than_two_large_groups_the_gap_is_absent_and_never_a_pass():
    evidence = run(planted({"woman": Group(300), "man": Group(20)}))
    for name in ("equalized_odds_difference", "demographic_parity_difference", "demographic_parity_ratio"):
        gap = the(evidence, name, by="sex")
        assert gap.value is None and "needs two" in gap.reason and gap.verdict is not Verdict.PASS


def test_a_column_with_a_single_group_has_rates_and_no_gap():
    evidence = run(planted({"woman": Group(300)}))
    assert the(evidence, "selection_rate", sex="woman").value is not None
    assert the(evidence, "demographic_parity_difference", by="sex").value is None
    assert not [f for f in evidence.findings if "sex" in f.id]


def test_a_group_without_positives_has_no_false_negative_rate_and_says_so():
    evidence = run(planted({"woman": Group(200), "man": Group(200), "other": Group(200, positives=0)}))
    rate = the(evidence, "false_negative_rate", sex="other")
    assert rate.value is None and "no row of this group is 'positive'" in rate.reason
    assert the(evidence, "false_negative_rate_difference", by="sex").n == 200  # positives of the other two
    assert the(evidence, "false_positive_rate_difference", by="sex").n == 400
    assert any("other has no row that is 'positive'" in note for note in evidence.notes)


def test_an_intersection_finds_what_neither_column_shows():
    """Black women and white men fare badly: by sex alone and by race alone, all is even (Buolamwini and Gebru 2018)."""
    groups: dict[str, list[str]] = {"sex": [], "race": []}
    target, predicted = [], []
    for sex in ("woman", "man"):
        for race in ("black", "white"):
            wrong = 0.6 if (sex == "woman") == (race == "black") else 0.1
            errors = round(200 * wrong)
            target += [0] * 200 + [1] * 200
            predicted += [1] * errors + [0] * (200 - errors) + [1] * 200
            groups["sex"] += [sex] * 400
            groups["race"] += [race] * 400
    subject = answered(target, predicted, groups)
    evidence = run(subject)
    assert the(evidence, "equalized_odds_difference", by="sex").value == 0
    assert the(evidence, "equalized_odds_difference", by="race").value == 0
    crossed = the(evidence, "equalized_odds_difference", by="sex & race")
    assert crossed.value == pytest.approx(0.5) and crossed.verdict is Verdict.FAIL
    assert the(evidence, "false_positive_rate", **{"sex & race": "woman & black"}).value == pytest.approx(0.6)
    assert {f.id for f in evidence.findings} >= {"fairness-equalized-odds-sex-race"}
    assert not [m for m in run(subject, intersections=False).metrics if "sex & race" in str(m.slice)]


def test_each_class_of_several_takes_its_turn_as_selected():
    random = np.random.default_rng(0)
    labels = ("joy", "anger", "fear")
    target = random.integers(0, 3, 1200)
    group = np.array(["a", "b"])[random.integers(0, 2, 1200)]
    predicted = np.where((group == "b") & (target == 0) & (random.random(1200) < 0.5), 1, target)
    subject = answered(target.tolist(), predicted.tolist(), {"g": group.tolist()}, labels=labels)
    evidence = run(subject)
    for label in labels:
        assert the(evidence, "selection_rate", g="a", label=label).n == (group == "a").sum()
    truth = predicted[group == "b"] == target[group == "b"]
    assert the(evidence, "accuracy", g="b").value == pytest.approx(truth.mean())
    [finding] = [f for f in evidence.findings if f.id == "fairness-equalized-odds-g"]
    assert "false-negative rate of 'joy'" in finding.statement
    assert "equalized_odds_difference[by=g, label=anger]" in finding.metrics
    one = run(subject, selected="fear")
    assert the(one, "selection_rate", g="a").value == pytest.approx((predicted[group == "a"] == 2).mean())


def test_of_very_many_classes_the_ten_most_predicted_take_turns():
    labels = [f"intent {i:02d}" for i in range(40)]
    target = [min(i % 50, 39) for i in range(2000)]
    evidence = run(answered(target, target, {"g": ["a", "b"] * 1000}, labels=labels))
    assert len({m.slice["label"] for m in evidence.metrics if "label" in m.slice}) == 10
    assert "intent 39" in {m.slice.get("label") for m in evidence.metrics}
    assert any("10 most predicted classes" in note for note in evidence.notes)


def test_hostile_names_stay_data_and_break_nothing():
    hostile = ["<script>alert(1)</script>", 'a, "b" = c', "\u202eevil", "=cmd()", "x" * 5000]
    rows = 40 * len(hostile)
    predicted = [1] * 40 + [0] * (rows - 40)
    column = "label"  # a column called as a heading of ours
    subject = answered([0, 1] * (rows // 2), predicted, {column: [h for h in hostile for _ in range(40)]})
    evidence = run(subject)
    assert [m.slice[column] for m in evidence.metrics if m.name == "selection_rate"] == sorted(hostile)
    result = AuditResult(
        id="fairness", concern="fairness", status=Status.MEASURED, metrics=list(evidence.metrics),
        findings=list(evidence.findings), figures=list(evidence.figures), notes=list(evidence.notes),
    )  # fmt: skip
    assert AuditResult.model_validate_json(result.model_dump_json()) == result
    assert all(f.id.replace("-", "").replace("_", "").isalnum() for f in evidence.findings) and evidence.findings
    [line, *_] = evidence.tables["review_queue"]
    assert line["label"] in ("negative", "positive") and line["group label"] in hostile
    assert all(len(f.statement) < 500 for f in evidence.findings)


def test_columns_that_slug_alike_keep_their_own_findings():
    values = ["a"] * 200 + ["b"] * 200
    subject = answered([0, 1] * 200, [1] * 200 + [0] * 200, {"is x": values, "is-x": values, "性別": values})
    ids = [f.id for f in run(subject, intersections=False).findings if "demographic-parity" in f.id]
    assert len(ids) == len(set(ids)) == 3 and all(i.isascii() for i in ids)


def test_a_column_of_names_does_not_flood_the_record():
    rows = 400
    evidence = run(answered([0, 1] * 200, [0, 1] * 200, {"user": [f"user {i}" for i in range(rows)]}))
    assert len([m for m in evidence.metrics if m.name == "selection_rate"]) == 50
    assert any("350 of them are not shown" in note for note in evidence.notes)


def test_the_same_seed_gives_the_same_evidence(unfair):
    again = run(unfair[0])
    assert again == unfair[1]


def test_inputs_stay_as_they_were():
    subject = planted({"woman": Group(60), "man": Group(60)})
    before = json.dumps([list(subject.texts), subject.targets.tolist(), subject.groups["sex"].tolist()])
    run(subject)
    assert before == json.dumps([list(subject.texts), subject.targets.tolist(), subject.groups["sex"].tolist()])


def test_a_label_that_the_model_lacks_is_refused_by_name():
    subject = planted({"woman": Group(40), "man": Group(40)})
    with pytest.raises(OptionUnfit, match=r"fairness\.selected = 'toxic'.*negative, positive"):
        run(subject, selected="toxic")
    assert run(subject, selected="negative").settings["selected"] == "negative"


def test_a_model_of_one_class_is_refused():
    with pytest.raises(TaskUnfit, match="1 class"):
        from audit.concerns.fairness import selected_classes

        selected_classes(("only",), None, np.zeros(3, dtype=int))


def test_the_review_queue_asks_people_and_repeats_no_row(unfair):
    queue = unfair[1].tables["review_queue"]
    assert len(queue) == 50 and len({line["row"] for line in queue}) == 50
    assert list(queue[0]) == [
        "row", "text", "label", "predicted", "probability", "sex", "why_queued", "decision", "reviewer", "note",
    ]  # fmt: skip
    assert all(line["decision"] == line["reviewer"] == line["note"] == "" for line in queue)
    assert "woman, the group with the highest false-positive rate" in queue[0]["why_queued"]
    assert queue[0]["sex"] == "woman" and queue[0]["label"] == "negative" and queue[0]["predicted"] == "positive"
    assert any("near another answer" in line["why_queued"] for line in queue)
    assert len(run(unfair[0], review_rows=7).tables["review_queue"]) == 7
    assert not run(unfair[0], review_rows=0).tables["review_queue"]


def test_each_rate_has_a_figure_whose_caption_tells_the_result(unfair):
    [figure] = [f for f in unfair[1].figures if f.id == "fairness-false-positive-rate-sex"]
    assert figure.caption.startswith("The false-positive rate runs from 0.5") and "for woman to 0.2" in figure.caption
    assert [row["label"] for row in figure.rows] == ["woman", "other", "man"]
    assert all(row["low"] <= row["value"] <= row["high"] for row in figure.rows)


def test_every_mitigation_is_a_command_whose_flags_exist(unfair):
    train = pytest.importorskip("audit.commands.train").train
    flags = {flag for parameter in train.params for flag in parameter.opts}
    assert unfair[1].findings
    for finding in unfair[1].findings:
        program, command, *words = shlex.split(finding.mitigation.command)
        assert (program, command) == ("aboveboard", "train")
        assert {word for word in words if word.startswith("--")} <= flags


def test_it_stands_in_the_registry_shape_with_its_page_and_plan():
    plugin = plugin_of(fairness)
    assert plugin.id == "fairness" and plugin.title.startswith("Fairness")
    assert planned_passes(Size(rows=100, training_rows=0, classes=2), FairnessOptions()) == {
        "data": 100,
        "identity swaps": 100,
    }
    assert (
        planned_passes(Size(rows=100, training_rows=0, classes=2), FairnessOptions(swap_rows=30))["identity swaps"]
        == 30
    )
