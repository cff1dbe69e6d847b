"""One trainer in a process of its own, which trains a round each time that it is told to; see benchmarks/training.py.

    python -m benchmarks.training_side ours|transformers     reads one JSON object a line, answers with one

Asked: {"rows": [[text, label], ...], "batch_size": 32, "max_length": 128, "threads": 2, "seed": 0}
Answered: {"rows": 960, "seconds": 14.2, "peak_bytes": 1200000000}; on the way, after some steps, {"paused": true}: it
then waits for a line before it goes on, and the wait is not in its seconds.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from core_model.checkpoint_loading import quiet
from core_model.embedded import LABEL_NAMES, locate_encoder

Answer = dict[str, Any]
TURN_SECONDS = 2.0


class Turns:
    """Gives the processor to the other trainer every few seconds, so that a busy machine slows both alike."""

    def __init__(self, say: Callable[[Answer], None]) -> None:
        self.say, self.began = say, time.perf_counter()

    def passed(self) -> float:
        """To be called between steps.

        Returns: seconds that were spent waiting.
        """
        now = time.perf_counter()
        if now - self.began < TURN_SECONDS:
            return 0.0
        self.say({"paused": True})
        sys.stdin.readline()
        self.began = time.perf_counter()
        return self.began - now


def ours(asked: Answer, turns: Turns) -> tuple[int, float]:
    """One epoch with the trainer of `aboveboard train`: rows, and seconds of its steps."""
    from core_model.checkpoint import open_checkpoint
    from core_model.data import Table
    from core_model.training import train
    from core_model.training_options import TrainingOptions

    texts, labels = zip(*asked["rows"], strict=True)
    data = Table.from_rows(
        name="rows", texts=texts, targets=[LABEL_NAMES.index(label) for label in labels], label_names=LABEL_NAMES
    )
    options = TrainingOptions(
        epochs=1, batch_size=asked["batch_size"], max_length=asked["max_length"], seed=asked["seed"],
        precision="float32",
    )  # fmt: skip

    def pause(_: object) -> None:
        turns.passed()

    with tempfile.TemporaryDirectory() as folder, quiet():
        record = train(
            options, data=data, base=open_checkpoint(locate_encoder()), out=f"{folder}/model",
            progress=pause,  # told between steps; its time is not theirs
        ).record  # fmt: skip
    assert record.examples_per_second is not None  # noqa: S101 - there were steps
    return len(texts), len(texts) / record.examples_per_second


def transformers(asked: Answer, turns: Turns) -> tuple[int, float]:
    """One epoch with transformers' Trainer at its defaults: rows, and seconds from its first batch to its last step."""
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    encoder = locate_encoder()
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True, trust_remote_code=False)
        model = AutoModelForSequenceClassification.from_pretrained(
            encoder, num_labels=len(LABEL_NAMES), local_files_only=True, trust_remote_code=False, dtype=torch.float32
        )
    rows = [
        {**tokenizer(text, truncation=True, max_length=asked["max_length"]), "labels": LABEL_NAMES.index(label)}
        for text, label in asked["rows"]
    ]

    class Clock(TrainerCallback):  # type: ignore[misc]
        begun = waited = spent = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.begun = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.spent = time.perf_counter() - self.begun - self.waited
            self.waited += turns.passed()

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, quiet():
        arguments = TrainingArguments(  # all else as it comes; saving and reporting would only add to its time
            output_dir=folder, num_train_epochs=1, per_device_train_batch_size=asked["batch_size"],
            seed=asked["seed"], save_strategy="no", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        Trainer(
            model=model, args=arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[clock],
        ).train()  # fmt: skip
    return len(rows), clock.spent


SIDES: dict[str, Callable[[Answer, Turns], tuple[int, float]]] = {"ours": ours, "transformers": transformers}


def main() -> None:
    """Answer until the questions end. What libraries print goes to stderr."""
    train = SIDES[sys.argv[1]]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import torch

    def say(answer: Answer) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    while line := sys.stdin.readline():
        asked = json.loads(line)
        torch.set_num_threads(asked["threads"])
        gc.collect()  # an earlier round's model is no part of this one's memory
        rows, seconds = train(asked, Turns(say))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
        say({"rows": rows, "seconds": seconds, "peak_bytes": peak})


if __name__ == "__main__":
    main()
