"""Personal data by what its issuers check: published examples are found, one wrong digit is not."""

from __future__ import annotations

import time

import pytest

from privacy.attacks.personal_data import find, is_iban, luhn

# Examples of the SWIFT IBAN registry, of card networks' test numbers, and of ITU-T E.164 forms.
FOUND = [
    ("write to jane.doe+tag@mail.example.org, please", "e-mail", "jane.doe+tag@mail.example.org"),
    ("IBAN GB29 NWBK 6016 1331 9268 19.", "IBAN", "GB29NWBK60161331926819"),
    ("pay into DE89370400440532013000 today", "IBAN", "DE89370400440532013000"),
    ("NL91 ABNA 0417 1643 00", "IBAN", "NL91ABNA0417164300"),
    ("card 4111 1111 1111 1111 ok", "payment card", "4111111111111111"),
    ("card 3782-822463-10005 ok", "payment card", "378282246310005"),
    ("5555555555554444", "payment card", "5555555555554444"),
    ("call +44 20 7946 0958 now", "telephone number", "+442079460958"),
    ("(+1 (202) 555-0100)", "telephone number", "+12025550100"),
]


@pytest.mark.parametrize(("text", "kind", "value"), FOUND)
def test_published_examples_are_found(text: str, kind: str, value: str):
    assert list(find(text)) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "GB29 NWBK 6016 1331 9268 18", "DE8937040044053201300", "4111 1111 1111 1112", "a@b", "@home", "me@host",
        "on 2024-11-25 at 10:30", "1 + 2 = 3", "+00 123 456 789", "order 1234567890123", "x@y..org", "@@@@.com", "",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_not(text: str):
    assert list(find(text)) == []


def test_luhn_and_iban_by_their_own_examples():
    assert luhn("79927398713") and not any(luhn(f"7992739871{d}") for d in (0, 1, 2, 4, 5, 6, 7, 8, 9))
    assert is_iban("MT84MALT011000012345MTLCAST001S") and not is_iban("MT84MALT011000012345MTLCAST001")


@pytest.mark.parametrize("piece", ["@", "a@", "+1", "DE89 ", "4 ", "1" * 7, "a.b@c."])
def test_a_hostile_text_takes_time_in_proportion(piece: str):
    started = time.monotonic()
    list(find(piece * 50_000))
    assert time.monotonic() - started < 10
