"""Two systems on the same rows, from kept statistics alone: their difference, by slice too, and what cannot be told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sacrebleu

from audit.comparison import conclusion
from audit.evidence import metric
from audit.paired_statistics import PairedStatistics, paired_statistics
from audit.statistics import Estimate
from core_model.metrics_text import bleu
from tests.audit.concerns.writing_subjects import sentences, spoiled, translated

TEXTS = sentences(160, seed=3)
TRUTH = [translated(text) for text in TEXTS]
A, B = ([spoiled(text, share) for text in TEXTS] for share in (0.4, 0.2))
HALF = np.where(np.arange(160) % 2, "odd", "even")


def frame(said: list[str]) -> pd.DataFrame:
    statistics = bleu(said, TRUTH).statistics
    columns = {f"statistic bleu {i}": statistics[:, i] for i in reversed(range(10))}
    return pd.DataFrame({"words": [len(text.split()) for text in TEXTS], **columns, "group half": HALF})


@pytest.fixture(scope="module")
def rows() -> PairedStatistics:
    return paired_statistics(frame(A), frame(B), {"bleu": "tok:13a"})


def named(name: str, **slice_: str):
    return metric(name, Estimate(50, 40, 60, 10, "planted"), unit="BLEU", better="higher", slice=slice_)


def difference(rows, name, **slice_):
    return rows.difference(named(name, **slice_), np.random.default_rng(0))


def by_hand(chosen) -> float:
    a, b = (sacrebleu.corpus_bleu([side[i] for i in chosen], [[TRUTH[i] for i in chosen]]).score for side in (A, B))
    return b - a


def test_the_difference_is_sacrebleus_b_minus_sacrebleus_a(rows):
    found = difference(rows, "bleu")
    assert found.value == pytest.approx(by_hand(range(160)), abs=1e-9)
    assert conclusion(found, better="higher") == "better" and found.n == 160


def test_another_audits_name_for_the_same_number_is_understood(rows):
    assert difference(rows, "test_bleu").value == difference(rows, "bleu").value


def test_a_slice_by_length_or_group_takes_its_rows_alone(rows):
    short = [i for i, text in enumerate(TEXTS) if 4 <= len(text.split()) <= 7]
    for slice_ in ({"words": "4 to 7"}, {"text_length": "4 to 7 words"}):
        found = difference(rows, "bleu", **slice_)
        assert found.value == pytest.approx(by_hand(short), abs=1e-9) and found.n == len(short)
    odd = difference(rows, "bleu", half="odd")
    assert odd.value == pytest.approx(by_hand(range(1, 160, 2)), abs=1e-9)


def test_a_system_beside_itself_shows_no_evidence_of_change():
    same = paired_statistics(frame(A), frame(A), {"bleu": "tok:13a"})
    assert conclusion(difference(same, "bleu"), better="higher") in ("no evidence of change", "not comparable")
    assert difference(same, "bleu").value == 0


def test_what_the_rows_cannot_give_is_left_to_the_intervals(rows):
    assert difference(rows, "energy_per_1000_inferences") is None
    assert difference(rows, "chrf") is None  # not kept
    assert difference(rows, "bleu", system="source copied") is None
