"""How fast integrated gradients are at an honest completeness error, beside Captum's at its defaults, in one run.

    python -m benchmarks.explain --checkpoint demo/minilm-redditbias --data demo/data/test.jsonl [--rows 20] [--json]

Peer: Captum's LayerIntegratedGradients, 50 equal steps, one text at a time without padding, as its tutorials call it.
Ours: all rows at once, 8 nodes and more where the completeness error is above 0.02. Both explain the probability of
the predicted class over the padding baseline. CPU time of one thread; peers take turns row block by row block, so that
a busy machine slows both. Then what it costs to put explanations on trial: comprehensiveness and sufficiency of a
method, of a random order and of random weights, beside the attribution itself.
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
BLOCK = 10  # rows of a turn


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="demo/minilm-redditbias")
    parser.add_argument("--data", default="demo/data/test.jsonl")
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if not Path(given.checkpoint).is_dir():
        parser.exit(2, f"{given.checkpoint} is not there\n  Try: make demo, which trains it\n")
    print_figures("explain", measure(given.checkpoint, given.data, given.rows), given.json)


def measure(checkpoint: str, data: str, rows: int) -> list[Figure]:
    import torch

    from core_model.attribution import integrated_gradients
    from core_model.attribution_path import EmbeddingPath
    from core_model.attribution_trials import randomized
    from core_model.checkpoint import open_checkpoint
    from core_model.data import open_table
    from core_model.prediction import Predictor

    torch.set_num_threads(1)
    opened = open_checkpoint(checkpoint)
    predictor = Predictor(opened, threads=1)
    texts = list(open_table(data).texts[:rows])
    targets = predictor.predict(texts).predicted
    ours: list[float] = []
    theirs: list[float] = []
    errors: tuple[list[float], list[float]] = ([], [])
    trial: list[float] = []
    for start in range(0, rows, BLOCK):
        block, labels = texts[start : start + BLOCK], targets[start : start + BLOCK]
        seconds, found = _timed(lambda b=block, t=labels: integrated_gradients(EmbeddingPath(predictor, b), t))
        ours.append(seconds)
        errors[0].extend(one.completeness_error or 0.0 for one in found)
        seconds, misses = _timed(lambda b=block, t=labels: _captum(predictor, b, t))
        theirs.append(seconds)
        errors[1].extend(misses)
        path = EmbeddingPath(predictor, block)
        copied = randomized(predictor, np.random.default_rng(start))
        shuffled = integrated_gradients(path.asking(copied), labels, steps=(8,), halves=False)
        rankings = {
            "method": [one.ranking for one in found],
            "random": [np.random.default_rng(i).permutation(len(one.worded)) for i, one in enumerate(found)],
            "weights": [one.ranking for one in shuffled],
        }
        subject: Any = SimpleNamespace(predictor=predictor, predict=predictor.predict)
        trial.append(_timed(lambda p=path, r=rankings, t=labels, s=subject: _trial(s, p, r, t))[0])
    each = "CPU ms a text, one thread"
    ratio = float(np.median(np.array(theirs) / np.array(ours)))
    return [
        Figure("captum_ms", round(1000 * sum(theirs) / rows, 1), f"{each}, 50 equal steps, {rows} texts"),
        Figure("ours_ms", round(1000 * sum(ours) / rows, 1), f"{each}, completeness error at most 0.02"),
        Figure("ratio", round(ratio, 2), "times faster, median of the turns", "at least 4"),
        Figure("captum_completeness_error", round(float(np.mean(errors[1])), 4), "mean, probability"),
        Figure("ours_completeness_error", round(float(np.mean(errors[0])), 4), "mean, probability"),
        Figure("ours_largest_completeness_error", round(max(errors[0]), 4), "probability", "at most 0.02"),
        Figure("trial_ms", round(1000 * sum(trial) / rows, 1), f"{each}: the method and two baselines",
               "no more than ours_ms"),
    ]  # fmt: skip


def _trial(subject: Any, path: Any, rankings: Any, targets: np.ndarray) -> object:
    from audit.concerns.explainability.faithfulness import erase

    return erase(subject, path.worded, rankings, targets)


def _captum(predictor: Any, texts: Sequence[str], targets: np.ndarray) -> list[float]:
    """Completeness error of each text."""
    import torch
    from captum.attr import LayerIntegratedGradients

    model, tokenizer = predictor.forward.model, predictor.forward.tokenizer

    def score(ids: torch.Tensor, target: int) -> torch.Tensor:
        chosen: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.softmax(-1)[:, target]
        return chosen

    method = LayerIntegratedGradients(score, model.get_input_embeddings())
    misses = []
    for text, target in zip(texts, targets.tolist(), strict=True):
        ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=predictor.checkpoint.max_length)
        ids = ids["input_ids"]
        special = torch.tensor(tokenizer.get_special_tokens_mask(ids[0].tolist(), already_has_special_tokens=True))
        baseline = torch.where(special.bool()[None], ids, torch.full_like(ids, tokenizer.pad_token_id))
        found = method.attribute(ids, baselines=baseline, additional_forward_args=target)
        with torch.no_grad():
            change = float(score(ids, target) - score(baseline, target))
        misses.append(abs(float(found.sum()) - change))
    return misses


def _timed(work: Callable[[], Answer]) -> tuple[float, Answer]:
    begun = time.process_time()
    answer = work()
    return time.process_time() - begun, answer


if __name__ == "__main__":
    main()
