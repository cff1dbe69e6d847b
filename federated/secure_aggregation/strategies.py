"""Which strategies go with secure aggregation: those that need nothing but the weighted mean of the updates."""

from __future__ import annotations

from core_model.errors import OptionUnfit

NEED_SINGLE_UPDATES = {
    "fedmedian": "the median of each parameter is taken over the single updates",
    "krum": "Krum compares the distances between single updates",
    "multi-krum": "Multi-Krum compares the distances between single updates",
    "bulyan": "Bulyan compares the distances between single updates",
    "trimmed-mean": "the largest and smallest single values of each parameter are cut off",
    "qfedavg": "every client's own loss weighs its own update, after it was seen",
}


def refuse_strategy(name: str) -> None:
    """Raises: OptionUnfit when the strategy must see single updates, which secure aggregation hides."""
    if name in NEED_SINGLE_UPDATES:
        raise OptionUnfit(
            f"--strategy {name} cannot go with --secure: {NEED_SINGLE_UPDATES[name]}, and the server sees their sum "
            "alone",
            mend="--strategy fedavg, fedprox or fedadam; or leave --secure out, and keep robustness without secrecy",
        )
