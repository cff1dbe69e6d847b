"""Temperature scaling: one number that makes a classifier as sure as it should be, folded into its head.

    calibrated = calibrate(open_checkpoint("classifier"), rows, out="calibrated")
    calibrated.temperature, calibrated.before, calibrated.after

Logits are divided by the temperature that makes held-out labels most likely (Guo et al. 2017, arXiv:1706.04599). The
head's weight and bias are divided instead of its outputs, so that the result is a standard checkpoint that every tool
loads, and no prediction changes. Where the last layer is not linear this cannot be exact, and is refused.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.checkpoint_loading import quiet
from core_model.errors import LabelsUnfit, OptionUnfit, OutputUnwritable, TaskUnfit
from core_model.files import replace_folder, write_atomically
from core_model.metrics import fit_temperature, negative_log_likelihood
from core_model.tasks import Task
from core_model.training_record import NAME as TRAINING_RECORD
from core_model.training_record import hashes, read_record, tool

if TYPE_CHECKING:
    from torch import nn

    from core_model.checkpoint import Checkpoint
    from core_model.data import Table

RECORD = "calibration.json"
SOURCE = "Guo et al. 2017, arXiv:1706.04599"
FEWEST_ROWS = 40  # half of them fit a temperature, half say what it does
EXACT = 1e-5  # relative: more than rounding means that the head is not linear
HIGHEST = 19.0  # `fit_temperature` searches up to 20: what it finds near the edge is no optimum
CARRIED = ("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt")


@dataclass(frozen=True)
class Calibrated:
    """What was folded in, and what it does.

    Attributes:
        path: the folder of the calibrated checkpoint.
        temperature: what logits are divided by; above 1 the model was too sure.
        rows: labelled rows that chose it.
        before, after: mean -log p(true class) in nats; each half of the rows judged with the temperature that the other
            half chose, so that no row judges what it chose.
        base_sha256, data_sha256: of the checkpoint before, and of the rows.
    """

    path: Path
    temperature: float
    rows: int
    before: float
    after: float
    base_sha256: str
    data_sha256: str
    data_name: str


def calibrate(checkpoint: Checkpoint, data: Table, *, out: str | Path, seed: int = 0) -> Calibrated:
    """Fit a temperature on labelled rows and leave a copy of the checkpoint with it in `out`.

    Args:
        data: rows that it was not trained on, under the checkpoint's classes.
        seed: draws the halves.
    Raises: TaskUnfit for no classifier, or a head that is not linear; LabelsUnfit for too few rows, or those it was
        trained on; OptionUnfit when no temperature is best; OutputUnwritable.
    """
    out = Path(out)
    _refuse_place(checkpoint, out)
    logits, targets = _logits(checkpoint, data), _targets(checkpoint, data)
    temperature = _fitted(logits, targets, data)
    before, after = cross_fitted(logits, targets, np.random.default_rng(seed))
    model = checkpoint.load_model()
    fold(model, temperature, classes=len(checkpoint.labels), name=checkpoint.name)
    made = Calibrated(out, temperature, len(targets), before, after, checkpoint.sha256, data.sha256, data.name)
    with replace_folder(out) as fresh, quiet():
        model.save_pretrained(fresh)
        checkpoint.load_tokenizer().save_pretrained(fresh)
        for name in CARRIED:
            if (checkpoint.path / name).is_file():
                shutil.copyfile(checkpoint.path / name, fresh / name)
        _write_records(checkpoint, made, fresh)
    return made


def require_classifier(checkpoint: Checkpoint) -> None:
    """Raises: TaskUnfit."""
    if checkpoint.task is not Task.CLASSIFICATION:
        raise TaskUnfit(
            f"{checkpoint.name} does {checkpoint.task.value}; a temperature is fitted to a classifier's labels",
            mend="name a classifier",
        )


def calibrated_on(folder: Path) -> str | None:
    """The sha256 of the rows that chose a checkpoint's temperature; None where it has no readable calibration.json."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))["data_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def cross_fitted(logits: np.ndarray, targets: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """Mean -log p before, and after scaling by the temperature of the other half of the rows."""
    halves = np.array_split(random.permutation(len(targets)), 2)
    before, after = np.zeros(len(targets)), np.zeros(len(targets))
    for judged, chose in (halves, halves[::-1]):
        temperature = fit_temperature(logits[chose], targets[chose])
        before[judged] = negative_log_likelihood(logits[judged], targets[judged])
        after[judged] = negative_log_likelihood(logits[judged], targets[judged], temperature)
    return float(before.mean()), float(after.mean())


def fold(model: Any, temperature: float, *, classes: int, name: str) -> None:
    """Divide the model's logits by a temperature, by dividing its last layer's weight and bias.

    Raises: TaskUnfit when the last layer is not linear, or something other than it makes the logits; the model is then
        as it was.
    """
    import torch

    head = _head(model, classes, name)
    ids = torch.tensor([[1, 2, 3, 2]]).clamp_max(model.config.vocab_size - 1)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    parts = [part for part in (head.weight, head.bias) if part is not None]
    kept = [part.detach().clone() for part in parts]
    with torch.no_grad():
        plain = model(**inputs).logits
        for part in parts:
            part.div_(temperature)
        scaled = model(**inputs).logits * temperature
        if (scaled - plain).abs().max() > EXACT * plain.abs().max().clamp_min(1e-3):
            for part, was in zip(parts, kept, strict=True):
                part.copy_(was)
            raise _not_linear(name)


def _head(model: Any, classes: int, name: str) -> nn.Linear:
    """The one linear layer outside of the encoder that has an output for each class."""
    from torch import nn

    inner = {id(module) for module in model.base_model.modules()} if model.base_model is not model else set()
    heads = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.out_features == classes and id(module) not in inner
    ]
    if len(heads) != 1:
        raise _not_linear(name)
    return heads[0]


def _not_linear(name: str) -> TaskUnfit:
    return TaskUnfit(
        f"{name}: its logits do not come from one linear layer, so that a temperature cannot be folded in exactly",
        mend="divide the logits by the audit's fitted_temperature where the model is served",
    )


def _logits(checkpoint: Checkpoint, data: Table) -> np.ndarray:
    from core_model.prediction import Predictor

    require_classifier(checkpoint)
    return Predictor(checkpoint).predict(data.texts, data.pairs).logits


def _targets(checkpoint: Checkpoint, data: Table) -> np.ndarray:
    if data.rows < FEWEST_ROWS:
        raise LabelsUnfit(
            f"{data.name} has {data.rows} rows; a temperature needs {FEWEST_ROWS}", mend="--data with more rows"
        )
    trained = checkpoint.training_record or {}
    if isinstance(trained.get("data"), dict) and trained["data"].get("sha256") == data.sha256:
        raise LabelsUnfit(
            f"{checkpoint.name} was trained on {data.name}: there it is surer than on other rows",
            mend="--data with labelled rows that it was not trained on",
        )
    places = {label: place for place, label in enumerate(checkpoint.labels)}
    return np.array([places[label] for label in data.label_names], dtype=np.int64)[data.targets]


def _fitted(logits: np.ndarray, targets: np.ndarray, data: Table) -> float:
    if (logits.argmax(axis=1) == targets).all():  # the smaller the temperature, the likelier the labels
        found = "all labels right"
    elif (temperature := fit_temperature(logits, targets)) < HIGHEST:
        return temperature
    else:
        found = "labels hardly better than by chance"
    raise OptionUnfit(
        f"no temperature is best on {data.name}: the model finds {found} there",
        mend="--data with rows as the model will meet them, some of which it gets wrong",
    )


def _refuse_place(checkpoint: Checkpoint, out: Path) -> None:
    if out.resolve() == Path(checkpoint.path).resolve():
        raise OutputUnwritable(f"--out {out} is the checkpoint itself", mend="name another folder with --out")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputUnwritable(f"{out} is not an empty folder", mend="name another folder with --out")


def _write_records(checkpoint: Checkpoint, made: Calibrated, fresh: Path) -> None:
    """calibration.json, and the training record with what was done since and the hashes of the new files."""
    facts = {**asdict(made), "base_name": checkpoint.name, "source": SOURCE, "tool": tool()}
    del facts["path"]
    write_atomically(fresh / RECORD, json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    record = read_record(checkpoint.path)
    if record is None:
        return
    files = hashes(fresh)
    record = record.model_copy(
        update={
            "mitigation": {**record.mitigation, "temperature_scaling": facts},
            "notes": [
                *record.notes,
                f"After training the logits were divided by {made.temperature:.3f}, chosen on {made.data_name}: its "
                "rows must not judge the calibration. The losses in this record are those before it.",
            ],
            "files": files,
            "model_sha256": files["model.safetensors"],
        }
    )
    write_atomically(fresh / TRAINING_RECORD, record.as_json())
