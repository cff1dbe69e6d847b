"""Archives made for tests: a Debian package, a wheel, and the help pages and package lists that go into them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

HELP = "./usr/share/libreoffice/help"
# Two pages. Of the first, paragraph 2 has two sentences on both sides, 3 was not translated, 4 has two against one;
# of the second, paragraph 1 repeats the first page's. The heading is a term.
ENGLISH = {
    "text/scalc/01/sum.html": """<html><h1 id="hd_id1" dir="auto"><a name="x"></a>Sum</h1>
<p id="par_id1" class="paragraph">Click <span class="menuitem">Insert - Function</span>
 to open the dialog.</p>
<p id="par_id2" class="paragraph">Adds the numbers of a range. Text cells are ignored &amp; skipped.</p>
<p id="par_id3" class="paragraph">Nobody has translated this one sentence.</p>
<p id="par_id4" class="paragraph">First do this with care. Then do that with care.</p>
<p id="par_id5" class="paragraph">Write =SUM({1;2}) to add both numbers.</p></html>""",
    "text/swriter/02/bold.html": """<html>
<p class="paragraph" id="par_id1">Click Insert - Function to open the dialog.</p>
<p id="par_id9" class="paragraph">Makes the chosen text bold.</p></html>""",
}
GERMAN = {
    "text/scalc/01/sum.html": """<html><h1 id="hd_id1" dir="auto">Summe</h1>
<p id="par_id1" class="paragraph">Klicken Sie auf <span class="menuitem">Einfügen - Funktion</span>, um den Dialog
zu öffnen.</p>
<p id="par_id2" class="paragraph">Addiert die Zahlen eines Bereichs. Textzellen werden ignoriert &amp; übersprungen.</p>
<p id="par_id3" class="paragraph">Nobody has translated this one sentence.</p>
<p id="par_id4" class="paragraph">Tun Sie erst dies und dann jenes mit Sorgfalt.</p>
<p id="par_id5" class="paragraph">Schreiben Sie =SUMME({1;2}), um beide zu addieren.</p></html>""",
    "text/swriter/02/bold.html": """<html>
<p id="par_id1">Klicken Sie auf Einfügen - Funktion, um den Dialog zu öffnen.</p>
<p id="par_id9">Macht den gewählten Text fett.</p><p id="par_id8">Nur auf Deutsch gibt es das.</p></html>""",
}
DIALOG = (
    "Click Insert - Function to open the dialog.",
    "Klicken Sie auf Einfügen - Funktion, um den Dialog zu öffnen.",
)
PAIRS = [
    (*DIALOG, "scalc/01/sum.html"),
    ("Adds the numbers of a range.", "Addiert die Zahlen eines Bereichs.", "scalc/01/sum.html"),
    ("Text cells are ignored & skipped.", "Textzellen werden ignoriert & übersprungen.", "scalc/01/sum.html"),
    (
        "First do this with care. Then do that with care.",
        "Tun Sie erst dies und dann jenes mit Sorgfalt.",
        "scalc/01/sum.html",
    ),
    ("Makes the chosen text bold.", "Macht den gewählten Text fett.", "swriter/02/bold.html"),
]

ARCHIVE = "deb.example.org_debian_dists_bookworm_main"
PACKAGES = """Package: snmptrapd
Source: net-snmp (5.9.3)
Section: net

Package: tkmib
Source: net-snmp
Section: net

Package: joe
Section: editors
"""
TRANSLATION_EN = """Package: snmptrapd
Description-md5: aaa
Description-en: receiver of network notifications
 This daemon receives and logs SNMP messages that
 agents of your network have sent. It needs little memory.
 .
   verbatim  line
 .
 Two programs that do the same cannot run at once here.

Package: joe
Description-md5: bbb
Description-en: editor
 A small and quite friendly text editor for everyone.

Package: tkmib
Description-md5: ccc
Description-en: browser of the information bases
 Untranslated are all the words of this one.
"""
TRANSLATION_DE = """Package: snmptrapd
Description-md5: aaa
Description-de: Empfänger für Benachrichtigungen im Netz
 Dieser Daemon empfängt und protokolliert SNMP-Nachrichten, die
 Agenten Ihres Netzes gesandt haben. Er braucht wenig Speicher.
 .
 Zwei Programme, die dasselbe tun, können hier nicht zugleich laufen.

Package: joe
Description-md5: bbb
Description-de: Editor
 Ein kleiner und recht freundlicher Texteditor für alle.
 .
 Ein Absatz, den das Original nicht hat, steht hier noch.

Package: tkmib
Description-md5: ccc
Description-de: <trans>
 <trans>
"""


def deb(path: Path, files: Mapping[str, str], *, compression: str = "xz", data: str = "data.tar.xz") -> Path:
    """A Debian package by deb(5): an `ar` archive of debian-binary, control.tar and data.tar."""
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode=f"w:{compression}") as tar:
        for name, text in files.items():
            content = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", data: tar_bytes.getvalue()}
    archive = b"!<arch>\n"
    for name, content in parts.items():
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        archive += content + b"\n" * (len(content) % 2)
    path.write_bytes(archive)
    return path


def help_debs(folder: Path) -> list[Path]:
    """The two help packages."""
    return [
        deb(folder / f"{language}.deb", {f"{HELP}/{language}/{page}": text for page, text in pages.items()})
        for language, pages in (("en-US", ENGLISH), ("de", GERMAN))
    ]


def package_lists(folder: Path) -> Path:
    """A folder of apt's lists: one archive with translations, and another that has English only."""
    files = {
        f"{ARCHIVE}_binary-amd64_Packages": PACKAGES,
        f"{ARCHIVE}_i18n_Translation-en": TRANSLATION_EN,
        f"{ARCHIVE}_i18n_Translation-de": TRANSLATION_DE,
        "a.security_i18n_Translation-en": "Package: x\nDescription-md5: zz\nDescription-en: not to be read at all\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def wheel(path: Path, files: Mapping[str, bytes]) -> Path:
    """A zip archive, as wheels are."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
