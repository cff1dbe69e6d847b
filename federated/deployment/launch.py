"""Flower's programs, started by us: `python -m federated.deployment.launch superlink|supernode|clientapp ...`.

What is added to them: they end when the process that started them is gone (killed with -9, too); the SuperLink answers
its operator's interface on its own machine alone (`access`); a client's app process refuses other apps (`own_app`).
Flower's hooks for the latter two are replaced in this process: `superlink.extensions.get_middleware` is the one for
additions, which only its enterprise edition fills.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from federated.deployment.processes import GRACE_SECONDS, MARK, kill_marked, marked, wait_until

PARENT = "ABOVEBOARD_PARENT_PID"  # in the environment: end when this process is gone


def superlink() -> None:
    """`flower-superlink`."""
    from flwr.superlink import extensions
    from flwr.superlink.cli.flower_superlink import flower_superlink
    from starlette.middleware import Middleware

    from federated.deployment.access import LocalControl

    extensions.get_middleware = lambda: (Middleware(LocalControl),)
    flower_superlink()


def supernode() -> None:
    """`flower-supernode`."""
    from flwr.supernode.cli.flower_supernode import flower_supernode

    flower_supernode()


def clientapp() -> None:
    """`flwr-clientapp`, which SuperExec starts for each message."""
    from flwr.supernode.cli.flwr_clientapp import flwr_clientapp
    from flwr.supernode.runtime import run_clientapp

    from federated.deployment.own_app import refuse_foreign_app

    unpack = run_clientapp.install_from_fab

    def unpack_own(fab_file: Path | bytes, install_dir: Path | None = None, skip_prompt: bool = False) -> Path:
        refuse_foreign_app(fab_file if isinstance(fab_file, bytes) else fab_file.read_bytes())
        return unpack(fab_file, install_dir, skip_prompt)

    run_clientapp.install_from_fab = unpack_own
    flwr_clientapp()


def _end_with(parent: int) -> None:
    """Watch the parent; when it is gone, end."""
    import psutil

    while psutil.pid_exists(parent):
        time.sleep(0.5)
    threading.Thread(target=_end, daemon=False).start()  # to its last line, even if the program ends meanwhile


def _end() -> None:
    """End in order; and after a while, in which connections may still be open, at once, with all that was started."""
    marks = {os.environ[MARK]}
    os.kill(os.getpid(), signal.SIGTERM)

    def ended() -> bool:
        return not threading.main_thread().is_alive() and len(marked(marks)) <= 1  # this process itself is left

    if not wait_until(ended, seconds=GRACE_SECONDS):
        kill_marked(marks)


PROGRAMS = {"superlink": superlink, "supernode": supernode, "clientapp": clientapp}


def main() -> None:
    """Run the program that is named first."""
    program = PROGRAMS[sys.argv.pop(1)]
    from federated.environment import quiet_flower

    quiet_flower()
    parent = os.environ.pop(PARENT, None)
    if parent is not None:
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    program()


if __name__ == "__main__":
    main()
