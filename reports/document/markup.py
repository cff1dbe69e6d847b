"""The only module that makes markup: every other text of a page is escaped by the templates.

`finalize` sees each value that a template prints, so that a text which nobody thought of is made visible, cut and then
escaped. `boxed` and `prose` do the same with elements around; a lint test holds the rest of the package to this.
Texts of a catalogue are somebody else's, too: they are escaped before Jinja takes them for markup. Sentences of an
audit are English; a page in another language marks them so, where its catalogue has no words for exactly this sentence.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined, Undefined
from markupsafe import Markup, escape

from reports.document.vocabulary import fixed_words
from reports.language import _, moment, percent, spoken
from reports.text import LONGEST, capped, json_in_page, left_out, pieces, visible

_CODE = re.compile(r"`([^`\n]{1,300})`")
_LONG = re.compile(r"[\w.]{18,}")  # a name such as fairness.max_demographic_parity_difference ...
_JOINT = re.compile(r"(?<=[a-z])[._](?=[a-z])")  # ... and where it may go on in the next line
_FLAG = re.compile(r"--[a-z][a-z-]*")  # what must not be broken at its hyphens
_TERM = re.compile(r"(\S[^\n]{0,40}?) {2,}(\S.*)")


def environment() -> Environment:
    """Jinja as this package uses it: escaped, strict, and every value through `finalize`."""
    jinja = Environment(
        loader=PackageLoader("reports.document"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        extensions=["jinja2.ext.i18n"],
    )
    jinja.install_gettext_callables(  # type: ignore[attr-defined] # the extension adds it
        lambda message: _inert(spoken().translations.gettext(message)),
        lambda one, many, n: _inert(spoken().translations.ngettext(one, many, n)),
        newstyle=True,
        pgettext=lambda context, message: _inert(spoken().translations.pgettext(context, message)),
    )
    jinja.filters.update(
        boxed=boxed, english=english, plain=plain, prose=prose, page=page_of, code=code, shell=shell, moment=moment,
        sentence=sentence, percent=percent, inert=visible, begun=begun,
    )  # fmt: skip
    return jinja


def finalize(value: object) -> object:
    """What a template prints in the place of `value`: never a hidden character, never a flood, never None."""
    if isinstance(value, Markup | Undefined | int | float):
        return value
    return "" if value is None else visible(str(value))


def boxed(text: object, longest: int = LONGEST, *, line: bool = False) -> Markup:
    """Somebody else's text: hidden characters as boxes, reading order kept to itself, the rest escaped."""
    kept, cut = capped(str(text), longest)
    box = Markup('<span class="unseen">[{}]</span>')
    inside = Markup("").join(
        box.format(shown) if hidden else _breakable(escape(shown)) for hidden, shown in pieces(kept, line=line)
    )
    more = Markup('<span class="cut">{}</span>').format(left_out(cut)) if cut else Markup("")
    return Markup("<bdi>{}</bdi>{}").format(inside, more)


def _breakable(escaped: Markup) -> Markup:
    """Long names may go on in the next line at their joints, and flags may not: no letter is added."""
    text = _FLAG.sub(r'<span class="word">\g<0></span>', str(escaped))
    joined = _LONG.sub(lambda name: _JOINT.sub(r"\g<0><wbr>", name[0]), text)
    return Markup(joined)  # noqa: S704 - it was escaped


def english(text: object, longest: int = LONGEST) -> Markup:
    """Words of an audit or of this suite, which are English in the record: translated, or marked as English."""
    found = fixed_words(str(text))
    return _marked(boxed(text, longest)) if found is None else boxed(found, longest)


def plain(text: object) -> str:
    """`english` for an attribute, where nothing can be marked."""
    found = fixed_words(str(text))
    return visible(str(text)) if found is None else found


def sentence(text: str) -> str:
    """With a large first letter; the others as they are, since German nouns keep theirs."""
    return text[:1].upper() + text[1:]


def begun(text: str) -> str:
    """With a large first letter where a plain word begins it; a file, a method or an option keeps its own."""
    return sentence(text) if re.match(r"[a-z]+[ ,;]", text) else text


def code(text: object, longest: int = LONGEST) -> Markup:
    """A command, a name or a hash, on one line."""
    return Markup("<code>{}</code>").format(boxed(text, longest, line=True))


def shell(text: object, longest: int = 2000) -> Markup:
    """A command to copy: one line, whose words do not break where a hyphen is."""
    kept, cut = capped(str(text), longest)
    word = Markup('<span class="word">{}</span>')
    words = Markup(" ").join(word.format(boxed(part, longest, line=True)) for part in kept.split(" "))
    return Markup("<code>{}</code>").format(words + left_out(cut))


def prose(text: object, longest: int = 4000) -> Markup:
    """Sentences of an audit or of this suite, with `code` in backticks; English ones marked as English."""
    found = fixed_words(str(text))
    return _marked(_prose(text, longest)) if found is None else _prose(found, longest)


def _prose(text: object, longest: int) -> Markup:
    parts = _CODE.split(capped(str(text), longest)[0])
    cut = left_out(max(0, len(str(text)) - longest))
    inside = Markup("").join(code(part) if i % 2 else boxed(part, longest) for i, part in enumerate(parts) if part)
    return inside + (Markup('<span class="cut">{}</span>').format(cut) if cut else Markup(""))


def page_of(text: object) -> Markup:
    """An audit's own page: its `Heading  text` lines as terms with their descriptions, the rest as paragraphs."""
    out: list[Markup] = []
    terms: list[Markup] = []
    for heading, sentences in _blocks(str(text)[:12000]):
        if heading:
            terms.append(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(boxed(heading), prose(sentences)))
            continue
        if terms:
            out.append(Markup('<dl class="page">{}</dl>').format(Markup("").join(terms)))
            terms = []
        out.append(Markup("<p>{}</p>").format(prose(sentences)))
    if terms:
        out.append(Markup('<dl class="page">{}</dl>').format(Markup("").join(terms)))
    return _marked(Markup("").join(out), "div")


def _marked(inside: Markup, element: str = "span") -> Markup:
    """English text on a page of another language, so that it is read aloud and broken as English."""
    plainly = spoken().english or not inside.striptags()
    return inside if plainly else Markup('<{0} lang="en">{1}</{0}>').format(element, inside)


def _inert(text: str) -> str:
    """A catalogue's text, which Jinja takes for markup: escaped."""
    return str(escape(text))


def drawing(svg: str) -> Markup:
    """A chart that `reports.charts` drew: rebuilt from known elements there."""
    return Markup(svg)  # noqa: S704 - see reports/svg.py


def data_element(opening: str, json: str) -> Markup:
    """JSON as data of the page: `opening` is our own tag, and no <, > or & is left in the JSON."""
    return Markup(f"{opening}{json_in_page(json)}</script>")  # noqa: S704


def asset(name: str) -> Markup:
    """The style sheet or script of this package; never anything from a record."""
    text = resources.files("reports.document").joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704 - our own file


def page_footer(sha256: str, title: str) -> Markup:
    """The style of the printed page's foot, with the model's hash; none where the hash is not one."""
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        return Markup("")
    style = (
        '@page{@bottom-left{content:"%s";font:7pt sans-serif;color:#555}'
        '@bottom-right{content:counter(page) " / " counter(pages);font:7pt sans-serif;color:#555}}'
    )
    said = _("%(title)s, model sha256 %(sha256)s", title=title, sha256=sha256)
    # A catalogue may have translated it: no sign is left that could end a string of CSS.
    return Markup(style % re.sub(r"[^\w ,.-]", "", said))  # noqa: S704


def source_hash(text: str) -> str:
    """The text's hash as a Content-Security-Policy writes it."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") + "'"


def _blocks(text: str) -> list[tuple[str, str]]:
    """(heading or "", text) in order; indented lines go on with the block before."""
    blocks: list[tuple[str, str]] = []
    for line in text.splitlines():
        found = _TERM.fullmatch(line) if line[:1].strip() else None
        if not line.strip():
            blocks.append(("", ""))
        elif found:
            blocks.append((found.group(1), found.group(2)))
        elif blocks and (blocks[-1][1] or blocks[-1][0]):
            blocks[-1] = (blocks[-1][0], f"{blocks[-1][1]} {line.strip()}".strip())
        else:
            blocks.append(("", line.strip()))
    return [block for block in blocks if block[1]]
