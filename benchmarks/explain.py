"""How fast integrated gradients are at an honest error, beside Captum's at its defaults, in one run.

    python -m benchmarks.explain --checkpoint demo/minilm-redditbias --data demo/data/test.jsonl [--rows 40] [--json]

Peer: Captum's LayerIntegratedGradients at its defaults, 50 Gauss-Legendre nodes, one text at a time without padding, as
its tutorials call it. Ours: all rows of a turn at once, points where the model turns, until the doubt is below 0.02.
Both explain the probability of the predicted class over the padding baseline. CPU time of one thread; peers take turns
row block by row block, so that a busy machine slows both.

A sum that holds may hide single words that do not. So every word's score of both is held against Captum's own at 400
nodes, whose completeness error is told, too: no word may be further from the truth than the sum is allowed to be.

Then what it costs to put explanations on trial: comprehensiveness and sufficiency of a method, of a random order and of
random weights, beside the attribution itself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np

from benchmarks.figures import Figure, print_figures

Answer = TypeVar("Answer")
BLOCK = 40  # rows of a turn
ROUNDS = 3  # turns of each with the same rows
REFERENCE = 400  # nodes of what both are held against


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="demo/minilm-redditbias")
    parser.add_argument("--data", default="demo/data/test.jsonl")
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if not Path(given.checkpoint).is_dir():
        parser.exit(2, f"{given.checkpoint} is not there\n  Try: make demo, which trains it\n")
    print_figures("explain", measure(given.checkpoint, given.data, given.rows), given.json)


def measure(checkpoint: str, data: str, rows: int) -> list[Figure]:
    import torch

    from core_model.attribution import EVEN_STEPS, integrated_gradients
    from core_model.attribution_path import EmbeddingPath
    from core_model.attribution_trials import randomized
    from core_model.attribution_words import merged
    from core_model.checkpoint import open_checkpoint
    from core_model.data import open_table
    from core_model.prediction import Predictor

    torch.set_num_threads(1)
    opened = open_checkpoint(checkpoint)
    predictor = Predictor(opened, threads=1)
    texts = list(open_table(data).texts[:rows])
    targets = predictor.predict(texts).predicted
    times: dict[str, list[float]] = {"captum": [], "ours": [], "trial": []}
    sums: dict[str, list[float]] = {"captum": [], "ours": [], "reference": []}
    words: dict[str, list[float]] = {"captum": [], "ours": []}
    steps: list[int] = []
    integrated_gradients(EmbeddingPath(predictor, texts[:2]), targets[:2])  # what is loaded at first use
    for start in range(0, rows, BLOCK):
        block, labels = texts[start : start + BLOCK], targets[start : start + BLOCK]
        for _ in range(ROUNDS):
            seconds, found = _timed(lambda b=block, t=labels: integrated_gradients(EmbeddingPath(predictor, b), t))
            times["ours"].append(seconds)
            seconds, peers = _timed(lambda b=block, t=labels: _captum(predictor, b, t))
            times["captum"].append(seconds)
        truths = _captum(predictor, block, labels, n_steps=REFERENCE, internal_batch_size=50)
        path = EmbeddingPath(predictor, block)
        for row, (one, (tokens, missed), (truth, rest)) in enumerate(zip(found, peers, truths, strict=True)):
            true, theirs = (merged(by, path.of_token[row], len(one.worded)) for by in (truth, tokens))
            words["ours"].append(float(np.abs(one.scores - true).max(initial=0.0)))
            words["captum"].append(float(np.abs(theirs - true).max(initial=0.0)))
            sums["ours"].append(one.completeness_error or 0.0)
            sums["captum"].append(missed)
            sums["reference"].append(rest)
            steps.append(one.steps or 0)
        copied = randomized(predictor, np.random.default_rng(start))
        shuffled = integrated_gradients(path.asking(copied), labels, even_steps=EVEN_STEPS)
        rankings = {
            "method": [one.ranking for one in found],
            "random": [np.random.default_rng(i).permutation(len(one.worded)) for i, one in enumerate(found)],
            "weights": [one.ranking for one in shuffled],
        }
        subject: Any = SimpleNamespace(predictor=predictor, predict=predictor.predict)
        times["trial"].append(_timed(lambda p=path, r=rankings, t=labels, s=subject: _trial(s, p, r, t))[0])
    each = "CPU ms a text, one thread"
    ratio = float(np.median(np.array(times["captum"]) / np.array(times["ours"])))
    of_a_word = "largest error of a word's score in a text, probability"
    return [
        Figure("captum_ms", round(1000 * sum(times["captum"]) / ROUNDS / rows, 1), f"{each}, 50 nodes, {rows} texts"),
        Figure("ours_ms", round(1000 * sum(times["ours"]) / ROUNDS / rows, 1),
               f"{each}, {np.mean(steps):.1f} gradients"),
        Figure("ratio", round(ratio, 2), "times faster, median of the turns", "at least 4"),
        Figure("captum_word_error", _mean(words["captum"]), f"{of_a_word}, mean over texts"),
        Figure("ours_word_error", _mean(words["ours"]), f"{of_a_word}, mean over texts"),
        Figure("captum_largest_word_error", round(max(words["captum"]), 4), "probability"),
        Figure("ours_largest_word_error", round(max(words["ours"]), 4), "probability", "at most 0.02"),
        Figure("captum_completeness_error", _mean(sums["captum"]), "mean, probability"),
        Figure("captum_largest_completeness_error", round(max(sums["captum"]), 4), "probability"),
        Figure("ours_completeness_error", _mean(sums["ours"]), "mean, probability"),
        Figure("ours_largest_completeness_error", round(max(sums["ours"]), 4), "probability", "at most 0.02"),
        Figure("reference_largest_completeness_error", round(max(sums["reference"]), 6),
               f"probability, Captum at {REFERENCE} nodes"),
        Figure("trial_ms", round(1000 * sum(times["trial"]) / rows, 1), f"{each}: the method and two baselines",
               "no more than ours_ms"),
    ]  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


def _trial(subject: Any, path: Any, rankings: Any, targets: np.ndarray) -> object:
    from audit.concerns.explainability.faithfulness import erase

    return erase(subject, path.worded, rankings, targets)


def _captum(
    predictor: Any, texts: Sequence[str], targets: np.ndarray, **settings: int
) -> list[tuple[np.ndarray, float]]:
    """Scores of the tokens of each text, and its completeness error."""
    import torch
    from captum.attr import LayerIntegratedGradients

    model, tokenizer = predictor.forward.model, predictor.forward.tokenizer

    def score(ids: torch.Tensor, target: int) -> torch.Tensor:
        chosen: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.softmax(-1)[:, target]
        return chosen

    method = LayerIntegratedGradients(score, model.get_input_embeddings())
    answers = []
    for text, target in zip(texts, targets.tolist(), strict=True):
        ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=predictor.checkpoint.max_length)
        ids = ids["input_ids"]
        special = torch.tensor(tokenizer.get_special_tokens_mask(ids[0].tolist(), already_has_special_tokens=True))
        baseline = torch.where(special.bool()[None], ids, torch.full_like(ids, tokenizer.pad_token_id))
        found = method.attribute(ids, baselines=baseline, additional_forward_args=target, **settings)
        with torch.no_grad():
            change = float(score(ids, target) - score(baseline, target))
        answers.append((found.sum(-1)[0].detach().double().numpy(), abs(float(found.sum()) - change)))
    return answers


def _timed(work: Callable[[], Answer]) -> tuple[float, Answer]:
    begun = time.process_time()
    answer = work()
    return time.process_time() - begun, answer


if __name__ == "__main__":
    main()
