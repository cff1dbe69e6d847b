"""YAML that people write by hand, read so that it means what they see.

No tags, no anchors, no aliases, no key twice, at most a megabyte. Dates stay text, and only `true` and `false` are
booleans, as in YAML 1.2: PyYAML's YAML 1.1 takes a bare `no` for false and turns `2026-11-20` into an object.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MOST_CHARACTERS = 1_000_000
_YAML_1_1 = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge")


class PlainYamlError(ValueError):
    """What is wrong with the text, and in which line."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without the surprises of YAML 1.1."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name for it
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _YAML_1_1]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are text, each once."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise PlainYamlError(f"line {key.start_mark.line + 1}: {name!r} stands there twice")
            seen.add(name)
        return super().construct_mapping(node, deep)


_BOOLEAN = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOLEAN, list("tTfF"))


def read_yaml(text: str) -> Any:
    """The text's content: mappings, lists, text, numbers, booleans and null.

    Raises: PlainYamlError with the line.
    """
    if len(text) > MOST_CHARACTERS:
        raise PlainYamlError(f"it has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read")
    try:
        for event in yaml.parse(text, Loader=_Loader):
            tagged = getattr(event, "tag", None)
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or tagged:
                raise PlainYamlError(f"line {event.start_mark.line + 1}: anchors, aliases and tags are not read")
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise PlainYamlError(f"line {mark.line + 1 if mark else 1}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise PlainYamlError(str(error)) from error
    except RecursionError as error:
        raise PlainYamlError("it is nested too deeply") from error
