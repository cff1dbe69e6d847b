"""Which app a client consents to run: ours, installed on its own machine, and no program that the server sends.

A Flower app bundle is a zip that the server sends to every client, code and all. Ours is a table of contents alone: it
names `federated.client:app`, which each client has installed itself. A bundle that carries anything else is refused
before it is unpacked, and the server is told so. (Flower's own `--trusted-entities` can only check signatures of
Flower's hub.)
"""

from __future__ import annotations

import io
import tomllib
import zipfile

from core_model.errors import BadInput

CLIENT_APP, SERVER_APP = "federated.client:app", "federated.server:app"
CONTENTS = ("pyproject.toml", ".info/CONTENT")
LARGEST = 1_000_000  # bytes, of a table of contents


class ForeignApp(BadInput):
    """The server asks a client to run a program that the client has not installed itself."""


def refuse_foreign_app(bundle: bytes) -> None:
    """Whether a bundle is ours.

    Raises: ForeignApp.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            strangers = [entry.filename for entry in archive.infolist() if entry.filename not in CONTENTS]
            if strangers:
                raise _foreign(f"it carries {', '.join(map(repr, strangers[:3]))}")
            if archive.getinfo(CONTENTS[0]).file_size > LARGEST:
                raise _foreign(f"its {CONTENTS[0]} is larger than {LARGEST} bytes")
            project = tomllib.loads(archive.read(CONTENTS[0]).decode("utf-8"))
        named = project["tool"]["flwr"]["app"]["components"]["clientapp"]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise _foreign(f"it cannot be read ({type(error).__name__}: {error})") from error
    if named != CLIENT_APP:
        raise _foreign(f"it names {str(named)[:80]!r}, not {CLIENT_APP!r}")


def _foreign(why: str) -> ForeignApp:
    return ForeignApp(
        f"the server sent another app than Aboveboard's: {why}; it was not unpacked",
        mend="the same release of aboveboard on the server, which submits its own app with `aboveboard federate serve`",
    )
