"""How fast the Predictor is, beside a transformers pipeline and beside raw forwards, on the same rows in one run.

    python -m benchmarks.predictor [--rows 1024] [--threads 2] [--repeats 3] [--json]

Model: MiniLM-L6 (22.7 M parameters) with a random head. Rows: RedditBias test comments, else synthetic sentences of the
same lengths, labelled so. Each repeat runs every way once, in an order of its own, so that a busy machine slows all of
them alike; figures are medians over repeats, ratios are medians of each repeat's ratio. The Predictor begins with an
empty cache in memory, and it and the pipelines pay for tokenizing; raw forwards are given padded batches of 32 rows of
like length.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.figures import Figure, print_figures
from core_model.checkpoint_loading import quiet
from core_model.embedded import load_redditbias, locate_encoder
from core_model.errors import BadInput
from core_model.prediction import PredictionCache, Predictor

MAX_LENGTH = 128
RAW_BATCH = 32


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_024)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--token-budget", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    try:
        encoder = locate_encoder()
    except BadInput as error:
        parser.exit(2, f"{error}\n")
    texts, source = rows_of(given.rows)
    figures = measure(
        encoder, texts, threads=given.threads, repeats=given.repeats, token_budget=given.token_budget, source=source
    )
    print_figures("predictor", figures, given.json)


def rows_of(rows: int) -> tuple[list[str], str]:
    """Distinct texts, and what they are."""
    try:
        texts = [comment.text for comment in load_redditbias()]
        # The smallest hashes are the held-out rows, as in `core_model.embedded.write_redditbias`.
        return sorted(texts, key=lambda text: sha256(text.encode()).digest())[:rows], "RedditBias comments"
    except BadInput:
        random = np.random.default_rng(0)
        words = ["they", "people", "said", "that", "the", "old", "city", "never", "likes", "us", "because", "music"]
        # A comment's word count, special tokens aside: mean 21, 95% under 36, at most 45.
        lengths = np.clip(random.normal(21, 9, rows).round(), 3, 45).astype(int)
        return [" ".join(random.choice(words, n)) for n in lengths], "synthetic sentences"


def measure(
    encoder: Path, texts: list[str], *, threads: int, repeats: int, token_budget: int | None, source: str
) -> list[Figure]:
    """Rows per second of each way, and the Predictor's ratio to each."""
    import torch

    torch.set_num_threads(threads)
    checkpoint = open_with_random_head(encoder)
    base = Predictor(checkpoint, threads=threads, token_budget=token_budget, device="cpu")
    texts = distinct(base, texts)
    logits: dict[str, np.ndarray] = {}

    def predictor() -> None:
        fresh = Predictor.like(base)
        fresh.cache = PredictionCache()
        logits["predictor"] = fresh.predict(texts).logits

    ways: dict[str, Callable[[], object]] = {"predictor": predictor, **peers(checkpoint, texts, logits)}
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    order = np.random.default_rng(1)
    for _ in range(repeats):
        for name in order.permutation(list(ways)):
            started = time.perf_counter()
            ways[str(name)]()
            seconds[str(name)].append(time.perf_counter() - started)

    speed = {name: len(texts) / np.array(taken) for name, taken in seconds.items()}
    ratio = {name: float(np.median(speed["predictor"] / speed[name])) for name in ways}
    unit = f"examples/s ({len(texts)} {source}, {threads} threads, median of {repeats})"
    return [
        *(Figure(name, round(float(np.median(each)), 1), unit, None) for name, each in speed.items()),
        Figure("predictor_to_pipeline_default", round(ratio["pipeline_default"], 2), "times", ">= 3.5"),
        Figure("predictor_to_pipeline_batch_32", round(ratio["pipeline_batch_32"], 2), "times", ">= 1.7"),
        Figure("predictor_to_raw", round(ratio["raw_sorted_batch_32"], 2), "times", ">= 0.9"),
        Figure(
            "largest_difference_of_logits",
            float(np.abs(logits["predictor"] - logits["raw"]).max()),
            "logit, Predictor against raw forwards",
            "<= 1e-05",
        ),
    ]


def peers(checkpoint: Any, texts: list[str], logits: dict[str, np.ndarray]) -> dict[str, Callable[[], object]]:
    """The pipeline as it comes and with batches of 32, and raw forwards on pre-sorted padded batches."""
    import torch
    from transformers import pipeline

    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    with quiet():
        classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    lengths = np.array([len(tokenizer(text).input_ids) for text in texts])
    order = np.argsort(lengths, kind="stable")
    batches = [order[i : i + RAW_BATCH] for i in range(0, len(order), RAW_BATCH)]
    padded = [tokenizer([texts[i] for i in batch], padding=True, return_tensors="pt") for batch in batches]

    def raw() -> None:
        found = np.empty((len(texts), 2), dtype=np.float32)
        with torch.inference_mode():
            for batch, inputs in zip(batches, padded, strict=True):
                found[batch] = model(**inputs).logits.numpy()
        logits["raw"] = found

    def pipe(batch_size: int) -> None:
        with quiet():  # it advises to use a dataset
            classify(texts, batch_size=batch_size)

    return {
        "pipeline_default": lambda: pipe(1),
        "pipeline_batch_32": lambda: pipe(32),
        "raw_sorted_batch_32": raw,
    }


def open_with_random_head(encoder: Path) -> Any:
    """As much of a checkpoint as the Predictor needs; the head is random, which does not change the speed."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    def load_model() -> Any:
        torch.manual_seed(0)
        with quiet():
            return AutoModelForSequenceClassification.from_pretrained(
                encoder, num_labels=2, local_files_only=True, trust_remote_code=False
            ).eval()

    def load_tokenizer() -> Any:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True, trust_remote_code=False)
        tokenizer.model_max_length = MAX_LENGTH
        return tokenizer

    return SimpleNamespace(
        sha256="random head", max_length=MAX_LENGTH, load_model=load_model, load_tokenizer=load_tokenizer
    )


def distinct(predictor: Predictor, texts: list[str]) -> list[str]:
    """Texts that are different token ids too: the Predictor shall not win by computing fewer."""
    tokenizer = predictor.forward.tokenizer
    return list({tuple(tokenizer(text).input_ids): text for text in texts}.values())


if __name__ == "__main__":
    main()
