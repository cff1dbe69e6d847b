"""What privacy costs on the demo's data, and what it buys: four trainings of MiniLM, attacked and compared.

    python -m benchmarks.privacy_price [--part twins|price|both] [--epsilon 8] [--out runs/privacy-price] [--json]

twins  An overfitted checkpoint (20 epochs on 500 comments) beside its private twin: the same rows, epochs and rate. The
       first must be caught by the attack that reads the loss, the second must not.
price  2 epochs on all 9,171 comments beside a private training at the same epsilon. Both are audited, and compared on
       the same held-out rows: accuracy overall and for each group, gaps between groups, speed and energy.

The options were set before anything was trained, after Li et al. 2021 (arXiv:2110.05679: larger batches and rates, and
smaller norms in private), and nothing was searched for. What lies in the folder from an earlier run is not trained
again. One core of a laptop takes about an hour. The comments are real and offensive.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit import run
from audit.comparison import compare
from benchmarks.figures import Figure, print_figures
from core_model.checkpoint import open_checkpoint
from core_model.data import open_table
from core_model.embedded import LABEL_NAMES, locate_encoder, write_redditbias
from core_model.files import write_atomically
from core_model.training import train
from core_model.training_options import TrainingOptions
from privacy.options import PrivacyOptions
from privacy.training import train_privately
from reports.comparison import Comparison, Difference
from reports.document.build import comparison_html
from reports.record import Metric, Record

GROUP = "target_group"
COLUMNS: dict[str, Any] = {"text_column": "comment", "label_column": "label"}
TWIN_ROWS, TWIN_EPOCHS = 500, 20
TWINS = TrainingOptions(epochs=TWIN_EPOCHS, batch_size=32, learning_rate=1e-4, max_length=64)
PLAIN = TrainingOptions(epochs=2, batch_size=32, learning_rate=1e-4, max_length=64)  # the demo's
PRIVATE = TrainingOptions(epochs=4, batch_size=256, learning_rate=5e-4, max_length=64)
NORM = 0.1
PRICED = ("privacy", "evaluability", "fairness", "generalization", "emissions")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["twins", "price", "both"], default="both")
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("runs/privacy-price"))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    training, held_out = write_redditbias(given.out / "data")
    figures: list[Figure] = []
    if given.part != "price":
        figures += twins(given.out, some_rows(training, TWIN_ROWS), held_out, given.epsilon)
    if given.part != "twins":
        figures += price(given.out, training, held_out, given.epsilon)
    print_figures("privacy_price", figures, given.json)


def twins(out: Path, training: Path, held_out: Path, epsilon: float) -> list[Figure]:
    """The overfitted checkpoint and its private twin, each under the attack by loss."""
    figures = []
    for name, private in (("overfitted", None), ("private_twin", PrivacyOptions(epsilon=epsilon, clipping_norm=NORM))):
        folder = trained(out / name, training, TWINS, private)
        record = audited(folder, training, held_out, only=("privacy",))
        area = metric(record, "membership_inference_auc", attack="loss")
        found = metric(record, "tpr_at_fpr", attack="loss", fpr="0.01")
        caught = name == "overfitted"
        figures += [
            figure(f"{name}_auc", area, "loss attack", "interval above 0.5" if caught else "interval holds 0.5"),
            *ends(f"{name}_auc", area),
            figure(f"{name}_tpr_at_1_percent", found, "of training rows", "interval above 0.01" if caught else None),
            *ends(f"{name}_tpr_at_1_percent", found),
        ]
    return figures


def price(out: Path, training: Path, held_out: Path, epsilon: float) -> list[Figure]:
    """The plain and the private checkpoint, audited, and compared on the same rows."""
    private = PrivacyOptions(epsilon=epsilon, clipping_norm=NORM)
    sides = {
        "plain": trained(out / "plain", training, PLAIN, None),
        "private": trained(out / "private", training, PRIVATE, private),
    }
    records = {name: audited(folder, training, held_out, only=PRICED) for name, folder in sides.items()}
    compared = compared_pages(out, sides)
    figures = [
        figure(f"{name}_accuracy", metric(record, "accuracy"), "share of rows") for name, record in records.items()
    ]
    changes = [row for row in compared.rows if row.name == "accuracy" and set(row.slice) <= {GROUP}]
    changes += [row for row in compared.rows if row.name.endswith("_difference") and row.slice.get("by") == GROUP]
    changes += [row for row in compared.rows if row.audit == "emissions" and row.interval is not None]
    for row in unique(changes):
        figures += changed(row)
    for name, record in records.items():
        claim = metric(record, "epsilon_claimed")
        figures += [figure(f"{name}_epsilon", claim, "claimed")] if claim.value is not None else []
        area = metric(record, "membership_inference_auc", attack="loss")
        figures += [figure(f"{name}_auc", area, "loss attack"), *ends(f"{name}_auc", area)]
    for name, folder in sides.items():
        record = open_checkpoint(folder).training_record or {}
        figures += [
            Figure(f"{name}_training_speed", record.get("examples_per_second"), "examples/s"),
            Figure(f"{name}_training_energy", record.get("energy", {}).get("energy_kwh"), "kWh, as the record has it"),
        ]
    return figures


def some_rows(file: Path, rows: int) -> Path:
    """So many lines of a file, evenly spaced, as a file beside it: about the same groups."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    chosen = lines[:: len(lines) // rows][:rows]
    about = file.with_name(f"{file.stem}.about.toml").read_text(encoding="utf-8")
    write_atomically(file.with_name(f"{file.stem}-{rows}.about.toml"), about)
    return write_atomically(file.with_name(f"{file.stem}-{rows}.jsonl"), "".join(chosen))


def trained(folder: Path, file: Path, options: TrainingOptions, private: PrivacyOptions | None) -> Path:
    """The checkpoint of these options, trained unless it lies there."""
    if (folder / "training_record.json").exists():
        return folder
    base, table = open_checkpoint(locate_encoder()), open_table(str(file), label_names=LABEL_NAMES, **COLUMNS)
    if private is None:
        train(options, data=table, base=base, out=folder, resume=True)
    else:
        train_privately(options, private, data=table, base=base, out=folder, resume=True)
    return folder


def audited(folder: Path, training: Path, held_out: Path, *, only: Sequence[str]) -> Record:
    """The record of a checkpoint, in a folder beside it."""
    out = folder.with_name(f"{folder.name}-audit")
    return run(
        folder, data=held_out, out=out, train_data=str(training), only=tuple(only), group_columns=(GROUP,), **COLUMNS
    )


def compared_pages(out: Path, sides: dict[str, Path]) -> Comparison:
    """`aboveboard compare` of both records, its page included."""
    from reports.reading import read_record

    folders = [folder.with_name(f"{folder.name}-audit") for folder in sides.values()]
    a, b = (read_record(folder / "audit.json") for folder in folders)
    found = compare(a, b, folder_a=folders[0], folder_b=folders[1])
    write_atomically(out / "comparison" / "comparison.json", found.to_json())
    write_atomically(out / "comparison" / "comparison.html", comparison_html(found))
    return found


def metric(record: Record, name: str, **slice: str) -> Metric:
    """The first metric of this name and exactly this slice."""
    return next(m for result in record.audits for m in result.metrics if m.name == name and m.slice == slice)


def figure(name: str, found: Metric, unit: str, aim: str | None = None) -> Figure:
    return Figure(name, None if found.value is None else round(found.value, 4), f"{unit}, n {found.n:,}", aim)


def ends(name: str, found: Metric) -> list[Figure]:
    """Both ends of the interval, as figures of their own."""
    if found.interval is None:
        return []
    return [
        Figure(f"{name}_{which}", round(end, 4), f"{found.confidence:.0%} interval")
        for which, end in zip(("low", "high"), found.interval, strict=True)
    ]


def unique(rows: Sequence[Difference]) -> list[Difference]:
    """Each number once: several audits tell the same one."""
    return list({(row.name, tuple(sorted(row.slice.items()))): row for row in rows}.values())


def changed(row: Difference) -> list[Figure]:
    """Private minus plain, with its interval."""
    if row.difference is None or row.interval is None:
        return []
    inside = "".join(f"_{value}" for value in row.slice.values())
    low, high = row.interval
    how = "paired" if row.paired else "unpaired"
    unit = f"{row.unit}, private minus plain, {how}, {low:+.4g} to {high:+.4g}, n {row.n:,}: {row.conclusion}"
    return [Figure(f"change_of_{row.name}{inside}", float(f"{row.difference:.4g}"), unit)]


if __name__ == "__main__":
    main()
