"""Promises about Keras and TensorFlow files: layers that are code and operators that reach out are told.

The configurations are as Keras 3.10 writes them, shortened; the graphs are made of TensorFlow's own messages.
"""

from __future__ import annotations

import base64
import json
import marshal

import pytest

from core_model.supply_chain import Level
from tests.core_model.supply_chain.planted import issues_of, zipped

CODE = base64.b64encode(marshal.dumps(compile("1 + 1", "x", "eval"))).decode()  # never loaded
DENSE = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}, "registered_name": None}
ADAM = {"module": "keras.src.backend.torch.optimizers.torch_adam", "class_name": "Adam", "config": {"name": "adam"},
        "registered_name": "Adam"}  # fmt: skip
COERCED = {"class_name": "__lambda__", "config": {"code": CODE, "defaults": None, "closure": None}}
RELU = {"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "function"}


def layer(name: str, module: str | None = "keras.layers", registered: str | None = None, **config) -> dict:
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def model(*layers: dict) -> bytes:
    config = {"name": "tiny", "layers": [DENSE, *layers]}
    return json.dumps(
        {"module": "keras", "class_name": "Sequential", "config": config, "compile_config": ADAM}
    ).encode()


def h5(config: bytes) -> bytes:
    return b"\x89HDF\r\n\x1a\n" + bytes(100) + config + bytes(9) + b"weights { } \x00"


FAULTS = [
    (layer("Lambda", function=COERCED), Level.HIGH, "marshalled Python code", "__lambda__"),
    ({"class_name": "Lambda", "config": {"function": [CODE, None, None], "function_type": "lambda"}}, Level.HIGH,
     "marshalled Python code", "Lambda"),
    (layer("Lambda", function=RELU), Level.MEDIUM, "a Lambda layer that calls 'relu'", "Lambda"),
    (layer("system", "os"), Level.HIGH, "'system' of the module 'os'", "os"),
    (layer("function", "subprocess") | {"config": "run"}, Level.HIGH, "'run' of the module 'subprocess'", "subprocess"),
    (layer("function", "builtins") | {"config": "eval"}, Level.HIGH, "'eval' of the module 'builtins'", "builtins"),
    (layer("function", "keras.utils") | {"config": "get_file"}, Level.HIGH, "own function 'get_file'", "get_file"),
    (layer("Mine", None, "some_package>Mine"), Level.MEDIUM, "own: 'some_package>Mine'", "some_package>Mine"),
    (layer("Mine", None, "Mine"), Level.MEDIUM, "somebody's own: 'Mine'", "Mine"),
    (layer("TorchModuleWrapper"), Level.HIGH, "pickled torch module", "TorchModuleWrapper"),
    (layer("TFOpLambda", function="io.write_file"), Level.HIGH, "calls 'io.write_file'", "TFOpLambda"),
    (layer("StringLookup", vocabulary="/etc/passwd"), Level.HIGH, "a path: '/etc/passwd'", "/etc/passwd"),
]  # fmt: skip


@pytest.mark.parametrize(("planted", "level", "says", "at"), FAULTS)
@pytest.mark.parametrize("form", ["m.keras", "renamed.zip", "m.h5", "config.json", "keras_metadata.pb"])
def test_a_layer_that_is_or_names_code_is_told_with_its_byte(tmp_path, form, planted, level, says, at):
    config = model(planted)
    inside = form in ("m.keras", "renamed.zip")
    data = {"m.h5": h5, "config.json": bytes, "keras_metadata.pb": lambda c: b"\x0a\x05\x2a\x03" + c + b"\x1a\x00"}
    written = zipped(**{"config.json": config}) if inside else data[form](config)
    (tmp_path / form).write_bytes(written)
    [issue] = issues_of(tmp_path)
    assert (issue.kind, issue.level) == ("graph", level) and says in issue.what
    assert issue.file == (f"{form}!config.json" if inside else form)
    assert issue.offset == (config if inside else written).index(json.dumps(at).encode())


@pytest.mark.parametrize("form", ["m.keras", "m.h5", "config.json"])
def test_layers_of_keras_own_are_fine(tmp_path, form):
    config = model(layer("Activation", activation=RELU), layer("StringLookup", vocabulary=["a", "b"]),
                   layer("TFOpLambda", function="math.add"), layer("__tuple__", "builtins"))  # fmt: skip
    written = zipped(**{"config.json": config}) if form == "m.keras" else h5(config) if form == "m.h5" else config
    (tmp_path / form).write_bytes(written)
    assert issues_of(tmp_path) == []


def test_a_configuration_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "m.h5").write_bytes(h5(model()[:-40]))
    [issue] = issues_of(tmp_path)
    assert (issue.kind, issue.level, issue.offset) == ("not-looked-into", Level.MEDIUM, 108)
    (tmp_path / "m.h5").write_bytes(h5(b'{"class_name": ' + b'{"config":' * 100_000 + b"}" * 100_001))
    [issue] = issues_of(tmp_path)
    assert issue.kind == "not-looked-into" and "RecursionError" in issue.what


def test_other_json_that_has_classes_is_not_taken_for_keras(tmp_path):
    (tmp_path / "pipeline.json").write_text(json.dumps({"class_name": "system", "module": "os"}))
    assert issues_of(tmp_path) == []


def test_a_configuration_longer_than_what_is_read_at_first_is_read_to_its_end(tmp_path):
    config = model(*[DENSE] * 2000, layer("system", "os"))
    assert len(config) > 2**16
    (tmp_path / "m.h5").write_bytes(h5(config))
    [issue] = issues_of(tmp_path)
    assert "'system' of the module 'os'" in issue.what


def meta_graph(*operators: str, inner: str = "Add", asset: str = ""):
    protos = pytest.importorskip("tensorboard.compat.proto.meta_graph_pb2")
    made = protos.MetaGraphDef()
    for number, operator in enumerate(operators):
        made.graph_def.node.add(name=f"node{number}", op=operator)
    made.graph_def.library.function.add().node_def.add(name="inner", op=inner)
    if asset:
        made.asset_file_def.add(filename=asset)
    return made


def saved(made) -> bytes:
    raw = made.SerializeToString()
    return b"\x08\x01\x12" + bytes([len(raw)]) + raw  # SavedModel: schema version 1, one meta graph


@pytest.mark.parametrize(
    ("operator", "level"), [("PyFunc", Level.HIGH), ("ReadFile", Level.HIGH), ("WriteFile", Level.HIGH),
                            ("DebugIdentityV3", Level.HIGH), ("MatchingFiles", Level.MEDIUM)],
)  # fmt: skip
@pytest.mark.parametrize("form", ["saved_model.pb", "frozen.pb", "in a function"])
def test_operators_that_reach_out_are_told_with_their_byte(tmp_path, form, operator, level):
    made = meta_graph("Add", inner=operator) if form == "in a function" else meta_graph("Add", operator)
    data = made.graph_def.SerializeToString() if form == "frozen.pb" else saved(made)
    (tmp_path / ("frozen.pb" if form == "frozen.pb" else "saved_model.pb")).write_bytes(data)
    [issue] = issues_of(tmp_path)
    assert (issue.kind, issue.level, issue.offset) == ("graph", level, data.index(operator.encode()))
    assert ("in a function" in issue.what) is (form == "in a function")


def test_a_graph_that_only_computes_is_fine(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(saved(meta_graph("MatMul", "SaveV2", "RestoreV2", asset="vocab.txt")))
    (tmp_path / "fingerprint.pb").write_bytes(b"\x08\x91\xa2\x03\x10\x05")
    assert issues_of(tmp_path) == []


def test_assets_elsewhere_and_cut_models_are_told(tmp_path):
    data = saved(meta_graph("MatMul", asset="../../secret"))
    (tmp_path / "saved_model.pb").write_bytes(data)
    [issue] = issues_of(tmp_path)
    assert issue.level is Level.HIGH and issue.offset == data.index(b"../../") and "leads out of" in issue.what
    (tmp_path / "saved_model.pb").write_bytes(data[:-20])
    assert [issue.kind for issue in issues_of(tmp_path)] == ["not-looked-into"]
