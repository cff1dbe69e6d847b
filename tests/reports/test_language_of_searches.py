"""Promises of the pages of a search and of a compression in other languages: the same numbers, no word left behind."""

from __future__ import annotations

import re

import pytest

from reports.catalogue import LANGUAGES, language
from reports.document.trade import TRADE_ELEMENT, trade_html
from reports.document.tuning import TUNING_ELEMENT, tuning_html
from reports.language import ENGLISH
from tests.reports.pages import Page
from tests.reports.test_language_catalogues import Loose, made
from tests.reports.test_trade import trade
from tests.reports.test_tuning_page import MEASURE, ROWS, record

TESTED = {"data": ROWS, "rows_left_out": 3, "measures": [MEASURE]}


def search(language=ENGLISH) -> str:
    return tuning_html(record(test=TESTED), command="aboveboard tune", language=language)


def compression(language=ENGLISH) -> str:
    notes = ["The heads were cut out of the matrices."]
    return trade_html(trade(notes=notes), language=language)


@pytest.mark.parametrize(
    ("build", "name", "words"),
    [
        (search, "de", ["Bester Wert auf den Bewertungszeilen (Verlust): 0,41", "vorzeitig beendet", "niedriger ist"]),
        (search, "zh", ["评估行上的最佳值", "损失", "0.41", "提前终止", "任何试验都未见过的行"]),
        (compression, "de", ["Vorher und nachher", "schlechter", "Gewichte auf der Festplatte", "\u00d7 1,60",
                             "Die Köpfe wurden aus den Matrizen herausgeschnitten."]),
        (compression, "zh", ["压缩前后对比", "变差", "磁盘上的权重", "\u00d7 1.60"]),
    ],
)  # fmt: skip
def test_a_page_says_in_its_language_what_the_english_one_says(build, name, words):
    html = build(language(name))
    assert f'<html lang="{language(name).tag}"' in html
    assert [word for word in words if word not in Page(html).text] == []


@pytest.mark.parametrize(("build", "element"), [(search, TUNING_ELEMENT), (compression, TRADE_ELEMENT)])
@pytest.mark.parametrize("name", LANGUAGES)
def test_the_record_inside_stays_the_same(build, element, name):
    pages = [build(one) for one in (ENGLISH, language(name))]
    english, other = (html[html.index(element) :].partition("</script>")[0] for html in pages)
    assert english == other


@pytest.mark.parametrize("build", [search, compression])
def test_no_fixed_text_is_one_that_a_catalogue_cannot_reach(build):
    pseudo = made("de", lambda text: re.sub(r"(%\(\w+\)s|%%)|[^\W\d_]+", lambda found: found[1] or "¤", text))
    html = build(pseudo)
    loose = re.sub(r"\bfigure-[a-z0-9-]+", "", " ".join(Loose(html[html.index("<body") :]).texts))
    assert set(re.findall(r"[A-Za-z]{3,}", loose)) == {"Aboveboard", "sha"}
