"""What the mends against attacks gain, and what they cost: each beside a plain twin, on the same rows, paired.

    python -m benchmarks.hardening [--rows 1200] [--attacked 80] [--layers 3] [--keep FOLDER] [--json]

A classifier of RedditBias comments is trained (the first layers of MiniLM), and then goes on as findings advise:
`aboveboard train --base CHECKPOINT` with one more option. Its twins see the same rows as often, with the same seed, and
differ in that option alone; the plain twin has none. Then all are attacked on the same held-out comments under the
audit's own options. Told are: success of each attack, of the rows that are right before; its difference from the plain
twin's, on rows that both answer rightly; the difference of accuracy under attack, on all attacked rows; and the price,
the difference of accuracy on rows that nobody attacks, balanced accuracy beside it. Typing errors are noise and no
attack: accuracy is told with them, too (in 30% of the words, on the rows that nobody attacks), for that is what such
training is for. All differences are paired (Newcombe); below 0 is better for success, above 0 for accuracy. A twin that
is no better than the share of the larger class has learned nothing, and then withstands for nothing.

    normalized  `aboveboard normalize`, nothing trained      Unicode Technical Standard 39
    freelb      --adversarial freelb, at its default radius  Zhu et al. 2020, arXiv:1909.11764
    typos       --augment typos                              Belinkov and Bisk 2018, arXiv:1711.02173
    dropout     --augment token-dropout, rate 0.7            Iyyer et al. 2015
    smoothed    the same, asked by many looks at each text   Zeng et al. 2021, arXiv:2105.03743

The normalized twin is attacked by look-alike letters alone, the last two by letters alone. The smoothed one is asked on
fewer rows; that its answers provably stay when one word is replaced is told beside those of the plain twin, smoothed in
the same way.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from audit.concerns.security.attack_options import AttackOptions
from audit.statistics import Estimate, paired_shares, proportion
from benchmarks.figures import Figure, print_figures
from core_model.attacks.embedding_space import EmbeddedTexts, pgd
from core_model.attacks.lock_step import Classifier, Run, attack
from core_model.attacks.recipes import recipe
from core_model.attacks.word_gradients import word_gradients
from core_model.attacks.wordnet import wordnet_or_none
from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.data import Table, open_table
from core_model.embedded import LABEL_NAMES, locate_encoder, write_redditbias
from core_model.errors import BadInput
from core_model.input_normalization import normalize
from core_model.metrics import balanced_accuracy, confusion_counts
from core_model.noise import NOISES, noisy_texts
from core_model.prediction import Predictor
from core_model.smoothing import SmoothedClassifier, Smoothing
from core_model.training import train
from core_model.training_options import TrainingOptions

RADIUS, STEPS = TrainingOptions().adversarial_radius, 5  # of PGD, L2: the radius that FreeLB trains at
MENDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "normalized": {},
    "freelb": {"adversarial": "freelb"},
    "typos": {"augment": ("typos",)},
    "dropout": {"augment": ("token-dropout",), "token_dropout_rate": 0.7},
    "smoothed": {},
}
SAME_WEIGHTS = {"normalized": "plain", "smoothed": "dropout"}  # nothing is trained for these
WORDS = ("deepwordbug", "pwws", "look-alikes")
WORDS_OF = {"normalized": ("look-alikes",), "dropout": ("deepwordbug",), "smoothed": ("deepwordbug",)}
SICK, MORE = {"epochs": 3, "learning_rate": 2e-4}, {"epochs": 2, "learning_rate": 1e-4}
QUIET_ROWS = 600  # that nobody attacks: the price
TYPOS = 0.3  # of the words
SMOOTHED_ROWS, SMOOTHED_QUIET, PROVEN_ROWS = 80, 150, 60
LOOKS = Smoothing(looks=20, choosing=8)


@dataclass
class Twin:
    """One trained model and what the attacks did to it.

    Attributes:
        seconds: of training, CPU time.
        right: (quiet rows,) of bool, without any attack.
        before, after: attack -> (attacked rows,) of bool, whether the row is right before and after it.
        balanced: balanced accuracy without any attack.
        noisy: (quiet rows,) of bool, with typing errors; None where it was not asked.
        proven: (proven rows,) of bool, whether the smoothed answer is right whichever one word is replaced; None so.
    """

    seconds: float
    right: np.ndarray
    before: dict[str, np.ndarray] = field(default_factory=dict)
    after: dict[str, np.ndarray] = field(default_factory=dict)
    balanced: float | None = None
    noisy: np.ndarray | None = None
    proven: np.ndarray | None = None

    @property
    def said(self) -> str:
        """What became of it, in a line."""
        fell = (f"{name} {int((b & ~self.after[name]).sum())} of {int(b.sum())}" for name, b in self.before.items())
        return f"right {self.right.mean():.3f}, changed by " + ", ".join(fell)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1200, help="training rows")
    parser.add_argument("--attacked", type=int, default=80, help="held-out rows under attack")
    parser.add_argument("--layers", type=int, default=3, help="of MiniLM's six")
    parser.add_argument("--keep", type=Path, help="folder that keeps the twins, to audit and compare them")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = given.keep or Path(folder)
            larger, twins = measured(out, rows=given.rows, attacked=given.attacked, layers=given.layers)
    except BadInput as error:
        parser.exit(2, f"{error}\n")
    share = Figure("larger_class", round(larger, 3), "share of the rows that nobody attacks")
    print_figures("hardening", [share, *figures_of(twins)], given.json)


def measured(out: Path, *, rows: int, attacked: int, layers: int) -> tuple[float, dict[str, Twin]]:
    """The share of the larger class; and every twin, trained and attacked."""
    train_file, test_file = write_redditbias(out / "data")
    columns: dict[str, Any] = {"text_column": "comment", "label_column": "label", "label_names": LABEL_NAMES}
    learned = open_table(str(train_file), **columns)
    learned = learned.select(np.random.default_rng(0).permutation(learned.rows)[:rows])
    held_out = open_table(str(test_file), **columns)
    drawn = np.random.default_rng(1).permutation(held_out.rows)
    quiet, hit = held_out.select(drawn[:QUIET_ROWS]), held_out.select(drawn[QUIET_ROWS : QUIET_ROWS + attacked])
    base = trained(first_layers(locate_encoder(), out / "base", layers), learned, out / "sick", **SICK)
    twins = {}
    for name, options in MENDS.items():
        told = time.process_time()
        if name in SAME_WEIGHTS:
            made = open_checkpoint(out / SAME_WEIGHTS[name])
        else:
            made = trained(base, learned, out / name, **MORE, **options)
        if name == "normalized":
            made = open_checkpoint(normalize(made, out=out / name).path)
        predictor = Predictor(made, device="cpu")
        seconds = time.process_time() - told
        twins[name] = asked(name, predictor, quiet, hit)
        twins[name].seconds = seconds
        spent = time.process_time() - told
        print(f"{name}: {twins[name].said}; {spent:.0f} s of CPU time", file=sys.stderr, flush=True)
    larger = float(np.bincount(np.asarray(quiet.targets)).max() / quiet.rows)
    return larger, twins


def asked(name: str, predictor: Predictor, quiet: Table, hit: Table) -> Twin:
    """A twin under everything that its mend is for."""
    shown: Classifier = predictor
    few = quiet.select(np.arange(PROVEN_ROWS))
    if name == "smoothed":
        shown = SmoothedClassifier(predictor, LOOKS)
        quiet, hit = quiet.select(np.arange(SMOOTHED_QUIET)), hit.select(np.arange(min(hit.rows, SMOOTHED_ROWS)))
    targets = np.asarray(quiet.targets)
    predicted = shown.predict(quiet.texts).predicted
    table = confusion_counts(targets, predicted, len(LABEL_NAMES))
    twin = Twin(0.0, predicted == targets, balanced=float(balanced_accuracy(table)))
    if name in ("plain", "freelb", "typos"):
        noisy = noisy_texts(quiet.texts, NOISES["typos"], TYPOS, seed=0)
        twin.noisy = predictor.predict(noisy).predicted == targets
    if name in ("plain", "smoothed"):
        answers = SmoothedClassifier(predictor).certify(few.texts)
        right = zip(answers, np.asarray(few.targets), strict=True)
        twin.proven = np.array([one.answer == target and (one.radius or 0) >= 1 for one, target in right])
    under_attack(twin, shown, predictor, hit, words=WORDS_OF.get(name, WORDS))
    return twin


def trained(base: Checkpoint, rows: Table, out: Path, **options: Any) -> Checkpoint:
    """The base, trained on the rows."""
    asked = TrainingOptions(batch_size=16, max_length=64, **options)
    return open_checkpoint(train(asked, data=rows, base=base, out=out).path)


def first_layers(encoder: Path, out: Path, layers: int) -> Checkpoint:
    """The encoder with its first layers alone, as a checkpoint of its own."""
    from transformers import AutoModel, AutoTokenizer

    from core_model.checkpoint_loading import quiet

    with quiet():
        AutoModel.from_pretrained(encoder, num_hidden_layers=layers, use_safetensors=True).save_pretrained(out)
        AutoTokenizer.from_pretrained(encoder).save_pretrained(out)
    return open_checkpoint(out)


def under_attack(twin: Twin, shown: Classifier, predictor: Predictor, rows: Table, words: Sequence[str]) -> None:
    """Run the attacks: by letters and words; where all of them are, along the gradient, too."""
    options, targets = AttackOptions(), np.asarray(rows.targets)
    for name in words:
        if name == "pwws" and wordnet_or_none() is None:
            continue
        made = recipe(name).quick() if name == "pwws" else recipe(name)
        run = attack(
            shown, rows.texts, targets, made, query_budget=options.query_budget, random=np.random.default_rng(0),
            gradients=partial(word_gradients, predictor),
        )  # fmt: skip
        note(twin, name, run)
    if words == WORDS:
        fallen = pgd(EmbeddedTexts(predictor, rows.texts), targets, (0.0, RADIUS), norm="L2", steps=STEPS)
        twin.before["pgd"], twin.after["pgd"] = fallen.right


def note(twin: Twin, name: str, run: Run) -> None:
    """What an attack by words did, row by row."""
    twin.before[name] = np.array([row.status != "skipped" for row in run.rows])
    twin.after[name] = np.array([row.status == "failed" for row in run.rows])


def figures_of(twins: dict[str, Twin]) -> list[Figure]:
    """Success of every attack, and what each mend moves."""
    figures, plain = [], twins["plain"]
    for name, twin in twins.items():
        figures.append(Figure(f"{name}_training_seconds", round(twin.seconds, 1), "seconds of CPU time"))
        figures.append(_figure(f"{name}_accuracy", proportion(int(twin.right.sum()), len(twin.right)), "share of rows"))
        if twin.balanced is not None:
            figures.append(Figure(f"{name}_balanced_accuracy", round(twin.balanced, 3), "mean recall of the classes"))
        if twin is not plain:
            price = paired_shares(twin.right, plain.right[: len(twin.right)])
            figures.append(_figure(f"{name}_accuracy_change", price, "paired, the price"))
        for what, ours, theirs in (
            ("accuracy_with_typos", twin.noisy, plain.noisy),
            ("certified_accuracy_one_word", twin.proven, plain.proven),
        ):
            if ours is not None:
                figures.append(_figure(f"{name}_{what}", proportion(int(ours.sum()), len(ours)), "share of rows"))
            if ours is not None and theirs is not None and twin is not plain:
                change = paired_shares(ours, theirs)
                figures.append(_figure(f"{name}_{what}_change", change, "paired", "above 0"))
        for attacked, before in twin.before.items():
            after = twin.after[attacked]
            success = proportion(int((before & ~after).sum()), int(before.sum()))
            figures.append(_figure(f"{name}_{attacked}_success", success, "share of attacked rows"))
            if twin is plain:
                continue
            start, end = plain.before[attacked][: len(before)], plain.after[attacked][: len(before)]
            both = before & start
            gain = paired_shares(~after[both], ~end[both])
            figures.append(_figure(f"{name}_{attacked}_success_change", gain, "paired, rows right in both", "below 0"))
            left = paired_shares(after, end)
            figures.append(_figure(f"{name}_{attacked}_accuracy_under_attack_change", left, "paired", "above 0"))
    return figures


def _figure(name: str, found: Estimate, unit: str, aim: str | None = None) -> Figure:
    if found.value is None or found.low is None or found.high is None:
        return Figure(name, None, found.reason or unit, aim)
    interval = f"95% interval {found.low:+.3f} to {found.high:+.3f}, n {found.n}"
    return Figure(name, round(found.value, 3), f"{unit}, {interval}", aim)


if __name__ == "__main__":
    main()
