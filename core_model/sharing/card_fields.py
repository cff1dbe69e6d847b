"""A model card, field by field: there, a placeholder, or absent.

Fields are the hub's model card metadata and the sections of Mitchell et al. 2019. A section counts under any of the
headings that the hub's template, the paper and `aboveboard package` give it; what stands right below the card's title
counts as details of the model. A section holds something when prose, a table or a list is left of it without comments,
placeholders ("[More Information Needed]") and the template's own sentences.

Sources: Mitchell et al., FAT* 2019, 220-229, https://doi.org/10.1145/3287560.3287596; model card metadata and template,
https://huggingface.co/docs/hub/model-cards and https://github.com/huggingface/huggingface_hub (modelcard_template.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, Literal

from core_model.model_card import front_matter

State = Literal["there", "a placeholder", "absent"]
Part = Literal["metadata", "sections"]

METADATA = ("license", "language", "library_name", "pipeline_tag", "base_model", "datasets", "model-index")
SECTIONS = {  # words of headings, in small letters
    "model details": r"model (details|description|summary|overview)|architecture|about (the|this) model",
    "intended use": r"(intended|direct|downstream) use|\buses?\b|usage",
    "out-of-scope use": r"out[- ]of[- ]scope|misuse|not (to be )?used|prohibited",
    "factors": r"factors|groups|subpopulations",
    "metrics": r"metrics|performance|results|what was measured",
    "evaluation data": r"evaluation|testing data|test (data|set)|what was measured|results",
    "training data": r"training (data|dataset|set)|\blineage\b|datasets?$",
    "training procedure": r"training (procedure|details|hyper-?parameters|regime)|fine-?tuning|\blineage\b",
    "ethical considerations, bias, risks": r"ethic|bias|risks?|fairness|safety|harm",
    "limitations, recommendations": r"limitation|caveat|recommendation",
}
PLACEHOLDER = re.compile(
    r"\[?more information needed\]?|\[optional\]|\{\{.{0,200}?\}\}|<[^<>]{0,200}>"
    r"|\[(your|insert|add)[^\]]{0,200}\]|\.{3}|\u2026"
    r"|\[?\b(todo|tbd|tba|fixme|n/?a|none|unknown|coming soon|fill (me )?in|lorem ipsum|placeholder"
    r"|to be (added|filled( in)?|written|determined))\b\.?\]?",
    re.IGNORECASE | re.DOTALL,
)
COMMENT = re.compile(r"<!--.*?(-->|\Z)", re.DOTALL)
LABEL = re.compile(  # what waits for a value: "**License:**", the head of a table
    r"^[ \t]{0,8}(?:[-*][ \t]{1,8})?\*{1,2}[^*\n]{1,60}(?:\*{1,2}:?[ \t]{0,8}$|:\*{1,2})|^[ \t]{0,8}\|[-|: ]{1,500}$",
    re.MULTILINE,
)
HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
EARLIER = "what an earlier card said"  # `aboveboard package` shows the card before its own in a block of plain text
DEEPEST = 6  # levels of headings
MOST_HEADINGS, LONGEST_LINE = 1_000, 2_000  # a card is a stranger's text
TITLE = "about this model"  # in the place of the name, whose words say nothing of what stands there
FEWEST_LETTERS = 20  # of a section that says something: shorter than any sentence that does


@dataclass(frozen=True)
class Field:
    """One field of a card, and what of it is there."""

    part: Part
    name: str
    state: State


def card_fields(card: str | None) -> list[Field]:
    """Every field that a card should have, in the order of METADATA and SECTIONS."""
    matter = front_matter(card)
    texts = _sections(card or "")
    return [
        *(Field("metadata", name, _value_state(matter, name)) for name in METADATA),
        *(Field("sections", name, _section_state(texts, pattern)) for name, pattern in SECTIONS.items()),
    ]


def _value_state(matter: Mapping[str, Any], name: str) -> State:
    value = matter.get(name)
    if value is None or value in ("", [], {}):
        return "absent"
    words = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "there" if re.search(r"\w", _without_placeholders(words)) else "a placeholder"


def _section_state(texts: list[tuple[str, str]], pattern: str) -> State:
    """The best of the sections whose headings fit."""
    found = [text for heading, text in texts if re.search(pattern, heading)]
    if not found:
        return "absent"
    says = any(len(re.findall(r"\w", _without_placeholders(text))) >= FEWEST_LETTERS for text in found)
    return "there" if says else "a placeholder"


def _without_placeholders(text: str) -> str:
    """Without comments, placeholders, and labels that wait for a value ("**License:**")."""
    return PLACEHOLDER.sub(" ", LABEL.sub(" ", text))


def _sections(card: str) -> list[tuple[str, str]]:
    """(heading in small letters, text down to the next heading of its level or above), subsections included."""
    lines = [line[:LONGEST_LINE] for line in COMMENT.sub(" ", _body(card)).splitlines()]
    marks: list[tuple[int, int, str]] = []  # line, level, heading
    fence, shows_card = "", False
    for number, line in enumerate(lines):
        mark = FENCE.match(line)
        if mark and not fence:
            fence, shows_card = mark[1], bool(marks) and marks[-1][2] == EARLIER
        elif mark and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        elif (heading := HEADING.match(line)) and (not fence or shows_card):
            marks.append((number, len(heading[1]), heading[2].lower()))
    boilerplate = _template_lines()
    marks, found = marks[:MOST_HEADINGS], []
    for place, (number, level, heading_words) in enumerate(marks):
        is_title = not place and level == 1
        depth_of_end = DEEPEST if is_title else level  # a title's text ends at the next heading of any level
        later = islice(marks, place + 1, None)
        end = next((other for other, depth, _ in later if depth <= depth_of_end), len(lines))
        text = [
            line for line in lines[number + 1 : end]
            if not HEADING.match(line) and not FENCE.match(line) and line.strip() not in boilerplate
        ]  # fmt: skip
        found.append((TITLE if is_title else heading_words, "\n".join(text)))
    return found


def _body(card: str) -> str:
    """Without the front matter."""
    if not card.startswith("---"):
        return card
    _, end, rest = card[3:].partition("\n---")
    return rest if end else card


@cache
def _template_lines() -> frozenset[str]:
    """The lines of the hub's template: what stands in every card says nothing of this model."""
    from huggingface_hub.repocard import TEMPLATE_MODELCARD_PATH

    template = TEMPLATE_MODELCARD_PATH.read_text(encoding="utf-8")
    defaults = re.findall(r'default\("([^"]+)"', template)  # what it writes where nobody wrote anything
    return frozenset(filter(None, map(str.strip, [*template.splitlines(), *defaults])))
