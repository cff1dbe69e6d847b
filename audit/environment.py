"""Where a run takes place: everything about the machine and its software that could move a number."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from reports.record import Environment, Tool

PACKAGES = (
    "torch", "transformers", "tokenizers", "datasets", "numpy", "scipy", "pandas", "scikit-learn", "statsmodels",
    "fairlearn", "codecarbon", "datasketch", "safetensors",
)  # fmt: skip

GRAPH_PACKAGES = ("onnx", "onnxruntime")


def tool() -> Tool:
    """This program and its version."""
    return Tool(version=version("aboveboard"))


def environment(*, seed: int, profile: str, threads: int | None = None, graph: bool = False) -> Environment:
    """The environment of a run that starts now; `graph`: of an exported graph, which ONNX Runtime runs on the CPU."""
    import torch

    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=package_versions((*PACKAGES, *GRAPH_PACKAGES) if graph else PACKAGES),
        hardware=processor(),
        device="cuda" if torch.cuda.is_available() and not graph else "cpu",
        threads=threads or torch.get_num_threads(),
        seed=seed,
        profile=profile,
    )


def package_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions; a package that is not installed is left out."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def processor() -> str:
    """The processor's name and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if sys.platform == "linux" and cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"
