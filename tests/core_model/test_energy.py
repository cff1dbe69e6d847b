"""Promises of the energy meter: it counts short work, says how it knows, and leaves nothing behind."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from core_model import energy
from core_model.energy import EnergyUse, describe_hardware, grid, measure_energy
from core_model.errors import OptionUnfit


def work(rounds: int = 20_000) -> int:
    return sum(i * i for i in range(rounds))


@pytest.fixture(scope="module", autouse=True)
def probed() -> None:
    """CodeCarbon looks at the machine once a process, for seconds; no single test should pay for it."""
    with measure_energy():
        pass


def test_a_run_of_milliseconds_takes_energy() -> None:
    with measure_energy(country="DEU") as use:
        work()
    assert use.energy_kwh is not None and use.energy_kwh > 0
    assert use.seconds < 5
    assert use.reason is None


def test_longer_work_takes_more_energy() -> None:
    with measure_energy() as short:
        work(10_000)
    with measure_energy() as long:
        work(3_000_000)
    assert long.energy_kwh > 3 * short.energy_kwh


def test_parts_add_up_to_the_whole() -> None:
    with measure_energy() as use:
        work()
    assert sum(use.parts_kwh.values()) == pytest.approx(use.energy_kwh)


def test_emissions_are_energy_times_the_grid() -> None:
    with measure_energy(country="DEU") as use:
        work()
    assert use.emissions_kg == pytest.approx(use.energy_kwh * use.grid_intensity_g_per_kwh / 1000)


def test_the_watts_are_those_of_the_constants_that_it_names() -> None:
    """Energy over time lies between the constants of an idle and of a busy machine."""
    with measure_energy() as use:
        threading.Event().wait(1.5)  # the meter's own start and stop, slow on a busy machine, are a small part of it
    if use.method == "measured":
        pytest.skip("this machine has a counter")
    memory_watts = float(use.detail.split("a constant ")[1].split(" W")[0])
    assert use.parts_kwh["ram"] * 3.6e6 / use.seconds == pytest.approx(memory_watts, rel=0.1)


def test_periodic_readings_add_up_to_the_same_total() -> None:
    """Many readings in one run, as in a training of hours, give the constant memory power once and not twice."""
    with measure_energy(interval_seconds=0.05) as use:
        threading.Event().wait(1.5)
    memory_watts = float(use.detail.split("a constant ")[1].split(" W")[0])
    assert use.parts_kwh["ram"] * 3.6e6 / use.seconds == pytest.approx(memory_watts, rel=0.1)


def test_two_meters_run_at_once() -> None:
    with measure_energy() as outer, measure_energy() as inner:
        work()
    assert inner.energy_kwh > 0 and outer.energy_kwh > 0


def test_energy_of_work_that_crashed_is_known() -> None:
    with pytest.raises(ZeroDivisionError), measure_energy() as use:
        1 / 0  # noqa: B018
    assert use.energy_kwh > 0


def test_nothing_is_written_sent_or_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even where a configuration of CodeCarbon asks for all of it."""
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nemissions_endpoint=http://127.0.0.1:9\nsave_to_api=true\noutput_methods=csv,api\n"
        "co2_signal_api_token=secret\nelectricitymaps_api_token=secret\npue=1000\nlog_level=debug\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODECARBON_ALLOW_MULTIPLE_RUNS", "false")
    monkeypatch.setenv("CODECARBON_FORCE_RAM_POWER", "100000")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket or a lock file was opened")

    monkeypatch.setattr("codecarbon.emissions_tracker.Lock", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with measure_energy(country="FRA") as use:
        work()
    assert use.energy_kwh > 0 and use.reason is None
    assert use.energy_kwh * 3.6e6 / use.seconds < 5_000  # watts: the configured factor and power were not applied
    assert [p.name for p in tmp_path.iterdir()] == [".codecarbon.config"]
    said = capfd.readouterr()
    assert said.out == "" and said.err == ""


def test_a_meter_that_cannot_start_is_a_reason_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("driver gone")

    monkeypatch.setattr("codecarbon.OfflineEmissionsTracker", broken)
    with measure_energy() as use:
        work()
    assert use.energy_kwh is None and use.emissions_kg is None
    assert "driver gone" in use.reason


def test_before_the_end_there_is_no_number() -> None:
    with measure_energy() as use:
        assert use.energy_kwh is None and use.reason


def test_grid_of_a_country_is_the_figure_of_the_table() -> None:
    """380.95 g/kWh for Germany and 475 for the world: read in CodeCarbon 3.3.2's data files."""
    assert grid("DEU").grams_per_kwh == pytest.approx(380.95)
    assert grid("deu").country == "DEU"
    assert grid("WORLD").grams_per_kwh == 475
    assert "2023" in grid("DEU").source


def test_an_unknown_country_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(OptionUnfit) as caught:
        grid("Germny")
    assert "'Germny'" in str(caught.value) and '"DEU"' in caught.value.mend


def part(kind: str, **facts: object) -> object:
    return type(kind, (SimpleNamespace,), {})(**facts)


@pytest.mark.parametrize(
    ("mode", "cpu_kwh", "counted"),
    [("intel_rapl", 1e-6, {"cpu"}), ("intel_rapl", 0.0, set()), ("cpu_load", 1e-6, set()), ("constant", 1e-6, set())],
)
def test_measured_means_that_the_processors_counter_gave_something(
    mode: str, cpu_kwh: float, counted: set[str]
) -> None:
    found, words = describe_hardware(
        [part("CPU", _mode=mode, _model="X", _tdp=65)], {"cpu": cpu_kwh, "gpu": 0.0, "ram": 0.0}
    )
    assert found == counted
    assert ("counter" in words) == bool(counted)


def test_an_accelerator_whose_counter_failed_is_estimated() -> None:
    def gpu(**facts: bool) -> object:
        device = SimpleNamespace(_gpu_name="H", **facts)
        return part("GPU", devices=SimpleNamespace(devices=[device]))

    kwh = {"cpu": 1e-6, "gpu": 1e-6, "ram": 0.0}
    assert describe_hardware([gpu(_has_counter=True, _use_power_fallback=False)], kwh)[0] == {"gpu"}
    assert describe_hardware([gpu(_has_counter=True, _use_power_fallback=True)], kwh)[0] == set()


def test_a_counter_of_the_idle_accelerator_does_not_make_the_processors_work_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(energy, "describe_hardware", lambda *_: ({"gpu"}, "GPU counted, CPU by its load"))
    with measure_energy(device="cpu") as on_cpu:
        work()
    with measure_energy(device="cuda:0") as on_gpu:
        work()
    assert (on_cpu.method, on_gpu.method) == ("estimated", "measured")


def test_the_result_goes_into_a_json_record() -> None:
    import json

    with measure_energy() as use:
        work()
    again = EnergyUse(**json.loads(json.dumps(use.as_dict())))
    assert again == use
