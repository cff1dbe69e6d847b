"""A history finds what was planted, calls noise noise, and never takes an absence or a softer limit for a gain."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from pydantic import ValidationError
from statsmodels.stats.multitest import multipletests

from audit.comparison import NotComparable, compare
from audit.evidence import metric
from audit.history import Kept, NoHistory, history, p_value
from audit.history_steps import step_changes
from audit.statistics import Estimate
from reports.history import Change, History, Point
from reports.parts import PolicyFacts, Waiver
from reports.record import Metric, Verdict
from tests.audit.histories import BASE_WRONG, accuracy, audit_of, changed, kept_run, line_of, wrong_by
from tests.reports import factories

AGAIN = wrong_by(0.0, seed=2)  # the first model once more
MENDED = wrong_by(0.4, seed=3)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> list[Kept]:
    """Four runs: a model, the same answers again, a third of its errors mended, and the same again."""
    folder = tmp_path_factory.mktemp("runs")
    answers = {"first": BASE_WRONG, "again": AGAIN, "mended": MENDED, "last": MENDED}
    return [
        kept_run(folder, name, wrong, day=20 + place) for place, (name, wrong) in enumerate(answers.items(), start=1)
    ]


def test_the_planted_gain_is_found_and_the_step_without_one_is_not(kept):
    line = line_of(history(kept))
    assert line.overall.conclusion == "better" and line.overall.paired
    assert (line.overall.earlier, line.overall.later) == (1, 4)
    assert line.last_step.conclusion == "no evidence of change" and line.last_step.difference == 0
    assert line.overall.difference == pytest.approx((BASE_WRONG.sum() - MENDED.sum()) / len(MENDED))


def test_a_change_is_what_the_comparison_of_the_two_records_says(kept):
    first, last = kept[0], kept[-1]
    [difference] = compare(first.record, last.record, folder_a=first.folder, folder_b=last.folder).rows
    overall = line_of(history(kept)).overall
    assert (overall.difference, overall.interval, overall.method) == (
        difference.difference, difference.interval, difference.method
    )  # fmt: skip


def test_the_correction_is_holms_over_all_changes(kept):
    found = history([*kept[:3], changed(kept[3], audits=[audit_of(accuracy(MENDED), *noise(6))])])
    changes = {id(c): c for line in found.lines for c in (line.overall, line.last_step) if c.p_value is not None}
    p_values = [change.p_value for change in changes.values()]
    assert found.multiplicity.compared == len(p_values) == 2
    expected = multipletests(p_values, method="holm")[1]
    assert [change.p_adjusted for change in changes.values()] == pytest.approx(list(expected))


def noise(count: int) -> list[Metric]:
    return [metric(f"noise_{i}", Estimate(0.5, 0.4, 0.6, 100, "planted"), unit="share") for i in range(count)]


@pytest.mark.parametrize(("value", "error"), [(0.1, 0.04), (-0.02, 0.03), (0.3, 0.01), (-0.5, 0.2)])
def test_the_p_value_is_the_normal_one_where_the_interval_is_normal(value, error):
    z = 1.959963984540054
    estimate = Estimate(value, value - z * error, value + z * error, 100, "normal")
    assert p_value(estimate) == pytest.approx(2 * (1 - NormalDist().cdf(abs(value) / error)), abs=1e-9)


def test_an_interval_that_ends_at_zero_has_p_of_five_percent():
    assert p_value(Estimate(0.1, 0.0, 0.3, 9, "planted")) == pytest.approx(0.05)


def test_a_value_outside_its_own_bootstrap_interval_is_read_off_the_interval():
    assert p_value(Estimate(0.05, 0.06, 0.10, 9, "planted")) == p_value(Estimate(0.08, 0.06, 0.10, 9, "planted"))
    assert p_value(Estimate(0.05, 0.06, 0.10, 9, "planted")) > 0


def test_a_history_of_nothing_rings_falsely_in_few_histories():
    """Simulated: three runs of twenty numbers in which nothing changes; some number 'changes' in at most 5%."""
    random, alarms, alone, histories = np.random.default_rng(7), 0, 0, 120
    base = factories.record(audits=[])
    for _ in range(histories):
        kept = []
        for run in range(3):
            values = 0.5 + 0.02 * random.standard_normal(20)
            numbers = [
                metric(f"n{i}", Estimate(v, v - 1.96 * 0.02, v + 1.96 * 0.02, 100, "normal"), unit="share")
                for i, v in enumerate(values)
            ]
            started = base.run.model_copy(update={"started": f"2026-11-{20 + run}"})
            record = base.model_copy(
                update={"audits": [audit_of(*numbers)], "run": started, "content_sha256": f"{run}"}
            )
            kept.append(Kept(record, f"{run}"))
        found = history(kept)
        alarms += any(line.is_evidence for line in found.lines)
        alone += any(line.overall.only_alone or line.overall.is_evidence for line in found.lines)
    assert alone > 0.4 * histories  # without a correction most histories would tell of a change
    assert alarms <= 11  # 5% of 120 is 6; 11 is its 97.5% bound


# ---- absences ----


def test_a_number_that_came_or_went_has_no_point_and_no_change_and_is_never_zero(kept, tmp_path):
    one = kept_run(tmp_path, "one", BASE_WRONG, day=1, metrics=[accuracy(BASE_WRONG), *noise(1)])
    two = kept_run(tmp_path, "two", BASE_WRONG, day=2, metrics=[accuracy(BASE_WRONG), *noise(1)])
    three = kept_run(tmp_path, "three", MENDED, day=3, metrics=[named("late"), accuracy(MENDED)])
    found = history([one, two, three])
    went, came = line_of(found, "noise_0"), line_of(found, "late")
    assert (went.went, went.came, [p.run for p in went.points]) == (3, None, [1, 2])
    assert (came.came, came.went, [p.run for p in came.points]) == (3, None, [3])
    assert went.last_step.conclusion == came.overall.conclusion == "not comparable"
    assert went.last_step.reason == "not in run 3" and came.overall.reason == "only run 3 has a value"
    assert went.last_step.difference is None is came.last_step.difference
    assert (went.overall.earlier, went.overall.later) == (1, 2)


def named(name: str, value: float | None = 0.7) -> Metric:
    estimate = Estimate(value, 0.6, 0.8, 50, "planted") if value is not None else Estimate.absent("too few rows")
    return metric(name, estimate, unit="share of rows", better="higher")


def test_a_number_that_could_not_be_measured_keeps_its_reason(tmp_path):
    values = {1: 0.7, 2: None, 3: 0.7}
    kept = [kept_run(tmp_path, f"{d}", MENDED, day=d, metrics=[named("rate", v)]) for d, v in values.items()]
    line = line_of(history(kept), "rate")
    assert [(p.value, p.reason) for p in line.points] == [(0.7, None), (None, "too few rows"), (0.7, None)]
    assert line.last_step.reason == "not measured in run 2: too few rows"
    assert (line.overall.earlier, line.overall.later) == (1, 3)


# ---- limits ----


def test_a_pass_by_a_softer_limit_is_told_apart_from_a_gain(tmp_path):
    limits = [0.8, 0.8, 0.6]
    kept = [
        kept_run(tmp_path, f"{day}", BASE_WRONG, day=day, metrics=[accuracy(BASE_WRONG, limit=limit)])
        for day, limit in enumerate(limits, start=1)
    ]
    found = history(kept)
    line = line_of(found)
    assert [point.verdict for point in line.points] == [Verdict.FAIL, Verdict.FAIL, Verdict.PASS]
    assert line.overall.conclusion == "no evidence of change"
    [move] = line.limits
    assert (move.earlier, move.later, move.before, move.after, move.direction) == (2, 3, 0.8, 0.6, "softer")
    assert (line.first_limit, line.by_first_limit) == (0.8, Verdict.FAIL)
    assert found.steps[-1].policy == ["evaluability: limit of accuracy moved from 0.8 to 0.6 (softer)"]


@pytest.mark.parametrize(
    ("before", "after", "better", "word"),
    [(0.1, 0.2, "lower", "softer"), (0.2, 0.1, "lower", "stricter"), (0.1, 0.2, "higher", "stricter"),
     (0.2, 0.1, "higher", "softer"), (None, 0.1, "lower", "set"), (0.1, None, "lower", "taken away")],
)  # fmt: skip
def test_a_move_is_named_by_its_direction(tmp_path, before, after, better, word):
    def one(limit):
        return Metric(
            name="m", value=0.3, interval=(0.2, 0.4), n=9, unit="", better=better, limit=limit,
            verdict=Verdict.INFORMATIVE if limit is None else Verdict.INCONCLUSIVE,
        )  # fmt: skip

    kept = [
        kept_run(tmp_path, f"{d}", MENDED, day=d, metrics=[one(x)]) for d, x in ((1, before), (2, before), (3, after))
    ]
    assert [move.direction for move in line_of(history(kept), "m").limits] == [word]


def test_policies_waivers_and_settings_that_changed_are_said():
    waiver = Waiver(person="M. Kaya", reason="pilot", expires="2027-02-01", metric="accuracy")
    old = PolicyFacts(name="screening", sha256="a" * 64, required=["fairness"], most_findings={"high": 0})
    new = PolicyFacts(
        name="screening", sha256="b" * 64, required=["privacy"], most_findings={"high": 2}, waivers=[waiver]
    )
    base = factories.record()
    later = base.environment.model_copy(update={"seed": 1})
    audits = [a.model_copy(update={"signature": "power:0.9 | seed:0"}) for a in base.audits[:1]]
    before = [a.model_copy(update={"signature": "power:0.8 | seed:0"}) for a in base.audits[:1]]
    a = base.model_copy(update={"policy": old, "audits": before})
    b = base.model_copy(update={"policy": new, "environment": later, "audits": audits})
    [step] = step_changes([a, b])
    said = " / ".join(step.policy)
    for words in ["screening (bbbbbbbbbbbb) instead of screening (aaaaaaaaaaaa)", "required: privacy",
                  "no longer required: fairness", "severity high that are let through: 2, before 0",
                  "waiver of accuracy: waived by M. Kaya until 2027-02-01: pilot"]:  # fmt: skip
        assert words in said, words
    assert "seed: 1 instead of 0" in step.settings
    assert any("power 0.9 (was 0.8)" in words for words in step.settings)
    assert step_changes([a, a]) == []


# ---- order, and the same bytes ----


def test_the_order_is_the_date_of_the_runs_or_the_one_given(kept):
    shuffled = [kept[i] for i in (2, 0, 3, 1)]
    assert history(shuffled).to_json() == history(kept).to_json()
    given = history(shuffled, order="given")
    assert [run.name for run in given.runs] == ["mended", "first", "last", "again"] and given.order == "given"


def test_a_run_that_began_at_no_date_can_only_be_ordered_by_hand(kept):
    dateless = changed(kept[1], run=kept[1].record.run.model_copy(update={"started": "yesterday"}))
    with pytest.raises(NoHistory, match=r"again: run.started is 'yesterday', not a date[\s\S]*--order given"):
        history([kept[0], dateless, kept[2]])
    assert len(history([kept[0], dateless, kept[2]], order="given").runs) == 3


def test_an_edited_record_is_marked(kept):
    edited = Kept(kept[1].record.model_copy(update={"verdict": "pass"}), "edited", kept[1].folder)
    assert [run.seal for run in history([kept[0], edited, kept[2]]).runs] == ["whole", "edited", "whole"]


# ---- what is refused ----


def test_records_of_another_task_or_other_rows_are_refused(kept):
    other_task = changed(kept[1], subject=kept[1].record.subject.model_copy(update={"task": "translation"}))
    with pytest.raises(NotComparable, match="again a translation one"):
        history([kept[0], other_task, kept[2]])
    other_rows = changed(kept[1], data=kept[1].record.data.model_copy(update={"sha256": factories.sha256("other")}))
    with pytest.raises(NotComparable, match=r"not the same rows[\s\S]*--unpaired"):
        history([kept[0], other_rows, kept[2]])
    found = history([kept[0], other_rows, kept[2]], unpaired=True)
    assert not found.same_data and not line_of(found).overall.paired


def test_the_same_record_twice_is_refused_and_a_repeated_run_is_not(kept):
    with pytest.raises(NoHistory, match="first and first are the same record"):
        history([kept[0], kept[1], kept[0]])
    repeated = changed(kept[0], run=kept[0].record.run.model_copy(update={"started": "2026-11-30T00:00:00+00:00"}))
    assert repeated.record.content_sha256 == kept[0].record.content_sha256
    assert line_of(history([*kept[:2], repeated])).overall.difference == 0


def test_two_records_are_a_comparison_and_no_history(kept):
    with pytest.raises(NoHistory, match="needs 3 records"):
        history(kept[:2])


def test_evidence_that_is_not_the_records_own_is_not_paired_and_says_so(kept, tmp_path):
    moved = Kept(kept[0].record, "moved", tmp_path)
    overall = line_of(history([moved, *kept[1:]])).overall
    assert not overall.paired and overall.reason == "evidence.parquet of run 1 does not stand beside its record"


# ---- the contract ----


@pytest.mark.parametrize(
    "fields",
    [{"conclusion": "better", "difference": 0.1, "interval": (-0.1, 0.3), "p_adjusted": 0.5},
     {"conclusion": "better", "difference": 0.1, "interval": (0.05, 0.15), "p_adjusted": 0.2},
     {"conclusion": "no evidence of change", "difference": 0.1, "interval": (0.05, 0.15), "p_adjusted": 0.001},
     {"conclusion": "no evidence of change"}, {"conclusion": "not comparable"}],
)  # fmt: skip
def test_a_conclusion_that_does_not_follow_is_refused(fields):
    with pytest.raises(ValidationError, match=r"does not follow|needs a"):
        Change(earlier=1, later=2, **fields)


def test_a_point_without_a_value_needs_its_reason_and_runs_are_numbered(kept):
    with pytest.raises(ValidationError, match="must say why"):
        Point(run=1, value=None)
    document = history(kept).model_dump()
    document["runs"].pop(0)
    with pytest.raises(ValidationError, match="numbered from 1"):
        History.model_validate(document)


def test_a_history_reads_back(kept):
    found = history(kept)
    assert History.model_validate_json(found.to_json()) == found
