"""Personal data in a text: e-mail addresses, bank accounts (IBAN), payment cards and telephone numbers.

Each kind is checked by what its issuer checks: IBAN by length and check digits (ISO 13616, modulo 97), cards by length,
first digit and Luhn's digit (ISO/IEC 7812-1), telephone numbers by the international form of ITU-T E.164.

What it does not find: names, addresses, dates of birth, national numbers; telephone numbers without "+" and country;
internationalised e-mail addresses; numbers that stand behind each other with nothing but blanks between them. For more,
run a detector of named entities over what the model writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

Kind = Literal["e-mail", "IBAN", "payment card", "telephone number"]
KINDS: tuple[Kind, ...] = ("e-mail", "IBAN", "payment card", "telephone number")
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
"""Characters of an IBAN by country: the registry of ISO 13616."""
CARD_LENGTHS = range(13, 20)
CARD_BEGINNINGS = "23456"  # travel, banking and retail issuers
TELEPHONE_LENGTHS = range(8, 16)
DIGITS = "0123456789"
IN_ADDRESS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&'*+/=?^_`{|}~-@")


def find(text: str) -> Iterator[tuple[Kind, str]]:
    """Each piece of personal data with its kind, without blanks and dashes in numbers; linear in the text."""
    for run in _runs(text, IN_ADDRESS):
        address = run.strip(".-'`")
        if _is_address(address):
            yield "e-mail", address
    yield from (("IBAN", number) for number in _ibans(text))
    for run in _runs(text, frozenset(DIGITS + " -")):
        digits = _digits(run)
        if len(digits) in CARD_LENGTHS and digits[0] in CARD_BEGINNINGS and luhn(digits):
            yield "payment card", digits
    for piece in text.split("+")[1:]:
        digits = _digits(next(_runs("0" + piece, frozenset(DIGITS + " -()./")), ""))[1:]
        if len(digits) in TELEPHONE_LENGTHS and digits[0] != "0":
            yield "telephone number", "+" + digits


def luhn(digits: str) -> bool:
    """Whether the last digit is Luhn's check digit of the others. Source: ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_iban(number: str) -> bool:
    """Whether an IBAN without blanks has its country's length and right check digits. Source: ISO 13616."""
    if IBAN_LENGTHS.get(number[:2]) != len(number) or not (number.isascii() and number.isalnum()):
        return False
    if not number[2:4].isdigit():
        return False
    return int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 == 1


def _ibans(text: str) -> Iterator[str]:
    """Written in one piece, or in groups with blanks between them."""
    words = text.replace("\N{NO-BREAK SPACE}", " ").split()
    for place, word in enumerate(words):
        length = IBAN_LENGTHS.get(word[:2])
        if length is None or not word[2:4].isdigit():
            continue
        number = ""
        for more in words[place : place + length]:
            number += more.strip(".,;:()")
            if len(number) >= length:
                break
        if is_iban(number):
            yield number


def _is_address(run: str) -> bool:
    local, at, domain = run.partition("@")
    labels = domain.split(".")
    return (
        bool(local and at)
        and ".." not in run
        and len(local) <= 64
        and len(labels) >= 2
        and all(label and label.replace("-", "").isalnum() for label in labels)
        and len(labels[-1]) >= 2
        and labels[-1].isalpha()
    )


def _runs(text: str, allowed: frozenset[str]) -> Iterator[str]:
    """The longest stretches of allowed characters."""
    run: list[str] = []
    for character in text:
        if character in allowed:
            run.append(character)
        elif run:
            yield "".join(run)
            run = []
    if run:
        yield "".join(run)


def _digits(text: str) -> str:
    return "".join(character for character in text if character in DIGITS)
