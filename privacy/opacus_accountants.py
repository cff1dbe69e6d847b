"""Opacus' accountants without the rest of Opacus: an answer from a few numbers should not wait for torch.

`opacus.accountants` needs numpy and scipy alone, but its package imports models, optimizers and torch, which takes
seconds. Where torch is not there yet, the accountants are imported with stand-ins for what they never call, and every
trace of that is taken away again, so that a training that follows imports the whole Opacus.
"""

from __future__ import annotations

import sys
from functools import cache, lru_cache
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
        package = _stand_in("opacus", __path__=list(spec.submodule_search_locations or ()) if spec is not None else [])
        made = [
            package,
            _stand_in("opacus.optimizers", DPOptimizer=object),  # named in annotations, never made
            _stand_in("opacus.accountants.gdp", GaussianAccountant=object),  # another accountant, with scipy.stats
        ]
        if "scipy.signal" not in sys.modules:
            made.append(_stand_in("scipy.signal", convolve=_convolve))
        sys.modules.update({module.__name__: module for module in made})
        try:
            return _found()
        finally:
            imported = {name for name in sys.modules if name.startswith("opacus.")}
            for name in imported | {module.__name__ for module in made}:
                del sys.modules[name]


def _stand_in(name: str, **holds: Any) -> ModuleType:
    module = ModuleType(name)
    for attribute, value in holds.items():
        setattr(module, attribute, value)
    return module


def _convolve(*arguments: Any, **options: Any) -> Any:
    """`scipy.signal.convolve`, imported when phases of different noise are composed: it takes half a second."""
    return import_module("scipy.signal").convolve(*arguments, **options)


def _found() -> Accountants:
    module = import_module("opacus.accountants")
    orders: Any = import_module("opacus.accountants.analysis.rdp")
    if not hasattr(orders._compute_rdp, "cache_info"):  # a pure function of three numbers, asked for the same again
        orders._compute_rdp = lru_cache(maxsize=10_000)(orders._compute_rdp)
    return Accountants(module.PRVAccountant, module.RDPAccountant)
