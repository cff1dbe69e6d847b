"""Promises of the attack on many texts at once: the slow loop's results, it finds what was planted, it ends."""

from __future__ import annotations

from functools import partial
from zlib import crc32

import numpy as np
import pytest

from core_model.attacks.constraints import OnlyOnce, StopWords
from core_model.attacks.lock_step import attack
from core_model.attacks.recipes import Recipe, recipe
from core_model.attacks.search import GreedyByImportance
from core_model.attacks.sentence import Sentence
from core_model.attacks.transformations import Listed
from core_model.attacks.word_gradients import word_gradients
from core_model.errors import OptionUnfit
from core_model.prediction import Predictor
from tests.core_model.prediction_models import made_up_texts, open_tiny
from tests.factories import WORDS, StubPredictor

NO_STOP_WORDS = frozenset[str]()
TEXTS = ["the king saw a good film", "a good day", "good", "it is a sad good meal, not very fine", "good good good"]


def hangs_on_good(text):
    """Positive as long as the word "good" stands there."""
    return (0.1, 0.9) if "good" in text.split() else (0.8, 0.2)


def run(answer, texts, made, *, targets=None, **how):
    predictor = StubPredictor(answer)
    targets = [1] * len(texts) if targets is None else targets
    return attack(predictor, texts, targets, made, random=np.random.default_rng(0), **how)


# ---- planted


def test_an_attack_that_can_touch_the_planted_word_flips_every_row_by_that_word():
    texts = ["the king saw a good film", "a good day it was", "good meal"]
    found = run(hangs_on_good, texts, recipe("deepwordbug", stop_words=NO_STOP_WORDS))
    for one in found.rows:
        assert (one.status, one.ending, one.before, one.after) == ("succeeded", "goal reached", 1, 0)
        changed = [a for a, b in zip(one.original.words, one.final.words, strict=True) if a != b]
        assert changed == ["good"] and one.words_changed == 1
        # One question for the text, one for each word unknown, and the four edits of the most important word.
        assert one.queries <= 1 + len(one.original) + 4


def test_misspellings_are_slips_of_a_finger():
    """One swap, one letter left out, or one key beside: never a letter from across the keyboard."""
    [one] = run(hangs_on_good, ["it is a good day"], recipe("misspellings", stop_words=NO_STOP_WORDS)).rows
    after = one.final.words[3]
    beside = {"g": "ftyhbv", "o": "ipkl", "d": "serfcx"}
    slips = {"ogod", "godo", "ood", "god", "goo"}
    slips |= {"good"[:at] + other + "good"[at + 1 :] for at in range(4) for other in beside["good"[at]]}
    assert one.status == "succeeded" and one.words_changed == 1 and after in slips


def test_an_attack_that_may_not_touch_the_planted_word_flips_none():
    found = run(hangs_on_good, TEXTS, recipe("deepwordbug", stop_words=frozenset({"good"})))
    assert {one.status for one in found.rows} == {"failed"}
    assert all(one.ending == "search exhausted" and one.after == one.before for one in found.rows)


@pytest.mark.parametrize("name", ["deepwordbug", "look-alikes", "invisible-marks", "misspellings"])
def test_a_constant_model_cannot_be_attacked(name):
    found = run(lambda text: (0.3, 0.7), TEXTS, recipe(name, stop_words=NO_STOP_WORDS))
    assert all(one.status == "failed" and one.words_changed == 0 and not one.moved for one in found.rows)


def test_rows_that_are_wrong_before_are_skipped_and_cost_one_query():
    found = run(hangs_on_good, ["a bad day", "a good day"], recipe("deepwordbug", stop_words=NO_STOP_WORDS))
    assert [(one.status, one.queries > 1) for one in found.rows] == [("skipped", False), ("succeeded", True)]


def test_texts_of_one_word_and_of_none_are_attacked_as_far_as_they_can_be():
    found = run(lambda text: (0.4, 0.6), ["", "?!", "good"], recipe("deepwordbug", stop_words=NO_STOP_WORDS))
    assert [one.ending for one in found.rows] == ["search exhausted"] * 3
    assert [one.queries for one in found.rows][:2] == [1, 1]
    [one] = run(hangs_on_good, ["good"], recipe("deepwordbug", stop_words=NO_STOP_WORDS)).rows
    assert one.status == "succeeded"


# ---- every attack ends


def by_chance(text):
    """Some answer for every text, and always the same one."""
    share = (crc32(text.encode()) % 9973) / 9973
    return (0.45 * share, 1 - 0.45 * share)


def test_the_query_budget_is_kept_and_said():
    made = recipe("deepwordbug", stop_words=NO_STOP_WORDS)
    for budget in (1, 2, 5, 9):
        found = run(by_chance, TEXTS, made, query_budget=budget)
        assert all(one.queries <= budget for one in found.rows)
        assert found.rows[3].ending == "query budget"


def test_the_time_limit_ends_it_and_keeps_what_was_found():
    found = run(by_chance, TEXTS, recipe("deepwordbug", stop_words=NO_STOP_WORDS), seconds=1e-9)
    assert {one.ending for one in found.rows} == {"time limit"} and {one.status for one in found.rows} == {"failed"}


@pytest.mark.parametrize("how", [{"query_budget": 0}, {"seconds": 0}])
def test_a_budget_of_nothing_is_refused(how):
    with pytest.raises(OptionUnfit, match="Try: "):
        run(by_chance, TEXTS, recipe("deepwordbug"), **how)


def test_an_unknown_recipe_is_refused_with_those_that_there_are():
    with pytest.raises(OptionUnfit, match="deepwordbug, pwws"):
        recipe("deepwordbag")


# ---- the slow loop


class OneChild:
    """A generator whose one child is given: the same draws as row `row` of many had."""

    def __init__(self, rows, row):
        self.child = np.random.default_rng(0).spawn(rows)[row]

    def spawn(self, n):
        return [self.child]


@pytest.mark.parametrize("name", ["deepwordbug", "look-alikes", "invisible-marks", "misspellings"])
def test_many_texts_in_lock_step_are_the_texts_one_by_one(name):
    texts = made_up_texts(25)
    made = recipe(name, stop_words=frozenset({"the", "a"}))
    targets = [int(np.argmax(by_chance(text))) for text in texts]
    together = run(by_chance, texts, made, targets=targets, query_budget=40)
    for row, text in enumerate(texts):
        predictor = StubPredictor(by_chance)
        alone = attack(predictor, [text], [targets[row]], made, query_budget=40, random=OneChild(len(texts), row))
        assert alone.rows[0] == together.rows[row]
    assert together.rounds < sum(one.queries for one in together.rows) / 10


SYNONYMS = {word: tuple(WORDS[(at + step) % len(WORDS)] for step in (1, 7, 20)) for at, word in enumerate(WORDS)}


def planted(importance):
    constraints = (OnlyOnce(), StopWords(frozenset({"the", "a"})))
    return Recipe("planted", Listed(lambda word: SYNONYMS.get(word, ())), constraints, GreedyByImportance(importance))


def bag(text):
    """A model whose log-odds add up over words, so that importance is what each word adds."""
    odds = 6 + sum(np.sin(1 + 3 * WORDS.index(word)) for word in text.lower().split() if word in WORDS)
    positive = 1 / (1 + np.exp(-odds))
    return (1 - positive, positive)


def slow_greedy(text, label, importance):
    """Greedy word swaps, one question at a time, as TextAttack 0.3.11's GreedyWordSwapWIR states it."""

    def score(words):
        return 1 - bag(" ".join(words))[label]

    words = text.split()
    start = score(words)
    places = [place for place, word in enumerate(words) if word not in ("the", "a")]
    if importance == "deletion":
        weights = {at: score(words[:at] + words[at + 1 :]) for at in places}
    else:
        weights = {at: score([*words[:at], "[UNK]", *words[at + 1 :]]) for at in places}
    if importance == "weighted-saliency":
        swaps = {at: [score([*words[:at], w, *words[at + 1 :]]) for w in SYNONYMS.get(words[at], ())] for at in places}
        total = sum(np.exp(weights[at] - start) for at in places)
        weights = {
            at: np.exp(weights[at] - start) / total * max((s - start for s in swaps[at]), default=0) for at in places
        }
    now = start
    for at in sorted(places, key=lambda at: -weights[at]):
        tried = {w: score([*words[:at], w, *words[at + 1 :]]) for w in SYNONYMS.get(words[at], ())}
        if not tried:
            continue
        best = max(tried, key=tried.__getitem__)
        if tried[best] > now:
            words[at], now = best, tried[best]
            if now > 0.5:
                return words, True
    return words, False


@pytest.mark.parametrize("importance", ["unknown", "deletion", "weighted-saliency"])
def test_the_search_is_the_slow_loop_row_by_row(importance):
    texts = [" ".join(Sentence.of(text).words).lower() for text in made_up_texts(40)]
    targets = [int(np.argmax(bag(text))) for text in texts]
    found = run(bag, texts, planted(importance), targets=targets)
    statuses = []
    for text, label, one in zip(texts, targets, found.rows, strict=True):
        words, succeeded = slow_greedy(text, label, importance)
        assert (list(one.final.words), one.status == "succeeded") == (words, succeeded)
        statuses.append(succeeded)
    assert 5 < sum(statuses) < 40  # some fall and some stand


def test_weighted_saliency_takes_the_word_whose_saliency_and_gain_are_largest():
    """Ren et al. 2019, equations 5 to 8, on two words: the salient one has no good synonym, the other has one."""
    swaps = {"great": ("grand",), "fine": ("poor",)}
    odds = {"great": 2.0, "grand": 1.9, "fine": 1.0, "poor": -1.5}

    def answer(text):
        positive = 1 / (1 + np.exp(-sum(odds.get(word, 0) for word in text.split())))
        return (1 - positive, positive)

    made = Recipe("planted", Listed(lambda w: swaps.get(w, ())), (OnlyOnce(),), GreedyByImportance("weighted-saliency"))
    [one] = run(answer, ["great fine"], made, query_budget=5).rows  # 1 + 2 unknown + 2 swaps
    assert one.final.words == ("great", "poor")


# ---- beside a real model


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return Predictor(open_tiny(tmp_path_factory.mktemp("tiny")), threads=1)


def test_quick_recipes_use_gradients_and_lose_no_success(predictor):
    texts = made_up_texts(12)
    targets = predictor.predict(texts).predicted
    how = {"random": np.random.default_rng(0), "query_budget": 60}
    slow = attack(predictor, texts, targets, planted("unknown"), **how)
    how["random"] = np.random.default_rng(0)
    gradients = partial(word_gradients, predictor)
    quick = attack(predictor, texts, targets, planted("unknown").quick(), gradients=gradients, **how)
    for a, b in zip(slow.rows, quick.rows, strict=True):
        assert b.status == "succeeded" or a.status == "failed" or b.ending == "query budget"
    assert all(one.queries <= 60 for one in quick.rows)


def test_gradients_are_of_words_and_zero_beyond_what_the_model_reads(predictor):
    long = " ".join(["good"] * 100)
    sizes, short = word_gradients(predictor, [Sentence.of(long), Sentence.of("a good, fine film")], [1, 1])
    assert sizes.shape == (100,) and (sizes[:50] > 0).all() and (sizes[70:] == 0).all()
    assert short.shape == (4,) and (short > 0).all()


def test_only_texts_that_are_alike_enough_are_asked(monkeypatch):
    class Encoder:
        forward_passes = 0

        def encode(self, texts):
            return np.array([[1.0, 0.0] if "awful" not in text else [0.0, 1.0] for text in texts])

    monkeypatch.setattr("core_model.attacks.sentence_encoder.embedded_encoder", Encoder)
    swaps = Listed({"good": ("awful", "fine")}.get)
    made = Recipe("planted", lambda word, random: swaps(word, random) if word == "good" else (), (OnlyOnce(),),
                  GreedyByImportance("unknown"), least_similarity=0.5)  # fmt: skip
    [one] = run(hangs_on_good, ["a good day"], made).rows
    assert one.status == "succeeded" and "fine" in one.final.words
