"""BLEU and chrF: sacrebleu's own numbers, on all rows, on resampled rows, on many resamples at once."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu

from core_model.metrics_text import bleu, chrf

REFERENCES = [
    "Der Befehl öffnet das Dialogfeld „Seite formatieren“.",
    "Wählen Sie Extras - Optionen, um die Sprache zu ändern.",
    "Dieses Paket enthält die Entwicklungsdateien (Header) für libfoo 2.4.",
    "Ja",
    "Klicken Sie auf OK.",
    "Geben Sie die Anzahl der Spalten ein, z. B. 3.",
    "Die Zelle A1 enthält =SUMME(B1:B10); das Ergebnis ist 1,5 %.",
    "Fügt am Ende des Dokuments eine leere Seite ein.",
]
HYPOTHESES = [
    "Der Befehl öffnet den Dialog „Seite formatieren“.",
    "Wählen Sie Extras - Optionen um die Sprache zu ändern.",
    "Dieses Paket stellt Header für libfoo bereit.",
    "Nein",
    "",
    "Geben Sie die Anzahl der Spalten ein, z. B. 3.",
    "Zelle A1 enthält =SUMME(B1:B10); Ergebnis ist 1,5 %.",
    "Fügt eine Seite ein ein ein ein.",
]
MAKERS = [(bleu, sacrebleu.corpus_bleu), (chrf, sacrebleu.corpus_chrf)]
both = pytest.mark.parametrize(("make", "theirs"), MAKERS, ids=["bleu", "chrf"])


@both
def test_the_corpus_score_is_sacrebleus(make, theirs):
    assert make(HYPOTHESES, REFERENCES).score == pytest.approx(theirs(HYPOTHESES, [REFERENCES]).score, abs=1e-9)


@both
def test_any_resample_scores_what_sacrebleu_gives_to_the_same_rows(make, theirs):
    metric, random = make(HYPOTHESES, REFERENCES), np.random.default_rng(0)
    draws = random.integers(0, len(HYPOTHESES), (60, len(HYPOTHESES)))
    ours = metric.value(metric.statistics[draws].sum(axis=1))  # all resamples at once
    for value, rows in zip(ours, draws, strict=True):
        expected = theirs([HYPOTHESES[r] for r in rows], [[REFERENCES[r] for r in rows]]).score
        assert value == pytest.approx(expected, abs=1e-9)


@both
def test_each_row_alone_scores_what_sacrebleu_gives_to_it(make, theirs):
    of_each = make(HYPOTHESES, REFERENCES).of_each_row
    expected = [theirs([h], [[r]]).score for h, r in zip(HYPOTHESES, REFERENCES, strict=True)]
    np.testing.assert_allclose(of_each, expected, atol=1e-9)


@both
@pytest.mark.parametrize(
    "hypotheses", [[""] * 8, ["xyz"] * 8, REFERENCES, [*REFERENCES[:7], ""], ["a b"] * 8],
    ids=["nothing written", "no match", "perfect", "one empty", "two words each"],
)  # fmt: skip
def test_the_ends_of_the_scale_are_sacrebleus(make, theirs, hypotheses):
    score = make(hypotheses, REFERENCES).score
    assert score == pytest.approx(theirs(hypotheses, [REFERENCES]).score, abs=1e-9)


def test_the_signature_is_sacrebleus():
    assert bleu(HYPOTHESES, REFERENCES).signature == (
        f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    )
    assert chrf(HYPOTHESES, REFERENCES).signature == (
        f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{sacrebleu.__version__}"
    )


def test_sides_of_different_length_are_refused():
    with pytest.raises(ValueError, match="2 hypotheses for 1 references"):
        bleu(["a", "b"], ["a"])
