"""Code that comes with a checkpoint: named in its configuration, or lying beside it.

transformers runs what `auto_map` names, and `custom_generate/generate.py`, for whoever says `trust_remote_code=True`;
sentence-transformers the modules that modules.json names; PEFT imports the library that `auto_mapping` names; diffusers
the pipeline that `custom_pipelines` names.
Source: https://huggingface.co/docs/transformers/custom_models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from core_model.supply_chain.issues import Issue, Kind, Level, quoted, remove

RUNS = "whoever opens it with trust_remote_code=True runs that code"
KEYS = ("auto_map", "custom_generate", "custom_pipelines")
CODE = {
    ".py": "Python code", ".pyc": "compiled Python code", ".pyw": "Python code", ".pyd": "a Python extension",
    ".ipynb": "a notebook",
}  # fmt: skip
KNOWN_LIBRARIES = ("transformers", "peft", "diffusers", "sentence_transformers")


def scan_configuration(name: str, raw: bytes) -> Iterator[Issue]:
    """Code that a JSON file names, at the byte of the key that names it."""
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        yield Issue(
            Kind.NOT_LOOKED_INTO, Level.MEDIUM, name, getattr(error, "pos", None), "this is no JSON",
            "a reader that is less strict may find something in it", "fetch or write the file again",
        )  # fmt: skip
        return
    for key, inner in _pairs(value):
        if key in KEYS and inner:
            yield _names(name, raw, key, inner, RUNS)
        elif key == "trust_remote_code" and inner is True:
            yield _names(name, raw, key, inner, "a reader that believes it runs the checkpoint's own code")
        elif key == "auto_mapping" and isinstance(inner, dict):
            library = str(inner.get("parent_library"))
            if library.split(".", maxsplit=1)[0] not in KNOWN_LIBRARIES:
                yield _names(name, raw, "parent_library", library, "PEFT imports the library of this name")
    if PurePosixPath(name).name == "modules.json" and isinstance(value, list):
        for module in value:
            kind = module.get("type") if isinstance(module, dict) else None
            if isinstance(kind, str) and kind.split(".")[0] not in KNOWN_LIBRARIES:
                yield _names(name, raw, "type", kind, f"sentence-transformers imports it; {RUNS}", find=kind)


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of every object, however deep; without recursion, since the file may be built to exhaust it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one.items()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _names(name: str, raw: bytes, key: str, value: Any, why: str, *, find: str | None = None) -> Issue:
    at = raw.find(json.dumps(find or key).encode())
    said = quoted(json.dumps(value, ensure_ascii=False))
    return Issue(
        Kind.REMOTE_CODE, Level.HIGH, name, at if at >= 0 else None, f"{key} names code to run: {said}", why,
        f"take {key} out of {name} where transformers has the architecture itself, and never trust_remote_code",
    )  # fmt: skip


def scan_code_file(name: str) -> Issue | None:
    """A file of code by its name; it runs only when something imports it."""
    what = CODE.get(PurePosixPath(name.lower()).suffix)
    if not what:
        return None
    runs = PurePosixPath(name).name == "generate.py" and PurePosixPath(name).parent.name == "custom_generate"
    return Issue(
        Kind.REMOTE_CODE, Level.HIGH if runs else Level.MEDIUM, name, 0,
        f"{what}{', run by generate()' if runs else ''}",
        RUNS if runs else "weights need none; a configuration that names it has it run", remove(name),
    )  # fmt: skip
