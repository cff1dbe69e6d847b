"""A page as a test asks it: its tags with their attributes, and its text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

FETCHING = {"link", "img", "iframe", "object", "embed", "audio", "video", "form", "base"}
SOURCES = {"src", "srcset", "style", "action", "background", "data"}


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.texts: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in self.raw:
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.raw:
            self.inside.pop()

    def handle_data(self, data):
        (self.raw[self.inside[-1]] if self.inside else self.texts).append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    def ways_out(self) -> list[tuple[str, str]]:
        """Whatever could ask the network for something, or run something."""
        found = [(tag, "") for tag, _ in self.tags if tag in FETCHING]
        for tag, attrs in self.tags:
            found += [(tag, key) for key in attrs if key in SOURCES or key.startswith("on")]
            if not (attrs.get("href") or "#").startswith("#"):
                found.append((tag, str(attrs["href"])))
        return found
