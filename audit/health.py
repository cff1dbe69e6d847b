"""What an audit needs of a machine, looked at one by one. Each line that is not well carries its mend."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from audit.environment import processor
from core_model.errors import BadInput

GIGABYTE = 1024**3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. What is not `needed` is worth knowing and stops nothing."""

    name: str
    ok: bool
    found: str
    mend: str = ""
    needed: bool = True


def checks() -> Iterator[Check]:
    """Everything worth knowing before a run."""
    yield Check("Python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer")
    yield from _packages()
    yield _device()
    yield _memory()
    yield _disk()
    yield _cache()
    yield _counters()
    yield _browser()
    yield _audits()
    yield _embedded()
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
    yield Check(
        "hub", True, "HF_HUB_OFFLINE is set: only local folders and caches" if offline else "hub ids are looked up"
    )


def _packages() -> Iterator[Check]:
    for name in ("torch", "transformers", "datasets", "fairlearn", "codecarbon", "altair", "vl-convert-python"):
        try:
            yield Check(name, True, version(name))
        except PackageNotFoundError:
            yield Check(name, False, "not installed", f"pip install -c constraints.txt {name}")


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("device", True, f"{torch.cuda.get_device_name()} and {processor()}")
    return Check("device", True, f"{processor()}, {torch.get_num_threads()} threads; no accelerator")


def _memory() -> Check:
    import psutil

    free = psutil.virtual_memory().available / GIGABYTE
    return Check(
        "memory", free > 2, f"{free:.1f} GiB available", "close other programs; a small encoder needs about 2 GiB"
    )


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / GIGABYTE
    return Check("disk", free > 1, f"{free:.1f} GiB free here", "make room, or work in another folder")


def _cache() -> Check:
    import platformdirs

    folder = Path(os.environ.get("ABOVEBOARD_CACHE_DIR") or platformdirs.user_cache_dir("aboveboard"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Check(
            "cache", False, f"{folder}: {error.strerror}", "set ABOVEBOARD_CACHE_DIR to a folder of yours", needed=False
        )
    return Check("cache", True, str(folder))


def _counters() -> Check:
    energy = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
    readable = energy.exists() and os.access(energy, os.R_OK)
    found = "RAPL can be read: energy is measured" if readable else "no counter can be read: energy is estimated"
    return Check(
        "energy counter",
        readable,
        found,
        f"sudo chmod -R a+r {energy.parent} (where the machine has RAPL)",
        needed=False,
    )


def _browser() -> Check:
    found = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    return Check("browser for tests", found is not None, found or "none", "apt-get install chromium", needed=False)


def _audits() -> Check:
    from audit.registry import installed

    registry = installed()
    broken = "; ".join(f"{b.id}: {b.reason}" for b in registry.broken)
    mend = f"upgrade or uninstall {', '.join(b.distribution for b in registry.broken)}"
    return Check("audits", not broken, broken or ", ".join(registry.ids), mend)


def _embedded() -> Check:
    from core_model.embedded import locate_encoder

    try:
        return Check("embedded default", True, str(locate_encoder()))
    except BadInput as error:
        return Check("embedded default", False, error.found, error.mend, needed=False)
