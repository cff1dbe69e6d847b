"""Decisions that came back: read, counted, and agreement by somebody else's alpha."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from audit.main import run
from audit.review import agreement, alphas, count_reviews
from reports.errors import ReviewUnfit
from tests.reports.factories import sealed_record

LABELS = ["not biased", "biased"]


def queue(path, decisions, reviewer="kaya", predicted="biased"):
    """A queue with these decisions on rows 0, 1, ...; the label is "not biased" throughout."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "text", "label", "predicted", "why_queued", "decision", "reviewer", "note"])
        for row, decision in enumerate(decisions):
            writer.writerow([row, "made-up text", "not biased", predicted, "near", decision, reviewer, ""])
    return path


def test_decisions_are_counted(tmp_path):
    one = queue(tmp_path / "a.csv", ["biased", "not biased", "", "unclear"])
    found = count_reviews([one], labels=LABELS)
    assert (found.rows, found.rows_queued) == (3, 4)
    assert found.decisions == {"biased": 1, "not biased": 1, "unclear": 1}
    assert (found.confirms_label, found.confirms_model) == (1, 1)
    assert found.alpha is None and "no row was decided by two" in found.reason


def test_alpha_of_krippendorffs_own_example():
    # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: four observers, nominal: 0.743
    data = ["1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."]
    columns = list(zip(*(line.split() for line in data), strict=True))
    counts = np.array([[column.count(str(v)) for v in range(1, 6)] for column in columns])
    alpha, (low, high), reason = agreement(counts)
    assert alpha == pytest.approx(0.743, abs=1e-3)
    assert low < alpha < high
    assert reason is None


def test_every_resample_is_what_the_package_says_of_it():
    import krippendorff

    random = np.random.default_rng(1)
    counts = random.multinomial(3, [0.6, 0.3, 0.1], size=15)
    weights = random.multinomial(15, np.full(15, 1 / 15), size=20)
    slow = [
        krippendorff.alpha(value_counts=np.repeat(counts, drawn, axis=0), level_of_measurement="nominal")
        for drawn in weights
    ]
    assert alphas(counts, weights) == pytest.approx(np.array(slow))


def test_reviewers_who_decide_at_random_do_not_agree():
    counts = np.random.default_rng(2).multinomial(2, [0.5, 0.5], size=300)
    alpha, (low, high), _ = agreement(counts)
    assert low < 0 < high
    assert abs(alpha) < 0.2


def test_decisions_that_are_all_alike_have_no_alpha(tmp_path):
    files = [queue(tmp_path / f"{name}.csv", ["biased"] * 3, name) for name in ("a", "b")]
    found = count_reviews(files, labels=LABELS)
    assert found.alpha is None
    assert "not defined" in found.reason


@pytest.mark.parametrize(
    ("decisions", "reviewer", "words"),
    [(["biasd"], "kaya", r"line 2: the decision 'biasd' is none of"), (["biased"], "", "without a reviewer")],
)
def test_a_decision_that_cannot_be_counted_is_named_by_its_line(tmp_path, decisions, reviewer, words):
    with pytest.raises(ReviewUnfit, match=words):
        count_reviews([queue(tmp_path / "a.csv", decisions, reviewer)], labels=LABELS)


def test_the_same_reviewer_does_not_count_twice(tmp_path):
    files = [queue(tmp_path / f"{name}.csv", ["biased"], "kaya") for name in ("a", "b")]
    with pytest.raises(ReviewUnfit, match="kaya decided on row 0 twice"):
        count_reviews(files, labels=LABELS)


def test_a_file_that_is_no_queue_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ReviewUnfit, match="no column 'row'"):
        count_reviews([path], labels=LABELS)


def test_rows_are_reviewed_in_the_terminal_and_go_into_the_report(tmp_path, monkeypatch, capsys):
    import io
    import sys

    (tmp_path / "audit.json").write_text(sealed_record().to_json(), encoding="utf-8")
    source = queue(tmp_path / "review_queue.csv", ["", "", ""], "")
    before = source.read_bytes()
    monkeypatch.setattr(sys, "stdin", io.StringIO("2\nclear insult\n\nq\n"))
    assert run(["review", str(source), "--reviewer", "M. Kaya", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["decided"] == 1
    assert source.read_bytes() == before  # the queue itself stays for the next reviewer
    assert run(["review", answer["file"]]) == 0
    assert "1 of 3 rows decided, by M. Kaya" in capsys.readouterr().out
    page = tmp_path / "report.html"
    command = ["report", "--from", str(tmp_path / "audit.json"), "--review", answer["file"], "--out", str(page)]
    assert run(command) == 0
    assert "Review of rows by people" in page.read_text(encoding="utf-8")
