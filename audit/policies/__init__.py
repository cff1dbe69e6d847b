"""Starter policies: limits to begin from, usable by name (`--policy screening`), meant to be copied and changed."""

from __future__ import annotations

from importlib import resources


def starters() -> dict[str, bytes]:
    """Each starter policy's TOML by its name."""
    folder = resources.files("audit.policies")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {file.name.removesuffix(".toml"): file.read_bytes() for file in files}
