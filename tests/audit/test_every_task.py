"""The whole way of each task from the command line: a checkpoint and a file in, a record out that can be made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from audit.main import run
from audit.paired_statistics import paired_statistics
from core_model.evaluation import VALUES
from core_model.tasks import Task
from reports.reading import read_record
from reports.record import Record, Status
from tests.audit.task_checkpoints import COLUMNS, column_flags, write_task_checkpoint, write_task_rows
from tests.factories import write_rows

TASKS = list(COLUMNS)
METRICS = {
    Task.LANGUAGE_MODELING: {"perplexity", "bits_per_byte"},
    Task.TRANSLATION: {"bleu", "chrf"},
    Task.SUMMARIZATION: {"rouge1", "rouge2", "rougeL"},
    Task.QUESTION_ANSWERING: {"exact_match", "token_f1"},
}
every_task = pytest.mark.parametrize("task", TASKS, ids=str)


class Audited:
    """Each task's checkpoint, rows and record, made when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: set[str] = set()

    def arguments(self, task: Task, out: str, *more: str, seed: int = 0) -> list[str]:
        checkpoint = self.folder / f"{task}-{seed}"
        if not checkpoint.exists():
            write_task_checkpoint(checkpoint, task, seed=seed)
        rows, training = self.folder / f"{task}.jsonl", self.folder / f"{task}-training.jsonl"
        if not rows.exists():
            write_task_rows(rows, task)
            write_task_rows(training, task, 64, seed=1)
        writes = task in (Task.TRANSLATION, Task.SUMMARIZATION)
        return [
            "audit", str(checkpoint), "--data", str(rows), "--train-data", str(training), *column_flags(task),
            *(("--task", str(task), "--max-new-tokens", "48") if writes else ()), "--group-column", "half",
            "--profile", "quick", "--set", "emissions.rows_per_repeat=8", "--out", str(self.folder / out), *more,
        ]  # fmt: skip

    def record(self, task: Task, *, seed: int = 0) -> tuple[Record, Path]:
        name = f"out-{task}-{seed}"
        if name not in self.made:
            assert run(self.arguments(task, name, seed=seed)) == 0
            self.made.add(name)
        return read_record(self.folder / name / "audit.json"), self.folder / name


@pytest.fixture(scope="module")
def audited(tmp_path_factory) -> Audited:
    return Audited(tmp_path_factory.mktemp("tasks"))


@pytest.fixture
def letter(capsys):
    """Run a command that must be refused; returns its message on stderr."""

    def refused(*arguments: str) -> str:
        code = run([str(a) for a in arguments])
        error = capsys.readouterr().err
        assert code == 2, error
        assert "Traceback" not in error and "Try:" in error
        return error

    return refused


@every_task
def test_four_audits_measure_it_and_fairness_says_that_it_cannot(audited, task):
    record, folder = audited.record(task)
    assert record.complete and record.subject.task == task
    for name in ("evaluability", "generalization", "emissions", "explainability"):
        assert record.audit(name).status is Status.MEASURED, record.audit(name).reason
    fairness = record.audit("fairness")
    assert fairness.status is Status.NOT_MEASURED and f"no {task} form" in fairness.reason and fairness.supply
    assert (folder / "report.html").exists()


@every_task
def test_its_metrics_stand_in_the_record_with_interval_or_reason(audited, task):
    record, _ = audited.record(task)
    own = {m.name: m for m in record.audit("evaluability").metrics if not m.slice}
    assert METRICS[task] <= set(own)
    for name in METRICS[task]:
        assert own[name].n == 48 and "Signature: " in own[name].definition
        assert own[name].interval is not None or own[name].reason


@every_task
def test_the_columns_are_recorded_by_their_names(audited, task):
    data = audited.record(task)[0].data
    assert (data.text_column, data.pair_column, data.reference_column) == COLUMNS[task]


@every_task
def test_its_numbers_are_made_again_from_the_evidence_rows_without_a_text_in_them(audited, task):
    record, folder = audited.record(task)
    frame = pd.read_parquet(folder / record.evidence.file)
    assert len(frame) == 48 and not any(frame[c].astype(str).str.contains("the ").any() for c in frame)
    statistics = paired_statistics(frame, frame, {}).a
    for metric in record.audit("evaluability").metrics:
        if metric.name in METRICS[task] and not metric.slice:
            again = float(VALUES[metric.name](statistics[metric.name].sum(axis=0)))
            assert again == pytest.approx(metric.value, rel=1e-12)


@every_task
def test_a_record_is_verified_by_measuring_it_again(audited, task, capsys):
    _, folder = audited.record(task)
    capsys.readouterr()
    assert run(["verify", str(folder / "audit.json"), "--sample", "4"]) == 0
    assert ", 0 differs, 0 not checked" in capsys.readouterr().out


@every_task
def test_two_checkpoints_are_compared_pair_by_pair(audited, task, tmp_path):
    (a, folder_a), (b, folder_b) = audited.record(task), audited.record(task, seed=1)
    arguments = [str(folder_a / "audit.json"), str(folder_b / "audit.json"), "--out", str(tmp_path)]
    assert run(["compare", *arguments, "--json"]) == 0
    rows = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))["rows"]
    for name in METRICS[task]:
        [row] = [r for r in rows if r["audit"] == "evaluability" and r["name"] == name and not r["slice"]]
        values = [next(m.value for m in r.audit("evaluability").metrics if m.key == name) for r in (a, b)]
        assert row["paired"] and row["difference"] == pytest.approx(values[1] - values[0])


def test_the_same_run_gives_the_same_content(audited):
    first, _ = audited.record(Task.TRANSLATION)
    assert run(audited.arguments(Task.TRANSLATION, "again")) == 0
    assert read_record(audited.folder / "again" / "audit.json").content_sha256 == first.content_sha256


def test_beams_stand_in_the_record_and_change_its_content(audited):
    first, _ = audited.record(Task.TRANSLATION)
    assert first.generation.beams == 1 and first.generation.max_new_tokens == 48
    assert run(audited.arguments(Task.TRANSLATION, "beams", "--beams", "2", "--only", "evaluability")) == 0
    second = read_record(audited.folder / "beams" / "audit.json")
    assert second.generation.beams == 2
    assert "beam search over 2 hypotheses" in " ".join(second.audit("evaluability").notes)


def test_a_plan_counts_and_times_what_is_written(audited, capsys):
    assert run(["plan", *audited.arguments(Task.TRANSLATION, "plan")[1:], "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    runs = {a["id"] for a in planned["audits"] if a["runs"]}
    assert runs == {
        "evaluability", "generalization", "emissions", "privacy", "robustness", "security", "explainability",
        "shareability", "reproducibility", "optimizability", "maintainability",
    }  # fmt: skip
    assert planned["minutes"] > 0


def test_a_head_can_be_called_what_it_was_trained_for_and_nothing_else(audited, checkpoint, letter, tmp_path):
    assert audited.record(Task.SUMMARIZATION)[0].subject.task == "summarization"  # a T5 alone says translation
    rows = write_rows(tmp_path / "rows.jsonl", [{"en": "a", "de": "b"}, {"en": "c", "de": "d"}])
    message = letter("audit", checkpoint, "--data", rows, "--task", "translation", "--out", tmp_path / "out")
    assert "BertForSequenceClassification" in message and "it cannot do translation" in message
    assert "'translate'" in letter(
        "audit", checkpoint, "--data", rows, "--task", "translate", "--out", tmp_path / "out"
    )


def test_a_missing_column_is_answered_with_the_flag_and_the_columns_there_are(audited, letter):
    arguments = audited.arguments(Task.TRANSLATION, "missing")
    arguments[arguments.index("de")] = "fr"
    message = letter(*arguments)
    assert "'fr'" in message and "--target-column" in message and "'en'" in message


def test_an_empty_side_of_a_pair_is_named_by_row(audited, letter, tmp_path):
    rows = write_rows(
        tmp_path / "gap.jsonl",
        [{"en": "the dog", "de": "Hund", "half": "a"}, {"en": "the cat", "de": " ", "half": "a"}],
    )
    arguments = audited.arguments(Task.TRANSLATION, "empty")
    arguments[arguments.index("--data") + 1] = str(rows)
    assert "'de'" in (message := letter(*arguments)) and "row 2" in message


def test_swapped_question_and_context_are_noticed(audited, letter):
    arguments = audited.arguments(Task.QUESTION_ANSWERING, "swapped")
    question, context = arguments.index("question"), arguments.index("passage")
    arguments[question], arguments[context] = "passage", "question"
    assert "seem to be swapped" in (message := letter(*arguments))
    assert "--question-column question --context-column passage" in message


def test_swapped_document_and_summary_are_noticed(audited, letter):
    arguments = audited.arguments(Task.SUMMARIZATION, "swapped")
    document, synopsis = arguments.index("document"), arguments.index("synopsis")
    arguments[document], arguments[synopsis] = "synopsis", "document"
    assert "the summaries are longer than the texts" in letter(*arguments)


def test_a_translation_the_other_way_than_the_training_record_says_is_noticed(audited, letter, tmp_path):
    arguments = audited.arguments(Task.TRANSLATION, "swapped")
    checkpoint = shutil.copytree(arguments[1], tmp_path / "trained")
    trained = {"task": "translation", "data": {"text_column": "en", "reference_column": "de"}}
    (checkpoint / "training_record.json").write_text(json.dumps(trained), encoding="utf-8")
    arguments[1] = str(checkpoint)
    source, target = arguments.index("en"), arguments.index("de")
    arguments[source], arguments[target] = "de", "en"
    assert "trained to write 'de' from 'en'" in letter(*arguments)


def test_beams_are_refused_where_nothing_is_written(audited, letter):
    arguments = audited.arguments(Task.LANGUAGE_MODELING, "unread", "--beams", "4")
    assert "language-modeling writes no text" in (message := letter(*arguments)) and "leave --beams out" in message


def test_without_references_the_task_is_not_measured_and_the_flag_is_named(audited, tmp_path):
    texts = [{"en": f"the dog sees {i}"} for i in range(6)]
    rows = write_rows(tmp_path / "sources.jsonl", texts)
    checkpoint = audited.arguments(Task.TRANSLATION, "unused")[1]
    out = str(tmp_path / "out")
    assert run(["audit", checkpoint, "--data", str(rows), "--source-column", "en", "--only", "evaluability",
                "--out", out]) == 0  # fmt: skip
    result = read_record(tmp_path / "out" / "audit.json").audit("evaluability")
    assert result.status is Status.NOT_MEASURED
    assert "references" in result.reason and result.supply == "--target-column COLUMN"


def test_numbers_under_two_signatures_are_not_paired(audited, monkeypatch):
    from audit.joined_evidence import paired_rows

    (a, folder_a), (b, folder_b) = audited.record(Task.TRANSLATION), audited.record(Task.TRANSLATION, seed=1)
    monkeypatch.setattr(
        "audit.joined_evidence._signatures", lambda path: {"bleu": f"tok:13a|version:{path.parent.name}"}
    )
    rows, why = paired_rows(a, b, folder_a, folder_b)
    assert rows is None and "bleu were counted under two signatures" in why
