"""SVG from a chart library, rebuilt from what we know: a short list of elements and attributes, rounded, ids our own.

Nothing else of the library's output reaches a page: no script, no style, no link, no ARIA chatter on every mark.
"""

from __future__ import annotations

import hashlib
import re
from xml.etree import ElementTree

_NAMESPACE = "http://www.w3.org/2000/svg"
_ELEMENTS = frozenset(
    ["svg", "g", "path", "line", "rect", "circle", "text", "tspan", "defs", "linearGradient", "stop", "clipPath"]
)
_GEOMETRY = frozenset(
    ["d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "dx", "dy", "width", "height", "viewBox", "transform"]
)
_STROKE = frozenset("stroke-" + part for part in ["width", "dasharray", "opacity", "linecap", "linejoin", "miterlimit"])
_TEXT = frozenset(["text-anchor", "dominant-baseline", "font-size", "font-weight", "font-style"])
_FILL = frozenset(
    ["fill", "fill-opacity", "stroke", "opacity", "offset", "stop-color", "stop-opacity", "gradientUnits"]
)
_KNOWN = _GEOMETRY | _STROKE | _TEXT | _FILL | {"id", "clip-path"}
_LONG_NUMBER = re.compile(r"-?\d*\.\d{3,}(?:e-?\d+)?")


def rebuilt(svg: str, *, prefix: str) -> str:
    """The drawing with known parts only.

    Args:
        svg: what the library wrote.
        prefix: whatever tells this drawing from others of the page; it is hashed into the ids.
    """
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own renderer's output, whose labels were cleaned before
    own = "c" + hashlib.sha256(prefix.encode()).hexdigest()[:8]
    clean = _element(root, own)
    if clean is None:
        raise ValueError("the drawing is not an <svg> element")
    clean.set("xmlns", _NAMESPACE)
    clean.set("class", "chart")
    clean.set("aria-hidden", "true")
    clean.set("focusable", "false")
    return ElementTree.tostring(clean, encoding="unicode")


def _element(element: ElementTree.Element, own: str) -> ElementTree.Element | None:
    name = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
    if name not in _ELEMENTS or element.get("display") == "none":
        return None
    clean = ElementTree.Element(name)
    for key, value in element.attrib.items():
        if key in _KNOWN:
            clean.set(key, _value(key, value, own))
    clean.text = element.text
    for child in element:
        kept = _element(child, own)
        if kept is not None:
            kept.tail = child.tail
            clean.append(kept)
    invisible = (
        name == "path" and "background" in element.get("class", "") and not {"fill", "stroke"} & set(clean.attrib)
    )
    empty = name in ("g", "defs") and not len(clean)
    return None if invisible or empty else clean


def _value(key: str, value: str, own: str) -> str:
    if key == "id":
        return f"{own}-{value}"
    if value.startswith("url(#"):
        return value.replace("url(#", f"url(#{own}-")
    return _LONG_NUMBER.sub(_rounded, value) if key in _GEOMETRY else value


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found.group()):.2f}".rstrip("0").rstrip(".") or "0"
