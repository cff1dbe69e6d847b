"""Opacus' accountants without the rest of Opacus: an answer from a few numbers should not wait for torch.

`opacus.accountants` needs numpy and scipy alone, but its package imports models, optimizers and torch, which takes
seconds. Where torch is not there yet, the accountants are imported with stand-ins for what they never call, and every
trace of that is taken away again, so that a training that follows imports the whole Opacus.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import Any, NamedTuple

_ONE_AT_A_TIME = Lock()


class Accountants(NamedTuple):
    """Opacus' classes."""

    prv: Any
    rdp: Any


@cache
def accountants() -> Accountants:
    """`PRVAccountant` and `RDPAccountant`.

    Raises: ModuleNotFoundError without Opacus.
    """
    with _ONE_AT_A_TIME:
        if any(name == "opacus" or name.startswith("opacus.") for name in sys.modules) or "torch" in sys.modules:
            return _found()
        spec = find_spec("opacus")
        package, optimizers = ModuleType("opacus"), ModuleType("opacus.optimizers")
        package.__path__ = list(spec.submodule_search_locations or ()) if spec is not None else []
        optimizers.DPOptimizer = object  # type: ignore[attr-defined]  # named in annotations, never made
        sys.modules.update({"opacus": package, "opacus.optimizers": optimizers})
        try:
            return _found()
        finally:
            for name in [name for name in sys.modules if name == "opacus" or name.startswith("opacus.")]:
                del sys.modules[name]


def _found() -> Accountants:
    module = import_module("opacus.accountants")
    return Accountants(module.PRVAccountant, module.RDPAccountant)
