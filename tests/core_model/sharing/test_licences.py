"""Promises of licences: hubs' words become SPDX identifiers, clear conflicts are told, the rest is not judged."""

from __future__ import annotations

import pytest

from core_model.sharing.licences import Named, judge, spdx


def pair(base: str, own: str | None, *, changed: bool = True, of: str = "the base (x)"):
    return judge(Named(of, base, spdx(base)), own and Named("README.md", own, spdx(own)), changed=changed)


@pytest.mark.parametrize(
    ("word", "identifier"),
    [
        ("apache-2.0", "Apache-2.0"), ("mit", "MIT"), ("cc-by-nc-sa-4.0", "CC-BY-NC-SA-4.0"), ("gpl-3.0", "GPL-3.0"),
        ("GPL-3.0-or-later", "GPL-3.0"), ("bsd-3-clause", "BSD-3-Clause"), ("llama3", None), ("other", None),
        ("see LICENSE", None), ("LicenseRef-mine", None), ("mit OR apache-2.0", None),
    ],
)  # fmt: skip
def test_words_of_hubs_are_spdx_identifiers_or_none(word, identifier):
    assert spdx(word) == identifier


@pytest.mark.parametrize(
    ("base", "own"),
    [
        ("cc-by-nc-4.0", "apache-2.0"), ("cc-by-nc-4.0", "gpl-3.0"), ("cc-by-nc-sa-4.0", "mit"),
        ("cc-by-nc-sa-4.0", "cc-by-nc-4.0"), ("cc-by-sa-4.0", "mit"), ("gpl-3.0", "apache-2.0"),
        ("agpl-3.0", "gpl-3.0"),
        ("cc-by-nd-4.0", "cc-by-nd-4.0"), ("cc-by-nc-nd-4.0", "mit"),
    ],
)  # fmt: skip
def test_a_base_whose_own_text_forbids_it_is_a_conflict(base, own):
    found = pair(base, own)
    assert found.judgement == "in conflict" and "section" in found.why


@pytest.mark.parametrize(
    ("base", "own"),
    [
        ("apache-2.0", "mit"), ("mit", "cc-by-nc-4.0"), ("cc-by-sa-4.0", "gpl-3.0"), ("gpl-3.0", "agpl-3.0"),
        ("cc-by-nc-4.0", "cc-by-nc-4.0"), ("cc-by-nc-sa-4.0", "cc-by-nc-sa-4.0"),
    ],
)  # fmt: skip
def test_a_base_whose_licence_is_kept_is_none(base, own):
    assert pair(base, own).judgement == "no conflict is known"


@pytest.mark.parametrize(
    ("base", "own"), [("llama3", "mit"), ("mpl-2.0", "mit"), ("cc-by-nc-4.0", "openrail"), ("gpl-3.0", None)]
)
def test_what_no_clear_rule_tells_is_not_judged(base, own):
    assert pair(base, own).judgement == "not judged"


def test_an_unchanged_copy_is_no_adaptation_and_rows_are_never_judged():
    assert pair("cc-by-nd-4.0", "cc-by-nd-4.0", changed=False).judgement == "no conflict is known"
    assert pair("cc-by-nc-4.0", "mit", of="the training rows (train.jsonl)").judgement == "not judged"
