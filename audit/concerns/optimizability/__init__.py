"""Optimizability: could this model be better or smaller for little?

What it measures  Compression, tried on copies in memory: int8 weights, and a quarter of the attention heads less:
                  bytes, speed, answers changed, and the paired difference of the task's first metric. Gradient health
                  of a classifier on labelled rows (training rows, where given): each layer's gradient against its
                  weights, matrices without any, and the gradient noise scale. Headroom: whether the recorded training
                  kept its best evaluation, whether a search for hyperparameters is recorded, and (one_step, in the
                  full profile) what one small gradient step on training rows does to the loss on others.
How to read it    Bytes are counted; speed is processor time in turns on this machine, another's differs. A noise scale
                  far above the batch size says that larger batches would steady the training, far below it that they
                  waste rows; it is taken at these weights, and grows while a model learns. A layer's gradient says how
                  it would learn from here, not how good it is. The one step is a direction, no forecast.
                  Severity: high where gradients are not finite, medium where layers cannot learn, low where something
                  can be saved or searched.
How to mend it    `aboveboard compress CHECKPOINT --method quantize` and `aboveboard tune --base CHECKPOINT`.
Source            McCandlish et al. 2018, arXiv:1812.06162; Dettmers et al. 2022, arXiv:2208.07339; Michel et al. 2019,
                  arXiv:1905.10650; You et al. 2017, arXiv:1708.03888.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, field_validator

from audit.concerns.optimizability.compressed import (
    compression_figure,
    compression_lines,
    try_compressions,
    why_no_copies,
)
from audit.concerns.optimizability.findings import findings_of
from audit.concerns.optimizability.gradients import Gradients, gradient_lines, layer_figure, take_gradients
from audit.concerns.optimizability.headroom import record_lines, step_line, tuning_line, tuning_record_of
from audit.evidence import Limit
from audit.plugin import Concern, Evidence, Need, Options, Size, audit
from audit.subject import uncached_predictor
from core_model.compression.turns import WARM_UP
from core_model.evaluation import EVALUABLE
from core_model.tasks import Task
from core_model.tuning_record import NAME, read_tuning_record

if TYPE_CHECKING:
    from audit.subject import Subject

WRITERS = (Task.TRANSLATION, Task.SUMMARIZATION)


class OptimizabilityOptions(Options):
    """How much is tried, and what counts as a saving or as sick."""

    rows: int = Field(800, ge=2, description="rows that each copy is asked; too few and a small loss is not told")
    written_rows: int = Field(16, ge=2, description="the same where text is written, which is slow")
    timed_rows: int = Field(24, ge=1, description="of these, rows that both sides answer in turns for the speed")
    timed_rounds: int = Field(5, ge=2, description="turns; more narrow the interval of the speed")
    gradient_batches: int = Field(12, ge=3, description="batches whose gradients are taken, twice each")
    gradient_rows: int = Field(8, ge=1, description="rows of such a batch")
    one_step: bool = Field(
        False,
        description="take one gradient step on a copy and ask the rows again; of few gradient rows it says little",
    )
    step: float = Field(1e-4, gt=0, lt=0.1, description="length of that step, as a share of the weights' norm")
    min_bytes_saved: float = Field(0.5, ge=0, le=1, description="share of the bytes that must be saved to be told")
    max_quality_loss: float = Field(
        0.01, ge=0, le=1, description="loss of the task's first metric that its interval must exclude to be told"
    )
    max_dead_matrices: float = Field(0.0, ge=0, le=1, description="share of matrices that may be without gradient")
    min_layer_ratio: float = Field(
        1e-3, ge=0, le=1, description="the smallest layer's gradient over the largest's below which it hardly learns"
    )
    max_loss_past_best: float = Field(
        0.05, ge=0, description="share by which the kept weights' evaluation loss may exceed the lowest"
    )
    tuning_record: str | None = Field(None, description="folder of the study that these weights come from")

    @field_validator("tuning_record")
    @classmethod
    def _there(cls, folder: str | None) -> str | None:
        if folder is not None and read_tuning_record(Path(folder)) is None:
            raise ValueError(f"{folder} holds no {NAME} that can be read; name the --out of `aboveboard tune`")
        return folder


def _planned(size: Size, options: OptimizabilityOptions) -> Mapping[str, int]:
    rows = min(size.rows, options.written_rows if size.task in WRITERS else options.rows)
    if not size.gradients:
        return {}
    timed = min(rows, options.timed_rows) * (options.timed_rounds + WARM_UP)
    trained = size.training_rows or size.rows
    gradients = 0
    if size.task is Task.CLASSIFICATION:
        batches = min(options.gradient_batches, trained)
        gradients = 2 * batches * min(options.gradient_rows, trained // max(1, batches))
    step = rows if options.one_step and gradients and size.training_rows else 0
    return {
        "rows of compressed copies": 3 * rows + 2 * timed,
        "rows of gradients": gradients,
        "rows after one step": step,
    }


@audit(
    concern=Concern.OPTIMIZABILITY,
    uses={Need.LABELS, Need.TRAINING_DATA, Need.TRAINING_RECORD, Need.GRADIENTS},
    tasks=EVALUABLE,
    forward_passes=_planned,
    profiles={
        "quick": {"rows": 200, "written_rows": 4, "timed_rounds": 3, "gradient_batches": 8},
        "full": {
            "rows": 4000,
            "written_rows": 64,
            "timed_rounds": 12,
            "gradient_batches": 32,
            "gradient_rows": 32,
            "one_step": True,
        },
    },
)
def optimizability(subject: Subject, options: OptimizabilityOptions, random: np.random.Generator) -> Evidence:
    """Compressions tried, gradients taken, records read."""
    drawing, compressing, batching, stepping = random.spawn(4)
    most = options.written_rows if subject.task in WRITERS else options.rows
    sample = subject.data.select(np.sort(drawing.permutation(subject.data.rows)[:most]))
    worker, before = None, None
    if why_no_copies(subject) is None:
        worker = uncached_predictor(subject)
        before = subject.ask(sample, worker)
    tried, copied = try_compressions(
        subject, sample, before, worker, timed_rows=options.timed_rows, rounds=options.timed_rounds
    )
    record = subject.checkpoint.training_record
    gradients = take_gradients(subject, batching, batches=options.gradient_batches, rows=options.gradient_rows)
    by_layer = gradient_lines(
        gradients, record,
        dead=Limit(options.max_dead_matrices, "options.max_dead_matrices"),
        smallest=Limit(options.min_layer_ratio, "options.min_layer_ratio"),
    )  # fmt: skip
    stepped, step_passes = step_line(
        subject, gradients, sample, before, stepping, relative=options.step if options.one_step else None
    )
    metrics = [
        *compression_lines(tried, subject, sample, before, compressing),
        *by_layer,
        *record_lines(record),
        tuning_line(tuning_record_of(subject, options.tuning_record)),
        stepped,
    ]
    figures = (compression_figure(metrics), layer_figure(metrics))
    return Evidence(
        metrics=metrics,
        findings=findings_of(subject, metrics, gradients, options),
        figures=[figure for figure in figures if figure is not None],
        notes=_notes(gradients, 0 if worker is None else sample.rows),
        forward_passes=getattr(worker, "forward_passes", 0) + copied + gradients.passes + step_passes,
    )


def _notes(gradients: Gradients, rows: int) -> list[str]:
    notes = []
    if rows:
        notes = [
            f"{rows:,} rows were asked of the model and of each copy, past every cache; no copy was kept.",
            "Heads of BERT's and GPT-2's kind are silenced, not cut out: that saves neither bytes nor time.",
        ]
    if gradients.found is not None:
        whose = "training rows" if gradients.on_training_rows else "the audit's rows"
        batches = len(gradients.found.squares)
        notes.append(f"Gradients are of {batches} batches of {gradients.found.rows} rows each, of {whose}, no dropout.")
    return notes
