"""A federation of three clients on this machine: a SuperLink and three SuperNodes, with TLS and keys made on the spot.

    make federation            MiniLM with adapters, three groups of RedditBias, two rounds: some minutes
    make federation SMALL=1    a tiny new encoder and 180 comments, for a quick look and for continuous integration
    make federation SECURE=1   updates leave under masks whose keys the clients' own keys have signed

What it runs are the commands that a consortium would run, each on its own machine:

    aboveboard federate key    --home clients/NAME                  each client: its key; node.pub goes to the server
    aboveboard federate serve  --client-keys keys ... --out model   the server
    aboveboard federate join   --server HOST:PORT --authority authority.crt --data rows.jsonl ...    each client

Keys, certificates and Flower's files lie in a temporary folder that is gone afterwards; the checkpoint stays.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from core_model.embedded import LABEL_NAMES, Comment, load_redditbias, locate_encoder
from federated.deployment.network import free_port
from federated.deployment.processes import Program, stop_all, wait_until

CLIENTS = ("female", "black", "muslim")  # the groups that the comments speak of: truly different texts
ROUNDS = 2
LIMIT_SECONDS = 1800.0
ABOVEBOARD = Path(sysconfig.get_path("scripts")) / "aboveboard"


def main() -> int:
    """Run the federation; returns the server's exit code."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--small", action="store_true", help="a tiny new encoder and few rows")
    arguments.add_argument("--out", type=Path, default=Path("federation-demo"), help="folder of the checkpoint")
    arguments.add_argument("--secure", action="store_true", help="secure aggregation, with the clients' keys as roster")
    asked = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    began = time.monotonic()
    shutil.rmtree(asked.out, ignore_errors=True)  # of an earlier demonstration
    with tempfile.TemporaryDirectory(prefix="federation-") as folder:
        code = _federate(Path(folder), asked.out, small=asked.small, secure=asked.secure)
    if code == 0:
        record = json.loads((asked.out / "federated_record.json").read_text(encoding="utf-8"))
        names = ", ".join(client["name"] for client in record["partition"]["clients"])
        print(f"{len(record['rounds'])} rounds with {names} in {time.monotonic() - began:.0f} s; {asked.out}")
        if asked.secure:
            how = "signed by node keys" if record["secure"]["signed"] else "not signed"
            print(f"masked, keys {how}; largest error of a mean {record['secure']['quantization_error']:.1e}")
    return code


def _federate(folder: Path, out: Path, *, small: bool, secure: bool) -> int:
    comments = load_redditbias()
    base = _tiny_encoder(comments, folder / "base") if small else locate_encoder()
    keys = folder / "keys"
    keys.mkdir()
    for name in CLIENTS:
        _write_rows([comment for comment in comments if comment.group == name], folder, name, small=small)
        _run(folder, "key", "--home", str(folder / name))
        shutil.copy(folder / name / "node.pub", keys / f"{name}.pub")
    roster = folder / "clients.pub"  # of a consortium each client gets it by a way that is not the server's
    roster.write_text("".join((keys / f"{name}.pub").read_text(encoding="utf-8") for name in CLIENTS), encoding="utf-8")
    port, began = free_port(), time.monotonic()
    programs = [_program(folder, "server", *_serve(folder, base, out, port, small=small, secure=secure), shown=True)]
    try:
        authority = folder / "server" / "public" / "authority.crt"
        if not wait_until(lambda: authority.exists() or programs[0].code is not None, seconds=60):
            raise SystemExit("the server made no certificates")
        programs += [
            _program(folder, name, *_join(folder, base, name, port, authority, secure=secure)) for name in CLIENTS
        ]
        while (code := programs[0].wait(5.0)) is None:
            if time.monotonic() - began > LIMIT_SECONDS:
                raise SystemExit(f"no end after {LIMIT_SECONDS:.0f} s; the server said: {programs[0].said()}")
        if code:
            for program in programs[1:]:
                print(program.said(), file=sys.stderr)
        return code
    finally:
        stop_all(programs)


def _serve(folder: Path, base: Path, out: Path, port: int, *, small: bool, secure: bool) -> list[str]:
    learning = ["--batch-size", "16", "--learning-rate", "1e-3"]
    # Evaluation on clients' rows would reach the server in clear, and so does not go with masks.
    learning += ["--secure", "--deadline", "1500"] if secure else ["--held-out", "0.2", "--deadline", "600"]
    learning += [] if small else ["--adapters", "8"]
    return [
        "serve", "--home", str(folder / "server"), "--port", str(port), "--client-keys", str(folder / "keys"),
        "--clients", str(len(CLIENTS)), "--rounds", str(ROUNDS), "--base", str(base), "--text-column", "comment",
        "--label-column", "label", "--labels", ",".join(LABEL_NAMES), "--max-length", "64",
        "--out", str(out), *learning,
    ]  # fmt: skip


def _join(folder: Path, base: Path, name: str, port: int, authority: Path, *, secure: bool) -> list[str]:
    masks = ["--roster", str(folder / "clients.pub"), "--least-survivors", str(len(CLIENTS))] if secure else []
    return [
        "join", "--home", str(folder / name), "--server", f"127.0.0.1:{port}", "--authority", str(authority),
        "--data", str(folder / f"{name}.jsonl"), "--base", str(base), "--name", name, *masks,
    ]  # fmt: skip


def _program(folder: Path, name: str, *arguments: str, shown: bool = False) -> Program:
    log = Path("/dev/stderr") if shown else folder / f"{name}.log"
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}  # the clients share cores
    return Program([str(ABOVEBOARD), "federate", *arguments], environment=environment, log=log)


def _run(folder: Path, *arguments: str) -> None:
    program = _program(folder, "keys", *arguments)
    if program.wait(60.0) != 0:
        raise SystemExit(program.said())


def _write_rows(comments: list[Comment], folder: Path, name: str, *, small: bool) -> None:
    kept = comments[: 60 if small else 400]
    rows = [{"comment": comment.text, "label": comment.label} for comment in kept]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _tiny_encoder(comments: list[Comment], folder: Path) -> Path:
    """A new encoder whose weights are random and whose tokenizer has seen a few comments."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from core_model.architectures import Architecture
    from core_model.tokenizer_training import train_tokenizer

    shape = Architecture(layers=2, hidden=32, heads=2, vocabulary=1000, max_length=64)
    tokenizer = train_tokenizer([comment.text for comment in comments[:2000]], shape)
    torch.manual_seed(0)
    config = shape.config(vocabulary=len(tokenizer), labels=LABEL_NAMES)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
