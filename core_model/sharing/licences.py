"""Licences: which ones a checkpoint's files name, whether they agree, and whether what it was made of allows that.

Names are brought to SPDX identifiers, which hubs write in small letters. Only conflicts that a licence's own text
states are told; every other pair is "not judged". Whether a fine-tuned model is an adaptation of its base in the sense
of copyright, or of its training rows, is a question of law that no file answers: these are hints for a person.

Source: SPDX License List, https://spdx.org/licenses; Creative Commons 4.0 licences, section 2(a)(1) and 3(b)(1);
GNU GPL 3.0, section 5(c); GNU AGPL 3.0, section 5(c).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from core_model.checkpoint_files import checked
from core_model.errors import BadInput
from core_model.model_card import LICENCE_FILES, front_matter, licence_of_file
from core_model.packaging import lineage

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

Judgement = Literal["in conflict", "no conflict is known", "not judged"]

PERMISSIVE = frozenset({
    "Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unlicense", "CC0-1.0", "CC-BY-4.0", "BSL-1.0",
    "AFL-3.0",
})  # fmt: skip
"""Licences that allow commercial use and ask no more than notices."""
COPYLEFT = frozenset({"GPL-2.0", "GPL-3.0", "AGPL-3.0", "LGPL-3.0", "MPL-2.0", "CC-BY-SA-4.0"})
SHARE_ALIKE = {  # an adaptation may be shared under these alone
    "CC-BY-SA-4.0": (
        {"CC-BY-SA-4.0", "GPL-3.0"},
        "CC BY-SA 4.0, section 3(b)(1), and CC's list of compatible licences",
    ),
    "CC-BY-NC-SA-4.0": ({"CC-BY-NC-SA-4.0"}, "CC BY-NC-SA 4.0, section 3(b)(1)"),
    "GPL-3.0": ({"GPL-3.0", "AGPL-3.0"}, "GNU GPL 3.0, sections 5(c) and 13"),
    "AGPL-3.0": ({"AGPL-3.0"}, "GNU AGPL 3.0, section 5(c)"),
}
NO_DERIVATIVES = frozenset({"CC-BY-ND-4.0", "CC-BY-NC-ND-4.0"})
NON_COMMERCIAL = "CC-BY-NC-4.0"
BASE = "the base"
LONGEST = 100  # characters of a name


@dataclass(frozen=True)
class Named:
    """A licence that something names: `where` it stands, the word there, and its SPDX identifier where it has one."""

    where: str
    word: str
    spdx: str | None


@dataclass(frozen=True)
class Pair:
    """What it was made of, under which licence, and what that says of the checkpoint's own; `why` names the clause."""

    part: str
    licence: str
    own: str
    judgement: Judgement
    why: str


def spdx(word: str) -> str | None:
    """The SPDX identifier of a licence as hubs spell it; None for a name that is on no list ("other", "llama3")."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    name = word.strip()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", name):
        return None
    try:
        found = str(canonicalize_license_expression(name))
    except InvalidLicenseExpression:
        return None
    return None if found.startswith("LicenseRef-") else re.sub(r"(-only|-or-later|\+)$", "", found)


def own_licences(checkpoint: Checkpoint) -> list[Named]:
    """What the checkpoint's own files say that it is shared under: the card's front matter, and each licence file."""
    fields = front_matter(checkpoint.card)
    said = fields.get("license_name") if fields.get("license") == "other" else fields.get("license")
    words = [word for word in (said if isinstance(said, list) else [said]) if isinstance(word, str) and word.strip()]
    found = [_named("README.md", word) for word in words]
    for name in LICENCE_FILES:
        try:
            path = checked(checkpoint.path, name)
        except BadInput:  # a link out of the folder; told by the files' part
            continue
        if path is not None:
            found.append(_named(name, licence_of_file(path)))
    return found


def licences_of_parts(checkpoint: Checkpoint) -> list[Named]:
    """What it was made of: the base's and the rows' licences, where the training record says them."""
    record = checkpoint.training_record or {}
    bases = [name for name, _ in lineage(checkpoint)]
    found = []
    for part, title in (("base", BASE), ("data", "the training rows")):
        said = record.get(part)
        if isinstance(said, Mapping) and isinstance(said.get("licence"), str) and said["licence"].strip():
            name = bases[-1] if part == "base" and bases else _text(said.get("name"))
            found.append(_named(f"{title} ({name})" if name else title, said["licence"]))
    return found


def judge(part: Named, own: Named | None, *, changed: bool = True) -> Pair:
    """Whether a part's licence forbids what the checkpoint's own licence grants.

    Args:
        part: the base, or training rows (of which nothing is judged). own: None where it names none.
        changed: whether the weights differ from the base's; an unchanged copy is no adaptation.
    """

    ours = own.spdx if own else None
    theirs = part.spdx
    allowed, source = SHARE_ALIKE.get(theirs or "", (set(), ""))
    of_law = "whether a model is an adaptation of its training rows is a question of law"
    rules: list[tuple[bool, Judgement, str]] = [  # the first that holds
        (not part.where.startswith(BASE), "not judged", of_law),
        (theirs is None, "not judged", f"SPDX does not list {part.word!r}: read its text"),
        (theirs in NO_DERIVATIVES and changed, "in conflict",
         f"{theirs}, section 2(a)(1)(B): adapted material may not be shared"),
        (ours is None, "not judged", "the checkpoint itself names no licence that SPDX lists"),
        (theirs == ours, "no conflict is known", "the same licence"),
        (ours in allowed, "no conflict is known", source),
        (bool(allowed), "in conflict", source),
        (theirs == NON_COMMERCIAL and ours in PERMISSIVE | COPYLEFT, "in conflict",
         f"{theirs}, section 2(a)(1): for non-commercial purposes only"),
        (theirs in PERMISSIVE, "no conflict is known", "the base's licence asks for its notices to be kept"),
        (True, "not judged", "no clear rule for this pair is kept here: read both"),
    ]  # fmt: skip
    judgement, why = next((judgement, why) for holds, judgement, why in rules if holds)
    return Pair(part.where, theirs or part.word, ours or (own.word if own else "none"), judgement, why)


def _named(where: str, word: str) -> Named:
    return Named(where, word.strip()[:LONGEST], spdx(word))


def _text(value: Any) -> str:
    from core_model.packaging import redacted

    return redacted(value[:LONGEST])[0] if isinstance(value, str) else ""
