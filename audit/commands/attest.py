"""`aboveboard attest`: ask people what no measurement can answer, and keep their answers beside the record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import json_option, print_json

if TYPE_CHECKING:
    from reports.frameworks.framework import Framework
    from reports.record import Record

ANSWERS = ("yes", "no", "partly", "not applicable", "unknown")


@click.command()
@click.option("--from", "source", type=click.Path(path_type=Path), required=True, help="audit.json that it is about.")
@click.option("--file", "file", type=click.Path(path_type=Path), default=Path("attestations.yaml"), show_default=True)
@click.option(
    "--framework", "frameworks", metavar="F,...", default="eu-ai-act", show_default=True, help="Whose questions."
)
@click.option(
    "--question", metavar="ID", help="Answer this one, or one in words of your own; else each open one is asked."
)
@click.option("--answer", type=click.Choice(ANSWERS), help="With --question: the answer.")
@click.option("--statement", help="What is attested, in a sentence.")
@click.option("--name", help="Who attests.")
@click.option("--role", help="In which role.")
@click.option("--independence", type=click.Choice(["developer", "same organisation", "external"]))
@click.option("--date", "day", metavar="DAY", help="YYYY-MM-DD. Default: today.")
@click.option("--valid-until", metavar="DAY")
@click.option("--evidence", multiple=True, type=click.Path(path_type=Path), help="File that shows it; is hashed.")
@click.option("--leave-out", multiple=True, metavar="COLUMN=CATEGORY", help="Category that is decided to be left out.")
@click.option("--status", is_flag=True, help="Show what is attested, stale and open; ask nothing.")
@click.option(
    "--carry-over", is_flag=True, help="Take the file over to this record's checkpoint; old answers turn stale."
)
@json_option
def attest(
    source: Path, file: Path, frameworks: str, question: str | None, status: bool, carry_over: bool,
    as_json: bool, **given: Any,
) -> int:  # fmt: skip
    """Ask what only a person can say, and write the answers into a YAML file.

    \b
    Examples:
      aboveboard attest --from audit-out/audit.json --framework eu-ai-act,nist-ai-rmf
      aboveboard attest --from audit-out/audit.json --status
      aboveboard attest --from audit-out/audit.json --question eu-ai-act/art-14.4/stop --answer yes \\
          --statement "Tried in staging." --name "M. Kaya" --role "Product owner" --evidence test.pdf
      aboveboard report --from audit-out/audit.json --attestations attestations.yaml --framework eu-ai-act
    """
    from core_model.files import write_atomically
    from reports.attestations import carried_over, header, read_attestations
    from reports.frameworks.framework import read_framework
    from reports.reading import read_record

    record = read_record(source)
    asked = [read_framework(name.strip()) for name in frameworks.split(",") if name.strip()]
    if carry_over:
        write_atomically(file, carried_over(_text(file), record, where=str(file)))
    people = read_attestations(file, record) if file.exists() else None
    text = _text(file) if file.exists() else header(record)
    if status or carry_over:
        return _say_status(asked, people, as_json=as_json)
    if question is not None:
        answer = _answer(question, _wording(question, asked), record, file, given)
        write_atomically(file, _added(text, answer, file))
        _say([question], file, as_json=as_json)
        return 0
    return _ask_all(asked, people, record, file, text, given, as_json=as_json)


def _ask_all(
    asked: list[Framework], people: Any, record: Record, file: Path, text: str, given: dict[str, Any], *, as_json: bool
) -> int:
    """Ask each open question; every answer is on the disk before the next one is asked."""
    from core_model.files import write_atomically
    from reports.attestations import answers_by_question

    answered = answers_by_question(people)
    done: list[str] = []
    for framework in asked:
        for full_id, (clause, one) in framework.questions().items():
            if answered.get(full_id) and not answered[full_id][-1].stale:
                continue
            click.echo(f"\n{clause.clause}: {one.asks}\n({full_id})", err=as_json)
            choice = click.prompt(
                "Answer (empty: leave it open)", default="", show_default=False, err=as_json,
                type=click.Choice([*ANSWERS, ""]), show_choices=True,
            )  # fmt: skip
            if not choice:
                continue
            values = dict(given, answer=choice)
            values["statement"] = click.prompt("In a sentence", default="", show_default=False, err=as_json) or None
            given["name"] = values["name"] = given["name"] or click.prompt("Your name", err=as_json)
            if given["role"] is None:
                given["role"] = click.prompt("Your role", default="", show_default=False, err=as_json)
            values["role"] = given["role"] or None
            evidence = click.prompt("File that shows it", default="", show_default=False, err=as_json)
            values["evidence"] = (Path(evidence),) if evidence else ()
            text = _added(text, _answer(full_id, one.asks, record, file, values), file)
            write_atomically(file, text)
            done.append(full_id)
    _say(done, file, as_json=as_json)
    return 0


def _answer(question: str, wording: str | None, record: Record, file: Path, given: dict[str, Any]) -> Any:
    """One answer, whole: who, when, on which checkpoint.

    Raises: OptionUnfit where a name, an answer or a date is missing or does not fit.
    """
    from datetime import UTC, datetime

    from core_model.errors import OptionUnfit
    from reports.attestations import evidence_of
    from reports.parts import Attestation

    for key in ("answer", "name"):
        if not given[key]:
            raise OptionUnfit(f"the answer to {question} has no {key}", mend=f"--{key} ...")
    left_out: dict[str, list[str]] = {}
    for text in given["leave_out"]:
        column, equals, category = text.partition("=")
        if not (column and equals and category):
            raise OptionUnfit(f"--leave-out {text!r} is not of the form COLUMN=CATEGORY", mend="--leave-out race=Other")
        left_out.setdefault(column, []).append(category)
    return Attestation(
        question=question,
        asked=wording,
        answer=given["answer"],
        statement=given["statement"],
        name=given["name"],
        role=given["role"],
        independence=given["independence"],
        date=given["day"] or datetime.now(UTC).date().isoformat(),
        valid_until=given["valid_until"],
        evidence=[evidence_of(path, beside=file.parent) for path in given["evidence"]],
        left_out=left_out,
        checkpoint=record.subject.sha256,
    )


def _wording(question: str, asked: list[Framework]) -> str | None:
    """The words of a question of a framework; None for a question of one's own.

    Raises: OptionUnfit where a framework of that name asks no such question.
    """
    from difflib import get_close_matches

    from core_model.errors import OptionUnfit
    from reports.frameworks.framework import framework_names, read_framework

    name = question.partition("/")[0]
    known = {framework.id: framework for framework in asked}
    if name not in known and name in framework_names():
        known[name] = read_framework(name)
    if name not in known or " " in question:
        return None
    questions = known[name].questions()
    if question not in questions:
        near = get_close_matches(question, questions, n=1) or [next(iter(questions))]
        raise OptionUnfit(f"{name} asks no question {question!r}", mend=f"--question {near[0]}")
    return questions[question][1].asks


def _added(text: str, answer: Any, file: Path) -> str:
    from reports.attestations import with_answer

    return with_answer(text, answer, where=str(file))


def _text(file: Path) -> str:
    from reports.errors import AttestationsUnfit

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AttestationsUnfit(f"the attestations {file} cannot be read: {error}", mend="check --file") from error


def _say(done: list[str], file: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({"answered": done, "file": str(file)})
    else:
        click.echo(f"{len(done)} answered: {file}")


def _say_status(asked: list[Framework], people: Any, *, as_json: bool) -> int:
    """What is attested, stale and open."""
    from reports.attestations import answers_by_question
    from reports.text import terminal_text

    answers = answers_by_question(people)
    lines = []
    for framework in asked:
        for full_id, (_, one) in framework.questions().items():
            last = answers[full_id][-1] if full_id in answers else None
            state = "open" if last is None else "stale" if last.stale else "attested"
            lines.append(
                {"question": full_id, "asks": one.asks, "state": state, "by": last.name if last else None,
                 "on": last.date if last else None, "why": last.stale if last else []}
            )  # fmt: skip
    if as_json:
        print_json(lines)
        return 0
    for line in lines:
        who = f" by {line['by']} on {line['on']}" if line["by"] else ""
        why = f" ({'; '.join(line['why'])})" if line["why"] else ""
        click.echo(terminal_text(f"{line['state']:<9} {line['question']}{who}{why}"))
    return 0
