"""A client runs the app that is installed on its machine, and nothing that a server sends. Bundles are Flower's own."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from federated.deployment.flower_app import write_app
from federated.deployment.own_app import ForeignApp, refuse_foreign_app


def bundled(folder: Path) -> bytes:
    """As `flwr run` bundles it."""
    from flwr.cli.build import build_fab_from_disk

    return build_fab_from_disk(folder)


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def test_our_own_app_is_accepted_by_flower_and_by_clients(tmp_path: Path) -> None:
    refuse_foreign_app(bundled(write_app(tmp_path / "app")))


def test_the_bundle_of_one_release_is_always_the_same(tmp_path: Path) -> None:
    assert bundled(write_app(tmp_path / "one")) == bundled(write_app(tmp_path / "two"))


def test_a_bundle_with_a_program_is_refused(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    (app / "federated").mkdir()
    (app / "federated" / "client.py").write_text("import os  # under the very name of ours\n")
    with pytest.raises(ForeignApp, match=r"it carries 'federated/client\.py'"):
        refuse_foreign_app(bundled(app))


def test_a_bundle_that_names_another_installed_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ForeignApp, match="it names 'os:system'"):
        refuse_foreign_app(bundled(write_app(tmp_path / "app", client="os:system")))


@pytest.mark.parametrize(
    "bundle",
    [
        b"",
        b"no zip",
        zipped({}),
        zipped({"pyproject.toml": b"[tool"}),
        zipped({"pyproject.toml": b"\xff\xfe"}),
        zipped({"pyproject.toml": b"tool = 3"}),
        zipped({"pyproject.toml": b"#" * 2_000_000}),
    ],
    ids=["empty", "not-zip", "without-contents", "broken", "not-text", "without-names", "bomb"],
)
def test_what_cannot_be_read_is_refused(bundle: bytes) -> None:
    with pytest.raises(ForeignApp, match="was not unpacked"):
        refuse_foreign_app(bundle)


def test_a_name_twice_does_not_smuggle(tmp_path: Path) -> None:
    """Python reads the last of two entries, and so does what unpacks it; both are read as one here, too."""
    good = bundled(write_app(tmp_path / "app"))
    content = io.BytesIO(good)
    with zipfile.ZipFile(content, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("pyproject.toml", '[tool.flwr.app.components]\nclientapp = "evil:app"\n')
    with pytest.raises(ForeignApp, match="evil:app"):
        refuse_foreign_app(content.getvalue())
