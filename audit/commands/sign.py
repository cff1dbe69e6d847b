"""`aboveboard sign`: vouch for a record and for the files of its checkpoint, with a key of one's own."""

from __future__ import annotations

import os
from pathlib import Path

import click

from audit.commands.arguments import json_option, print_json

PASSPHRASE = "ABOVEBOARD_PASSPHRASE"  # noqa: S105 - the name of a variable
SIGNATURE = "audit.sig"


@click.command()
@click.argument("record", type=click.Path(path_type=Path), required=False)
@click.option("--key", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The private key, in PEM.")
@click.option("--checkpoint", metavar="DIR", help="Where the checkpoint is now. Default: where the record says it was.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help=f"Default: {SIGNATURE} beside the record.")
@click.option("--make-key", is_flag=True, help="Make the key and its public half (.pub); sign nothing.")
@click.option("--lock", is_flag=True, help="With --make-key: ask for a passphrase that the key is locked with.")
@json_option
def sign(
    record: Path | None, key: Path, checkpoint: str | None, out: Path | None, make_key: bool, lock: bool, as_json: bool
) -> None:
    """Sign RECORD (audit.json, or the folder of an audit) and the files of the checkpoint that it is about.

    The signature is a file of its own, in the format of OpenSSF model signing; nothing leaves this machine. It says
    that whoever holds the key vouches for these bytes, not that what they say is right. A locked key asks for its
    passphrase, or takes it from ABOVEBOARD_PASSPHRASE. `aboveboard verify` checks a signature.

    \b
    Examples:
      aboveboard sign --make-key --lock --key key.pem
      aboveboard sign audit-out --key key.pem
      aboveboard sign audit-out/audit.json --key key.pem --checkpoint ./checkpoint --out release.sig
      aboveboard verify audit-out/audit.json --signature audit-out/audit.sig --public-key key.pub --sample 0
    """
    if make_key:
        if record is not None or checkpoint or out:
            raise click.UsageError("--make-key signs nothing.\n  Try: aboveboard sign --make-key --key key.pem")
        _make_key(key, lock=lock, as_json=as_json)
        return
    if record is None or lock:
        raise click.UsageError("name the record to sign.\n  Try: aboveboard sign audit-out --key key.pem")
    _sign(record, key=key, checkpoint=checkpoint, out=out, as_json=as_json)


def _make_key(path: Path, *, lock: bool, as_json: bool) -> None:
    from core_model.errors import OptionUnfit
    from core_model.files import write_new
    from reports.signing.keys import fingerprint, make_key, read_public_key

    public_path = path.with_suffix(".pub")
    for taken in (path, public_path):
        if taken.exists() or path == public_path:
            raise OptionUnfit(f"{taken} is taken, and is not written over", mend="--key another.pem")
    passphrase = os.environ.get(PASSPHRASE) or None
    if lock and passphrase is None:
        passphrase = click.prompt("passphrase", hide_input=True, confirmation_prompt=True, err=True)
    private, public = make_key(passphrase)
    write_new(path, private, mode=0o600)
    write_new(public_path, public, mode=0o644)
    name = fingerprint(read_public_key(public_path))
    if as_json:
        print_json({"private_key": str(path), "public_key": str(public_path), "fingerprint": name,
                    "locked": passphrase is not None})  # fmt: skip
        return
    click.echo(f"{path}: keep it{'' if passphrase else ' (it is not locked: --lock asks for a passphrase)'}")
    click.echo(f"{public_path}: give it to whoever verifies\nsha256:{name}")


def _sign(source: Path, *, key: Path, checkpoint: str | None, out: Path | None, as_json: bool) -> None:
    from audit.signing import what_is_signed
    from core_model.files import write_atomically
    from reports.signing.bundle import sign as sign_files
    from reports.signing.keys import fingerprint, locked, read_private_key
    from reports.text import terminal_text

    source = source / "audit.json" if source.is_dir() else source
    passphrase = os.environ.get(PASSPHRASE) or None
    if passphrase is None and locked(key):
        passphrase = click.prompt(f"passphrase of {key}", hide_input=True, err=True)
    read_private_key(key, passphrase)  # before gigabytes are hashed
    record, files = what_is_signed(source, checkpoint)
    bundle = sign_files(files, name=record.subject.name, key=key, passphrase=passphrase)
    written = write_atomically(out or source.with_name(SIGNATURE), bundle)
    name = fingerprint(read_private_key(key, passphrase).public_key())
    if as_json:
        print_json({"signature": str(written), "key": f"sha256:{name}", "files": files})
        return
    for file, sha256 in files.items():
        click.echo(terminal_text(f"{sha256}  {file}"))
    click.echo(f"signed by key sha256:{name}\n{written}")
