"""Fairness: does the model treat groups of people alike?

What it measures  By group, and by intersections of groups: selection rate, false-positive rate, false-negative rate
                  and accuracy, each with its Wilson interval. Over each group column: demographic parity difference
                  and ratio, equalized odds difference (the larger of the two error gaps), and each group's impact
                  ratio (its selection rate over the highest). And without looking at groups: the counterfactual
                  identity swap, which changes "she" to "he" or "muslim" to "christian" in each row that holds such a
                  term, and counts how often the predicted label changes.
How to read it    "Selected" means predicted as the class named in the option `selected`; whether that is good or bad
                  for a person, the model cannot know. A gap is the largest difference between any two groups, so its
                  interval is simultaneous over all pairs: of twenty fair columns, expect at most one whose interval
                  misses 0. Groups below `minimum_group_rows` rows are shown, and left out of the gaps; their impact
                  ratio is still held to its limit, by its wide interval. Equalized odds asks that errors are shared
                  alike, demographic parity that answers are; where the truth differs by group, a useful model can
                  hardly have both (Chouldechova 2017).
                  A flip is evidence, not proof: where the swap changes what a text means, another answer may be right.
                  Severity: high, when the whole interval breaks the limit; medium, when the interval excludes parity
                  and the limit is undecided; low, when the gap is real and within its limit, or past its limit and
                  not yet told from chance.
How to mend it    People first: review_queue.csv holds the rows that tell most, for decisions and comments. Then
                  `aboveboard train --reweigh COLUMN` for gaps between groups (Kamiran and Calders 2012), or
                  `--augment identity-swap` for flips (Lu et al. 2018); a new audit on the same rows, which training
                  must not see; and `aboveboard compare`, for what was gained and what it cost.
Source            Hardt, Price and Srebro 2016, arXiv:1610.02413; Weerts et al. 2023 (fairlearn), JMLR 24(257);
                  29 CFR 1607.4(D), the four-fifths rule; Garg et al. 2019, arXiv:1809.10610; Chouldechova 2017,
                  Big Data 5(2):153.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, field_validator

from audit.concerns.fairness.counterfactual import Outcomes, Swaps, compare, metrics_of, swaps_of
from audit.concerns.fairness.figures import rate_figures, swap_figure
from audit.concerns.fairness.findings import flip_finding, gap_findings, gravest
from audit.concerns.fairness.gaps import columns_of
from audit.concerns.fairness.measured import FOUR_FIFTHS, Limits, Measured, measure, notes_of
from audit.concerns.fairness.review_queue import review_queue
from audit.concerns.fairness.rows import Rows
from audit.evidence import Limit
from audit.plugin import Concern, Evidence, Need, Options, Size, audit
from core_model.errors import BadInput, OptionUnfit, TaskUnfit
from core_model.identity_swap import IdentityTerms, read_terms
from core_model.tasks import Task
from reports.record import Figure, Finding

if TYPE_CHECKING:
    from audit.subject import Subject


MOST_CLASSES = 10  # that take turns as selected: each brings a gap, and a limit, for every column


class FairnessOptions(Options):
    """What counts as selected, what the gaps are held to, and how much is looked at."""

    selected: str | None = Field(
        None,
        coerce_numbers_to_str=True,
        description="predicted label that counts as selected; the second of a two-class model, else each in turn",
    )
    max_equalized_odds_difference: float = Field(
        0.1, gt=0, lt=1, description="largest gap allowed in false-positive or false-negative rate, share of rows"
    )
    max_demographic_parity_difference: float = Field(
        0.1, gt=0, lt=1, description="largest gap allowed in selection rate, share of rows"
    )
    min_impact_ratio: float = Field(
        0.8, gt=0, lt=1, description="smallest selection rate allowed, as a share of the highest group's"
    )
    max_counterfactual_flip_rate: float = Field(
        0.05, gt=0, lt=1, description="largest share of rows with an identity term that a swap may flip"
    )
    minimum_group_rows: int = Field(30, ge=1, description="groups with fewer rows are shown, but left out of the gaps")
    review_rows: int = Field(50, ge=0, description="rows in the review queue")
    identity_terms: str | None = Field(None, description="TOML file of identity-term pairs in the place of our list")
    swap_rows: int | None = Field(
        None, ge=1, description="swap at most so many rows, drawn at random; all when left out"
    )
    intersections: bool = Field(True, description="whether group columns are crossed, too")
    resamples: int = Field(2000, ge=200, description="resamples of the bootstrap; fewer are quicker and rougher")

    @field_validator("identity_terms")
    @classmethod
    def _readable(cls, file: str | None) -> str | None:
        """Find out before anything is measured that the list cannot be read."""
        if file is not None:
            try:
                read_terms(file)
            except BadInput as error:
                raise ValueError(f"{error.found}; try {error.mend}") from error
        return file


def planned_passes(size: Size, options: FairnessOptions) -> Mapping[str, int]:
    """Rows through the model: the data, and about one swapped text a row (texts that name nobody have none)."""
    swaps = size.rows if options.swap_rows is None else min(size.rows, options.swap_rows)
    return {"data": size.rows, "identity swaps": swaps}


@audit(
    concern=Concern.FAIRNESS,
    needs={Need.LABELS, Need.GROUPS},
    tasks={Task.CLASSIFICATION},
    forward_passes=planned_passes,
    profiles={"quick": {"swap_rows": 500, "resamples": 1000}},
)
def fairness(subject: Subject, options: FairnessOptions, random: np.random.Generator) -> Evidence:
    """Rates and gaps by group, the identity swap, and the rows for people to review."""
    rows = Rows.of(subject)
    classes = selected_classes(subject.labels, options.selected, rows.predictions.predicted)
    terms = read_terms(options.identity_terms)
    gap_random, swap_random, mean_random = random.spawn(3)

    measured = measure_all(rows, classes, options, gap_random)
    swaps = swaps_of(rows.texts, rows.pairs, terms, most=options.swap_rows, random=swap_random)
    outcomes = answer(subject, swaps, selected=classes[0] if len(classes) == 1 else None)
    score = f"the probability of {rows.labels[classes[0]]!r}" if len(classes) == 1 else "the first answer's probability"
    limit = Limit(options.max_counterfactual_flip_rate, "fairness.max_counterfactual_flip_rate")
    swap_lines = metrics_of(
        outcomes,
        limit=limit,
        minimum_rows=options.minimum_group_rows,
        score=score,
        resamples=options.resamples,
        random=mean_random,
    )

    return Evidence(
        metrics=[
            *(line for m in measured for line in m.metrics()),
            *swap_lines,
        ],
        findings=[
            *findings_of(measured, rows, subject),
            *flip_finding(
                swap_lines, outcomes, rows, train=_train_command(subject), identity_terms=options.identity_terms
            ),
        ],
        figures=[*figures_of(measured), *(figure for figure in [swap_figure(swap_lines)] if figure)],
        notes=[
            *dict.fromkeys(note for m in measured for note in notes_of(m)),
            *_notes(rows, classes, swaps, terms, options),
        ],
        tables={"review_queue": review_queue(measured, outcomes, rows, most=options.review_rows)},
        settings={
            "selected": ", ".join(rows.labels[index] for index in classes),
            "identity_terms": terms.name,
            "identity_terms_sha256": terms.sha256,
        },
    )


def selected_classes(labels: tuple[str, ...], selected: str | None, predicted: np.ndarray) -> list[int]:
    """Which classes count as selected, one after the other; of very many, those that are predicted most often.

    Raises: OptionUnfit when `selected` is no class; TaskUnfit when there are fewer than two.
    """
    if len(labels) < 2:
        raise TaskUnfit(f"the model has {len(labels)} class(es); fairness compares answers", mend="a classifier")
    if selected is not None:
        if selected not in labels:
            raise OptionUnfit(
                f"fairness.selected = {selected!r} is no label of the model; it has {', '.join(labels)}",
                mend=f"--set fairness.selected={labels[1]}",
            )
        return [labels.index(selected)]
    if len(labels) == 2:
        return [1]
    frequency = np.bincount(predicted, minlength=len(labels))
    return sorted(np.argsort(-frequency, kind="stable")[:MOST_CLASSES].tolist())


def measure_all(
    rows: Rows, classes: list[int], options: FairnessOptions, random: np.random.Generator
) -> list[Measured]:
    """Every column, and intersection, against every selected class."""
    columns = columns_of(rows.groups, intersections=options.intersections)
    limits = Limits(
        demographic_parity=Limit(
            options.max_demographic_parity_difference, "fairness.max_demographic_parity_difference"
        ),
        equalized_odds=Limit(options.max_equalized_odds_difference, "fairness.max_equalized_odds_difference"),
        impact_ratio=Limit(options.min_impact_ratio, f"fairness.min_impact_ratio; {FOUR_FIFTHS}"),
    )
    # A group column called "label" keeps its name; the class then goes by another.
    key = "label" if all(column.name != "label" for column in columns) else "predicted label"
    children = iter(random.spawn(len(columns) * len(classes)))
    return [
        measure(
            column,
            target=rows.target,
            predicted=rows.predictions.predicted,
            selected=index,
            labels=rows.labels,
            part={key: rows.labels[index]} if len(classes) > 1 else {},
            limits=limits,
            minimum_rows=options.minimum_group_rows,
            tells_accuracy=index == classes[0],
            random=next(children),
        )
        for column in columns
        for index in classes
    ]


def answer(subject: Subject, swaps: Swaps, *, selected: int | None) -> Outcomes:
    """What the model says of the swapped texts; it is not asked when there are none."""
    if len(swaps.texts) == 0:
        nothing = np.zeros(0)
        return Outcomes(swaps, nothing.astype(bool), nothing, nothing.astype(np.int64))
    after = subject.predict(swaps.texts, swaps.pairs)
    return compare(swaps, subject.predictions, after, selected=selected)


def findings_of(measured: list[Measured], rows: Rows, subject: Subject) -> list[Finding]:
    """One finding for each real gap of a column; with several classes, for the class where it is gravest."""
    slugs = slugs_of(measured)
    train = _train_command(subject)
    return gravest(one for m in measured for one in gap_findings(m, rows, slug=slugs[m.column.name], train=train))


def figures_of(measured: list[Measured]) -> list[Figure]:
    """Charts of each column; with several classes, of the class with the largest equalized odds difference."""
    slugs = slugs_of(measured)
    worst: dict[str, Measured] = {}
    for m in measured:
        if m.column.name not in worst or _odds(m) > _odds(worst[m.column.name]):
            worst[m.column.name] = m
    return [figure for name, m in worst.items() for figure in rate_figures(m, slug=slugs[name])]


def _odds(measured: Measured) -> float:
    return measured.gap_metrics["equalized_odds_difference"].value or 0.0


def slugs_of(measured: list[Measured]) -> dict[str, str]:
    """Each column's name as part of an id: letters, digits, "_" and "-"; two names never share one."""
    slugs: dict[str, str] = {}
    for name in dict.fromkeys(m.column.name for m in measured):
        slug = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:60]
        if not slug or slug in slugs.values():
            slug = f"{slug}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}".strip("-")
        slugs[name] = slug
    return slugs


def _train_command(subject: Subject) -> str:
    """The command that the mends of this subject begin with; the engine puts this run's places in."""
    data = subject.data
    label = shlex.quote(data.label_column or "label")
    pair = f" --pair-column {shlex.quote(data.pair_column)}" if data.pair_column else ""
    return (
        "aboveboard train --task classification --base CHECKPOINT --data TRAIN_FILE "
        f"--text-column {shlex.quote(data.text_column)}{pair} --label-column {label}"
    )


def _notes(rows: Rows, classes: list[int], swaps: Swaps, terms: IdentityTerms, options: FairnessOptions) -> list[str]:
    """What a reader must know to read the numbers."""
    if len(classes) == 1:
        label = rows.labels[classes[0]]
        notes = [
            f"Selected means predicted {label!r}. If that answer is to a person's harm, the group with the highest "
            "selection rate fares worst, and the impact ratio is read the other way round."
        ]
    else:
        which = (
            "Each class" if len(classes) == len(rows.labels) else f"Each of the {len(classes)} most predicted classes"
        )
        notes = [
            f"{which} counts as selected in turn (one alone: --set fairness.selected=LABEL); a finding tells of the "
            "class where its gap is gravest."
        ]
    if swaps.rows_with_term:
        asked = len(np.unique(swaps.rows))
        drawn = f" {asked:,} of them were drawn at random." if asked < swaps.rows_with_term else ""
        absent = [name for i, name in enumerate(swaps.categories) if not (swaps.category == i).any()]
        unseen = f" No row holds a term of: {', '.join(absent)}." if absent else ""
        notes += [
            f"{swaps.rows_with_term:,} of {swaps.rows_in_all:,} rows "
            f"({swaps.rows_with_term / swaps.rows_in_all:.1%}) hold an identity term of {terms.name}; "
            f"the swap can say nothing of the others.{drawn}{unseen}",
            "A flip is evidence, not proof: where the swap turns the target of an insult into another, or touches a "
            'colour rather than a people, another answer may be right. "his" and "her" are swapped by the word that '
            "follows, which is a rule of thumb; slurs have no counterpart and are not swapped.",
        ]
    else:
        notes.append(f"No row holds an identity term of {terms.name}: the counterfactual swap could not be measured.")
    if options.review_rows:
        notes.append("review_queue.csv holds the rows for people to review: decision, reviewer and note are theirs.")
    return notes
