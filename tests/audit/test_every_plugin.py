"""The one contract that every installed audit keeps, whoever wrote it."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from audit.engine import Engine
from audit.examples import AT_RANDOM, WORST
from audit.plugin import Need, Plugin, Size
from audit.registry import Registry, installed
from audit.subject import Generation, Subject
from audit.task_choice import with_task
from core_model.data import open_table
from core_model.tasks import Task
from reports.record import Status, Verdict
from tests.audit.rows import write_made_up_rows
from tests.audit.task_checkpoints import COLUMNS, write_task_checkpoint, write_task_rows
from tests.audit.test_engine import frame
from tests.federated.records import write_federated_record

HEADINGS = ("What it measures", "How to read it", "How to mend it", "Source")
PLUGINS = installed().plugins
TASKS = (Task.CLASSIFICATION, *COLUMNS)
FORMS = [(plugin, task) for plugin in PLUGINS for task in TASKS if task in plugin.tasks]
FORMLESS = [(plugin, task) for plugin in PLUGINS for task in TASKS if task not in plugin.tasks]


@pytest.fixture(scope="module")
def subjects(checkpoint, tmp_path_factory) -> Callable[[Task], Subject]:
    """A real subject of each task, over made-up rows with groups and training rows, opened when first asked for."""
    from core_model.checkpoint import open_checkpoint
    from core_model.prediction import Predictor

    folder = tmp_path_factory.mktemp("contract")

    @cache
    def subject(task: Task) -> Subject:
        if task is Task.CLASSIFICATION:
            opened = open_checkpoint(checkpoint)
            columns = {"text_column": "text", "label_column": "label", "label_names": opened.labels}
            test, train = (write_made_up_rows(folder / f"{s}.jsonl", n, seed=s) for s, n in ((0, 80), (1, 120)))
            groups = ("sex",)
        else:
            opened = with_task(open_checkpoint(write_task_checkpoint(folder / task, task)), task)
            text, pair, reference = COLUMNS[task]
            columns = {"text_column": text, "pair_column": pair, "reference_column": reference, "task": task}
            test, train = (write_task_rows(folder / f"{task}{s}.jsonl", task, n, seed=s) for s, n in ((0, 48), (1, 60)))
            groups = ("half",)
        return Subject(
            checkpoint=opened,
            data=open_table(str(test), group_columns=groups, **columns),
            training=open_table(str(train), **columns),
            predictor=Predictor(opened),
            generation=Generation(max_new_tokens=48),
        )

    return subject


@pytest.fixture
def subject(plugin, task, subjects, federated) -> Subject:
    return federated() if Need.FEDERATED_RECORD in plugin.needs and task is Task.CLASSIFICATION else subjects(task)


@pytest.fixture(scope="module")
def federated(checkpoint, subjects, tmp_path_factory) -> Callable[[], Subject]:
    """The same classifier, with a record that says that two clients made it together."""
    from core_model.checkpoint import open_checkpoint

    @cache
    def subject() -> Subject:
        folder = tmp_path_factory.mktemp("federated") / "checkpoint"
        shutil.copytree(checkpoint, folder)
        write_federated_record(folder, column="sex", clients={"female": 60, "male": 60})
        whole = subjects(Task.CLASSIFICATION)
        return Subject(
            checkpoint=open_checkpoint(folder), data=whole.data, training=whole.training, predictor=whole.predictor
        )

    return subject


def truth(subject: Subject):
    """What the answers are held against, as far as the task has it."""
    return subject.targets if subject.task is Task.CLASSIFICATION else subject.references


def options_for(plugin: Plugin):
    return plugin.options(**plugin.profiles.get("quick", {}))


def run(plugin: Plugin, subject: Subject):
    engine = Engine(registry=Registry((plugin,)), options={plugin.id: options_for(plugin)})
    record = engine.run(subject, frame())
    assert engine.crash(plugin.id) is None, engine.crash(plugin.id)
    return record.audits[0]


@pytest.fixture
def result(plugin, task, subject, results):
    """What the audit found; run once for all tests that only look at it."""
    if (plugin.id, task) not in results:
        results[plugin.id, task] = run(plugin, subject)
    return results[plugin.id, task]


@pytest.fixture(scope="module")
def results() -> dict:
    return {}


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda p: p.id)
class TestEveryPage:
    def test_its_page_has_the_four_headings(self, plugin):
        assert plugin.title and not plugin.title.endswith(".")
        places = [plugin.about.find(heading) for heading in HEADINGS]
        assert -1 not in places and places == sorted(places)

    def test_every_option_says_what_it_does(self, plugin):
        assert all(field.description for field in plugin.options.model_fields.values())

    def test_it_says_what_it_will_cost(self, plugin):
        for task in plugin.tasks:
            size = Size(rows=100, training_rows=50, classes=2, task=task)
            passes = plugin.forward_passes(size, options_for(plugin))
            assert all(isinstance(rows, int) and rows >= 0 for rows in passes.values())


@pytest.mark.parametrize(("plugin", "task"), FORMLESS, ids=lambda x: getattr(x, "id", x))
def test_a_task_that_it_has_no_form_for_is_not_measured_and_says_so(plugin, task, subject):
    result = run(plugin, subject)
    assert result.status is Status.NOT_MEASURED
    assert f"no {task} form" in result.reason and result.supply
    assert not result.metrics


@pytest.mark.parametrize(("plugin", "task"), FORMS, ids=lambda x: getattr(x, "id", x))
class TestEveryPlugin:
    def test_it_measures_on_what_it_declared(self, plugin, task, result):
        assert result.status is Status.MEASURED
        assert any(m.value is not None for m in result.metrics)
        assert result.signature

    def test_texts_of_rows_stand_in_examples_only_so_that_a_redaction_can_take_them_out(
        self, plugin, task, subject, result
    ):
        document = result.model_dump(mode="json")
        for finding in document["findings"]:
            finding.pop("examples")
        said = json.dumps(document, ensure_ascii=False)
        texts = [*subject.texts, *(subject.data.pairs or []), *(subject.data.references or []), *subject.training.texts]
        runs = {" ".join(words[i : i + 5]) for words in map(str.split, texts) for i in range(len(words) - 4)}
        assert not [run for run in runs if run in said]

    def test_a_finding_shows_no_more_rows_than_a_reader_reads_and_says_of_how_many(self, plugin, task, result):
        for finding in result.findings:
            assert len(finding.examples) <= WORST + AT_RANDOM
            if finding.examples:
                assert finding.examples_total >= len(finding.examples)
                assert finding.examples_worst is None or finding.examples_worst <= WORST

    def test_without_its_needs_it_is_not_measured(self, plugin, task, subject):
        if not plugin.needs & {Need.LABELS, Need.GROUPS, Need.TRAINING_DATA}:
            pytest.skip("it needs nothing that can be taken away")
        if task is Task.LANGUAGE_MODELING and plugin.needs == {Need.LABELS}:
            pytest.skip("a text is its own truth")
        bare = Subject(
            checkpoint=subject.checkpoint,
            data=type(subject.data).from_rows(name="bare", texts=["a", "b"], pairs=["c", "d"], synthetic=True),
            predictor=subject.predictor,
        )
        result = run(plugin, bare)
        assert result.status is Status.NOT_MEASURED and result.reason and result.supply

    def test_without_what_it_may_use_it_still_measures_and_says_what_it_could_not(self, plugin, task, subject):
        if not plugin.uses:
            pytest.skip("it uses nothing that it does not need")
        needed = subject.training if Need.TRAINING_DATA in plugin.needs else None
        poorer = Subject(checkpoint=subject.checkpoint, data=subject.data, predictor=subject.predictor, training=needed)
        result = run(plugin, poorer)
        assert result.status is Status.MEASURED
        if Need.TRAINING_DATA in plugin.uses:
            absent = [m for m in result.metrics if m.value is None]
            assert absent and all(m.reason for m in absent)

    def test_the_same_seed_gives_the_same_evidence(self, plugin, task, subject, result):
        once, twice = result, run(plugin, subject)
        steady = [[m for m in result.metrics if not m.volatile] for result in (once, twice)]
        assert steady[0] == steady[1]
        assert [f for f in once.findings if not f.volatile] == [f for f in twice.findings if not f.volatile]

    def test_it_leaves_its_input_as_it_was(self, plugin, task, subject):
        before = copy.deepcopy((list(subject.texts), truth(subject), dict(subject.groups)))
        run(plugin, subject)
        after = (list(subject.texts), truth(subject), dict(subject.groups))
        assert before[0] == after[0]
        np.testing.assert_array_equal(before[1], after[1])
        for column, values in before[2].items():
            np.testing.assert_array_equal(values, after[2][column])

    def test_every_number_carries_n_unit_definition_and_an_honest_verdict(self, plugin, task, result):
        for metric in result.metrics:
            assert metric.unit and metric.definition, metric.key
            if metric.value is not None:
                assert metric.n >= 1, metric.key
            if metric.verdict in (Verdict.PASS, Verdict.FAIL):
                assert metric.interval is not None and metric.limit is not None, metric.key
                low, high = metric.interval
                assert not low < metric.limit < high, metric.key

    def test_most_of_its_numbers_carry_an_interval(self, plugin, task, result):
        measured = [m for m in result.metrics if m.value is not None]
        assert sum(m.interval is not None for m in measured) >= 0.6 * len(measured)

    def test_every_finding_names_its_numbers_and_its_mend(self, plugin, task, result):
        for finding in result.findings:
            assert finding.statement.strip().endswith((".", "!")), finding.id
            assert finding.metrics, finding.id
            assert finding.mitigation is None or finding.mitigation.command.startswith("aboveboard "), finding.id

    def test_its_words_never_claim_what_only_a_person_can(self, plugin, task, result):
        words = " ".join([plugin.about, *result.notes, *(f.statement for f in result.findings)]).lower()
        assert not {"compliant", "anonymous", "certified"} & set(words.replace(",", " ").split())
