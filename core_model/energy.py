"""How much electricity something took, and what the grid emitted to make it.

One context manager around CodeCarbon's offline tracker. It says whether a counter was read or a constant was
multiplied: without a readable counter CodeCarbon falls back to a constant per processor without a word that a caller
could see, and published comparisons find such estimates wrong by up to 40% (arXiv:2509.22092).
"""

from __future__ import annotations

import logging
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from core_model.errors import OptionUnfit

WORLD = "WORLD"
ESTIMATE_ERROR = 0.4  # largest published error of energy estimators against meters, arXiv:2509.22092

Method = Literal["measured", "estimated"]

# CodeCarbon's names for the ways in which it reads a hardware counter of the processor.
COUNTERS = {"intel_rapl": "RAPL", "windows_emi": "Windows EMI", "intel_power_gadget": "Intel Power Gadget"}


@dataclass(frozen=True)
class Grid:
    """How dirty a country's electricity is.

    Attributes:
        country: ISO 3166 alpha-3 code, or "WORLD" for the world average.
        grams_per_kwh: g CO2e per kWh.
        source: whose figure it is, and of which year.
    """

    country: str
    grams_per_kwh: float
    source: str


@dataclass
class EnergyUse:
    """What `measure_energy` found. Everything is filled in when the context ends.

    Attributes:
        energy_kwh: processor, accelerator and memory together, in kWh; None with a `reason` when it is not known.
        emissions_kg: energy times grid intensity, in kg CO2e.
        seconds: wall time.
        method: "measured" when a counter was read for the processor or accelerator that worked, else "estimated".
        detail: which hardware, read how; the constants behind an estimate.
        grid_intensity_g_per_kwh, country, grid_source: the grid that was assumed.
        parts_kwh: energy by part: cpu, gpu, ram.
        counted: the parts whose energy a counter gave; the others are estimates.
        reason: why there is no energy.
    """

    country: str
    grid_intensity_g_per_kwh: float
    grid_source: str
    energy_kwh: float | None = None
    emissions_kg: float | None = None
    seconds: float = 0.0
    method: Method = "estimated"
    detail: str = ""
    parts_kwh: dict[str, float] | None = None
    counted: list[str] = field(default_factory=list)
    reason: str | None = "the measurement has not ended"

    def as_dict(self) -> dict[str, Any]:
        """As JSON values, for a training record (key "energy")."""
        return dict(vars(self))


@lru_cache(maxsize=64)
def grid(country: str = WORLD) -> Grid:
    """The grid intensity that CodeCarbon's tables give for a country; no network is asked.

    Args:
        country: ISO 3166 alpha-3 code ("DEU"), any case, or "WORLD".
    Raises: OptionUnfit when the tables do not have it: CodeCarbon would silently take the world average.
    """
    _silence()
    from codecarbon import __version__
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    tables = f"CodeCarbon {__version__}"
    code, data = country.strip().upper(), DataSource()
    if code == WORLD:
        average = data.get_carbon_intensity_per_source_data()["world_average"]
        return Grid(WORLD, float(average), f"world average of the IEA, 2019, as in {tables}")
    mixes = data.get_global_energy_mix_data()
    if code not in mixes:
        names = {mix["country_name"].upper(): known for known, mix in mixes.items()}
        near = [names.get(n, n) for n in get_close_matches(code, [*names, *mixes], n=1)] or [WORLD]
        raise OptionUnfit(f"country {country!r} has no grid intensity in {tables}", mend=f'country = "{near[0]}"')
    kilograms = Emissions(data).get_country_emissions(Energy.from_energy(kWh=1), GeoMetadata(code))
    name, year = mixes[code]["country_name"], mixes[code].get("year")
    return Grid(code, kilograms * 1000, f"{name}, {year}, Our World in Data, as in {tables}")


@contextmanager
def measure_energy(
    *, country: str = WORLD, interval_seconds: float = 10.0, device: str | None = None
) -> Iterator[EnergyUse]:
    """Measure, or else estimate, the electricity that the body of a `with` takes.

    Counters and loads are those of the whole machine: what others run at the same time is counted too. Nothing is
    written, nothing is sent, and settings of CodeCarbon in files or environment variables are not read, so that a
    number depends only on what is said here. Several may run at once. CodeCarbon's logger stays silent from then on.

    Args:
        country: whose grid, ISO 3166 alpha-3, or "WORLD" for the world average.
        interval_seconds: how often counters are read; RAPL's wrap round within minutes to an hour under load.
        device: what does the work, "cpu", "cuda" or "mps"; None: the GPU where torch has begun to use one.
    Yields: an EnergyUse, filled in at the end, also when the body raises.
    Raises: OptionUnfit when the country is unknown. A meter that cannot be set up is no error: energy is then None.
    """
    place = grid(country)
    use = EnergyUse(place.country, place.grams_per_kwh, place.source)
    tracker, problem = _start(place, interval_seconds)
    try:
        yield use
    finally:
        _finish(use, tracker, problem, device)


def _start(place: Grid, interval_seconds: float) -> tuple[Any, str | None]:
    """A running tracker, or None and why there is none."""
    _silence()
    from codecarbon import OfflineEmissionsTracker

    try:
        # Every setting that could reach the network, a file or the numbers is given: what is not given here would be
        # read from .codecarbon.config and CODECARBON_* variables. An empty token, unlike None, is taken as given.
        tracker: Any = OfflineEmissionsTracker(
            country_iso_code=None if place.country == WORLD else place.country,
            force_carbon_intensity_g_co2e_kwh=place.grams_per_kwh,
            region=None, cloud_provider=None, cloud_region=None, country_2letter_iso_code=None,
            electricitymaps_api_token="", emissions_endpoint=None, output_methods=[], output_handlers=[],
            output_dir=tempfile.gettempdir(), allow_multiple_runs=True, log_level="critical", logger_preamble="",
            tracking_mode="machine", measure_power_secs=interval_seconds, force_cpu_power=None, force_ram_power=None,
            force_mode_cpu_load=False, rapl_include_dram=False, rapl_prefer_psys=False, pue=1.0, wue=0.0,
            metadata=None, project_name="aboveboard", gpu_ids=None,
        )  # fmt: skip
        # A task, not start() and stop(): they skip the last reading where it comes within 50 ms, so that a short run
        # would take no energy at all.
        tracker.start_task("aboveboard")
        # start_task pauses the periodic readings; without them counters wrap round unseen in a long run.
        tracker._scheduler.start()
    except Exception as error:  # whatever a driver raises: a run is not lost because its meter is
        return None, f"the energy meter could not be started: {type(error).__name__}: {error}"
    return tracker, None


def _finish(use: EnergyUse, tracker: Any, problem: str | None, device: str | None) -> None:
    if tracker is None:
        use.reason = problem
        return
    try:
        tracker._scheduler.stop()
        data = tracker.stop_task()
        tracker.stop()
    except Exception as error:  # as above
        use.reason = f"the energy meter could not be read: {type(error).__name__}: {error}"
        return
    use.energy_kwh, use.seconds = float(data.energy_consumed), float(data.duration)
    use.emissions_kg = use.energy_kwh * use.grid_intensity_g_per_kwh / 1000
    parts = {"cpu": float(data.cpu_energy), "gpu": float(data.gpu_energy), "ram": float(data.ram_energy)}
    use.parts_kwh, use.reason = parts, None
    counted, use.detail = describe_hardware(tracker._hardware, parts)
    worked = "gpu" if (device or _device_in_use()).startswith(("cuda", "mps")) else "cpu"
    use.counted = sorted(counted)
    use.method = "measured" if worked in counted else "estimated"


def describe_hardware(hardware: Sequence[Any], parts_kwh: dict[str, float]) -> tuple[set[str], str]:
    """How CodeCarbon got each part's energy.

    Args:
        hardware: the tracker's list of parts.
        parts_kwh: what it reported for each: a counter that was set up but gave nothing was not read.
    Returns: the parts read from a counter, of {"cpu", "gpu"}; and all parts in words.
    """
    counted: set[str] = set()
    words: list[str] = []
    for part in hardware:
        kind = type(part).__name__
        if kind == "CPU":
            counter = COUNTERS.get(part._mode)
            if counter and parts_kwh["cpu"] > 0:
                counted.add("cpu")
                words.append(f"CPU {part._model}: {counter} counter")
            else:
                how = "by its load" if part._mode == "cpu_load" else "at half of it"
                words.append(f"CPU {part._model}: estimated {how} from {_constant(part)}")
        elif kind == "GPU":
            devices = part.devices.devices
            names = ", ".join(str(d._gpu_name) for d in devices)
            if parts_kwh["gpu"] > 0 and all(d._has_counter and not d._use_power_fallback for d in devices):
                counted.add("gpu")
                words.append(f"GPU {names}: energy counter of its driver")
            else:
                words.append(f"GPU {names}: estimated from samples of its power")
        elif kind == "AppleSiliconChip":
            name = part.chip_part.lower()
            if parts_kwh.get(name, 0) > 0:
                counted.add(name)
            words.append(f"{part.chip_part} {part._model}: powermetrics")
        elif kind == "RAM":
            words.append(f"RAM {part.machine_memory_GB:.0f} GB: estimated, a constant {part.total_power().W:.0f} W")
        else:
            words.append(f"{kind}: estimated from samples of its power")
    if _virtual():
        words.append("a virtual machine: estimates know neither the host's processor nor its other guests")
    return counted, "; ".join(words)


def _constant(part: Any) -> str:
    """Where the watts of an estimated processor come from."""
    from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE
    from codecarbon.core.util import count_cpus

    if part._tdp == DEFAULT_POWER_PER_CORE * count_cpus():
        return f"{part._tdp} W ({DEFAULT_POWER_PER_CORE} W a thread, as this model is not in CodeCarbon's table)"
    return f"{part._tdp} W (its thermal design power in CodeCarbon's table)"


def _device_in_use() -> str:
    """The device that torch has touched in this process; torch is not imported for the question."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "cpu"
    return "cuda" if torch.cuda.is_initialized() and torch.cuda.memory_allocated() > 0 else "cpu"


def _virtual() -> bool:
    """Whether the processor says that it is a guest's (Linux on x86 only; elsewhere nobody says)."""
    if platform.system() != "Linux":
        return False
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    return "hypervisor" in next((line for line in lines if line.startswith("flags")), "").split()


# CodeCarbon is imported inside functions: it takes a third of a second, which a light command should not pay.


def _silence() -> None:
    """CodeCarbon writes to stderr as soon as it is imported; what matters of it stands in `EnergyUse`."""
    logging.getLogger("codecarbon").disabled = True
