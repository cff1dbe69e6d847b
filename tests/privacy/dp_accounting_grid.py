"""Writes `dp_accounting_grid.json`: epsilons by Google's dp-accounting, an independent implementation.

Run once, in an environment with dp-accounting 0.6.0 (it wants attrs < 24, so it may need one of its own):
    python tests/privacy/dp_accounting_grid.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")
HISTORIES: list[tuple[list[tuple[float, float, int]], float]] = [  # [(noise, rate, steps)], delta
    ([(1.0, 0.02, 1000)], 1e-5),
    ([(1.0, 0.02, 50)], 1e-5),
    ([(0.6, 0.0032, 937)], 1e-5),
    ([(0.45, 0.0032, 937)], 1e-5),
    ([(1.1, 0.0042666, 3516)], 1e-5),  # 256 of 60,000, 15 epochs: MNIST in TensorFlow Privacy's tutorial
    ([(1.0, 0.01, 1000)], 1e-5),
    ([(1.0, 0.01, 1000)], 1e-8),
    ([(2.0, 0.05, 200)], 1e-6),
    ([(4.0, 0.2, 500)], 1e-6),
    ([(0.7, 0.1, 98)], 1e-2),
    ([(4.0, 0.5, 20)], 1e-5),
    ([(1.0, 1.0, 1)], 1e-5),
    ([(5.0, 1.0, 10)], 1e-5),
    ([(3.0, 1.0, 1)], 1e-7),
    ([(1.0, 0.02, 300), (1.5, 0.02, 300)], 1e-5),
    ([(0.8, 0.005, 400), (1.2, 0.01, 400), (2.0, 0.05, 100)], 1e-6),
    ([(1.0, 0.02, 100), (4.0, 1.0, 2)], 1e-5),
]


def epsilons(history: Sequence[tuple[float, float, int]], delta: float) -> dict[str, float]:
    """Epsilon of a history by privacy loss distributions and by Renyi differential privacy."""
    import dp_accounting
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    answers = {}
    for name, accountant in (("pld", PLDAccountant()), ("rdp", RdpAccountant())):
        for noise, rate, steps in history:
            release = dp_accounting.GaussianDpEvent(noise)
            accountant.compose(release if rate == 1 else dp_accounting.PoissonSampledDpEvent(rate, release), steps)
        answers[name] = float(accountant.get_epsilon(delta))
    return answers


if __name__ == "__main__":
    rows = [{"history": history, "delta": delta, **epsilons(history, delta)} for history, delta in HISTORIES]
    FILE.write_text(json.dumps({"by": f"dp-accounting {version('dp-accounting')}", "rows": rows}, indent=1) + "\n")
