"""The whole way of a server: SuperLink up, clients' keys registered, the run submitted and followed to its end.

    with Server(home, hosts=("federation.example.org",), address=Address("0.0.0.0", 8000), tell=print) as server:
        server.register([Path("clients")])
        server.train(settings, out=Path("model"), evaluation=None, resume=False)

A run does not survive its SuperLink: Flower marks it failed. Its rounds do, in `out`; submitted again with `resume`,
our server app goes on after the last of them.
"""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from core_model.errors import AboveboardError, BadInput
from core_model.files import write_atomically
from federated.deployment.certificates import Certificates, ensure_certificates
from federated.deployment.environment import flower_environment
from federated.deployment.flower_app import write_app
from federated.deployment.flower_commands import RunStatus
from federated.deployment.network import Address, refuse_taken_port
from federated.deployment.node_keys import NodeKeyUnfit, check_public_key, fingerprint
from federated.deployment.superlink import SuperLink, last_words
from federated.deployment.toml_text import Scalar
from federated.run_settings import KEY, RunSettings

ANSI = re.compile(r"\x1b\[[0-9;]*m")
LEVEL = re.compile(r"^(?:INFO|WARNING)\s*:\s*")
LETTER = re.compile(r"(?:ServerApp failed with exception: )?(?P<kind>\w+): (?P<found>.*?)\n\s*Try: (?P<mend>.*)", re.S)
OURS_TO_MEND = ("BrokenPlugin",)  # a letter that is no bad input
LISTEN_SECONDS = 2.0  # between looks for new keys

Tell = Callable[[str], None]


class RunFailed(AboveboardError):
    """The run ended, and not well."""


class RunUnfit(BadInput):
    """The run ended because of what it was given."""


class Server:
    """A federation's server on this machine.

    Args:
        home: folder that outlives it: certificates, database, registered keys, logs.
        hosts: names and addresses by which clients reach it, for its certificate.
        address: where it listens.
        tell: is told what happens, a line at a time.
    Raises: OptionUnfit for a port in use; CertificateUnfit; OutputUnwritable.
    """

    def __init__(self, home: Path, *, hosts: Sequence[str], address: Address, tell: Tell) -> None:
        refuse_taken_port(address.host, address.port)
        self.home, self._tell = home.absolute(), tell
        local = ("127.0.0.1", "::1", "localhost")
        self.certificates: Certificates = ensure_certificates(
            self.home / "certificates", list(dict.fromkeys([*hosts, *local]))
        )
        self.authority = write_atomically(
            self.home / "public" / self.certificates.authority.name, self.certificates.authority.read_bytes()
        )  # a folder that may be handed to clients: no key is in it
        self.superlink = SuperLink(self.home, self.certificates, address)
        self._registry = self.home / "registered.json"

    def __enter__(self) -> Server:
        self.superlink.start()
        self._tell(f"the SuperLink answers at {self.superlink.address}; its log: {self.superlink.log}")
        self._tell(f"clients recognise it by {self.authority}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.superlink.stop()

    def register(self, places: Iterable[Path]) -> list[int]:
        """Make the public keys in files, and in folders' *.pub, known; those that are known already are left.

        Returns: numbers of the nodes that are new.
        Raises: NodeKeyUnfit, FlowerRefused.
        """
        known, new = self.registered(), []
        for key in _public_keys(places):
            check_public_key(key)
            print_ = fingerprint(key)
            if print_ in known:
                continue
            known[print_] = self.superlink.commands.register(key)
            new.append(known[print_])
            write_atomically(self._registry, json.dumps(known, indent=1))
            self._tell(f"registered {key.name}: {print_}")
        return new

    def registered(self) -> dict[str, int]:
        """Fingerprints of the registered keys, and their nodes' numbers."""
        if not self._registry.exists():
            return {}
        known: dict[str, int] = json.loads(self._registry.read_text(encoding="utf-8"))
        return known

    def train(
        self, settings: RunSettings, *, out: Path, evaluation: Path | None, resume: bool, wait: float,
        keys: Sequence[Path] = (),
    ) -> RunStatus:  # fmt: skip
        """Submit a run and follow it to its end.

        Args:
            settings: `data` is None: each client has its own.
            evaluation: rows of the server's own.
            wait: seconds that the run waits for its clients to connect.
            keys: files and folders that are looked at for new keys while it runs.
        Raises: RunUnfit, RunFailed with what the server's app said; ProgramFailed when the SuperLink is gone.
        """
        app = write_app(self.home / "app")
        config: dict[str, Scalar] = {
            KEY: settings.to_text(),
            "out": str(out.absolute()),
            "resume": resume,
            "wait": wait,
        }
        if evaluation is not None:
            config["eval-data"] = str(evaluation.absolute())
        run = self.superlink.commands.submit(app, config)
        self._tell(f"run {run} is submitted; it begins when {settings.federation.clients} clients are connected")
        for line in self._follow(run, keys):
            self._tell(line)
        status = self.superlink.commands.status(run)
        if not status.completed:
            raise _failure(status, out)
        return status

    def _follow(self, run: int, keys: Sequence[Path]) -> Iterator[str]:
        """What the server's app says, a line at a time, until it ends."""
        commands = self.superlink.commands
        lines: queue.Queue[str | None] = queue.Queue()
        with subprocess.Popen(
            commands.log_command(run), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, encoding="utf-8", errors="replace", env=flower_environment(commands.home),
            start_new_session=True,
        ) as log:  # fmt: skip
            reader = threading.Thread(target=_read_into, args=(log, lines), daemon=True)
            reader.start()
            try:
                while (line := self._next(lines, keys)) is not None:
                    plain = LEVEL.sub("", ANSI.sub("", line)).strip()
                    if plain and not plain.startswith("Using SuperLink"):
                        yield plain
            finally:
                log.kill()

    def _next(self, lines: queue.Queue[str | None], keys: Sequence[Path]) -> str | None:
        while True:
            try:
                return lines.get(timeout=LISTEN_SECONDS)
            except queue.Empty:
                self.superlink.refuse_gone()
                self.register(keys)


def _read_into(log: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    if log.stdout is not None:
        for line in log.stdout:
            lines.put(line)
    lines.put(None)


def _public_keys(places: Iterable[Path]) -> list[Path]:
    """Files as they are, and *.pub of folders, by name.

    Raises: NodeKeyUnfit for a place that is not there.
    """
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise NodeKeyUnfit(f"{place} is not there", mend="a client's node.pub, or a folder of such files")
        found += sorted(place.glob("*.pub")) if place.is_dir() else [place]
    return found


def _failure(status: RunStatus, out: Path) -> AboveboardError:
    """What the server's app said last, as the letter that it was."""
    letter = LETTER.match(status.details)
    if letter is None:
        return RunFailed(
            f"the run ended as {status.status}: {last_words(status.details)}",
            mend=f"the same command with --resume goes on after the last round that {out} has",
        )
    kind = RunFailed if letter["kind"] in OURS_TO_MEND else RunUnfit
    return kind(f"{letter['kind']}: {letter['found']}", mend=letter["mend"].strip())
