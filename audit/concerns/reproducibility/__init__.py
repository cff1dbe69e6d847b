"""Reproducibility: does the model answer the same again, and could somebody make it again?

What it measures  Rows asked twice in one and the same request: bits and answers. A part of them each alone, and in
                  bfloat16, as others may serve it. The training record: which facts a training follows from it says,
                  whether its hashes are those of these files, which packages are here in another version. With
                  --train-data and, where there was one, --reference BASE: the recorded training run for some steps,
                  twice; whole, against these weights (retrain_whole); with other seeds (seeds).
How to read it    The same request must give the same bits. A row alone is computed by products of another shape: its
                  last bits differ by right, and answers that turn lie on the border of two classes. bfloat16 keeps
                  three digits. Whole trainings give the same bits with the same rows, base, options, number of threads,
                  kind of processor and versions; with another of these, weights that differ in the last digits grow
                  apart. The spread of seeds is an error of the training that no interval over rows holds.
                  Severity: high where files are not the recorded ones, or the same request turns answers; medium where
                  a training cannot be made again, or does not give the same weights; low otherwise.
How to mend it    `aboveboard train` sets every seed, asks for repeatable kernels and leaves a record with hashes;
                  `python -m pip install` of the recorded versions; OMP_NUM_THREADS for the recorded threads.
Source            Pineau et al. 2021, J. Mach. Learn. Res. 22:164; Dodge et al. 2020, arXiv:2002.06305.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from audit.concerns.reproducibility.asked_again import ask_again, figure_of, lines_of
from audit.concerns.reproducibility.findings import findings_of
from audit.concerns.reproducibility.recorded import record_lines
from audit.concerns.reproducibility.trained_again import train_again, training_lines
from audit.evidence import Limit
from audit.plugin import Concern, Evidence, Need, Options, Size, audit
from core_model.evaluation import EVALUABLE
from core_model.tasks import Task

if TYPE_CHECKING:
    from audit.subject import Subject

WRITERS = (Task.TRANSLATION, Task.SUMMARIZATION)


class ReproducibilityOptions(Options):
    """How much is asked and trained again, and how much may turn."""

    rows: int = Field(400, ge=2, description="rows asked twice; fewer than 370 cannot show that under 1% turn")
    alone_rows: int = Field(100, ge=1, description="of these, rows asked alone and in bfloat16")
    written_rows: int = Field(32, ge=2, description="the same where text is written, which is slow: of both")
    retraining_steps: int = Field(
        4, ge=0, description="steps of the recorded training, run twice where rows and base are given; 0: none"
    )
    retrain_whole: bool = Field(
        False, description="run the recorded training to its end, against these weights; takes as long as it took"
    )
    seeds: int = Field(0, ge=0, description="whole trainings with other seeds; each takes as long as the recorded one")
    max_answers_turned: float = Field(0.01, ge=0, le=1, description="share of answers that the same request may turn")
    max_changed_files: int = Field(0, ge=0, description="files allowed whose hash is not the recorded one")
    min_same_weights: float = Field(
        1.0, ge=0, le=1, description="share of tensors that two short trainings must agree in, bit for bit"
    )


def _rows(options: ReproducibilityOptions, task: Task, rows: int) -> tuple[int, int]:
    """Rows asked twice, and rows asked alone and in bfloat16."""
    most = options.written_rows if task in WRITERS else options.rows
    twice = min(rows, most)
    return twice, min(twice, options.alone_rows)


def _planned(size: Size, options: ReproducibilityOptions) -> Mapping[str, int]:
    twice, alone = _rows(options, size.task, size.rows)
    return {"rows asked again": 2 * twice + 2 * alone, "rows of models of other seeds": options.seeds * size.rows}


@audit(
    concern=Concern.REPRODUCIBILITY,
    uses={Need.LABELS, Need.TRAINING_DATA, Need.REFERENCE_CHECKPOINT, Need.TRAINING_RECORD, Need.GRADIENTS},
    tasks=EVALUABLE,
    forward_passes=_planned,
    profiles={
        "quick": {"rows": 100, "alone_rows": 25, "written_rows": 8, "retraining_steps": 0},
        "full": {"rows": 2000, "alone_rows": 500, "written_rows": 128, "retraining_steps": 20},
    },
)
def reproducibility(subject: Subject, options: ReproducibilityOptions, random: np.random.Generator) -> Evidence:
    """Answers asked again, the record, and the training run again."""
    drawing, shifting, seeding = random.spawn(3)
    twice, alone = _rows(options, subject.task, subject.data.rows)
    chosen = drawing.permutation(subject.data.rows)[:twice]
    asked, passes = ask_again(subject, subject.data.select(chosen), subject.data.select(chosen[:alone]))
    again = train_again(subject, steps=options.retraining_steps, whole=options.retrain_whole, seeds=options.seeds)
    turned = Limit(options.max_answers_turned, "options.max_answers_turned")
    same = Limit(options.min_same_weights, "options.min_same_weights")
    metrics = [
        *lines_of(asked, shifting, limit=turned),
        *record_lines(subject.checkpoint, max_changed_files=options.max_changed_files),
        *training_lines(again, subject, seeding, steps=options.retraining_steps, limit=same),
    ]
    figure = figure_of(asked)
    return Evidence(
        metrics=metrics,
        findings=findings_of(subject, metrics, again),
        figures=[] if figure is None else [figure],
        notes=[
            f"{twice:,} rows were asked twice in one and the same request, {alone:,} of them also alone and in "
            "bfloat16; each time by the model and never from the cache.",
            "Other machines were not tried: another processor's arithmetic differs in the last digits.",
        ],
        forward_passes=passes + again.passes,
    )
