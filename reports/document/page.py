"""A page of this package: one template, our style and script in it, and the policy that fits their bytes."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from reports.document import markup
from reports.language import spoken
from reports.numbers import duration, number
from reports.smoothing_words import smoothing_sentence


def page(template: str, *, footer: Markup, embedded: Markup, **context: object) -> str:
    """A page of this package: its template between our style and script, with the policy that fits their bytes.

    It is in the language that is spoken while it is built.
    """
    style, script = markup.asset("style.css"), markup.asset("script.js")
    policy = "; ".join(
        [
            "default-src 'none'",
            " ".join(["style-src", *(markup.source_hash(str(s)) for s in (style, footer) if s)]),
            f"script-src {markup.source_hash(str(script))}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    parts = {"style": style, "script": script, "policy": policy, "footer": footer, "embedded": embedded}
    return _jinja().get_template(template).render(language=spoken(), **parts, **context) + "\n"


@cache
def _jinja() -> Environment:
    jinja = markup.environment()
    jinja.filters.update(number=number, duration=duration, smoothed=smoothing_sentence)
    return jinja
