"""Keras: configurations in which a layer is code, or names code that its reader would import.

A .keras file is a zip archive with a config.json; an .h5 file keeps the same as text in an attribute, a SavedModel in
keras_metadata.pb. A Lambda layer holds a Python function as marshalled bytecode in base64; every object names the
module and the class that make it. The text is found and read; nothing of it is made.
Source: https://keras.io/api/saving_and_serialization/; CVE-2024-3660 (Lambda), CVE-2025-1550 (modules),
CVE-2025-8747 (Keras' own functions that fetch files), CVE-2025-12058 (vocabularies that are paths).
"""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Iterator
from typing import Any

from core_model.supply_chain.content import LARGEST, Content, Item
from core_model.supply_chain.issues import Issue, Kind, Level, quoted, remove

HDF5 = b"\x89HDF\r\n\x1a\n"
OBJECT = re.compile(
    rb'\{\s*"(?:module|class_name|name|config|optimizer_config|loss|metrics|keras_version|backend)"\s*:'
)
CODED = ("__lambda__", "lambda")
KNOWN_MODULES = (
    "keras",
    "tf_keras",
    "keras_hub",
    "keras_nlp",
    "keras_cv",
    "tensorflow.keras",
    "tensorflow.python.keras",
)
PLAIN = ("function", "dict", "list", "tuple", "set", "slice", "int", "float", "str", "bool", "type")
REACHING = re.compile(
    r"get_file|enable_unsafe_deserialization|load_model|load_weights|load_img|deserialize_keras_object"
)
OF_FILES = re.compile(
    r"(.*\.)?(py_func\w*|py_function|numpy_function|read_file|write_file|load_\w+|matching_files|gfile.*)"
)
LOOKUPS = ("StringLookup", "IntegerLookup", "TextVectorization")
MOST_OBJECTS = 1000  # of one file
BLOCK, OVERLAP = 16 * 2**20, 64  # bytes searched at once; no sign of an object is longer
OPENS = "whoever opens it with safe_mode=False, or with a Keras of before 2024, runs it"
IMPORTS = "Keras imports the module and calls what is named, in some versions even with safe_mode"
MEND = "build the model from code that you know, and load its weights alone (model.load_weights)"

Found = tuple[Level, str, str, str]  # level, what, why, and the text that says it


def scan_keras(item: Item, content: Content) -> Iterator[Issue]:
    """Issues of every Keras configuration that stands in an item."""
    told: set[tuple[str, int]] = set()
    for at, raw in _configurations(item, content):
        try:
            value, _ = json.JSONDecoder().raw_decode(raw.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            if item.path is not None and item.name.lower().endswith(".json"):
                continue  # told by the scan of configurations
            yield Issue(
                Kind.NOT_LOOKED_INTO, Level.MEDIUM, item.name, at,
                f"a Keras configuration that cannot be read ({type(error).__name__})", "what is in it is not known",
                remove(item.name),
            )  # fmt: skip
            continue
        for level, what, why, said in _judged(value):
            place = raw.find(json.dumps(said).encode())
            if (what, at) not in told:
                told.add((what, at))
                yield Issue(Kind.GRAPH, level, item.name, at + max(place, 0), what, why, MEND)


def _configurations(item: Item, content: Content) -> Iterator[tuple[int, bytes]]:
    """(byte, text) of what looks like a configuration: a JSON file, and places of an HDF5 or metadata file."""
    if content is not Content.OTHER:
        return
    head = item.read(512)
    if head.lstrip().startswith(b"{"):
        raw = item.read(LARGEST)
        if b'"class_name"' in raw and b'"config"' in raw:
            yield len(raw) - len(raw.lstrip()), raw.lstrip()
    elif head.startswith(HDF5) or item.name.lower().endswith("keras_metadata.pb"):
        yield from _embedded(item)


def _embedded(item: Item) -> Iterator[tuple[int, bytes]]:
    """Objects that stand as text among other bytes, the outermost of each."""
    at = done = count = 0
    while block := item.read(BLOCK + OVERLAP, at=at):
        for match in OBJECT.finditer(block):
            begin = at + match.start()
            if begin >= done and match.start() < BLOCK and count < MOST_OBJECTS:
                raw = _object_at(item, begin)
                done, count = begin + len(raw), count + 1
                yield begin, raw
        at += BLOCK


def _object_at(item: Item, begin: int) -> bytes:
    """The text of an object, as far as its last bracket; to the first NUL, or as much as is read, where it has none."""
    for size in (2**16, 2**20, 2**24, LARGEST):
        raw = item.read(size, at=begin)
        text = raw.partition(b"\0")[0]
        end = _end(text)
        if end is not None or len(text) < len(raw) or len(raw) < size:
            break
    return text[:end]


def _end(raw: bytes) -> int | None:
    """Where the object at the first byte ends, by its brackets; None where it does not."""
    depth, inside = 0, False
    for match in re.finditer(rb'\\.|["{}]', raw, re.DOTALL):
        sign = match[0]
        if sign == b'"':
            inside = not inside
        elif not inside and sign in b"{}":
            depth += 1 if sign == b"{" else -1
            if depth == 0:
                return match.end()
    return None


def _judged(value: Any) -> Iterator[Found]:
    """What is wrong with the objects of a configuration, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("class_name"), str):
                yield from _object(one, str(one["class_name"]))
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _object(one: dict[str, Any], name: str) -> Iterator[Found]:
    settings = one.get("config")
    settings = settings if isinstance(settings, dict) else {}
    module, registered = one.get("module"), one.get("registered_name")
    function = settings.get("function")
    if name in CODED or (name == "Lambda" and isinstance(function, list)):
        yield Level.HIGH, "a Lambda function as marshalled Python code", OPENS, name
    elif name == "Lambda" and not (isinstance(function, dict) and function.get("class_name") in CODED):
        yield Level.MEDIUM, f"a Lambda layer that calls {quoted(_name_of(function))}", IMPORTS, name
    if name == "TFOpLambda" and OF_FILES.fullmatch(_name_of(function)):
        yield (
            Level.HIGH,
            f"a layer that calls {quoted(_name_of(function))}",
            "it reads or writes files, or runs Python",
            name,
        )
    if name == "TorchModuleWrapper":
        yield Level.HIGH, "a layer that holds a pickled torch module", "opening it runs what stands in the pickle", name
    called = one["config"] if name == "function" and isinstance(one.get("config"), str) else name
    if isinstance(module, str) and not _is_known(module, called):
        yield Level.HIGH, f"{quoted(called)} of the module {quoted(module)}", IMPORTS, module
    elif REACHING.fullmatch(called):
        yield (
            Level.HIGH,
            f"Keras' own function {quoted(called)}",
            "it fetches files, or lets what follows run code",
            called,
        )
    elif _is_somebodys(one, own := registered if isinstance(registered, str) else name):
        yield (
            Level.MEDIUM,
            f"a class of somebody's own: {quoted(own)}",
            "whoever opens it needs its code, and runs it",
            own,
        )
    if name in LOOKUPS and isinstance(settings.get("vocabulary"), str):
        yield (
            Level.HIGH, f"a vocabulary that is a path: {quoted(settings['vocabulary'])}",
            "opening it reads a file of this machine or an address", settings["vocabulary"],
        )  # fmt: skip


def _is_somebodys(one: dict[str, Any], own: str) -> bool:
    """Whether an object is of a class that is not Keras' own: registered under a package, or of no module."""
    unplaced = "module" in one and one["module"] is None and isinstance(one.get("registered_name"), str)
    return (">" in own and not own.startswith("keras")) or (unplaced and own not in PLAIN)


def _is_known(module: str, called: str) -> bool:
    if module == "builtins":
        return called in PLAIN or called.startswith("__") or not hasattr(builtins, called)
    return any(module == known or module.startswith(f"{known}.") for known in KNOWN_MODULES)


def _name_of(function: Any) -> str:
    """What a layer calls, where it calls something by name."""
    if isinstance(function, dict):
        return str(function.get("config") or function.get("class_name"))
    return str(function)
