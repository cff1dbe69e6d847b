"""Emissions: how much electricity and CO2e do 1,000 inferences take, and how did the training?

What it measures  Energy (kWh) and emissions (g CO2e) per 1,000 inferences: the same sample of rows, tokenized and run
                  through the model in batches, several times over, never from the cache. A text that is written is one
                  inference, however many tokens it has; they are told beside it. Training energy is read from the
                  checkpoint's training record.
How to read it    The interval says how much the repeats differ. It does not say how far off the method is: the metrics
                  named `..._with_method_error` do. "Measured" means that a counter of the processor or accelerator
                  that worked was read; "estimated" means that constants of the hardware were multiplied by time and
                  load, which is wrong by up to 40% in published comparisons. The whole machine is charged, with
                  whatever else ran on it; processor time is this process's own, and says of a busy machine what the
                  meter cannot. Left out: networks, cooling, idle time, and making the hardware.
How to mend it    A smaller base: `aboveboard train --base SMALLER --data FILE --out DIR`; then compare the two.
Source            SCI, ISO/IEC 21031:2024, (E x I + M) per R; CodeCarbon; error of estimates: arXiv:2509.22092.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from audit.concerns.emissions.repeats import (
    WARM_UP_ROWS,
    Repeats,
    mean_of_repeats,
    run_repeats,
    scaled,
    with_method_error,
)
from audit.evidence import Better, Limit, metric
from audit.mending import column_flags
from audit.plugin import Concern, Evidence, Options, Size, audit
from audit.statistics import Estimate, bootstrap_mean
from audit.subject import uncached_predictor
from core_model.energy import ESTIMATE_ERROR, WORLD, EnergyUse, grid
from core_model.errors import OptionUnfit
from core_model.evaluation import EVALUABLE
from core_model.onnx_graph import graph_of
from core_model.tasks import Task
from reports.record import Figure, Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject

PROCESSOR, SECONDS = "processor_seconds_per_1000_inferences", "seconds per 1,000 inferences"
KWH, GRAMS = "kWh per 1,000 inferences", "g CO2e per 1,000 inferences"
SCI = "ISO/IEC 21031:2024"


class EmissionsOptions(Options):
    """What can be set."""

    country: str = Field(
        WORLD, description="whose grid, ISO 3166 alpha-3 (DEU, FRA, USA ...); WORLD is the world average of 475 g/kWh"
    )
    repeats: int = Field(5, ge=2, le=1000, description="runs over the sample; more narrow the interval and cost time")
    rows_per_repeat: int = Field(
        200, ge=1, description="rows in the sample; too few on a fast accelerator, and its counter stands still"
    )
    max_grams: float | None = Field(
        None, gt=0, description="limit for g CO2e per 1,000 inferences; none by default: what is too much is not ours"
    )

    max_processor_seconds: float | None = Field(
        None, gt=0, description="limit for seconds of processor time per 1,000 inferences; none by default"
    )

    @field_validator("country")
    @classmethod
    def _known(cls, country: str) -> str:
        if country != WORLD:  # the tables are slow to load, and the world is always in them
            try:
                country = grid(country).country
            except OptionUnfit as error:
                raise ValueError(f"{error.found}; try {error.mend}") from error
        return country


def _planned(size: Size, options: EmissionsOptions) -> Mapping[str, int]:
    rows = min(size.rows, options.rows_per_repeat)
    return {"repeats of the energy audit": options.repeats * rows + min(rows, WARM_UP_ROWS)}


@audit(
    concern=Concern.EMISSIONS,
    tasks=EVALUABLE,
    forward_passes=_planned,
    profiles={"quick": {"repeats": 2}, "full": {"repeats": 10}},
)
def emissions(subject: Subject, options: EmissionsOptions, random: np.random.Generator) -> Evidence:
    """Energy and CO2e of inference, measured or estimated, and of the training, as recorded."""
    [token_random] = random.spawn(1)
    rows = np.sort(random.permutation(len(subject.texts))[: options.rows_per_repeat])
    worker = uncached_predictor(subject)
    runs = run_repeats(subject, worker, subject.data.select(rows), repeats=options.repeats, country=options.country)
    place = runs.uses[0]

    metrics = [
        *_inference_metrics(runs, place, _limit(options, "max_grams")),
        _processor_metric(runs, _limit(options, "max_processor_seconds")),
        *_token_metrics(runs, token_random),
        *_training_metrics(subject, place),
    ]
    return Evidence(
        metrics=metrics,
        findings=_findings(metrics, subject),
        figures=_figures(runs),
        notes=[*_notes(runs, place), *_what_an_inference_is(subject, runs), *_what_ran(subject)],
        forward_passes=worker.forward_passes,
        settings={
            "country": place.country,
            "grid_intensity_g_per_kwh": place.grid_intensity_g_per_kwh,
            "grid_source": place.grid_source,
            "energy_method": place.method,
            "hardware_read": place.detail,
            "error_of_estimates": ESTIMATE_ERROR,
            "rows_per_repeat": runs.rows,
            "repeats": options.repeats,
        },
    )


def _limit(options: EmissionsOptions, name: str) -> Limit | None:
    value = getattr(options, name)
    return None if value is None else Limit(value, f"options.{name}")


def _inference_metrics(runs: Repeats, place: EnergyUse, limit: Limit | None) -> list[Metric]:
    def absent(reason: str) -> Estimate:
        return Estimate.absent(reason, n=len(runs.uses))

    kwh = absent(runs.problem) if runs.problem else mean_of_repeats(runs.kwh_per_1000())
    wide = kwh if runs.problem else with_method_error(kwh, runs.estimated_share)
    grams = place.grid_intensity_g_per_kwh

    def line(
        name: str, estimate: Estimate, unit: str, definition: str, better: Better = "lower", **more: Any
    ) -> Metric:
        return metric(name, estimate, unit=unit, better=better, definition=definition, volatile=True, **more)

    band = "The same mean; the interval also holds the published error of the method."
    return [
        line("energy_per_1000_inferences", kwh, KWH, "Processor, accelerator and memory while 1,000 rows run."),
        line("energy_per_1000_inferences_with_method_error", wide, KWH, band, source="arXiv:2509.22092"),
        line(
            "emissions_per_1000_inferences", scaled(kwh, grams), GRAMS,
            "Energy per 1,000 inferences times the grid's intensity.",
        ),
        line(
            "emissions_per_1000_inferences_with_method_error", scaled(wide, grams), GRAMS, band,
            limit=limit, source="arXiv:2509.22092",
        ),
        line(
            "software_carbon_intensity_operational", scaled(kwh, grams / 1000), "g CO2e per inference",
            "SCI without its embodied part: E x I per inference; M, from making the hardware, is left out.", source=SCI,
        ),
        line(
            "examples_per_second", mean_of_repeats(runs.rows / runs.seconds), "rows per second",
            "Rows answered in a second of wall time, in batches, tokenization included.", better="higher",
        ),
    ]  # fmt: skip


def _processor_metric(runs: Repeats, limit: Limit | None) -> Metric:
    """Work rather than time: a machine that is busy with something else changes it little."""
    return metric(
        PROCESSOR, mean_of_repeats(runs.processor * 1000 / runs.rows), unit=SECONDS, better="lower", limit=limit,
        volatile=True,
        definition="Seconds that this process's threads computed while 1,000 rows ran, tokenization included; an "
        "accelerator's work is not in them, and neither is what else ran on the machine.",
    )  # fmt: skip


def _token_metrics(runs: Repeats, random: np.random.Generator) -> list[Metric]:
    """Where a row is written or foreseen token by token: how many, and what they take."""
    if runs.tokens is None:
        return []
    tokens = bootstrap_mean(runs.tokens, random)
    kwh = Estimate.absent(runs.problem) if runs.problem else mean_of_repeats(runs.kwh_per_1000())
    enough = tokens.value is not None and tokens.value > 0
    each = scaled(kwh, 1 / float(tokens.value or 1)) if enough else Estimate.absent("no token was written or foreseen")
    return [
        metric(
            "tokens_per_inference", tokens, unit="tokens per inference",
            definition="Tokens written for a row, its end mark included, or foreseen of it.",
        ),
        metric(
            "energy_per_1000_tokens", each, unit="kWh per 1,000 tokens", better="lower", volatile=True,
            definition="Energy per 1,000 inferences over tokens per inference; reading the source is in it.",
        ),
    ]  # fmt: skip


def _what_an_inference_is(subject: Subject, runs: Repeats) -> list[str]:
    what = {
        Task.LANGUAGE_MODELING: "the likelihood of a whole text",
        Task.TRANSLATION: "a whole text, written token by token",
        Task.SUMMARIZATION: "a whole text, written token by token",
        Task.QUESTION_ANSWERING: "the answer to one question, all windows of its context read",
    }.get(subject.task)
    if subject.wrapper is not None:
        looks = subject.wrapper.passes_an_answer(subject.texts)
        what = f"an answer by {looks:.1f} looks at parts of a text, on average over the rows"
    if what is None:
        return []
    tokens = f": {runs.tokens.mean():.1f} tokens on average" if runs.tokens is not None else ""
    beams = f", with {subject.generation.beams} beams" if subject.generation.beams > 1 else ""
    return [f"One inference is {what}{beams}{tokens}."]


def _what_ran(subject: Subject) -> list[str]:
    """Of an exported graph, what ran it, for it was not torch."""
    graph = graph_of(subject.checkpoint)
    if graph is None:
        return []
    alone = (
        ", one row at a time: rows that are asked at once would share the scale of what is rounded"
        if graph.by_batch
        else ""
    )
    return [f"ONNX Runtime {version('onnxruntime')} ran {graph.file} ({graph.words}) on the processor{alone}."]


def _training_metrics(subject: Subject, place: EnergyUse) -> list[Metric]:
    kwh, kilograms, reason = training_energy(subject.checkpoint.training_record)
    if kwh is not None and kilograms is None:
        kilograms = kwh * place.grid_intensity_g_per_kwh / 1000

    def one(value: float | None) -> Estimate:
        if value is None:
            return Estimate.absent(reason or "the training record holds no emissions")
        return Estimate(value, None, None, 1, "none", reason="one run, as recorded: it has no spread")

    definition = "As the trainer's meter recorded it; data preparation and other attempts are left out."
    named = {"training_energy_kwh": (kwh, "kWh"), "training_emissions": (kilograms, "kg CO2e")}
    return [
        metric(name, one(value), unit=unit, better="lower", definition=definition, volatile=True)
        for name, (value, unit) in named.items()
    ]


def training_energy(record: Mapping[str, Any] | None) -> tuple[float | None, float | None, str | None]:
    """(kWh, kg CO2e, why not) from a training record, whose key "energy" holds `EnergyUse.as_dict()`."""
    if record is None:
        return None, None, "the checkpoint has no training_record.json; `aboveboard train` leaves one"
    energy = record.get("energy")
    if not isinstance(energy, Mapping) or not isinstance(energy.get("energy_kwh"), int | float):
        why = energy.get("reason") if isinstance(energy, Mapping) else None
        return None, None, f"training_record.json holds no energy_kwh{f': {why}' if why else ''}"
    kilograms = energy.get("emissions_kg")
    return float(energy["energy_kwh"]), float(kilograms) if isinstance(kilograms, int | float) else None, None


def _notes(runs: Repeats, place: EnergyUse) -> list[str]:
    if runs.problem:
        return [f"Energy was not measured: {runs.problem}."]
    if place.method == "measured":
        how = "Measured by a counter of the hardware that worked; parts named as estimated are not."
    else:
        how = (
            "Estimated, not measured: no counter of the hardware that worked could be read. Constants were multiplied "
            f"by time and load; published comparisons find such estimates wrong by up to {ESTIMATE_ERROR:.0%}, and on "
            "shared or virtual hardware they can be further off."
        )
    return [
        how,
        f"Hardware: {place.detail}.",
        f"Grid: {place.grid_intensity_g_per_kwh:.0f} g CO2e per kWh, {place.grid_source}. Another country: option "
        "`country`.",
        "SCI is (E x I + M) per R: E and I are given here, R is one inference; M, the share of making the hardware, is "
        "left out, and so are networks, cooling and the time that the machine waits for work.",
        "The whole machine is charged: what else ran on it at the time is in these numbers.",
    ]


def _findings(metrics: Sequence[Metric], subject: Subject) -> list[Finding]:
    broken = [m for m in metrics if m.verdict is Verdict.FAIL]
    return [
        Finding(
            id="emissions-processor-limit" if m.name == PROCESSOR else "emissions-limit",
            severity=Severity.MEDIUM,
            statement=f"1,000 inferences take {m.value:.3g} s of processor time; the limit is {m.limit:.3g}."
            if m.name == PROCESSOR
            else f"1,000 inferences emit {m.value:.3g} g CO2e; the limit is {m.limit:.3g}.",
            metrics=[m.key],
            mitigation=Mitigation(
                command=f"aboveboard train --task {subject.task} --base SMALLER_CHECKPOINT --data TRAIN_FILE "
                f"{column_flags(subject)} --out smaller",
                why="energy grows with the model's size; audit the smaller one and compare what it costs in accuracy",
            ),
            volatile=True,
        )
        for m in broken
    ]


def _figures(runs: Repeats) -> list[Figure]:
    if runs.problem:
        return []
    names = {"cpu": "processor", "gpu": "accelerator", "ram": "memory"}
    rows = []
    for part, name in names.items():
        values = runs.kwh_per_1000(part) * 1000
        if values.any():
            estimate = mean_of_repeats(values)
            how = "counter" if part in runs.uses[0].counted else "estimated"
            rows.append({
                "label": f"{name} ({how})", "value": estimate.value, "low": estimate.low, "high": estimate.high,
            })  # fmt: skip
    most = max(rows, key=lambda row: float(row["value"] or 0))
    return [
        Figure(
            id="emissions-parts",
            kind="bars",
            title="Energy per 1,000 inferences, by part",
            caption=f"Most of it: {most['label']}, {most['value']:.3g} Wh per 1,000 inferences.",
            x_label="Wh per 1,000 inferences",
            rows=rows,
            volatile=True,
        )
    ]
