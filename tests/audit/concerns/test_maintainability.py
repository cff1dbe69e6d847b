"""Promises of the maintainability audit: what a version lost is counted as by hand; libraries are heard. Synthetic."""

from __future__ import annotations

import logging
import warnings
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from audit.concerns.maintainability import MaintainabilityOptions, flips, maintainability
from audit.concerns.maintainability.flips import Versions, flip_lines
from audit.plugin import plugin_of
from audit.selftest.texts import GOOD, SOUND, WEIGHTS, draw, table_of, written
from audit.subject import Subject
from core_model import loading_notices
from core_model.prediction import Predictor
from reports.record import Severity, Verdict

ROWS = 240


@lru_cache
def versions() -> dict[str, object]:
    """A sound model, and one that no longer knows the good words."""
    folder = Path(mkdtemp(prefix="aboveboard-versions-"))
    forgetful = SOUND.but(weights={**WEIGHTS, **dict.fromkeys(GOOD, 0.0)})
    return {"sound": written(SOUND, folder / "sound"), "forgetful": written(forgetful, folder / "forgetful")}


def run(now: str, before: str | None, **options):
    rows = draw(np.random.default_rng(4), ROWS)
    groups = {"half": np.where(np.arange(ROWS) % 2 == 0, "even", "odd").tolist()}
    subject = Subject(
        checkpoint=versions()[now],
        data=table_of(rows, "rows", groups),
        predictor=Predictor(versions()[now]),
        reference=None if before is None else versions()[before],
    )
    narrowed = subject.narrowed(plugin_of(maintainability))
    return maintainability(narrowed, MaintainabilityOptions(**options), np.random.default_rng(0)), subject


def one(evidence, name, **part):
    [found] = [line for line in evidence.metrics if line.name == name and line.slice == part]
    return found


def test_lost_and_won_rows_are_those_of_a_loop():
    evidence, subject = run("forgetful", "sound", max_negative_flips=0.05)
    before = Predictor(versions()["sound"]).predict(subject.texts).predicted
    lost = won = other = right = 0
    for then, now, truth in zip(before, subject.predictions.predicted, subject.targets, strict=True):
        other += then != now
        lost += then == truth and now != truth
        won += then != truth and now == truth
        right += then == truth
    assert lost > 20
    wrong_now = np.mean(subject.predictions.predicted != subject.targets)
    expected = {
        "churn": other / ROWS, "negative_flip_rate": lost / ROWS, "positive_flip_rate": won / ROWS,
        "backward_trust_compatibility": 1 - lost / right, "accuracy_change": (won - lost) / ROWS,
        "relative_negative_flip_rate": lost / ROWS / (right / ROWS * wrong_now),
    }  # fmt: skip
    for name, value in expected.items():
        line = one(evidence, name)
        assert line.value == pytest.approx(value), name
        assert line.interval[0] <= line.value <= line.interval[1]
    assert one(evidence, "negative_flip_rate").verdict is Verdict.FAIL
    [finding] = [found for found in evidence.findings if found.id.endswith("negative-flips")]
    assert finding.severity is Severity.HIGH and finding.examples_total == lost
    assert "--base PREVIOUS" in finding.mitigation.command
    groups = [one(evidence, "negative_flip_rate", half=half) for half in ("even", "odd")]
    assert sum(line.value * line.n for line in groups) == pytest.approx(lost)


def test_the_same_version_again_loses_nothing_and_is_not_accused():
    evidence, _ = run("sound", "sound", max_negative_flips=0.05)
    line = one(evidence, "negative_flip_rate")
    assert (line.value, line.verdict) == (0.0, Verdict.PASS)
    assert one(evidence, "churn").value == 0 and not evidence.findings


def test_independent_errors_give_a_relative_rate_of_one():
    """Simulated: two models that err independently; the interval holds 1 about as often as it says."""
    random, held = np.random.default_rng(1), 0
    for _ in range(200):
        both = Versions(before=random.random(400) < 0.8, now=random.random(400) < 0.7)
        line = next(m for m in flip_lines(both, {}, random, limit=None) if m.name == "relative_negative_flip_rate")
        held += line.interval[0] <= 1 <= line.interval[1]
    assert 0.91 <= held / 200 <= 0.99


def test_without_a_version_before_it_says_which_flag_gives_one():
    evidence, _ = run("sound", None)
    for name in ("churn", "negative_flip_rate", "accuracy_change"):
        line = one(evidence, name)
        assert line.value is None and "--reference" in line.reason
    assert one(evidence, "loading_notices", kind="deprecation").value == 0


def test_a_group_of_few_rows_has_no_rate():
    rows = np.array([True] * 60)
    groups = {"g": np.array(["a"] * 55 + ["b"] * 5)}
    lines = flip_lines(Versions(other=~rows, before=rows, now=rows), groups, np.random.default_rng(0), limit=None)
    small = next(line for line in lines if line.slice == {"g": "b"})
    assert small.value is None and str(flips.FEWEST_ROWS) in small.reason


def test_what_libraries_say_while_opening_is_heard_and_not_printed(monkeypatch, capsys):
    real = loading_notices.load_plainly

    def talkative(checkpoint, folder):
        warnings.warn("`old_argument` is deprecated and will be removed in version 9", FutureWarning, stacklevel=1)
        warnings.warn("`old_argument` is deprecated and will be removed in version 9", FutureWarning, stacklevel=1)
        logging.getLogger("transformers.models.planted").warning("a guess was made")
        logging.getLogger("transformers").warning("`x` will be removed soon")
        return real(checkpoint, folder)

    monkeypatch.setattr(loading_notices, "load_plainly", talkative)
    handlers = logging.getLogger("transformers").handlers
    evidence, _ = run("sound", None)
    assert one(evidence, "loading_notices", kind="deprecation").value == 2
    assert one(evidence, "loading_notices", kind="warning").value == 1
    assert any(found.id == "maintainability-deprecations" for found in evidence.findings)
    assert logging.getLogger("transformers").handlers is handlers
    assert "removed" not in "".join(capsys.readouterr())


def test_a_folder_that_does_not_open_says_so(monkeypatch):
    monkeypatch.setattr(loading_notices, "load_plainly", lambda *_: (_ for _ in ()).throw(ValueError("planted")))
    evidence, _ = run("sound", None)
    line = one(evidence, "loading_notices", kind="warning")
    assert line.value is None and "ValueError" in line.reason
