"""A session of ONNX Runtime: on the CPU, from one verified file, with nothing that a folder could bring along.

No library of operators is registered, no other provider is asked, and telemetry (which its builds for Windows send) is
off before anything is opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core_model.errors import CheckpointDamaged, OptionUnfit

INSTALL = "pip install 'aboveboard[onnx]'"


def require_packages(names: Iterable[str], *, what: str) -> None:
    """Refuse before any work where a package is missing.

    Args:
        what: what needs it, as the beginning of a sentence.
    Raises: OptionUnfit, with the command that installs them.
    """
    for name in names:
        try:
            __import__(name)
        except ImportError:
            raise OptionUnfit(f"{what} needs the package {name}, which is not installed", mend=INSTALL) from None


def open_session(path: Path, *, threads: int) -> Any:
    """An `onnxruntime.InferenceSession`, every optimization of the graph on.

    Args:
        threads: of one operator; operators follow each other.
    Raises: CheckpointDamaged when ONNX Runtime cannot hold the graph.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its kinds of error share no base but this
        raise CheckpointDamaged(
            f"{path}: ONNX Runtime {onnxruntime.__version__} cannot hold the graph: {short(error)}",
            mend="export it again, with operators of ONNX itself: aboveboard export CHECKPOINT --data FILE --out DIR",
        ) from None


def short(error: Exception) -> str:
    """The first line of what another library said."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
