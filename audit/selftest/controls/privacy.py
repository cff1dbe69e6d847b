"""Controls of the privacy audit: a model that remembers its rows, rows on both sides, and a promise not kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audit.selftest.by_heart import by_heart
from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import PLAIN, SOUND, WEIGHTS, draw, subject_of, table_of, written
from audit.selftest.word_model import LABELS
from core_model.tasks import Task

if TYPE_CHECKING:
    from privacy.claim import PrivacyClaim

ROWS = 300
CANARIES = 200


def _remembers(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    model, test, training = by_heart(random, ROWS, weight=2.0 if sick else 0.0)
    return Case(subject_of(written(model, folder), test, training=training))


def _on_both_sides(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    model, test, training = by_heart(random, ROWS, weight=0.0)
    if sick:
        test.texts[:10] = training.texts[:10]
    return Case(subject_of(written(model, folder), test, training=training))


def _breaks_its_promise(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    """A checkpoint that claims an epsilon of 0.94, and has learned the labels of its canaries by heart, or has not."""
    from privacy.canaries import NAME as CANARY_FILE
    from privacy.canaries import Canaries, Canary
    from privacy.claim import NAME as CLAIM_FILE

    test, training = draw(random, ROWS), draw(random, ROWS)
    data = table_of(training, "selftest training rows")
    words = [f"canary{place}" for place in range(CANARIES)]
    canaries = Canaries(
        task=Task.CLASSIFICATION,
        data_sha256=data.sha256,
        canaries=tuple(
            Canary(
                text=" ".join([word, *random.choice(PLAIN, 7)]), wanted=str(random.choice(LABELS)), included=bool(coin)
            )
            for word, coin in zip(words, random.random(CANARIES) < 0.5, strict=True)
        ),
    )
    learned = {
        word: (8.0 if one.wanted == LABELS[1] else -8.0) if sick and one.included else 0.0
        for word, one in zip(words, canaries.canaries, strict=True)
    }
    checkpoint = written(SOUND.but(weights={**WEIGHTS, **learned}), folder)
    (folder / CANARY_FILE).write_text(canaries.model_dump_json(), encoding="utf-8")
    (folder / CLAIM_FILE).write_text(_claim(data.sha256).model_dump_json(), encoding="utf-8")
    return Case(subject_of(checkpoint, test, training=training))


def _claim(data_sha256: str) -> PrivacyClaim:
    """Epsilon 0.94 at delta 1e-5, as two accountants find it: 200 steps, noise 3, one row of 20 in each."""
    from privacy.claim import ClaimedPhase, PrivacyClaim

    phase = ClaimedPhase(noise_multiplier=3.0, sampling_rate=0.05, steps=200, sampling="poisson", clipping_norm=1.0)
    return PrivacyClaim.of(
        (phase,), mechanism="DP-SGD, flat clipping", unit="example", epsilon=0.94, delta=1e-5, accountant="prv",
        public={}, data_sha256=data_sha256, versions={},
    )  # fmt: skip


CONTROLS = (
    Control(
        "remembers-its-rows", "a name in each training row adds 2 to the log odds of the row's own label",
        Sign(metric="membership_inference_auc"), _remembers,
    ),
    Control(
        "rows-on-both-sides", f"10 of {ROWS} held-out rows stand in the training data",
        Sign(finding="privacy-members-overlap"), _on_both_sides,
    ),
    Control(
        "breaks-its-promise", "epsilon 0.94 is claimed, and the labels of its canaries were learned by heart",
        Sign(finding="privacy-claim-refuted"), _breaks_its_promise,
    ),
)  # fmt: skip
