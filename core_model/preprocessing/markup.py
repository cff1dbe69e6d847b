"""HTML remains in a text: tags, comments, scripts and character references.

Careful on purpose. Only the names of real elements make a tag, so that `if a<b and c>d`, `List<String>` and `<3` stay;
a name of one letter wants `=` among its attributes, for `a<p and q>b`. Only references with a semicolon are read, so
that `?a=1&copy=2` stays. Every pattern is linear in the length of the text, whatever the text.

Source: the names are those of lxml's list of elements and of html.entities (HTML 5).
"""

from __future__ import annotations

import html
import re
from functools import cache
from html.entities import html5

NEWER = frozenset(["bdi", "dialog", "frame", "main", "picture", "slot", "template"])  # elements that lxml does not list
INLINE_TOO = frozenset(["bdi", "del", "font", "ins", "label", "mark", "wbr"])

# `&amp;amp;lt;` is `&lt;` escaped twice: a chain is one ampersand, however long.
REFERENCE = re.compile(
    r"&(?P<chain>(?:(?:amp|AMP|#0{0,9}38|#[xX]0{0,9}26);)*)"
    r"(?:(?P<number>#(?:[0-9]{1,9}|[xX][0-9a-fA-F]{1,8}));|(?P<name>[A-Za-z][A-Za-z0-9]{1,31};))?"
)
COMMENT = re.compile(r"<!--(?:(?!<!--|-->).)*-->|<!(?:DOCTYPE|doctype)[^<>]*>|<!\[CDATA\[|\]\]>", re.DOTALL)
HIDDEN = re.compile(
    r"<(?P<name>script|style)(?:\s[^<>]*)?>(?:(?!<(?:script|style)[\s>]).)*?</(?P=name)\s*>", re.DOTALL | re.IGNORECASE
)


def without_markup(text: str) -> str:
    """The text that a reader of the page would see, one level of escaping less.

    An element of its own line (a paragraph, a cell, a line break) leaves a line end, one within a line leaves nothing.
    """
    if "<" in text:
        text = COMMENT.sub("", text)
        text = HIDDEN.sub("\n", text)
        text = _tag().sub(_in_place_of_tag, text)
    if "&" in text:
        text = REFERENCE.sub(_character, text)
    return text


@cache
def _tag() -> re.Pattern[str]:
    from lxml.html import defs

    names = sorted(defs.tags | NEWER)
    long = "|".join(name for name in names if len(name) > 1)
    short = "".join(name for name in names if len(name) == 1)
    return re.compile(
        rf"</(?:{long}|[{short}])\s*>|<(?:{long})(?:\s[^<>]*|/)?>|<[{short}](?:\s[^<>=]*=[^<>]*|\s*/?)>", re.IGNORECASE
    )


@cache
def _inline() -> frozenset[str]:
    from lxml.html import defs

    plain = defs.phrase_tags | defs.font_style_tags | defs.special_inline_tags | INLINE_TOO
    return frozenset(plain - {"br", "img", "object", "applet", "script", "map", "iframe"})


def _in_place_of_tag(found: re.Match[str]) -> str:
    name = re.match(r"</?(\w+)", found[0])
    return "" if name is not None and name[1].lower() in _inline() else "\n"


def _character(found: re.Match[str]) -> str:
    if found["number"]:
        return "&" * bool(found["chain"]) + found["number"] + ";" if found["chain"] else html.unescape(found[0])
    if found["name"]:
        if found["chain"]:
            return "&" + found["name"]
        return html5.get(found["name"], found[0])
    return "&"
