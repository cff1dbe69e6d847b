"""The words of a tokenizer, read from its files without building it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core_model.checkpoint_files import LARGEST_JSON, checked
from core_model.errors import BadInput
from core_model.sharing.folder import read_if_sound


def vocabulary(folder: Path) -> dict[str, int] | None:
    """Token -> id; None where no file says (sentencepiece keeps its words in a format of its own)."""
    whole = read_if_sound(folder, "tokenizer.json")
    model = whole.get("model")
    found = _tokens(model.get("vocab")) if isinstance(model, dict) else {}
    added = whole.get("added_tokens")
    for token in added if isinstance(added, list) else ():
        if isinstance(token, dict) and isinstance(token.get("content"), str) and isinstance(token.get("id"), int):
            found[token["content"]] = token["id"]
    return found or _tokens(read_if_sound(folder, "vocab.json")) or _lines(folder) or None


def overlap(ours: dict[str, int], theirs: dict[str, int]) -> tuple[float, int, int]:
    """(Jaccard index of the two sets of tokens, size of their union, how many shared tokens have the same id)."""
    shared = ours.keys() & theirs.keys()
    union = len(ours.keys() | theirs.keys())
    return len(shared) / union, union, sum(ours[token] == theirs[token] for token in shared)


def _tokens(said: Any) -> dict[str, int]:
    """Of a mapping, or of a list of (token, score), as unigram models write it."""
    if isinstance(said, dict):
        return {token: number for token, number in said.items() if isinstance(number, int)}
    if isinstance(said, list):
        return {str(one[0]): number for number, one in enumerate(said) if isinstance(one, list) and one}
    return {}


def _lines(folder: Path) -> dict[str, int]:
    try:
        path = checked(folder, "vocab.txt")
    except BadInput:
        return {}
    if path is None or path.stat().st_size > LARGEST_JSON:
        return {}
    return {line: number for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"))}
