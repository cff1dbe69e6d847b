"""BLEU and chrF of a checkpoint on held-out rows, with intervals, kept as they come."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.translation_run import steps_of
from core_model.data import Table
from core_model.tasks import Task


@dataclass(frozen=True)
class Scored:
    """One metric of one checkpoint on one corpus.

    Attributes:
        low, high: at 95%; None where there is no interval, and `because` says why.
        seconds: it took to write the translations.
    """

    minutes: float
    corpus: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    because: str | None
    n: int
    beams: int
    steps: int
    seconds: float
    unit: str
    signature: str

    @property
    def said(self) -> str:
        """The number and how sure it is, in a line."""
        if self.value is None or self.low is None or self.high is None:
            value = "none" if self.value is None else f"{self.value:.1f}"
            return f"{self.metric} {value} (no interval: {self.because}), n={self.n:,}"
        return f"{self.metric} {self.value:.1f} [{self.low:.1f}, {self.high:.1f}], n={self.n:,}"


class ScoreBook:
    """A file of scores, one JSON object a line; what stands there already is not measured again."""

    def __init__(self, file: Path, tests: Mapping[str, Table], *, threads: int, say: Callable[[str], None]) -> None:
        self.file, self.tests, self.threads, self.say = file, tests, threads, say
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.scores = [Scored(**json.loads(line)) for line in lines]

    def has(self, minutes: float, beams: int = 1) -> bool:
        """Whether this mark is scored on every corpus."""
        known = {scored.corpus for scored in self.scores if (scored.minutes, scored.beams) == (minutes, beams)}
        return known == set(self.tests)

    def score(self, checkpoint: Path, minutes: float, *, rows: int | None, beams: int) -> None:
        """Translate `rows` rows of each corpus, evenly spread (None: all), and add the scores to the file."""
        if self.has(minutes, beams):
            return
        from audit.corpus_estimates import estimate
        from core_model.checkpoint import open_checkpoint
        from core_model.evaluation import evaluate
        from core_model.prediction import Predictor

        predictor = Predictor(open_checkpoint(checkpoint), threads=self.threads)
        for corpus, table in self.tests.items():
            step = 1 if rows is None else max(1, -(-table.rows // rows))
            chosen = table.select(np.arange(0, table.rows, step))
            begun = time.monotonic()
            metrics = evaluate(predictor, chosen, Task.TRANSLATION, beams=beams)
            seconds = time.monotonic() - begun
            for metric in metrics:
                found = estimate(metric, np.random.default_rng(0))
                scored = Scored(
                    minutes, corpus, metric.name, found.value, found.low, found.high, found.reason, len(metric), beams,
                    steps_of(checkpoint), round(seconds, 1), metric.unit, metric.signature,
                )  # fmt: skip
                self._keep(scored)
                self.say(f"minute {minutes:g}, {corpus}, beams {beams}: {scored.said}, {seconds:.0f} s")

    def _keep(self, scored: Scored) -> None:
        self.scores.append(scored)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(scored)) + "\n")
