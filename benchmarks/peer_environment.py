"""A virtual environment of a peer's own, so that its pins touch nothing of ours: made once, kept in the user's cache.

TextAttack 0.3.11 needs transformers 4 (its flair does), and pip alone does not come to an end resolving it: `uv pip
compile` resolves, CUDA's packages are dropped, and pip installs what is left.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import platformdirs

NOT_NEEDED = re.compile(r"(nvidia-|cuda-|triton|torch==|#|\s)")


class NotInstallable(Exception):
    """Why there is no such environment, in a line."""


def peer_python(name: str, requirements: Sequence[str], *, check: str) -> Path:
    """The interpreter of an environment that holds some packages, beside this one's version of torch.

    Args:
        name: of the environment, such as "textattack-0.3.11".
        requirements: what is asked for.
        check: a statement that works when it is there.
    Raises: NotInstallable.
    """
    folder = Path(platformdirs.user_cache_dir("aboveboard", appauthor=False)) / "peers" / name
    python = folder / "bin" / "python"
    if _works(python, check):
        return python
    try:
        _call([sys.executable, "-m", "venv", "--clear", str(folder)])
        _call([str(python), "-m", "pip", "install", "-q", "uv"])
        (folder / "asked.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
        resolved = _call(
            [str(folder / "bin" / "uv"), "pip", "compile", "-q", "--no-annotate", str(folder / "asked.txt")]
        )
        kept = [line for line in resolved.splitlines() if line and not NOT_NEEDED.match(line)]
        torch = version("torch").partition("+")[0]
        (folder / "kept.txt").write_text("\n".join([*kept, f"torch=={torch}"]) + "\n", encoding="utf-8")
        _call([str(python), "-m", "pip", "install", "-q", "--no-deps", "-r", str(folder / "kept.txt")])
    except (subprocess.SubprocessError, OSError) as error:
        raise NotInstallable(f"{name} could not be installed: {_last_line(error)}") from error
    if not _works(python, check):
        raise NotInstallable(f"{name} was installed, and `{check}` does not work there")
    return python


def _works(python: Path, check: str) -> bool:
    return (
        python.is_file()
        and subprocess.run([str(python), "-c", check], capture_output=True, check=False).returncode == 0
    )


def _call(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800).stdout


def _last_line(error: Exception) -> str:
    said = str(getattr(error, "stderr", "") or error).strip().splitlines()
    return said[-1] if said else type(error).__name__
