"""Emissions: how much electricity and CO2e do 1,000 inferences take, and how did the training?

What it measures  Energy (kWh) and emissions (g CO2e) per 1,000 inferences: the same sample of rows, tokenized and run
                  through the model in batches, several times over, never from the cache. Training energy is read from
                  the checkpoint's training record.
How to read it    The interval says how much the repeats differ. It does not say how far off the method is: the metrics
                  named `..._with_method_error` do. "Measured" means that a counter of the processor or accelerator
                  that worked was read; "estimated" means that constants of the hardware were multiplied by time and
                  load, which is wrong by up to 40% in published comparisons. The whole machine is charged, with
                  whatever else ran on it. Left out: networks, cooling, idle time, and making the hardware.
How to mend it    A smaller base: `aboveboard train --base SMALLER --data FILE --out DIR`; then compare the two.
Source            SCI, ISO/IEC 21031:2024, (E x I + M) per R; CodeCarbon; error of estimates: arXiv:2509.22092.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from audit.evidence import Better, Limit, metric
from audit.plugin import Concern, Evidence, Options, Size, audit
from audit.statistics.estimate import Estimate
from core_model.energy import ESTIMATE_ERROR, WORLD, EnergyUse, measure_energy
from core_model.tasks import Task
from reports.record import Figure, Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import PredictorLike, Subject

KWH, GRAMS = "kWh per 1,000 inferences", "g CO2e per 1,000 inferences"
SCI = "ISO/IEC 21031:2024"
WARM_UP_ROWS = 32


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


@dataclass(frozen=True)
class Repeats:
    """One sample run several times over. Arrays are (repeats,).

    Attributes:
        rows: rows a repeat. seconds: wall time of each. uses: what the meter found in each.
    """

    rows: int
    seconds: np.ndarray
    uses: Sequence[EnergyUse]

    @property
    def problem(self) -> str | None:
        """Why there is no energy, if there is none."""
        return next((use.reason or "the meter gave no number" for use in self.uses if use.energy_kwh is None), None)

    def kwh_per_1000(self, part: str | None = None) -> np.ndarray:
        """Energy per 1,000 inferences of each repeat: of all parts, or of one."""
        kwh = [(use.energy_kwh or 0.0) if part is None else use.parts_kwh.get(part, 0.0) for use in self.uses]
        return np.array(kwh) * 1000 / self.rows

    @property
    def estimated_share(self) -> float:
        """Share of the energy that no counter gave."""
        counted = sum(use.parts_kwh.get(part, 0.0) for use in self.uses for part in use.counted)
        total = sum(use.energy_kwh or 0.0 for use in self.uses)
        return 1.0 - min(counted / total, 1.0) if total > 0 else 1.0


def _planned(size: Size, options: EmissionsOptions) -> Mapping[str, int]:
    rows = min(size.rows, options.rows_per_repeat)
    return {"repeats of the energy audit": options.repeats * rows + min(rows, WARM_UP_ROWS)}


@audit(
    concern=Concern.EMISSIONS,
    tasks={Task.CLASSIFICATION},
    forward_passes=_planned,
    profiles={"quick": {"repeats": 2}, "full": {"repeats": 10}},
)
def emissions(subject: Subject, options: EmissionsOptions, random: np.random.Generator) -> Evidence:
    """Energy and CO2e of inference, measured or estimated, and of the training, as recorded."""
    rows = np.sort(random.permutation(len(subject.texts))[: options.rows_per_repeat])
    texts = [subject.texts[int(row)] for row in rows]
    pairs = None if subject.data.pairs is None else [subject.data.pairs[int(row)] for row in rows]
    runs = run_repeats(uncached_predictor(subject), texts, pairs, options)
    place = runs.uses[0]

    limit = Limit(options.max_grams, "options.max_grams") if options.max_grams is not None else None
    metrics = [*_inference_metrics(runs, place, limit), *_training_metrics(subject, place)]
    return Evidence(
        metrics=metrics,
        findings=_findings(metrics),
        figures=_figures(runs),
        notes=_notes(runs, place),
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


def uncached_predictor(subject: Subject) -> PredictorLike:
    """A predictor that runs the model each time it is asked; the shared one would answer from its cache.

    A subject planted in memory has no checkpoint to open again: its own predictor is asked, which has no cache.
    """
    if getattr(subject.checkpoint, "path", None) is None:
        return subject.predictor
    from core_model.prediction import Predictor

    return Predictor(subject.checkpoint, cache=None)


def run_repeats(
    worker: PredictorLike, texts: Sequence[str], pairs: Sequence[str] | None, options: EmissionsOptions
) -> Repeats:
    """The sample, run once for nothing (the first call loads the model), then as often as the options say."""
    worker.predict(texts[:WARM_UP_ROWS], None if pairs is None else pairs[:WARM_UP_ROWS])
    device = str(getattr(worker, "device", "cpu"))
    uses, seconds = [], []
    for _ in range(options.repeats):
        with measure_energy(country=options.country, interval_seconds=1.0, device=device) as use:
            started = time.perf_counter()
            worker.predict(texts, pairs)
            seconds.append(time.perf_counter() - started)
        uses.append(use)
    return Repeats(len(texts), np.array(seconds), uses)


def mean_of_repeats(values: np.ndarray) -> Estimate:
    """Mean of repeats with Student's t interval, cut at 0: neither energy nor speed is negative.

    Args:
        values: (repeats,), two or more.
    """
    from scipy.stats import t

    n, mean = len(values), float(np.mean(values))
    arm = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Estimate(mean, max(0.0, mean - arm), mean + arm, n, "Student's t over repeats, cut at 0")


def with_method_error(estimate: Estimate, estimated_share: float, error: float = ESTIMATE_ERROR) -> Estimate:
    """The same mean, and an interval that also holds the truth when the estimated part is wrong by `error` of it.

    An estimate e that is off by at most `error` of the truth comes from a truth in [e / (1 + error), e / (1 - error)].
    Counted parts are taken as they are.

    Args:
        estimate: mean with the interval of its repeats.
        estimated_share: share of the value that no counter gave, in [0, 1].
        error: largest relative error, in (0, 1).
    """
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    counted = 1 - estimated_share
    low = estimate.low * (counted + estimated_share / (1 + error))
    high = estimate.high * (counted + estimated_share / (1 - error))
    how = f"{estimate.method}; estimated parts widened by a method error of {error:.0%} (arXiv:2509.22092)"
    return Estimate(estimate.value, low, high, estimate.n, how)


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """The estimate in another unit."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    value, low, high = (x * factor for x in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.n, estimate.method)


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


def _training_metrics(subject: Subject, place: EnergyUse) -> list[Metric]:
    kwh, kilograms, reason = training_energy(subject.checkpoint.training_record)
    if kwh is not None and kilograms is None:
        kilograms = kwh * place.grid_intensity_g_per_kwh / 1000

    def one(value: float | None) -> Estimate:
        if value is None:
            return Estimate.absent(reason or "the training record holds no emissions")
        return Estimate(value, None, None, 1, "one run, as recorded")

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


def _findings(metrics: Sequence[Metric]) -> list[Finding]:
    broken = [m for m in metrics if m.verdict is Verdict.FAIL]
    return [
        Finding(
            id="emissions-limit",
            severity=Severity.MEDIUM,
            statement=f"1,000 inferences emit {m.value:.3g} g CO2e; the limit is {m.limit:.3g}.",
            metrics=[m.key],
            mitigation=Mitigation(
                command="aboveboard train --base SMALLER_CHECKPOINT --data TRAIN_FILE --out DIR",
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
