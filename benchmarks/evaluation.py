"""Do intervals of corpus metrics cover, and what do they cost? By simulation with known truth; rows are made up.

    python -m benchmarks.evaluation [--simulations 200] [--seed 0] [--json]

A population of 6,000 rows is translated by two systems that make other mistakes at other rates; what it scores as a
whole is the truth. Samples of 50 and of 200 rows are drawn from it: how often does the 95% interval of BLEU, chrF,
ROUGE-L and perplexity hold the truth, and how often does the paired interval hold the difference of the two systems?
Coverage does not depend on the machine. Then the cost: an interval over 2,000 rows, beside sacrebleu's own bootstrap.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from audit.corpus_estimates import estimate, paired_difference
from benchmarks.figures import Figure, print_figures
from core_model.corpus_metric import CorpusMetric
from core_model.metrics_text import bleu, chrf
from core_model.metrics_text_likelihood import likelihood_metrics
from core_model.metrics_text_rouge import rouge

ROWS = 6000
SAMPLES = (50, 200)
WORDS = [a + b + c for a in ("ba", "ke", "lo", "mi") for b in ("ra", "se", "tu") for c in ("n", "l", "s", "m")]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    random = np.random.default_rng(options.seed)
    figures = []
    for name, (a, b) in populations(random).items():
        for rows in SAMPLES:
            alone, paired = coverage(a, b, rows, options.simulations, options.seed)
            aim = "at least 0.93"
            figures.append(Figure(f"{name}/{rows}_rows/coverage", alone, "share of simulations", aim))
            figures.append(
                Figure(f"{name}/{rows}_rows/coverage_of_paired_difference", paired, "share of simulations", aim)
            )
    print_figures("evaluation", [*figures, *cost(random)], options.json)


def populations(random: np.random.Generator) -> dict[str, tuple[CorpusMetric, CorpusMetric]]:
    """Each metric of both systems over the population."""
    truth = [" ".join(random.choice(WORDS, int(random.integers(4, 16)))) for _ in range(ROWS)]
    hard = random.beta(1, 3, ROWS)  # rows that are hard for one system are hard for the other
    a, b = ([_spoiled(t, share, random) for t, share in zip(truth, hard + more, strict=True)] for more in (0.0, 0.03))
    tokens = random.integers(5, 40, ROWS)
    nats = random.gamma(4, 0.5, ROWS) * tokens
    other = nats * random.gamma(200, 1 / 195, ROWS)
    [perplexity, _], [other_perplexity, _] = (likelihood_metrics(n, tokens, 4 * tokens) for n in (nats, other))
    return {
        "bleu": (bleu(a, truth), bleu(b, truth)),
        "chrf": (chrf(a, truth), chrf(b, truth)),
        "rougeL": (rouge(a, truth)[2], rouge(b, truth)[2]),
        "perplexity": (perplexity, other_perplexity),
    }


def coverage(a: CorpusMetric, b: CorpusMetric, rows: int, simulations: int, seed: int) -> tuple[float, float]:
    """Share of samples whose interval holds the population's metric, and whose paired interval the difference."""
    alone = paired = 0
    for number in range(simulations):
        random = np.random.default_rng([seed, number])
        some = random.choice(len(a), rows, replace=False)
        alone += estimate(a.select(some), random).covers(a.score or 0.0)
        paired += paired_difference(a.select(some), b.select(some), random).covers((a.score or 0.0) - (b.score or 0.0))
    return round(alone / simulations, 3), round(paired / simulations, 3)


def cost(random: np.random.Generator) -> list[Figure]:
    """Seconds of 2,000 resamples of 2,000 counted rows, and of sacrebleu's counting and 1,000 resamples of them."""
    from sacrebleu.metrics import BLEU

    truth = [" ".join(random.choice(WORDS, 12)) for _ in range(2000)]
    said = [_spoiled(text, 0.3, random) for text in truth]
    metric = bleu(said, truth)
    estimate(metric, random)  # the first call pays for imports
    started = time.perf_counter()
    estimate(metric, random)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    BLEU().corpus_score(said, [truth], n_bootstrap=1000)
    theirs = time.perf_counter() - started
    return [
        Figure("bleu/2000_rows/seconds_of_2000_resamples", round(ours, 3), "s, one thread"),
        Figure("bleu/2000_rows/sacrebleu_seconds_of_counting_and_1000_resamples", round(theirs, 3), "s"),
    ]


def _spoiled(text: str, share: float, random: np.random.Generator) -> str:
    words = text.split()
    return " ".join(str(random.choice(WORDS)) if random.random() < share else word for word in words)


if __name__ == "__main__":
    main()
