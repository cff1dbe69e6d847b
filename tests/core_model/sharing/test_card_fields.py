"""Promises of card fields: the hub's own template is no card, the same template filled in is one."""

from __future__ import annotations

import time

import pytest
from huggingface_hub import ModelCard, ModelCardData

from core_model.sharing.card_fields import METADATA, SECTIONS, card_fields

SAID = "Comments of a forum, labelled by three people each, in English."


def there(card: str | None) -> set[str]:
    return {field.name for field in card_fields(card) if field.state == "there"}


def template() -> str:
    """The hub's template as its own tool writes it where nobody filled anything in."""
    return str(ModelCard.from_template(ModelCardData(license="mit", language="en")))


def test_a_card_of_placeholders_is_not_complete():
    assert there(template()) == {"license", "language"}
    states = {field.name: field.state for field in card_fields(template())}
    assert states["training data"] == "a placeholder" and states["base_model"] == "absent"


def test_the_same_card_filled_in_is_complete():
    assert there(template().replace("[More Information Needed]", SAID)) >= set(SECTIONS)


def test_no_card_has_no_field():
    assert not there(None) and not there("") and len(card_fields(None)) == len(METADATA) + len(SECTIONS)


def test_a_heading_alone_a_comment_and_a_to_do_say_nothing():
    card = f"# Critic\n# Intended use\n\n# Training data\n<!-- {SAID} -->\n# Limitations\nTODO: coming soon\n"
    assert not there(card + "# Metrics\n{{ metrics }}\n")
    assert there(f"# Critic\n# Limitations\n\n## More\n\n{SAID}\n") == {"limitations, recommendations"}


def test_headings_in_code_are_no_headings_but_those_of_a_card_shown_by_package_are():
    assert not there(f"## Model\n```bash\n# Intended use\n{SAID}\n```\n")
    shown = f"# x\n\n## What an earlier card said\n\n```text\n## Intended use\n{SAID}\n```\n"
    assert there(shown) == {"intended use"}


def test_a_title_is_no_section_and_what_stands_below_it_tells_of_the_model():
    assert not there("# bias-and-risks-of-intended-use\n\n## Other\n")
    assert there(f"# bias-and-risks\n{SAID}\n\n## Other\n{SAID}\n") == {"model details"}


def test_metadata_that_is_empty_or_a_placeholder_is_not_there():
    assert there(
        "---\nlicense: mit\nlanguage: []\ndatasets: [TBD]\nlibrary_name: '[More Information Needed]'\n---\n"
    ) == {"license"}


@pytest.mark.parametrize("piece", ["{{", "<", "\n", " \n", "# a\n", "# ", "[add", "**", "|-", "<!--", "```\n", "#\t"])
def test_a_hostile_card_takes_no_time(piece):
    started = time.process_time()
    card_fields(f"# Limitations\n{piece * (300_000 // len(piece))}")
    assert time.process_time() - started < 3
