"""`aboveboard export`: a checkpoint as ONNX, written only where it says what torch says on real rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import json_option, print_json
from audit.commands.rows import COLUMNS, open_rows, row_options

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.export.onnx import Exported

RECORD = "export.json"


@click.command()
@click.argument("checkpoint")
@click.option("--format", "form", default="onnx", show_default=True, metavar="onnx", help="What to write.")
@click.option("--data", required=True, metavar="FILE", help="Real rows that torch and the graph are both asked.")
@row_options
@click.option(
    "--max-difference",
    type=float,
    default=1e-3,
    show_default=True,
    metavar="X",
    help="Largest difference of a logit; beyond it nothing is written.",
)
@click.option("--int8", is_flag=True, help="Write a graph of int8 weights, too, with its own parity and quality.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads of torch and of ONNX Runtime while they are timed.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the resampling.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the result.")
@json_option
def export(
    *, checkpoint: str, form: str, data: str, max_difference: float, int8: bool, threads: int, seed: int, out: Path,
    as_json: bool, **columns: Any,
) -> None:  # fmt: skip
    """Write CHECKPOINT as an ONNX graph, and hold it against torch on real rows.

    Leaves model.onnx, tokenizer, configuration and export.json in --out, which `aboveboard audit` reads as a checkpoint
    of its own. The graph takes any number of rows of any length. Where a logit differs by more than --max-difference,
    or ONNX cannot hold the architecture, nothing is written and the command ends with 2.

    \b
    Examples:
      aboveboard export ./classifier --data test.jsonl --out ./onnx
      aboveboard export ./classifier --data test.jsonl --int8 --max-difference 1e-4 --out ./onnx
    """  # fmt: skip
    from core_model.checkpoint import open_checkpoint
    from core_model.errors import OptionUnfit
    from core_model.files import replace_folder, write_atomically

    if form != "onnx":
        raise OptionUnfit(f"there is no format {form!r}", mend="--format onnx")

    from core_model.export.graph import require_onnx

    require_onnx()
    opened = open_checkpoint(checkpoint)
    rows = open_rows(data, opened, {name: columns[name] for name in COLUMNS})
    _refuse_place(out, opened)

    import torch

    from core_model.export.onnx import export_onnx

    torch.set_num_threads(threads)
    with replace_folder(out) as folder:
        click.echo(f"tracing {opened.architecture}", err=True)
        exported = export_onnx(opened, rows, folder, max_difference=max_difference, int8=int8, threads=threads)
        record = _record(opened, rows, exported, folder, max_difference=max_difference, threads=threads, seed=seed)
        write_atomically(folder / RECORD, _as_json(record))
    if as_json:
        print_json({"out": str(out), **record})
    else:
        _tell(record, out)


def _refuse_place(out: Path, checkpoint: Checkpoint) -> None:
    from core_model.errors import OutputUnwritable

    if out.resolve() == checkpoint.path:
        raise OutputUnwritable(f"--out {out} is the checkpoint itself", mend="name another folder with --out")
    if out.is_dir() and any(out.iterdir()) and not (out / RECORD).exists():
        raise OutputUnwritable(f"{out} holds files that are not of this command", mend="name another folder with --out")


def _record(
    checkpoint: Checkpoint, rows: Table, exported: Exported, folder: Path, *, max_difference: float, threads: int,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """`export.json`: what was written, of what, and how it compares."""
    import numpy as np

    from audit.environment import processor, tool
    from audit.export_lines import agreement, lines_of
    from audit.session import data_facts, subject_facts
    from core_model.data_hash import hash_file
    from core_model.export.onnx import facts, versions

    click.echo("timing torch and the graph in turns", err=True)
    random = np.random.default_rng(seed)
    lines = lines_of(exported, rows, random, labels=bool(checkpoint.labels))
    parities = {"onnx": exported.parity} | ({"onnx int8": exported.int8_parity} if exported.int8_parity else {})
    return {
        "schema_version": "1.0",
        "tool": tool().model_dump(mode="json"),
        "checkpoint": subject_facts(checkpoint).model_dump(mode="json", exclude={"location"}),
        "data": data_facts(rows).model_dump(mode="json", exclude={"location"}),
        "opset": exported.opset,
        "inputs": list(exported.signature.inputs),
        "outputs": list(exported.signature.outputs),
        "max_difference": max_difference,
        "graphs": {
            name: {
                "parity": facts(parity) | {"agreement": agreement(parity).model_dump(mode="json")},
                "against_torch": [line.model_dump(mode="json") for line in lines[name]],
            }
            for name, parity in parities.items()
        },
        "hardware": processor(),
        "threads": threads,
        "versions": versions(),
        "files": {path.name: hash_file(path) for path in sorted(folder.iterdir())},
    }


def _as_json(record: dict[str, Any]) -> str:
    import json

    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _tell(record: dict[str, Any], out: Path) -> None:
    from audit.commands.trade_lines import said_line
    from reports.numbers import measured
    from reports.text import terminal_text
    from reports.trade import Line

    for name, graph in record["graphs"].items():
        parity = graph["parity"]
        agreed = parity["agreement"]
        value, interval = measured(agreed["value"], tuple(agreed["interval"]))
        click.echo(
            f"{name}: largest difference of a logit {parity['largest_difference']:.3g}, mean "
            f"{parity['mean_difference']:.3g}, over {parity['logits']:,} logits of {parity['rows']:,} rows; "
            f"same choices in {value} [{interval}] of the rows"
        )
        for line in graph["against_torch"]:
            said = Line.model_validate({key: kept for key, kept in line.items() if key != "conclusion"})
            click.echo(terminal_text(f"  torch -> {name}: {said_line(said)}"))
    click.echo(f"graph: {out / 'model.onnx'} (opset {record['opset']})\nrecord: {out / RECORD}")
