"""From what the user typed to what an engine needs: checkpoint, data, options, the record's frame and its folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.configuration import Configuration, options_of
from audit.engine import Engine, Event, Tables
from audit.environment import environment, tool
from audit.joined_evidence import outcomes_of
from audit.metric_names import metric_names
from audit.outcomes import Outcomes
from audit.plugin import Concern, Options
from audit.policy import Policy, read_policy, refuse_unknown
from audit.registry import Registry, installed
from audit.rows import evidence_of
from audit.selftest.reading import cited
from audit.smoothing_choice import smoothing_facts, smoothing_of
from audit.subject import Generation, PredictorLike, Subject
from audit.task_choice import fit_reference, refuse_swapped, refuse_unread, with_task
from audit.verdict import SEVERITY_RULE
from core_model.energy import measure_energy
from core_model.errors import ColumnMissing, DataMissing, OptionUnfit
from core_model.files import writable_folder, write_atomically
from core_model.onnx_graph import graph_of
from core_model.tasks import Task
from reports.catalogue import chosen
from reports.document.build import report_html
from reports.language import ENGLISH, Language
from reports.reading import read_record
from reports.record import Claim, DataFacts, Evidence, GenerationFacts, Record, Run, Scalar, Status, SubjectFacts
from reports.selftest import SelftestFacts
from reports.text import csv_cell

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table

RECORD, REPORT, EVIDENCE = "audit.json", "report.html", "evidence.parquet"


@dataclass(frozen=True)
class Session:
    """One run, prepared: everything was opened and checked, nothing has been measured yet."""

    configuration: Configuration
    registry: Registry
    options: Mapping[str, Options]
    subject: Subject
    out: Path
    policy: Policy | None = None
    selftest: SelftestFacts | None = None
    language: Language = ENGLISH

    def run(
        self, *, command: str | None = None, tell: Callable[[Event], None] = lambda event: None, fresh: bool = False
    ) -> Record:
        """Measure, and write `audit.json`, `evidence.parquet` and `report.html` into the folder.

        Args:
            command: the command line to record.
            tell: called with every event.
            fresh: start over, also where an interrupted run left results.
        Raises: OutputUnwritable; KeyboardInterrupt. Both leave every finished audit in the folder.
        """
        engine = Engine(
            registry=self.registry,
            options=self.options,
            seed=self.configuration.seed,
            policy=self.policy,
            save=self._save,
            keep=self._keep,
            note=self._outcomes.__setitem__,
            tell=tell,
            meter=measure_energy,
            finish=self._with_evidence,
        )
        try:
            record = engine.run(self.subject, self.frame(command), previous=None if fresh else self._previous())
        except KeyboardInterrupt:
            self._report(read_record(self.out / RECORD))
            raise
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        record = record.model_copy(update={"run": record.run.model_copy(update={"finished": finished})})
        self._save(record)
        self._report(record)
        return record

    def frame(self, command: str | None = None) -> Record:
        """The record without its audits."""
        checkpoint, data, training = self.subject.checkpoint, self.subject.data, self.subject.training
        return Record(
            tool=tool(),
            subject=subject_facts(checkpoint).model_copy(update={"smoothing": smoothing_facts(self.subject.smoothing)}),
            data=data_facts(data),
            training_data=data_facts(training) if training is not None else None,
            environment=environment(
                seed=self.configuration.seed,
                profile=self.configuration.profile,
                threads=self.configuration.threads,
                graph=checkpoint.graph is not None,
            ),
            generation=self._generation,
            policy=self.policy.facts if self.policy else None,
            severity_rule=SEVERITY_RULE,
            selftest=self.selftest,
            claims=[Claim(name=name, value=value, file=file) for name, value, file in checkpoint.claims],
            run=Run(started=datetime.now(UTC).isoformat(timespec="seconds"), command=command),
        )

    @property
    def _generation(self) -> GenerationFacts | None:
        how, writes = self.subject.generation, self.subject.task in (Task.TRANSLATION, Task.SUMMARIZATION)
        return GenerationFacts(beams=how.beams, max_new_tokens=how.max_new_tokens) if writes else None

    def _previous(self) -> Record | None:
        """What an interrupted run left in the folder; an unreadable or foreign record is no reason to stop."""
        path = self.out / RECORD
        if not path.exists():
            return None
        try:
            record = read_record(path)
        except Exception:
            return None
        self._outcomes.update(outcomes_of(record, self.out))
        return record

    def _save(self, record: Record) -> None:
        write_atomically(self.out / RECORD, record.to_json())

    def _report(self, record: Record) -> None:
        write_atomically(self.out / REPORT, report_html(record, language=self.language))

    def _keep(self, tables: Tables) -> None:
        for name, rows in tables.items():
            write_atomically(self.out / f"{name}.csv", as_csv(rows))

    def _with_evidence(self, record: Record, subject: Subject) -> Record:
        """The record with its evidence file, once there are answers to put into it."""
        if not subject.has_asked:
            return record
        measured = [result.id for result in record.audits if result.status is Status.MEASURED]
        return record.model_copy(update={"evidence": self._evidence(tuple(filter(self._outcomes.get, measured)))})

    def _evidence(self, audits: tuple[str, ...]) -> Evidence:
        """The evidence file, written again where one more audit has outcomes."""
        if audits not in self._written:
            outcomes = {name: self._outcomes[name] for name in audits}
            self._written[audits], content = evidence_of(self.subject, file=EVIDENCE, outcomes=outcomes)
            write_atomically(self.out / EVIDENCE, content)
        return self._written[audits]

    @cached_property
    def _outcomes(self) -> dict[str, Outcomes]:
        """Audit -> what its rows counted."""
        return {}

    @cached_property
    def _written(self) -> dict[tuple[str, ...], Evidence]:
        """Audits whose outcomes stood in the file -> that file."""
        return {}


def prepare(
    checkpoint: str | Path, configuration: Configuration, *, registry: Registry | None = None, cached: bool = True
) -> Session:
    """Open and check everything that a run needs; nothing is measured and nothing is written.

    Args:
        checkpoint: a folder or a hub id.
        configuration: what was asked for.
        registry: which audits there are; by default the installed ones.
        cached: whether predictions of earlier runs may be used.

    Raises: BadInput, with the file, the field and the mend.
    """
    registry = (registry or installed()).only(configuration.only)
    known = {p.id for p in registry.plugins} | set(installed().ids)
    unknown = [name for name in configuration.audits if name not in known]
    if unknown:
        raise OptionUnfit(
            f"options are given for {unknown[0]!r}, which is no audit; there are {', '.join(sorted(known))}",
            mend="correct the name in [audits.NAME] or --set NAME.OPTION=VALUE",
        )
    options = {plugin.id: options_of(plugin, configuration) for plugin in registry.plugins}
    policy = open_policy(configuration.policy, registry) if configuration.policy else None
    selftest = cited(Path(configuration.selftest)) if configuration.selftest else None
    language = chosen(configuration.lang, configuration.lang_file)
    if configuration.data is None:
        raise DataMissing("no data was named to audit on", mend="--data FILE")

    from core_model.checkpoint import open_checkpoint
    from core_model.data import open_table
    from core_model.prediction import PredictionCache, Predictor
    from core_model.smoothed_prediction import SmoothedPredictor

    opened = with_task(open_checkpoint(checkpoint, allow_pickle=configuration.allow_pickle), configuration.task)
    if configuration.only is None:
        registry = registry.applying(opened.path)
    refuse_unread(opened.task, beams=configuration.beams, max_new_tokens=configuration.max_new_tokens)
    smoothing = smoothing_of(configuration, opened)
    columns: dict[str, Any] = {
        "text_column": configuration.text_column,
        "pair_column": configuration.pair_column,
        "reference_column": configuration.reference_column,
        "label_column": configuration.label_column,
        "encoding": configuration.encoding,
        "label_names": opened.labels,
        "task": opened.task,
    }
    data = open_table(configuration.data, group_columns=configuration.group_columns, **columns)
    training = None
    if configuration.train_data is not None:
        training = _training(configuration, {**columns, **_columns_of(data)})
    for table in (data, training):
        if table is not None and table.has_labels:
            table.require_two_classes()
    refuse_swapped(opened, data)
    reference = None
    if configuration.reference is not None:
        reference = fit_reference(open_checkpoint(configuration.reference), opened)
    out = Path(configuration.out)
    writable_folder(out)
    predictor = Predictor(
        opened, threads=configuration.threads, cache=PredictionCache.default(opened) if cached else None
    )
    if opened.graph is not None:
        _ = predictor.forward  # a graph that ONNX Runtime cannot run is bad input, and no audit's error
    asked: PredictorLike = predictor
    if smoothing is not None:
        asked = SmoothedPredictor(predictor, smoothing, seed=configuration.seed)
    return Session(
        configuration=configuration,
        registry=registry,
        options=options,
        subject=Subject(
            checkpoint=opened,
            data=data,
            predictor=asked,
            training=training,
            reference=reference,
            generation=Generation(configuration.beams, configuration.max_new_tokens),
            seed=configuration.seed,
        ),
        out=out,
        policy=policy,
        selftest=selftest,
        language=language,
    )


def open_policy(file: str, registry: Registry | None = None) -> Policy:
    """A policy, once every name in it is one that some installed audit (or one of `registry`) could write.

    Raises: OptionUnfit.
    """
    policy = read_policy(Path(file))
    plugins = {plugin.id: plugin for plugin in (*installed().plugins, *(registry.plugins if registry else ()))}
    known = Registry(tuple(plugins.values()))
    refuse_unknown(policy, metrics=metric_names(known), audits={*known.ids, *Concern})
    return policy


def _training(configuration: Configuration, columns: dict[str, Any]) -> Table:
    """The training rows, with the group columns where they have them, too."""
    from core_model.data import open_table

    assert configuration.train_data is not None  # noqa: S101 - the caller looked
    with suppress(ColumnMissing):
        return open_table(configuration.train_data, group_columns=configuration.group_columns, **columns)
    return open_table(configuration.train_data, **columns)


def _columns_of(table: Table) -> dict[str, Any]:
    """The training rows are read by the columns that were found in the rows of the audit."""
    return {
        "text_column": table.text_column,
        "pair_column": table.pair_column,
        "reference_column": table.reference_column,
        "label_column": table.label_column,
    }


def subject_facts(checkpoint: Checkpoint) -> SubjectFacts:
    """The record's words on a checkpoint."""
    return SubjectFacts(
        name=checkpoint.name,
        sha256=checkpoint.sha256,
        task=checkpoint.task.value,
        architecture=checkpoint.architecture,
        parameters=checkpoint.parameters,
        licence=checkpoint.licence,
        labels=list(checkpoint.labels),
        files=dict(checkpoint.files),
        facts={name: _scalar(value) for name, value in checkpoint.facts.items()},
        location=str(checkpoint.location),
        made=_made(Path(checkpoint.location if graph_of(checkpoint) is None else checkpoint.path), checkpoint.files),
    )


def _made(folder: Path, files: Mapping[str, str]) -> str | None:
    """When the newest of the hashed files was written, in UTC; None where they do not lie in a folder."""
    times = [(folder / name).stat().st_mtime for name in files if (folder / name).is_file()]
    return datetime.fromtimestamp(max(times), tz=UTC).isoformat(timespec="seconds") if times else None


def _scalar(value: Any) -> Scalar:
    return value if isinstance(value, str | int | float | bool | None) else "; ".join(map(str, value))


def data_facts(table: Table) -> DataFacts:
    """The record's words on a table."""
    return DataFacts(
        name=table.name,
        sha256=table.sha256,
        rows=table.rows,
        text_column=table.text_column,
        pair_column=table.pair_column,
        reference_column=table.reference_column,
        label_column=table.label_column,
        group_columns=list(table.group_columns),
        synthetic=table.synthetic,
        sensitive=table.sensitive,
        source=table.source,
        licence=table.licence,
        location=table.location,
        guessed=dict(table.guessed),
    )


def as_csv(rows: Sequence[Mapping[str, Scalar]]) -> str:
    """Rows as CSV for a person's spreadsheet; no cell is taken for a formula there."""
    text = io.StringIO()
    columns = list(rows[0]) if rows else ["row"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[csv_cell(row.get(column)) for column in columns] for row in rows])
    return text.getvalue()
