"""Promises about code that comes along: named in configuration, lying beside it, or written into a chat template."""

from __future__ import annotations

import json
import struct
import time

import pytest

from core_model.supply_chain import Level
from tests.core_model.supply_chain.planted import issues_of

CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\\n' }}"
    "{% endif %}{% generation %}{{ message.content | trim | tojson }}{% endgeneration %}"
    "{% if message.get('tool_calls') %}{% continue %}{% endif %}{% endfor %}"
    "{% set ns = namespace(found=false) %}{% macro m(x) %}{{ x.items() | list }}{% endmacro %}"
    "{{ raise_exception('__not a dunder') if ns.found else strftime_now('%d') }}"
    "{% if add_generation_prompt %}a{% endif %}"
)


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling.Model"}}, "auto_map"),
        ("config.json", {"vision": {"auto_map": {"AutoConfig": "someone/else--c.C"}}}, "auto_map"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["t.T", None]}}, "auto_map"),
        ("generation_config.json", {"custom_generate": "someone/else"}, "custom_generate"),
        ("config.json", {"trust_remote_code": True}, "trust_remote_code"),
        ("adapter_config.json", {"auto_mapping": {"parent_library": "evil"}}, "parent_library"),
        ("modules.json", [{"idx": 0, "type": "evil.Module"}], "evil.Module"),
    ],
)
def test_configuration_that_names_code_is_told_at_its_byte(tmp_path, name, value, key):
    raw = json.dumps({"padding": "é" * 9, "value": value} if name != "modules.json" else value)
    (tmp_path / name).write_text(raw, encoding="utf-8")
    [issue] = issues_of(tmp_path)
    assert (issue.kind, issue.level, issue.file) == ("remote-code", Level.HIGH, name)
    assert issue.offset == raw.encode().find(f'"{key}"'.encode())


def test_configuration_that_names_none_is_fine(tmp_path):
    for name, value in {
        "config.json": {"auto_map": {}, "trust_remote_code": False, "architectures": ["Bert"]},
        "adapter_config.json": {"auto_mapping": {"parent_library": "transformers.models.bert.modeling_bert"}},
        "modules.json": [{"type": "sentence_transformers.models.Pooling"}],
    }.items():
        (tmp_path / name).write_text(json.dumps(value))
    assert issues_of(tmp_path) == []


def test_code_that_lies_there_is_told(tmp_path):
    (tmp_path / "custom_generate").mkdir()
    (tmp_path / "custom_generate" / "generate.py").write_text("print(1)")
    (tmp_path / "modeling.py").write_text("print(1)")
    levels = {issue.file: issue.level for issue in issues_of(tmp_path, "remote-code")}
    assert levels == {"custom_generate/generate.py": Level.HIGH, "modeling.py": Level.MEDIUM}


@pytest.mark.parametrize("raw", ["{", "[" * 100_000, '{"a": "\udcff"}'], ids=["cut", "deep", "no utf-8"])
def test_json_that_cannot_be_read_is_told(tmp_path, raw):
    (tmp_path / "config.json").write_bytes(raw.encode("utf-8", "surrogateescape"))
    [issue] = issues_of(tmp_path)
    assert (issue.kind, issue.level) == ("not-looked-into", Level.MEDIUM)


EVIL = {
    "{{ x.__class__.__mro__ }}": Level.HIGH,
    "{{ x['__class__'] }}": Level.HIGH,
    "{{ x['\\x5f\\x5fclass\\x5f\\x5f'] }}": Level.HIGH,
    "{{ x['__cl' ~ 'ass__'] }}": Level.HIGH,
    "{{ x['__cl' + 'ass__'] }}": Level.HIGH,
    "{{ x | attr('__init__') }}": Level.HIGH,
    "{{ x | attr(y) }}": Level.HIGH,
    "{{ x | map(attribute='__class__') | list }}": Level.HIGH,
    "{{ '{0.__class__}'.format(x) }}": Level.HIGH,
    "{% include '/etc/passwd' %}": Level.HIGH,
    "{% import 'a' as b %}": Level.HIGH,
    "{% extends 'a' %}": Level.HIGH,
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}": Level.HIGH,
    "{{ x['%c%cclass%c%c' | format(95, 95, 95, 95)] }}": Level.MEDIUM,
    "{{ x[['_', '_class_', '_'] | join] }}": Level.MEDIUM,
    "{{ x['_' * 2 ~ y] }}": Level.MEDIUM,
    "{{ x['ssalc'[::-1]] }}": Level.MEDIUM,
    "{{ x['{}class{}'.format(y, y)] }}": Level.MEDIUM,
    "{{ lipsum() }}": Level.MEDIUM,
    "{% not_a_tag %}": Level.MEDIUM,
}


@pytest.mark.parametrize("template", list(EVIL))
def test_a_template_that_reaches_out_is_told_wherever_it_stands(tmp_path, template):
    (tmp_path / "chat_template.jinja").write_text(f"first line\n{template}")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"a": 1, "chat_template": template}))
    named = [{"name": "default", "template": CHATML}, {"name": "tools", "template": template}]
    (tmp_path / "processor_config.json").write_text(json.dumps({"chat_template": named}))
    found = issues_of(tmp_path)
    assert {issue.kind for issue in found} == {"template"}
    worst = {issue.file: issue for issue in reversed(found)}
    assert {file: issue.level for file, issue in worst.items()} == dict.fromkeys(worst, EVIL[template])
    assert len(worst) == 3
    assert worst["chat_template.jinja"].offset == len("first line\n")
    assert worst["tokenizer_config.json"].offset == len('{"a": 1, ')


USED = (
    "{{ messages[loop.index0 + 1]['role'] }}{{ messages[-1].content.split('</think>')[-1] | trim }}"
    "{% for key in tool %}{{ tool[key] }}{{ names[tool.type] }}{{ messages[messages|length - 1].content }}{% endfor %}"
    "{{ args[name] | tojson }}{{ 'a' ~ messages[0]['content'] ~ ('b' * 2) }}{{ messages[1:][0] }}"
)


def test_templates_as_they_are_used_are_fine(tmp_path):
    (tmp_path / "chat_template_tools.jinja").write_text(USED)
    (tmp_path / "chat_template.jinja").write_text(CHATML)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHATML}))
    assert issues_of(tmp_path) == []


def gguf(template: str) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    pairs = [
        text("general.name") + struct.pack("<I", 8) + text("made up"),
        text("some.list") + struct.pack("<IIQ", 9, 5, 3) + struct.pack("<3i", 1, 2, 3),
        text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b"),
        text("some.flag") + struct.pack("<I?", 7, True),
        text("tokenizer.chat_template") + struct.pack("<I", 8) + text(template),
    ]
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)


def test_the_template_in_a_gguf_file_is_looked_at(tmp_path):
    (tmp_path / "a.gguf").write_bytes(gguf(CHATML))
    assert issues_of(tmp_path) == []
    data = gguf("{{ x.__class__ }}")
    (tmp_path / "a.gguf").write_bytes(data)
    [issue] = issues_of(tmp_path)
    assert (issue.kind, issue.level, issue.offset) == ("template", Level.HIGH, data.find(b"{{"))
    for cut in (6, 30, len(data) - 3):
        (tmp_path / "a.gguf").write_bytes(data[:cut])
        [issue] = issues_of(tmp_path)
        assert (issue.kind, issue.level) == ("weights", Level.MEDIUM)


def test_a_gguf_file_of_its_own_writer_is_read(tmp_path):
    writer_of = pytest.importorskip("gguf").GGUFWriter
    writer = writer_of(tmp_path / "a.gguf", "llama")
    writer.add_token_list(["a", "b"])
    writer.add_chat_template("{{ x.__class__ }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert [issue.kind for issue in issues_of(tmp_path)] == ["template"]


def test_a_secret_is_told_by_line_and_never_shown(tmp_path):
    pytest.importorskip("detect_secrets")
    secret = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
    (tmp_path / "README.md").write_text(f"first\ntoken {secret}\n")
    [issue] = issues_of(tmp_path)
    assert (issue.kind, issue.level, issue.offset) == ("secret", Level.HIGH, len("first\n"))
    assert "line 2" in issue.what and secret not in str(issue)


@pytest.mark.parametrize("name", [".env", "prod.env", "training.yaml", "settings.ini"])
def test_a_password_without_quotation_marks_is_told_in_files_of_settings(tmp_path, name):
    pytest.importorskip("detect_secrets")
    (tmp_path / name).write_text("# of the database\nexport DB_PASSWORD=tiger99long\n")
    [issue] = issues_of(tmp_path)
    assert (issue.kind, issue.level, issue.offset) == ("secret", Level.HIGH, len("# of the database\n"))
    assert "tiger" not in str(issue)


def test_settings_without_a_secret_are_fine_and_prose_is_no_settings(tmp_path):
    pytest.importorskip("detect_secrets")
    lines = [
        "pad_token: [PAD]", "bos_token_id: 1", "api_key: null", "secret: false", "password: ${PASSWORD_1}",
        "password: <your password 1>", "tokenizer_class: BertTokenizer", "private_key_path: keys/1.pem",
    ]  # fmt: skip
    (tmp_path / "training.yaml").write_text("\n".join(lines))
    (tmp_path / "README.md").write_text("The password: ask the owner of server12.\n")
    assert issues_of(tmp_path) == []


def test_a_secret_in_a_line_of_any_length_is_found_once_and_in_time(tmp_path):
    """Some shapes of detect-secrets take the square of a line's length: a long line would keep it for hours."""
    pytest.importorskip("detect_secrets")
    secret = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
    (tmp_path / "README.md").write_text("http://" * 10_000 + " " + secret + " " + "http://" * 10_000)
    began = time.monotonic()
    [issue] = issues_of(tmp_path)
    assert issue.kind == "secret" and time.monotonic() - began < 20
