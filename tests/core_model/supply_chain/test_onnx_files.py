"""Promises about ONNX files: what a graph needs and carries is told with its byte, and nothing of it is run."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core_model.supply_chain import Level
from core_model.supply_chain.onnx_schema import SCHEMA
from core_model.supply_chain.protobuf import BLOB, NUMBER, TEXT
from tests.core_model.graph_world import write_graph_folder
from tests.core_model.supply_chain.planted import STACKED, issues_of

onnx = pytest.importorskip("onnx")
helper, TensorProto = onnx.helper, onnx.TensorProto
ELF = b"\x7fELF\x02\x01\x01" + bytes(64)


def node(
    operator: str = "Relu", domain: str = "", inputs: Any = ("x",), outputs: Any = ("y",), **attributes: Any
) -> Any:
    return helper.make_node(operator, list(inputs), list(outputs), domain=domain, **attributes)


def graph(*nodes: Any, tensors: Any = ()) -> Any:
    put = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    return helper.make_graph(list(nodes) or [node()], "tiny", put[:1], put[1:], list(tensors))


def model(*nodes: Any, tensors: Any = (), functions: Any = ()) -> Any:
    domains = {one.domain for one in functions} | {""}
    return helper.make_model(
        graph(*nodes, tensors=tensors), functions=list(functions),
        opset_imports=[helper.make_opsetid(domain, 20) for domain in sorted(domains)],
    )  # fmt: skip


def function(name: str, *nodes: Any, domain: str = "own") -> Any:
    return helper.make_function(domain, name, ["x"], ["y"], list(nodes), [helper.make_opsetid("", 20)])


def tensor(*, count: int = 4, raw: bytes = bytes(16), name: str = "w", **external: str) -> Any:
    made = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[count])
    if not external:
        made.raw_data = raw
        return made
    made.data_location = TensorProto.EXTERNAL
    for key, value in external.items():
        made.external_data.add(key=key, value=value)
    return made


def found(folder: Path, made: Any, name: str = "model.onnx") -> list[Any]:
    (folder / name).write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return issues_of(folder)


def byte(folder: Path, said: bytes, name: str = "model.onnx") -> int:
    return (folder / name).read_bytes().index(said)


def test_the_schema_is_that_of_the_package_onnx():
    told = {9: TEXT, 12: BLOB}
    waiting, seen = [onnx.ModelProto.DESCRIPTOR], {}
    while waiting:
        message = waiting.pop()
        name = message.full_name.removeprefix("onnx.")
        if name not in seen:
            seen[name] = {
                one.number: one.message_type.full_name.removeprefix("onnx.")
                if one.message_type
                else told.get(one.type, NUMBER)
                for one in message.fields
            }
            waiting += [one.message_type for one in message.fields if one.message_type]
    assert all(fields.items() <= SCHEMA[name].items() for name, fields in seen.items())


def test_a_healthy_graph_has_no_issue(tmp_path, checkpoint):
    write_graph_folder(tmp_path / "made", checkpoint)
    branches = node("If", inputs=["c"], then_branch=graph(node()), else_branch=graph(node()))
    words = node("Constant", inputs=[], value=helper.make_tensor("t", TensorProto.STRING, [2], [b"good", b"a film"]))
    own = function("Twice", node(), node())
    lists = [
        helper.make_tensor("a", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0]),
        helper.make_tensor("b", TensorProto.INT64, [2, 2], [1, -1, 300, 2**40]),
        helper.make_tensor("c", TensorProto.FLOAT16, [2], np.array([1, 2], np.float16)),
        helper.make_tensor("d", TensorProto.INT4, [3], [1, 2, 3]),
        helper.make_tensor("e", TensorProto.DOUBLE, [], [1.5]),
        helper.make_tensor("f", TensorProto.FLOAT, [0], []),
    ]
    for made in lists:
        onnx.checker.check_tensor(made)
    assert found(tmp_path, model(branches, words, node("Twice", "own"), node("Gelu", "com.microsoft"),
                                 tensors=lists, functions=[own])) == []  # fmt: skip


def test_a_healthy_export_has_no_issue(tmp_path):
    torch = pytest.importorskip("torch")
    layers = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Flatten(), torch.nn.Linear(8, 2)).eval()
    text = torch.zeros(1, 2, dtype=torch.int64)
    torch.onnx.export(layers, (text,), tmp_path / "model.onnx", external_data=False, verbose=False)
    onnx.checker.check_model(str(tmp_path / "model.onnx"))
    assert issues_of(tmp_path) == []


@pytest.mark.parametrize(
    ("operator", "domain", "level", "says"),
    [
        ("PyOp", "pyopmulti_1", Level.HIGH, "runs Python"),
        ("PythonOp", "com.microsoft", Level.HIGH, "runs Python"),
        ("Reverse", "ai.onnx.contrib", Level.HIGH, "onnxruntime-extensions"),
        ("DecodeImage", "com.microsoft.extensions", Level.HIGH, "onnxruntime-extensions"),
        ("AzureTextToText", "com.microsoft.extensions", Level.HIGH, "asks a service"),
        ("Thing", "some.body", Level.HIGH, "defined by nobody here"),
        ("EPContext", "com.microsoft", Level.MEDIUM, "compiled for one device"),
    ],
)
def test_operators_that_bring_code_are_told_with_their_byte(tmp_path, operator, domain, level, says):
    [issue] = found(tmp_path, model(node(operator, domain), node(operator, domain)))
    assert (issue.kind, issue.level, issue.offset) == ("graph", level, byte(tmp_path, operator.encode()))
    assert says in issue.what and issue.what.endswith(", 2 times")


@pytest.mark.parametrize("branch", ["If", "Loop", "Scan", "a function", "a function in a branch"])
def test_a_foreign_operator_is_found_wherever_it_hides(tmp_path, branch):
    evil, functions, where = node("Thing", "some.body"), [], f"in a branch of '{branch}'"
    if branch == "a function":
        functions, top, where = [function("Plain", evil)], node("Plain", "own"), "in the function 'own.Plain'"
    elif branch == "a function in a branch":
        inner = node("If", inputs=["c"], then_branch=graph(evil), else_branch=graph())
        functions, top, where = [function("Plain", inner)], node("Plain", "own"), "in the function 'own.Plain'"
    else:
        top = node(branch, **{"then_branch" if branch == "If" else "body": graph(node("If", then_branch=graph(evil)))})
        where = "in a branch of 'If'"
    [issue] = found(tmp_path, model(top, functions=functions))
    assert where in issue.what and issue.offset == byte(tmp_path, b"Thing")


def test_a_graph_is_known_by_its_content(tmp_path):
    [issue] = found(tmp_path, model(node("Thing", "some.body")), name="weights.dat")
    assert (issue.kind, issue.file) == ("graph", "weights.dat")


def test_functions_that_shadow_circle_or_multiply_are_told(tmp_path):
    [shadow] = found(tmp_path, model(functions=[function("Relu", node("Abs"), domain="")]))
    assert shadow.level is Level.MEDIUM and "built in: 'Relu'" in shadow.what
    around = [function("a", node("b", "own")), function("b", node("a", "own"))]
    [circle] = found(tmp_path, model(node("a", "own"), functions=around))
    assert circle.level is Level.HIGH and "calls itself" in circle.what
    laughs = [function("f0", node()), *(function(f"f{n}", *[node(f"f{n - 1}", "own")] * 10) for n in range(1, 10))]
    [bomb] = found(tmp_path, model(node("f9", "own"), functions=laughs))
    assert bomb.level is Level.HIGH and "1e+09 nodes" in bomb.what
    assert found(tmp_path, model(node("f5", "own"), functions=laughs[:6])) == []


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("/etc/passwd", "absolute path"),
        ("../secret.data", "leads out of the folder"),
        ("C:\\secret.data", "absolute path"),
        ("..\\secret.data", "leads out of the folder"),
        ("https://some.body/w.data", "is an address"),
        ("*/_ORT_MEM_ADDR_/*", "address of the reader's memory"),
        ("", "no file's name"),
    ],
)
def test_external_data_elsewhere_are_told_with_their_byte(tmp_path, location, says):
    [issue] = found(tmp_path, model(tensors=[tensor(location=location)]))
    assert (issue.kind, issue.level) == ("weights", Level.HIGH) and says in issue.what
    assert not location or issue.offset == byte(tmp_path, location.encode())


def test_external_data_that_is_what_it_says_is_fine(tmp_path):
    (tmp_path / "w.data").write_bytes(bytes(32))
    made = [tensor(name="a", location="w.data"), tensor(name="b", location="w.data", offset="16", length="16"),
            tensor(name="tied", location="w.data", offset="16", length="16")]  # fmt: skip
    assert found(tmp_path, model(tensors=made)) == []


@pytest.mark.parametrize(
    ("external", "level", "says"),
    [
        ({"location": "w.data", "offset": "20"}, Level.HIGH, "up to byte 36, and there are 32"),
        ({"location": "w.data", "length": "8"}, Level.HIGH, "8 bytes of 'w.data' instead of 16"),
        ({"location": "w.data", "offset": "-1"}, Level.HIGH, "offset '-1', which is no count"),
        ({"location": "none.bin"}, Level.MEDIUM, "is not there"),
        ({"location": "folder"}, Level.HIGH, "is no file"),
    ],
)
def test_external_data_that_lies_is_told(tmp_path, external, level, says):
    (tmp_path / "w.data").write_bytes(bytes(32))
    (tmp_path / "folder").mkdir()
    [issue] = found(tmp_path, model(tensors=[tensor(**external)]))
    assert (issue.kind, issue.level) == ("weights", level) and says in issue.what


def test_external_data_that_overlap_or_are_a_link_are_told(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.data").write_bytes(bytes(32))
    [overlap] = found(folder, model(tensors=[tensor(name="a", location="w.data"),
                                             tensor(name="b", location="w.data", offset="8")]))  # fmt: skip
    assert "'b' overlaps tensor 'a'" in overlap.what and "byte 8" in overlap.what
    (tmp_path / "private").write_bytes(bytes(16))
    (folder / "w.data").unlink()
    (folder / "w.data").symlink_to(tmp_path / "private")
    link, other = sorted(found(folder, model(tensors=[tensor(location="w.data")])), key=lambda one: one.kind)
    assert link.kind == "link" and (other.kind, other.level) == ("weights", Level.HIGH)
    assert "is a link out of the folder" in other.what


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (tensor(raw=bytes(12)), "has 12 bytes instead of 16"),
        (tensor(count=2**60), "has 16 bytes instead of 4,611,686,018,427,387,904"),
        (tensor(count=-4), "a length below 0"),
        (TensorProto(name="w", data_type=1, dims=[4]), "holds none"),
        (TensorProto(name="w", data_type=1, dims=[4], float_data=[1, 2]), "of 4 numbers holds 2"),
        (TensorProto(name="w", data_type=7, dims=[3], int64_data=[1, 2**40]), "of 3 numbers holds 2"),
    ],
)
def test_tensors_that_lie_about_their_size_are_told(tmp_path, made, says):
    [issue] = found(tmp_path, model(tensors=[made]))
    assert (issue.kind, issue.level) == ("weights", Level.HIGH) and says in issue.what


def test_secrets_and_addresses_are_told_and_secrets_never_shown(tmp_path):
    pytest.importorskip("detect_secrets")
    token = "hf_" + "aB3" * 12
    made = model(node("Constant", inputs=[], value_string=f"Bearer {token}"))
    for key, value in (("api_key", "q7Zx9Lm2Vb4Nn8"), ("home", "see https://some.body/x"), ("who", "me@some.body.org")):
        made.metadata_props.add(key=key, value=value)
    secrets = [issue for issue in found(tmp_path, made) if issue.kind == "secret"]
    assert {one.offset for one in secrets} == {byte(tmp_path, b"Bearer"), byte(tmp_path, b"q7Zx")}
    assert all(one.level is Level.HIGH and token not in one.what and "q7Zx" not in one.what for one in secrets)
    web, mail = issues_of(tmp_path, "address")
    assert (web.offset, mail.offset) == (byte(tmp_path, b"https://"), byte(tmp_path, b"me@"))
    assert web.level is mail.level is Level.LOW
    assert "'https://some.body'" in web.what and "'...@some.body.org'" in mail.what
    made = model(node("Constant", inputs=[], value_string="https://me:q7Zx9Lm2@some.body/?key=q7Zx9Lm2"))
    assert not any("q7Zx" in issue.what for issue in found(tmp_path, made))


@pytest.mark.parametrize("packed", ["metadata", "constant", "text tensor", "bytes", "numbers"])
@pytest.mark.parametrize(("data", "kind"), [(STACKED, "pickle"), (ELF, "executable")])
def test_programs_and_pickles_in_a_graph_are_looked_into(tmp_path, packed, data, kind):
    coded = base64.b64encode(data).decode()
    match packed:
        case "metadata":
            made = model()
            made.metadata_props.add(key="note", value=f"x {coded}")
        case "constant":
            made = model(node("Constant", inputs=[], value_string=coded))
        case "text tensor":
            made = model(tensors=[helper.make_tensor("t", TensorProto.STRING, [1], [coded.encode()])])
        case "bytes":
            made = model(node("Constant", inputs=[], value_string=data))
        case "numbers":
            made = model(tensors=[tensor(count=-(-len(data) // 4), raw=data + bytes(-len(data) % 4))])
    [issue] = found(tmp_path, made)
    assert (issue.kind, issue.level) == (kind, Level.HIGH)
    start = byte(tmp_path, data if packed in ("bytes", "numbers") else coded.encode())
    assert issue.file == f"model.onnx!{'bytes' if packed in ('bytes', 'numbers') else 'base64'} at {start}"


def test_what_is_cut_or_no_graph_is_told_with_its_byte(tmp_path):
    whole = model(tensors=[tensor(count=400, raw=bytes(1600))]).SerializeToString()
    [cut] = found(tmp_path, whole[:-700])
    assert (cut.kind, cut.level) == ("not-looked-into", Level.MEDIUM) and "this is cut, or no graph" in cut.what
    assert cut.offset == whole.index(b"\x3a")  # the field that promises more than there is
    [text] = found(tmp_path, b"these are words, and no graph")
    assert text.kind == "not-looked-into"
    [none] = found(tmp_path, onnx.ModelProto(ir_version=8).SerializeToString())
    assert "holds none" in none.what
    [empty] = found(tmp_path, b"")
    assert empty.kind == "empty-file"


def test_what_stands_before_a_cut_is_told_all_the_same(tmp_path):
    made = model(node("PyOp", "x"), tensors=[tensor(count=400, raw=bytes(1600))]).SerializeToString()
    kinds = [issue.kind for issue in found(tmp_path, made[:-700])]
    assert kinds == ["graph", "not-looked-into"]


def test_absurd_nesting_ends_and_is_told(tmp_path):
    inner = b""
    for _ in range(5000):  # a graph in an attribute of a node of a graph
        for tag in (0x32, 0x2A, 0x0A):
            inner = bytes([tag]) + varint(len(inner)) + inner
    [issue] = found(tmp_path, b"\x08\x08\x3a" + varint(len(inner)) + inner)
    assert "more than 100 deep" in issue.what and issue.kind == "not-looked-into"


def varint(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def test_two_graphs_and_unknown_fields_are_told(tmp_path):
    [two] = found(tmp_path, model().SerializeToString() + b"\x3a\x00")
    assert (two.kind, two.level) == ("graph", Level.MEDIUM) and "2 graphs" in two.what
    [unknown] = found(tmp_path, model().SerializeToString() + b"\xfa\x3f\x05hello")
    assert "1 fields that ONNX does not know, of 5 bytes" in unknown.what
    mended = onnx.load(str(tmp_path / "model.onnx"))
    mended.DiscardUnknownFields()  # as the mend says
    assert found(tmp_path, mended) == []


def test_no_file_fills_the_report(tmp_path):
    made = model(tensors=[tensor(name=f"w{n}", raw=bytes(12)) for n in range(500)])
    assert len(found(tmp_path, made)) == 201


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("ops.so", ELF),
        ("ops.dll", b"MZ" + bytes(58) + b"\x40\x00\x00\x00PE\x00\x00" + bytes(64)),
        ("ops.dylib", b"\xcf\xfa\xed\xfe" + bytes(64)),
    ],
)
def test_a_library_beside_a_graph_is_a_program(tmp_path, name, head):
    (tmp_path / name).write_bytes(head)
    [issue] = found(tmp_path, model())
    assert (issue.file, issue.kind, issue.level) == (name, "executable", Level.HIGH)


def test_changed_bytes_never_stop_the_scan(tmp_path):
    inner = node("If", inputs=["c"], then_branch=graph(node("Thing", "some.body")))
    made = model(inner, tensors=[tensor(), tensor(location="w.data")], functions=[function("Plain", node())])
    whole, random = bytearray(made.SerializeToString()), np.random.default_rng(5)
    for _ in range(300):
        changed = bytearray(whole)
        changed[int(random.integers(len(whole)))] = int(random.integers(256))
        assert not any("looking at it failed" in issue.what for issue in found(tmp_path, bytes(changed)))


def test_a_function_of_another_overload_defines_nothing(tmp_path):
    own = function("Thing", node())
    own.overload = "one"
    named = node("Thing", "own")
    named.overload = "one"
    assert found(tmp_path, model(named, functions=[own])) == []
    [issue] = found(tmp_path, model(node("Thing", "own"), functions=[own]))
    assert "defined by nobody here" in issue.what


def test_shapes_and_functions_that_no_number_holds_do_not_stop_the_scan(tmp_path):
    long = TensorProto(name="w", data_type=1, dims=[2**62] * 5000)
    [issue] = found(tmp_path, model(tensors=[long]))
    assert "has 5,000 lengths" in issue.what
    chain = [function("f0", node()), *(function(f"f{n}", *[node(f"f{n - 1}", "own")] * 9) for n in range(1, 3000))]
    [bomb] = found(tmp_path, model(node("f2999", "own"), functions=chain))
    assert "1e+18 nodes" in bomb.what


def test_texts_beyond_what_is_searched_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("core_model.supply_chain.onnx_texts.MOST_TEXT", 40)
    made = model(node("Constant", inputs=[], value_strings=[b"w" * 30, b"v" * 30]))
    [issue] = found(tmp_path, made)
    assert issue.kind == "not-looked-into" and issue.offset == byte(tmp_path, b"v" * 30)


def test_external_data_in_the_hubs_own_cache_are_fine(tmp_path):
    blobs, folder = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "main"
    blobs.mkdir(parents=True)
    folder.mkdir(parents=True)
    (blobs / "b").write_bytes(bytes(16))
    (blobs / "a").write_bytes(model(tensors=[tensor(location="w.data")]).SerializeToString())
    (folder / "w.data").symlink_to("../../blobs/b")
    (folder / "model.onnx").symlink_to("../../blobs/a")
    assert issues_of(folder) == []
