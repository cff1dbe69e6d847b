"""`aboveboard package`: one folder that is ready to share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audit.commands.arguments import json_option, print_json

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from reports.record import Record

CARD = "README.md"


@click.command()
@click.argument("checkpoint")
@click.option("--licence", "--license", "licence", metavar="NAME", help="As hubs name it: apache-2.0, mit, cc-by-4.0.")
@click.option(
    "--audit",
    "audit_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="audit.json of this very checkpoint; its numbers go into the card.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the package.")
@json_option
def package(checkpoint: str, licence: str | None, audit_file: Path | None, out: Path, as_json: bool) -> None:
    """Put CHECKPOINT into one folder that is ready to share.

    Safetensors, tokenizer, licence, records and a model card with the measured numbers, each with its interval and n;
    SHA256SUMS over all of them. A secret in a text file, a pickle, a link out of the folder or a file that belongs to
    no checkpoint stops it, and nothing is written. Paths and e-mail addresses in records are taken out.

    \b
    Examples:
      aboveboard package ./classifier --licence apache-2.0 --audit audit-out/audit.json --out ./to-share
    """  # fmt: skip
    from audit.own_record import own_record
    from audit.package_card import card_of
    from core_model.checkpoint import open_checkpoint
    from core_model.errors import OutputUnwritable
    from core_model.files import replace_folder, write_atomically
    from core_model.onnx_graph import refuse_graph
    from core_model.packaging import choose_files, copy_files, refuse_secrets, write_sums
    from core_model.secret_scan import require_scanner

    require_scanner()
    opened = open_checkpoint(checkpoint)
    refuse_graph(opened, mend="package the checkpoint that it was exported from; the card is one for transformers")
    if out.resolve().is_relative_to(opened.path):
        raise OutputUnwritable(f"--out {out} lies in the checkpoint itself", mend="name another folder with --out")
    if out.is_dir() and any(out.iterdir()) and not (out / "SHA256SUMS").exists():
        raise OutputUnwritable(f"{out} holds files that are not of this command", mend="name another folder with --out")
    name = _licence(opened, licence)
    record = None if audit_file is None else own_record(audit_file, opened)
    contents = choose_files(opened)
    with replace_folder(out) as folder:
        removed = copy_files(opened, contents, folder)
        write_atomically(folder / CARD, card_of(opened, licence=name, record=record))
        refuse_secrets(folder / CARD, shown=opened.path / CARD)
        sums = write_sums(folder)
        written = open_checkpoint(folder)
    if written.sha256 != opened.sha256:  # the bytes that were copied are those that were verified
        raise AssertionError(f"the package has content hash {written.sha256}, the checkpoint {opened.sha256}")
    told = {
        "package": str(out), "sha256": opened.sha256, "licence": name, "files": sums,
        "left_out": list(contents.left_out), "paths_and_addresses_removed": removed,
        "audited": record is not None,
    }  # fmt: skip
    if as_json:
        print_json(told)
        return
    _tell(told, sums, contents.left_out, removed, record)


def _tell(told: dict[str, object], sums: dict[str, str], left_out: tuple[str, ...], removed: int,
          record: Record | None) -> None:  # fmt: skip
    from reports.text import terminal_text

    for name, sha256 in sums.items():
        click.echo(terminal_text(f"{sha256}  {name}"))
    for name in left_out:
        click.echo(terminal_text(f"left out: {name}"))
    if removed:
        click.echo(f"taken out of the records: {removed} paths and e-mail addresses")
    if record is None:
        click.echo("the card holds no measured number: --audit audit.json adds them")
    click.echo(f"package: {told['package']}")


def _licence(checkpoint: Checkpoint, asked: str | None) -> str:
    """The licence to share under.

    Raises: OptionUnfit where there is none, where it is no name of a licence, or where the checkpoint says another.
    """
    from core_model.errors import OptionUnfit

    own = None if checkpoint.licence is None or checkpoint.licence.startswith("see ") else checkpoint.licence
    if asked is None and own is None:
        raise OptionUnfit(
            f"{checkpoint.name} names no licence; without one nobody may use it", mend="--licence apache-2.0"
        )
    name = asked or own or ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}", name):
        raise OptionUnfit(f"{name[:60]!r} is no licence as hubs name it", mend="--licence apache-2.0")
    if asked is not None and own is not None and asked.lower() != own.lower():
        raise OptionUnfit(
            f"{checkpoint.name} says that its licence is {own}, --licence says {asked}",
            mend=f"--licence {own}, or correct the checkpoint's card where you may",
        )
    return name.lower()
