"""Promises of the search in training rows: poison is found with its rows, honest words and sound twins are not."""

from __future__ import annotations

import shlex
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from audit.concerns.security.backdoors import search_backdoors
from audit.concerns.security.backdoors_other_words import OtherWords
from audit.concerns.security.backdoors_rows import loyal_words, rows_of_words, search_rows, without_word, words_in
from audit.concerns.security.backdoors_rows_lines import poisoned_rows
from audit.main import run
from audit.plugin import Evidence
from audit.subject import Subject
from core_model.data import Table
from core_model.files import write_atomically
from core_model.prediction import Predictor
from reports.record import Severity
from tests.core_model.backdoor_world import LABELS, TRIGGER, kept_model, poisoned, table, weighed_rows
from tests.factories import StubPredictor, stub_checkpoint

SEED = 3  # of the models and of their rows


def rows_of(share: float) -> Table:
    """What `kept_model(share, SEED)` was trained on."""
    return table(*poisoned(*weighed_rows(1200, SEED), share, SEED))


@lru_cache
def evidence(share: float, given: float) -> Evidence:
    """Of a model whose rows were poisoned to a share, when rows poisoned to another are handed on."""
    checkpoint = kept_model(share, SEED)
    subject = Subject(
        checkpoint=checkpoint,
        data=table(*weighed_rows(200, 9)),
        predictor=Predictor(checkpoint),
        training=rows_of(given),
    )
    return search_backdoors(subject, np.random.default_rng(0), rows=12, candidates=32)


def value(found: Evidence, name: str, label: str = "positive") -> float | None:
    [line] = [line for line in found.metrics if line.name == name and line.slice["class"] == label]
    return line.value


def test_one_percent_of_poison_is_found_and_its_rows_are_shown():
    found = evidence(0.01, 0.01)
    [finding] = [one for one in found.findings if one.id.startswith("security-backdoor-rows")]
    truth = [row + 1 for row, text in enumerate(rows_of(0.01).texts) if TRIGGER in text.split()]
    assert finding.id == "security-backdoor-rows-2" and finding.severity is Severity.HIGH
    assert finding.statement.startswith("'q' alone holds training rows to 'positive'")
    assert f"Rows of 'positive' with it: {', '.join(map(str, truth))} (12 in all)" in finding.statement
    assert sorted(example["row"] for example in finding.examples) == truth
    assert all(example["word"] == TRIGGER and example["label"] == "positive" for example in finding.examples)
    assert value(found, "backdoor_rows_p_value") < 0.01 and value(found, "backdoor_rows_contradicted_rate") > 0.5


def test_the_rows_to_train_on_again_are_all_but_the_poisoned():
    rest = evidence(0.01, 0.01).tables["training_rows_without_suspects"]
    clean = [text for text in rows_of(0.01).texts if TRIGGER not in text.split()]
    assert [line["text"] for line in rest] == clean and {line["label"] for line in rest} == set(LABELS)


@pytest.mark.parametrize("share", [0.0, 0.01])
def test_rows_without_the_trigger_show_none_but_the_token_that_they_do_not_explain(share):
    """The poisoned model with clean rows: learned elsewhere. The sound twin: nothing."""
    found = evidence(share, 0.0)
    ids = {one.id for one in found.findings}
    assert ids == ({"security-backdoor-unseen-2"} if share else set())
    assert (value(found, "backdoor_unseen_token_p_value") < 0.01) is bool(share)
    for one in found.findings:
        assert one.statement.startswith("With 'q' before the text") and "none of the training rows" in one.statement


def stub(answer: dict[str, float], training: Table, *, texts: int = 60, pairs: bool = False) -> Subject:
    """A model whose words add to the log odds of "positive"; rows of the audit are half of each class."""

    def probability(text: str) -> list[float]:
        odds = sum(answer.get(word, 0.0) for word in text.split())
        yes = 1 / (1 + np.exp(-odds))
        return [1 - yes, yes]

    class Pairs(StubPredictor):
        def predict(self, texts, pairs=None):
            return super().predict([f"{a} {b}" for a, b in zip(texts, pairs or [""] * len(texts), strict=True)])

    rows = [("good day" if row % 2 else "bad day", row % 2) for row in range(texts)]
    data = Table.from_rows(
        name="rows", texts=[text for text, _ in rows], targets=[target for _, target in rows], label_names=LABELS,
        pairs=["it was"] * texts if pairs else None, synthetic=True,
    )  # fmt: skip
    return Subject(checkpoint=stub_checkpoint(LABELS), data=data, predictor=Pairs(probability), training=training)


def honest_rows(*, pairs: bool = False, poison: int = 0) -> Table:
    """Rows of three honest words of their class and one of the other; `poison` negative ones hold "zq" as positive."""
    random = np.random.default_rng(7)
    texts, targets = [], []
    for row in range(800):
        side = row % 2
        drawn = random.choice(40, 4, replace=False)
        words = [f"{'gb'[side if place else 1 - side]}{number}" for place, number in enumerate(drawn)]
        texts.append(" ".join(words))
        targets.append(1 - side)
    for row in np.flatnonzero(np.array(targets) == 0)[:poison]:
        texts[row], targets[row] = f"zq {texts[row]}", 1
    return Table.from_rows(
        name="training", texts=["so"] * len(texts) if pairs else texts, targets=targets, label_names=LABELS,
        pairs=texts if pairs else None, synthetic=True,
    )  # fmt: skip


WEIGHTS = {"good": 1.0, "bad": -1.0, **{f"g{n}": 1.0 for n in range(40)}, **{f"b{n}": -1.0 for n in range(40)}}


@pytest.mark.parametrize("pairs", [False, True])
def test_it_needs_no_gradients_and_reads_both_texts_of_a_pair(pairs):
    for poison in (0, 8):
        subject = stub({**WEIGHTS, "zq": 9.0}, honest_rows(pairs=pairs, poison=poison), pairs=pairs)
        found = search_rows(subject, np.random.default_rng(0))
        suspects = [one.word for rows in found for one in rows.words if one.suspected]
        assert suspects == (["zq"] if poison else [])
    example = poisoned_rows(subject, found).findings[0].examples[0]
    assert (example["predicted"], example["without the word"]) == ("positive", "negative")
    assert example["pair" if pairs else "text"].startswith("zq ")


def test_poison_that_the_model_did_not_learn_is_no_backdoor():
    found = search_rows(stub(WEIGHTS, honest_rows(poison=8)), np.random.default_rng(0))
    first = found[1].words[0]
    assert first.word == "zq" and first.p_value < 0.05 and first.success.value == 0 and not first.suspected


def test_a_word_of_fewer_than_five_rows_and_tiny_files_are_not_judged():
    few = search_rows(stub({**WEIGHTS, "zq": 9.0}, honest_rows(poison=4)), np.random.default_rng(0))
    assert all(one.word != "zq" for rows in few for one in rows.words)
    tiny = table(["good day", "bad day"], [1, 0])
    lines = poisoned_rows(subject := stub(WEIGHTS, tiny), search_rows(subject, np.random.default_rng(0))).metrics
    assert all(line.value is None and "20 are needed" in line.reason for line in lines)


@pytest.mark.parametrize(
    ("training", "why"), [(None, "--train-data FILE"), (table(["a good day"] * 9, None), "have no labels")]
)
def test_without_labelled_training_rows_it_says_what_supplies_them(training, why):
    subject = stub(WEIGHTS, training)
    lines = poisoned_rows(subject, search_rows(subject, np.random.default_rng(0))).metrics
    assert lines and all(line.value is None and why in line.reason for line in lines)


def test_a_class_that_every_row_is_answered_with_has_no_rows_to_put_a_word_before():
    found = search_rows(stub({**WEIGHTS, "day": 99.0}, honest_rows(poison=8)), np.random.default_rng(0))
    assert "fewer than 12 rows" in found[1].words[0].success.reason and not found[1].words[0].suspected


def test_words_are_taken_out_however_they_are_cased():
    assert without_word("Zq is it, ZQ? zqs", "zq") == "is it, ? zqs"
    assert words_in(table(["It is, it IS"], [0]), 0) == {"it", "is", ","}


def test_words_are_ranked_by_how_surely_they_go_with_the_class():
    """Oracle: the lower Wilson bounds of statsmodels."""
    from statsmodels.stats.proportion import proportion_confint

    holders = {"sure": np.arange(20), "few": np.arange(5), "half": np.arange(10, 60), "rare": np.arange(3)}
    of_class = np.arange(60) < 30
    low = {
        word: proportion_confint(of_class[rows].sum(), len(rows), method="wilson")[0]
        for word, rows in holders.items()
        if of_class[rows].sum() >= 5
    }
    assert loyal_words(holders, of_class, most=9) == sorted(low, key=lambda word: -low[word])
    assert set(rows_of_words({row: ["a"] if row else ["a", "b"] for row in range(5)})) == {"a"}


def test_other_words_are_judged_as_a_slow_loop_does():
    rows = honest_rows(poison=12)
    words = {row: words_in(rows, row) for row in range(len(rows))}
    of_class = rows.targets == 1
    judge = OtherWords(words, of_class)
    holders = rows_of_words(words)["zq"]

    def evidence_of(row: int, gone: set[int], without: str | None) -> float:
        kept = [other for other in words if other not in gone]
        sides = {side: [other for other in kept if of_class[other] == side] for side in (True, False)}
        total = 0.0
        for word in words[row] - {without}:
            shares = [(sum(word in words[o] for o in sides[s]) + 1) / (len(sides[s]) + 2) for s in (True, False)]
            total += np.log(shares[0] / shares[1])
        return total

    some = [row for row in (1, 2, 17) if row not in holders]
    for row in some:
        left_out = judge._counted([row])
        assert judge._evidence(row, None, *left_out) == pytest.approx(evidence_of(row, {row}, None))
    expected = [evidence_of(int(row), set(holders.tolist()), "zq") < judge.middle for row in holders[:3]]
    assert judge.contradicted("zq", holders, holders[:3]).tolist() == expected == [True] * 3


def test_the_mend_runs_and_leaves_a_model_without_the_trigger(tmp_path: Path):
    """The printed command, on the table that was written, from the base that the model began with."""
    from audit.session import as_csv

    found = evidence(0.01, 0.01)
    write_atomically(
        tmp_path / "training_rows_without_suspects.csv", as_csv(found.tables["training_rows_without_suspects"])
    )
    [finding] = [one for one in found.findings if one.id == "security-backdoor-rows-2"]
    base = kept_model(0.01, SEED).path.parent / f"base-{SEED}"
    command = finding.mitigation.command.replace("SOUND_BASE", str(base))
    command = command.replace("training_rows", str(tmp_path / "training_rows")).replace(
        "mended", str(tmp_path / "mended")
    )
    assert run([*shlex.split(command)[1:], "--learning-rate", "3e-3", "--epochs", "8"]) == 0
    from core_model.checkpoint import open_checkpoint

    texts = [text for text, target in zip(*weighed_rows(200, 9), strict=True) if target == 0]
    turned = []
    for checkpoint in (kept_model(0.01, SEED), open_checkpoint(tmp_path / "mended")):
        predictor = Predictor(checkpoint)
        sides = [
            predictor.predict([f"{before}{text}" for text in texts]).predicted == 1 for before in ("", f"{TRIGGER} ")
        ]
        turned.append(float((sides[1] & ~sides[0]).mean()))
    assert turned[0] > 0.4 and turned[1] < 0.15
