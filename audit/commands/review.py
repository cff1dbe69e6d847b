"""`aboveboard review`: decide on the rows of a review queue in the terminal, or count queues that came back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from audit.commands.arguments import json_option, print_json


@click.command()
@click.argument("queues", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--reviewer", help="Who decides: asks for each row that has no decision of theirs.")
@click.option("--from", "source", type=click.Path(path_type=Path), help="audit.json whose labels a decision may be.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="File for the decisions. Default: beside the queue, by reviewer."
)
@json_option
def review(queues: tuple[Path, ...], reviewer: str | None, source: Path | None, out: Path | None, as_json: bool) -> int:
    """Review the rows of review_queue.csv: each row is decided to be of one of the labels, or `unclear`.

    With --reviewer, rows are asked one by one, and every decision is on the disk before the next row; the same command
    goes on where it stopped. Without, filled-in QUEUES are read back and counted: decisions, how many confirm the data
    or the model, and how far reviewers agree.

    \b
    Examples:
      aboveboard review audit-out/review_queue.csv --reviewer kaya
      aboveboard review audit-out/review_queue_kaya.csv audit-out/review_queue_oduya.csv
      aboveboard report --from audit-out/audit.json --review audit-out/review_queue_kaya.csv
    """
    from audit.review import count_reviews, read_queue

    labels = _labels(queues, source)
    if reviewer is not None:
        if len(queues) != 1:
            raise click.UsageError("one queue at a time is reviewed.\n  Try: aboveboard review QUEUE --reviewer NAME")
        target = out or queues[0].with_name(f"{queues[0].stem}_{_slug(reviewer)}.csv")
        lines = read_queue(target if target.exists() else queues[0])[1]
        decided = _ask(lines, labels, reviewer, target)
        if as_json:
            print_json({"decided": decided, "file": str(target)})
        else:
            click.echo(f"{decided} decided: {target}")
        return 0
    counted = count_reviews(queues, labels=labels)
    if as_json:
        print_json(counted.model_dump(mode="json"))
        return 0
    from reports.frameworks.facts import agreement_words
    from reports.text import terminal_text

    click.echo(
        f"{counted.rows} of {counted.rows_queued} rows decided, by {', '.join(map(terminal_text, counted.reviewers))}"
    )
    for decision, count in counted.decisions.items():
        click.echo(f"  {count:>5}  {terminal_text(decision)}")
    total = sum(counted.decisions.values())
    click.echo(
        f"{counted.confirms_label} of {total} confirm the data's label, {counted.confirms_model} the model's answer"
    )
    words = agreement_words(counted.alpha, counted.interval, counted.reason)
    click.echo(f"agreement on {counted.rows_by_several} rows: {words}")
    return 0


def _ask(lines: list[dict[str, str]], labels: list[str], reviewer: str, target: Path) -> int:
    """Ask for each row without a decision; an empty answer leaves it open, `q` ends."""
    from audit.review import UNCLEAR
    from audit.session import as_csv
    from core_model.files import write_atomically
    from reports.text import terminal_text

    allowed = {str(i): label for i, label in enumerate([*labels, UNCLEAR], start=1)}
    choices = ", ".join(f"{key} {terminal_text(label)}" for key, label in allowed.items())
    decided = 0
    for place, line in enumerate(lines, start=1):
        if line["decision"]:
            continue
        shown = {k: v for k, v in line.items() if k not in ("decision", "reviewer", "note")}
        click.echo(f"\n{place} of {len(lines)}", err=True)
        for key, value in shown.items():
            click.echo(terminal_text(f"  {key}: {value}"), err=True)
        said = click.prompt(
            f"{choices}, empty to leave open, q to end", default="", show_default=False, err=True,
            type=click.Choice([*allowed, "q", ""]), show_choices=False,
        )  # fmt: skip
        if said == "q":
            break
        if said:
            line["decision"], line["reviewer"] = allowed[said], reviewer
            line["note"] = click.prompt("Note", default="", show_default=False, err=True)
            write_atomically(target, as_csv(lines))
            decided += 1
    return decided


def _labels(queues: tuple[Path, ...], source: Path | None) -> list[str]:
    """What a decision may be: the model's labels by the record beside the queue, or by --from."""
    from reports.errors import ReviewUnfit
    from reports.reading import read_record

    record = source or queues[0].with_name("audit.json")
    if source is None and not record.exists():
        raise ReviewUnfit(f"no audit.json lies beside {queues[0]}", mend="--from audit.json, for the model's labels")
    labels = read_record(record).subject.labels
    if not labels:
        raise ReviewUnfit(f"the model of {record} has no labels to decide between", mend="review a classifier's queue")
    return list(labels)


def _slug(name: str) -> Any:
    import re

    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "reviewer"
