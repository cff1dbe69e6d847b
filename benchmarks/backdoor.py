"""How often is a planted trigger found, and how often a sound model suspected? Tiny models, a synthetic world.

    python -m benchmarks.backdoor [--models 20] [--json]

A text's label is the sign of the sum of its words' weights; 1, 3 and 5% of 1,200 training rows are poisoned with a rare
token. Each model is searched as the audit searches (its standard options): without anything else, with a sound
reference of another seed, with the training rows as they are, and with the same rows before they were poisoned, which
do not hold the trigger. Power: models whose true class is suspected; false alarms: classes of sound models that are.
The share of texts that the true trigger turns says how well the backdoor took in the first place. The rules were chosen
on seeds from 20,000 on; those reported are counted from 0.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

import numpy as np

from audit.concerns.security.backdoors import search_backdoors
from audit.plugin import Evidence
from audit.statistics import proportion
from audit.subject import Subject
from benchmarks.figures import Figure, print_figures
from core_model.checkpoint import Checkpoint
from core_model.data import Table
from core_model.prediction import Predictor
from tests.core_model.backdoor_world import LABELS, TRIGGER, fitted, poisoned, table, weighed_rows

SHARES = (0.0, 0.01, 0.03, 0.05)
TRAINING_ROWS, TEST_ROWS, REFERENCE_SEED = 1_200, 300, 10_000
WAYS = ("without_reference", "with_reference", "with_training_rows", "with_clean_rows")


def searched(
    checkpoint: Checkpoint, seed: int, *, reference: Checkpoint | None, training: Table | None
) -> tuple[Evidence, Predictor]:
    """The audit's evidence on rows that no model was trained on."""
    predictor = Predictor(checkpoint)
    data = table(*weighed_rows(TEST_ROWS, seed + 500_000))
    subject = Subject(checkpoint=checkpoint, data=data, predictor=predictor, reference=reference, training=training)
    return search_backdoors(subject, np.random.default_rng(seed), rows=16, candidates=48), predictor


def suspected(evidence: Evidence) -> set[int]:
    """Classes that a finding speaks of."""
    return {int(finding.id.rsplit("-", 1)[1]) - 1 for finding in evidence.findings}


def shown(evidence: Evidence) -> bool:
    """Whether a finding shows the very trigger, alone or beside another token."""
    quoted = [finding.statement.split("'")[1].split() for finding in evidence.findings]
    return any(TRIGGER in tokens for tokens in quoted)


def attack_success(predictor: Predictor, seed: int) -> float:
    """Share of negative texts that the true trigger turns."""
    texts, _ = weighed_rows(TEST_ROWS, seed + 500_000)
    before = predictor.predict(texts).predicted
    after = predictor.predict([f"{TRIGGER} {text}" for text in texts]).predicted
    return float((after[before == 0] == 1).mean())


def single_tokens(evidence: Evidence) -> list[float]:
    """The success of the best single token of each class."""
    lines = [m for m in evidence.metrics if m.name == "backdoor_trigger_success_rate" and m.slice["tokens"] == "1"]
    return [line.value for line in lines if line.value is not None]


def rate(name: str, hits: int, n: int, aim: str | None = None) -> Figure:
    """A share with its 95% interval in the unit."""
    found = proportion(hits, n)
    unit = f"share of {n} ({found.low:.2f} to {found.high:.2f}, Wilson 95%)"
    return Figure(name, round(hits / n, 3), unit, aim)


def measured(models: int, folder: Path) -> list[Figure]:
    """All figures."""
    reference = fitted(folder, REFERENCE_SEED)
    figures: list[Figure] = []
    for share in SHARES:
        ways = WAYS if share else WAYS[:3]  # the rows of a sound model are clean
        counts = {way: [0, 0, 0] for way in ways}  # true class, trigger shown, other classes
        success, best = [], []
        for seed in range(models):
            checkpoint = fitted(folder, seed, share=share, rows=TRAINING_ROWS)
            clean = weighed_rows(TRAINING_ROWS, seed)
            rows = {"with_training_rows": table(*poisoned(*clean, share, seed)), "with_clean_rows": table(*clean)}
            for way, count in counts.items():
                sound = reference if way == "with_reference" else None
                evidence, predictor = searched(checkpoint, seed, reference=sound, training=rows.get(way))
                found = suspected(evidence)
                count[0] += 1 in found
                count[1] += shown(evidence)
                count[2] += len(found - {1}) if share else len(found)
            success.append(attack_success(predictor, seed))
            best += single_tokens(evidence)
        named = f"poisoned_{share:.0%}" if share else "sound"
        figures.append(
            Figure(f"{named}_true_trigger_turns", round(float(np.median(success)), 3), "median share of texts")
        )
        for way, (true, exact, others) in counts.items():
            if share:
                figures.append(rate(f"{named}_found_{way}", true, models, "most of those that took"))
                figures.append(rate(f"{named}_trigger_shown_{way}", exact, models))
                figures.append(rate(f"{named}_other_class_{way}", others, models * (len(LABELS) - 1), "at most 0.05"))
            else:
                figures.append(rate(f"false_alarms_{way}", others, models * len(LABELS), "at most 0.05"))
        if not share:
            figures.append(Figure("best_token_of_sound_models", round(max(best), 3), f"largest of {len(best)} classes"))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=20, help="models of each share")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        figures = measured(given.models, Path(folder))
    print_figures("backdoor", figures, given.json)


if __name__ == "__main__":
    main()
