"""What clipping row by row costs: book-keeping, ghost and hooks beside a plain step, in one run on the same data.

    python -m benchmarks.privacy [--length 64] [--batch-size 32] [--threads 1] [--rounds 5] [--json]

Model: MiniLM-L6 (22.7 M parameters) with a random head. Rows: RedditBias comments, cut or repeated to equal length. A
plain step is forward, backward and AdamW; a private one is forward, clipped gradients, noise and AdamW. Each is cut
into batches as its own trainer cuts it: the plain one not at all, the private ones after 1,024 tokens. Each round runs
every way once, in an order of its own, so that a busy machine slows all of them alike; ratios are medians of each
round's ratio. Peak memory is that of a process of its own for each way, what the model and its optimizer take included.
Before anything is timed, all ways must give the same clipped sum.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.figures import Figure, print_figures
from core_model.checkpoint_loading import quiet
from core_model.embedded import load_redditbias, locate_encoder
from core_model.errors import BadInput
from core_model.optimization import build_optimizer
from privacy.clipping import clipper
from privacy.private_step import tokens_of_a_batch

WAYS = ("plain", "book-keeping", "ghost", "hooks")
NORM = 1.0
Step = Callable[[], None]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    try:
        model, batch = subject(given.length, given.batch_size)
    except BadInput as error:
        parser.exit(2, f"{error}\n")
    if given.memory_of:
        ready = step(given.memory_of, model, batch)
        for _ in range(2):
            ready()
        print(json.dumps(high_water_mark()))
        return
    apart = largest_difference(model, batch)
    seconds = timed(model, batch, given.rounds)
    memory = {way: peak_memory(way, given) for way in WAYS}
    print_figures("privacy", figures(seconds, memory, apart, given), given.json)


def subject(length: int, rows: int) -> tuple[Any, dict[str, torch.Tensor]]:
    """The model and one batch of full rows."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = locate_encoder()
    with quiet():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, attn_implementation="sdpa")
        tokenizer = AutoTokenizer.from_pretrained(folder)
    for layer in model.modules():  # the ways draw their dropout in another order, and must be held against each other
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    comments = [comment.text for comment in load_redditbias()[: 4 * rows]]
    texts = [" ".join(comments[row::rows]) + " again" * length for row in range(rows)]
    ids = tokenizer(texts, truncation=True, max_length=length, return_tensors="pt")["input_ids"]
    targets = torch.from_numpy(np.random.default_rng(0).integers(0, 2, rows))
    return model.train(), {"input_ids": ids, "attention_mask": torch.ones_like(ids), "targets": targets}


def loss_of(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return torch.nn.functional.cross_entropy(logits, batch["targets"], reduction="sum")


def step(way: str, model: Any, batch: dict[str, torch.Tensor]) -> Step:
    """One whole step of a way, ready to be repeated."""
    from privacy.noisy_optimizer import NoisyOptimizer

    optimizer = build_optimizer(model, name="adamw", weight_decay=0.01)
    for group in optimizer.param_groups:
        group["lr"] = 1e-6
    rows = len(batch["targets"])
    if way == "plain":

        def plain() -> None:
            (loss_of(model, batch) / rows).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return plain
    clipping: list[Any] = []

    def private() -> None:
        if not clipping:
            clipping.append(clipper(way, model))  # type: ignore[arg-type]
        add_clipped_gradients(clipping[0], model, batch)
        noisy = NoisyOptimizer(
            optimizer, noise_multiplier=1.0, max_grad_norm=NORM, expected_batch_size=rows, loss_reduction="mean"
        )
        noisy.step()
        noisy.zero_grad(set_to_none=True)

    return private


def add_clipped_gradients(clipping: Any, model: Any, batch: dict[str, torch.Tensor]) -> None:
    """Of one step, in the batches of the private trainer."""
    rows, length = batch["input_ids"].shape
    size = max(1, tokens_of_a_batch(torch.device("cpu")) // length)
    for start in range(0, rows, size):
        some = {name: tensor[start : start + size] for name, tensor in batch.items()}
        clipping.add_clipped_gradients(partial(loss_of, model, some), rows=len(some["targets"]), max_norm=NORM)


def seconds_of_gradients(way: str, model: Any, batch: dict[str, torch.Tensor]) -> float:
    """Forward and gradients alone, without noise and optimizer, after one pass to warm up."""
    clipping = None if way == "plain" else clipper(way, model)  # type: ignore[arg-type]
    rows = len(batch["targets"])

    def gradients() -> None:
        if clipping is None:
            (loss_of(model, batch) / rows).backward()
        else:
            add_clipped_gradients(clipping, model, batch)
        for parameter in model.parameters():
            parameter.grad = None

    gradients()
    begun = time.perf_counter()
    gradients()
    alone = time.perf_counter() - begun
    if clipping is not None:
        clipping.close()
    return alone


def timed(model: Any, batch: dict[str, torch.Tensor], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of the gradients, and of the whole step, of each way in each round."""
    random = np.random.default_rng(0)
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in random.permutation(WAYS):
            alone = seconds_of_gradients(way, model, batch)
            whole = step(way, model, batch)
            whole()
            begun = time.perf_counter()
            whole()
            found[way].append((alone, time.perf_counter() - begun))
            detach(model)
    return found


def detach(model: Any) -> None:
    """Take what a way has left on the model off again."""
    for layer in model.modules():
        layer._forward_hooks.clear()
        layer._forward_pre_hooks.clear()
        layer._backward_hooks.clear()
    model.__dict__.pop("autograd_grad_sample_hooks", None)


def largest_difference(model: Any, batch: dict[str, torch.Tensor]) -> float:
    """Between the clipped sums of the three ways, over all parameters."""
    sums = []
    few = {name: tensor[:4] for name, tensor in batch.items()}
    for way in WAYS[1:]:
        clipping = clipper(way, model)  # type: ignore[arg-type]
        clipping.add_clipped_gradients(lambda: loss_of(model, few), rows=4, max_norm=NORM)
        clipping.close()
        sums.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        for parameter in model.parameters():
            parameter.grad = None
    return max(float((one - sums[0]).abs().max()) for one in sums[1:])


def high_water_mark() -> float:
    """Megabytes that this process held at most. Not `ru_maxrss`: a child begins with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return float(line.split()[1]) / 1024


def peak_memory(way: str, given: argparse.Namespace) -> float:
    """Megabytes of a process that does two steps."""
    command = [
        sys.executable, "-m", "benchmarks.privacy", "--memory-of", way, "--length", str(given.length), "--batch-size",
        str(given.batch_size), "--threads", str(given.threads),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return float(done.stdout.strip().splitlines()[-1])


def figures(
    seconds: dict[str, list[tuple[float, float]]], memory: dict[str, float], apart: float, given: argparse.Namespace
) -> list[Figure]:
    rows = given.batch_size
    unit = f"of a plain step's, {rows} rows of {given.length} tokens, {given.threads} threads"
    made = [Figure("largest_difference", float(f"{apart:.2g}"), "between clipped sums, float32", "under 1e-5")]
    for way in WAYS:
        rate = round(rows / median(whole for _, whole in seconds[way]), 1)
        made.append(Figure(f"{way}_examples_per_second", rate, "whole step"))
        made.append(Figure(f"{way}_peak_memory", round(memory[way]), "MB"))
        if way == "plain":
            continue
        gradients, whole = (
            median(plain[part] / own[part] for plain, own in zip(seconds["plain"], seconds[way], strict=True))
            for part in (0, 1)
        )
        aims = way == "book-keeping"
        made += [
            Figure(f"{way}_speed_of_gradients", round(gradients, 3), unit, "0.9 or more" if aims else None),
            Figure(f"{way}_speed_of_step", round(whole, 3), unit),
            Figure(f"{way}_memory", round(memory[way] / memory["plain"], 2), unit, "at most 1.5" if aims else None),
        ]
    return made


if __name__ == "__main__":
    main()
