"""A training run that stops at marks in time to be looked at, and goes on as if it had not."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.translation_recipe import Recipe
from core_model.files import replace_folder, write_atomically
from core_model.progress import Now, Progress

LINE_SECONDS = 30.0  # between lines of the log


class MarkedRun:
    """One run of the recipe in a folder; what was done there before is taken up.

    Attributes:
        tests: corpus -> its held-out rows.
    """

    def __init__(self, out: Path, recipe: Recipe, *, minutes: float, seed: int, say: Callable[[str], None]) -> None:
        self.out, self.recipe, self.say = out, recipe, say
        self.options = recipe.options(minutes=minutes, seed=seed)
        self.train, self.validation = recipe.data.open(recipe.data.train), recipe.data.open(recipe.data.validation)
        self.tests = {name: recipe.data.open(source) for name, source in recipe.data.test.items()}
        counts = ", ".join(f"{name} {table.rows:,}" for name, table in self.tests.items())
        say(f"{self.train.rows:,} pairs to train on; test rows: {counts}")

    def train_until(self, mark: float) -> Path | None:
        """Train until so many minutes, save the weights as they are then, and stay resumable.

        Returns: the folder of the checkpoint; None when the run had ended before anybody asked.
        Raises: KeyboardInterrupt when somebody else asked to stop.
        """
        folder = self.out / f"mark-{mark:g}"
        if (folder / "config.json").exists():
            return folder
        watch = _Watch(self.out / "model", mark, self.say)
        try:
            self._train(watch)
        except KeyboardInterrupt:
            if not watch.reached:
                raise
            _save(watch.task, self.out / "model", folder)
            return folder
        self.say(f"minute {mark:g} has passed unseen: the run was done before")
        return None

    def train_to_the_end(self) -> Path:
        """Train until the last minute; returns the folder of the checkpoint."""
        self._train(_Watch(self.out / "model", None, self.say))
        return self.out / "model"

    def _train(self, watch: _Watch) -> None:
        from core_model.training import train

        train(
            self.options, data=self.train, evaluation=self.validation, architecture=self.recipe.architecture,
            out=self.out / "model", resume=True, progress=watch.tell, method=watch.method,
        )  # fmt: skip


class _Watch:
    """Sees the time of a run, prints it, and asks it to stop at a mark as Ctrl-C would: with its state saved."""

    def __init__(self, model: Path, mark: float | None, say: Callable[[str], None]) -> None:
        self.model, self.mark, self.say = model, mark, say
        self.task: Any = None
        self.reached = False
        self._before, self._began, self._line = 0.0, time.monotonic(), Now(LINE_SECONDS)

    def method(self, options: Any, task: Any, accelerator: Any, optimizer: Any) -> Any:
        """The usual step; here the session's clock begins."""
        from core_model.training_step import GradientStep

        self.task = task
        if (state := _state(self.model)) is not None:
            self._before = state["position"]["seconds"]
        self._began = time.monotonic()
        return GradientStep(options, task, accelerator, optimizer)

    def tell(self, said: Progress) -> None:
        """Called twice a second in training."""
        seconds = self._before + time.monotonic() - self._began
        if said.stage == "training" and self.mark is not None and seconds >= 60 * self.mark and not self.reached:
            self.reached = True
            signal.raise_signal(signal.SIGINT)
        if said.stage == "evaluated" or self._line.due():
            what = "validation loss" if said.stage == "evaluated" else "loss"
            loss = f", {what} {said.loss:.3f}" if said.loss is not None else ""
            speed = f", {said.examples_per_second:.0f} pairs/s" if said.examples_per_second else ""
            self.say(f"minute {seconds / 60:.1f}: epoch {said.epoch}, step {said.step:,}{loss}{speed}")


def _save(task: Any, model: Path, folder: Path) -> None:
    """The averaged weights that lie in the state, as a checkpoint; and how many steps they took."""
    from safetensors.torch import load_file

    from core_model.checkpoint_loading import quiet
    from core_model.training_state import FOLDER, put_weights

    state = _state(model)
    assert state is not None  # noqa: S101  # it was just saved
    tensors = load_file(model / FOLDER / state["tensors"])
    put_weights(task.model, {n.removeprefix("average/"): t for n, t in tensors.items() if n.startswith("average/")})
    with replace_folder(folder) as fresh, quiet():
        task.model.save_pretrained(fresh)
        task.tokenizer.save_pretrained(fresh)
        write_atomically(fresh / "steps.json", json.dumps({"steps": state["position"]["step"]}))


def steps_of(checkpoint: Path) -> int:
    """Optimizer steps behind a checkpoint of this benchmark."""
    if (checkpoint / "steps.json").exists():
        return int(json.loads((checkpoint / "steps.json").read_text(encoding="utf-8"))["steps"])
    return int(json.loads((checkpoint / "training_record.json").read_text(encoding="utf-8"))["steps"])


def _state(model: Path) -> dict[str, Any] | None:
    from core_model.training_state import FOLDER

    file = model / FOLDER / "state.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None
