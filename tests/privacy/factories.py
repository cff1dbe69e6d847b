"""A claim and a training record that fit each other, to be changed at will."""

from __future__ import annotations

import json
from typing import Any

from privacy.claim import ClaimedPhase, PrivacyClaim

PHASE = ClaimedPhase(noise_multiplier=1.0, sampling_rate=0.02, steps=1000, sampling="poisson", clipping_norm=1.0)


def claim(*phases: ClaimedPhase, **changed: Any) -> PrivacyClaim:
    """A claim of epsilon 3.90 at 1e-5: DP-SGD, 1,000 steps of noise 1 at rate 0.02 (or other phases)."""
    fields: dict[str, Any] = {
        "mechanism": "DP-SGD, flat clipping", "unit": "example", "epsilon": 3.9, "delta": 1e-5, "accountant": "prv",
        "public": {"base": "b" * 64, "tokenizer": "c" * 64}, "data_sha256": "d" * 64, "model_sha256": "e" * 64,
        "versions": {"opacus": "1.6.0"},
    }  # fmt: skip
    return PrivacyClaim.of(phases or (PHASE,), **{**fields, **changed})


def record(**changed: Any) -> dict[str, Any]:
    """The parts of `training_record.json` that bear out `claim()`."""
    ledger = json.loads(claim().ledger().to_json())
    private = {"ledger": ledger, "clipping_norm": 1.0, "unit": "example", "search": "none on this data"}
    fields: dict[str, Any] = {
        "data": {"sha256": "d" * 64, "rows": 50_000}, "model_sha256": "e" * 64, "steps": 1000, "privacy": private,
    }  # fmt: skip
    return {**fields, **changed}
