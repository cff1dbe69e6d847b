"""Promises of the server's view: what plain updates leak is found, a sum hides whose it was, and noise hides it all."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from core_model.dropout import set_dropout
from federated.arrays import Update
from federated.client_privacy import private_mean
from federated.local_training import LocalResult, train_locally
from federated.options import LocalOptions
from federated.update_attacks import (
    MembershipScores,
    common_decay,
    decay_of,
    embedding_name,
    gradient_alignment,
    gradient_attribution,
    membership_scores,
    sketch,
    token_scores,
)
from federated.workbench import Workbench, workbench
from tests.federated.world import settings

CLIENTS = (0, 1)  # those that take part; the rows of clients 2 and 3 are never trained on
ONE_STEP = {"batch_size": 16, "learning_rate": 0.1, "optimizer": "sgd"}  # of all 16 rows of a client


def bench() -> Workbench:
    made = workbench(settings(local_steps=1, batch_size=16))
    set_dropout(made.task.model, 0.0)  # the planted leak: nothing random stands between rows and update
    return made


def trained(client: int, **changed: Any) -> LocalResult:
    made = bench()
    fields: dict[str, Any] = {"epochs": 1, **ONE_STEP, **changed}
    return train_locally(made, client, made.shared, LocalOptions(round=1, **fields))


@lru_cache
def updates() -> tuple[Update, ...]:
    return tuple(trained(client).update for client in CLIENTS)


@lru_cache
def large_updates() -> tuple[Update, ...]:
    """Of steps so large that float32 keeps nearly every gradient."""
    return tuple(trained(client, learning_rate=0.9).update for client in CLIENTS)


def mean_of(seen: tuple[Update, ...]) -> Update:
    return {name: np.mean([update[name] for update in seen], axis=0) for name in seen[0]}


def noisy(seen: tuple[Update, ...]) -> Update:
    return private_mean(
        seen, like=bench().shared, clipping_norm=1.0, noise_multiplier=1.0, expected_clients=len(seen),
        generator=np.random.default_rng(0),
    )  # fmt: skip


def rows_of(*clients: int) -> np.ndarray:
    return np.concatenate([bench().view(client)[1].training for client in clients])


@lru_cache
def scores(what: str) -> MembershipScores:
    seen = {"one client": updates()[0], "the sum": mean_of(updates()), "with noise": noisy(updates()[:1])}[what]
    made = bench()
    return membership_scores(made, made.shared, seen, np.arange(64))


def auc(found: np.ndarray, members: np.ndarray, others: np.ndarray) -> float:
    truth = np.r_[np.ones(len(members)), np.zeros(len(others))]
    return float(roc_auc_score(truth, found[np.r_[members, others]]))


# Membership ----------------------------------------------------------------------------------------------------------


def test_a_plain_update_tells_exactly_which_rows_were_in_it():
    found = scores("one client").attribution
    assert auc(found, rows_of(0), rows_of(1, 2, 3)) == 1.0
    # One step of SGD on the mean loss is - rate / rows for each row that was in it, and 0 for each other one.
    assert found[rows_of(0)] == pytest.approx(np.full(16, 0.1 / 16), rel=0.02)
    assert np.abs(found[rows_of(1, 2, 3)]).max() < 0.02 * 0.1 / 16


def test_a_sum_hides_whose_rows_they_were_and_not_that_they_were_there():
    found = scores("the sum").attribution
    assert 0.25 < auc(found, rows_of(0), rows_of(1)) < 0.75  # 16 against 16 rows: within three deviations of chance
    assert auc(found, rows_of(0, 1), rows_of(2, 3)) == 1.0  # secure aggregation alone is no protection of rows


def test_noise_hides_both():
    found = scores("with noise")
    for score in (found.attribution, found.alignment, found.loss_drop):
        assert 0.25 < auc(score, rows_of(0), rows_of(1, 2, 3)) < 0.75


def test_the_rows_that_were_trained_on_lose_more_loss():
    made = bench()
    overfitted = trained(0, epochs=20, batch_size=4, learning_rate=1e-2, optimizer="adamw").update
    found = membership_scores(made, made.shared, overfitted, np.arange(64))
    assert auc(found.loss_drop, rows_of(0), rows_of(1, 2, 3)) > 0.65


def test_alignment_is_the_cosine_that_a_slow_loop_finds():
    random = np.random.default_rng(0)
    update, gradient = ({"a": random.normal(size=(3, 4)), "b": random.normal(size=5)} for _ in range(2))
    dot = one = other = 0.0
    for name in update:
        for x, y in zip(update[name].ravel(), gradient[name].ravel(), strict=True):
            dot, one, other = dot + x * y, one + x * x, other + y * y
    assert gradient_alignment(update, gradient) == pytest.approx(-dot / (one * other) ** 0.5)
    assert gradient_alignment(update, {"a": np.zeros((3, 4))}) == 0.0


def test_a_sketch_of_a_sum_is_the_sum_of_the_sketches_and_keeps_lengths():
    random = np.random.default_rng(0)
    gradients = [{"a": random.normal(size=(50, 400)), "b": random.normal(size=300)} for _ in range(40)]
    planted = np.zeros(40)
    planted[[3, 17, 21]] = [1.0, 0.5, 0.5]
    total = {n: -sum(p * g[n] for p, g in zip(planted, gradients, strict=True)) for n in ("a", "b")}
    assert gradient_attribution(sketch(total), np.array([sketch(g) for g in gradients])) == pytest.approx(planted)
    lengths = [np.linalg.norm(sketch(g)) ** 2 / (50 * 400 + 300) for g in gradients]
    assert np.mean(lengths) == pytest.approx(1.0, abs=0.02)


def test_a_sketch_does_not_depend_on_the_order_in_which_a_file_names_the_parameters():
    random = np.random.default_rng(0)
    update = {"b": random.normal(size=(3, 4)), "a": random.normal(size=12)}
    assert np.array_equal(sketch(update), sketch(dict(sorted(update.items()))))


# Words ---------------------------------------------------------------------------------------------------------------


def words_of(*clients: int) -> np.ndarray:
    made = bench()
    batch = made.task.batch(made.task.training, rows_of(*clients))
    there = np.zeros(made.task.model.config.vocab_size, dtype=bool)
    there[np.unique(batch["input_ids"][batch["attention_mask"].bool()].numpy())] = True
    return there


def test_a_plain_update_tells_which_words_a_client_wrote():
    name = str(embedding_name(bench().task.model))
    assert name == "bert.embeddings.word_embeddings.weight"
    found, there = token_scores(large_updates()[0], bench().shared, name=name).seen, words_of(0)
    assert 0.2 < there.mean() < 0.8
    assert not found[~there].any()
    assert found[there].mean() > 0.9  # a gradient below the rounding of float32 moves nothing


def test_weight_decay_moves_every_word_and_is_taken_off_first():
    name, settled = str(embedding_name(bench().task.model)), {"learning_rate": 1e-2, "weight_decay": 0.1}
    result = trained(0, optimizer="adamw", batch_size=4, **settled)
    blind = token_scores(result.update, bench().shared, name=name).seen
    knowing = token_scores(result.update, bench().shared, name=name, decay=decay_of(steps=result.steps, **settled))
    assert blind.sum() >= len(blind) - 1  # [PAD] alone stays where it is
    assert np.array_equal(knowing.seen, words_of(0))


def test_the_share_of_weight_decay_is_read_from_the_update_itself_clipped_or_not():
    """Of the tokens that were not written all moved alike, whatever factor the update was cut by."""
    name, settled = str(embedding_name(bench().task.model)), {"learning_rate": 1e-2, "weight_decay": 0.1}
    result, start = trained(0, optimizer="adamw", batch_size=4, **settled), bench().shared
    known = decay_of(steps=result.steps, **settled)
    assert common_decay(result.update, start, name=name) == pytest.approx(known, rel=1e-4)
    cut = {n: (array * 0.3).astype(np.float32) for n, array in result.update.items()}
    found = token_scores(cut, start, name=name, decay=common_decay(cut, start, name=name))
    assert np.array_equal(found.seen, words_of(0))


def test_a_sum_tells_the_words_of_all_and_noise_tells_none():
    name = str(embedding_name(bench().task.model))
    found, there = token_scores(mean_of(large_updates()), bench().shared, name=name).seen, words_of(0, 1)
    assert not found[~there].any() and found[there].mean() > 0.9
    assert found[there & ~words_of(0)].any()  # whose words they are is not told
    hidden = token_scores(noisy(updates()), bench().shared, name=name)
    assert hidden.seen.all()
    assert 0.3 < roc_auc_score(there, hidden.moved) < 0.7


def test_an_embedding_that_is_not_trained_has_no_words():
    model = bench().task.model
    weight: Any = model.get_input_embeddings().weight
    weight.requires_grad_(False)
    try:
        assert embedding_name(model) is None
    finally:
        weight.requires_grad_(True)
