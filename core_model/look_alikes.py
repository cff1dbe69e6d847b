"""Letters of other scripts that look like Latin ones: how a text is disguised, and how the disguise is taken off.

Full-width, mathematical and other styled letters are not listed: compatibility normalization (NFKC) maps them already.

Source: Unicode Technical Standard 39, confusables.txt; those whose prototype is one Latin letter, in common fonts.
"""

from __future__ import annotations

_BY_LATIN = {
    "a": "\u0430\u03b1", "b": "\u042c", "c": "\u0441", "d": "\u0501", "e": "\u0435\u04bd", "g": "\u0581",
    "h": "\u04bb\u0570", "i": "\u0456\u03b9", "j": "\u0458\u03f3", "k": "\u03ba\u043a", "l": "\u04cf",
    "m": "\u043c", "n": "\u0578", "o": "\u043e\u03bf\u0585", "p": "\u0440\u03c1", "q": "\u051b\u0563",
    "r": "\u0433", "s": "\u0455", "t": "\u0442\u03c4", "u": "\u057d\u03c5", "v": "\u03bd\u0475", "w": "\u051d\u0461",
    "x": "\u0445\u03c7", "y": "\u0443\u04af",
    "A": "\u0410\u0391", "B": "\u0412\u0392", "C": "\u0421", "E": "\u0415\u0395", "F": "\u03dc",
    "G": "\u050c", "H": "\u041d\u0397", "I": "\u0406\u0399", "J": "\u0408", "K": "\u041a\u039a", "M": "\u041c\u039c",
    "N": "\u039d", "O": "\u041e\u039f", "P": "\u0420\u03a1", "Q": "\u051a", "S": "\u0405", "T": "\u0422\u03a4",
    "V": "\u0474", "W": "\u051c", "X": "\u0425\u03a7", "Y": "\u04ae\u03a5", "Z": "\u0396",
}  # fmt: skip
LOOK_ALIKES = {latin: tuple(others) for latin, others in _BY_LATIN.items()}
LATIN_OF = {other: latin for latin, others in LOOK_ALIKES.items() for other in others}
