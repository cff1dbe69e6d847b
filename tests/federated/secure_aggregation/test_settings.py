"""What may be chosen, what is refused, and what the record says about adversaries."""

from collections import Counter

import numpy as np
import pytest

from core_model.errors import OptionUnfit
from federated.secure_aggregation.adversaries import adversaries
from federated.secure_aggregation.graph import chance_of_exposure, neighbourhoods
from federated.secure_aggregation.identity import identity_of
from federated.secure_aggregation.settings import SecureSettings
from federated.secure_aggregation.strategies import refuse_strategy
from tests.federated.secure_aggregation.world import WatchedGrid, client_app, give_keys


def test_minimum_is_more_than_two_thirds_unless_chosen():
    assert [SecureSettings().terms(1, cohort).minimum for cohort in (3, 5, 6, 10)] == [3, 4, 5, 7]
    assert SecureSettings(minimum_survivors=6).terms(1, 10).minimum == 6


@pytest.mark.parametrize("cohort", [1, 2])
def test_cohort_without_secrecy_is_refused(cohort):
    with pytest.raises(OptionUnfit, match="learn the other's update"):
        SecureSettings().terms(1, cohort)


@pytest.mark.parametrize("minimum", [5, 11])
def test_minimum_that_two_halves_could_meet_or_nobody_is_refused(minimum):
    with pytest.raises(OptionUnfit, match=r"--min-clients from 6 to 10"):
        SecureSettings(minimum_survivors=minimum).terms(1, 10)


def test_threshold_is_always_a_majority_of_the_shares():
    for cohort in range(3, 60):
        terms = SecureSettings(neighbours=8).terms(1, cohort)
        shares = min(9, cohort)
        assert shares / 2 < terms.threshold(shares) <= shares


def test_terms_that_differ_have_different_digests():
    one = SecureSettings().terms(1, 5)
    assert one.digest != one.model_copy(update={"minimum": 5}).digest
    assert one.digest != SecureSettings().terms(1, 5).digest  # a session of its own


def test_neighbours_are_mutual_and_as_many_as_asked_for():
    around = neighbourhoods(range(100, 130), 6)
    assert {len(near) for near in around.values()} == {7}
    assert all(node in around[other] for node, near in around.items() for other in near)
    assert Counter(len(near) for near in neighbourhoods(range(7), 6).values()) == {7: 7}


def test_chance_of_exposure_is_the_simulated_one():
    """Oracle: draw neighbours at random; one client, so that the union bound is exact."""
    rng = np.random.default_rng(0)
    others = np.arange(29) < 10
    hits = np.mean([rng.permutation(others)[:8].sum() >= 6 for _ in range(20_000)])
    assert chance_of_exposure(30, 9, 6, 10) / 20 == pytest.approx(hits, abs=0.005)
    assert chance_of_exposure(30, 9, 9, 2) == 0.0


def test_record_names_adversaries_part_by_part():
    terms = SecureSettings().terms(1, 10)
    signed = adversaries(terms, shares=10, signed=True, announced=True, survivors=9)[0]
    assert (signed.honest_server, signed.active_server, signed.colluding, signed.colluding_active) == (True, True, 6, 3)
    unsigned = adversaries(terms, shares=10, signed=False, announced=True, survivors=9)[0]
    assert (unsigned.active_server, unsigned.colluding_active) == (False, None)
    assert "exchange the clients' keys" in unsigned.because


def test_record_counts_on_two_honest_survivors():
    terms = SecureSettings().terms(1, 3)
    assert adversaries(terms, shares=3, signed=True, announced=False, survivors=3)[0].colluding == 1


def test_record_of_a_sparse_graph_does_not_claim_an_active_server():
    terms = SecureSettings(neighbours=24).terms(1, 200)
    [part, *_] = adversaries(terms, shares=25, signed=True, announced=True, survivors=190)
    assert not part.active_server and "may surround a client" in part.because


@pytest.mark.parametrize("name", ["fedmedian", "krum", "trimmed-mean", "bulyan"])
def test_strategy_that_needs_single_updates_is_refused_with_the_reason(name):
    with pytest.raises(OptionUnfit, match=rf"--strategy {name} cannot go with --secure: .* the server sees their sum"):
        refuse_strategy(name)


@pytest.mark.parametrize("name", ["fedavg", "fedprox", "fedadam"])
def test_strategies_of_the_mean_go_with_it(name):
    refuse_strategy(name)


# Node keys


@pytest.fixture
def node(tmp_path):
    grid = WatchedGrid(client_app(), clients=3)
    give_keys(grid, tmp_path)
    return dict(grid.contexts[1].node_config)


def test_node_without_keys_has_no_identity():
    assert identity_of({"partition-id": 1}) is None


def test_identity_signs_and_vouches_for_registered_keys_only(node):
    identity = identity_of(node)
    assert identity is not None and len(identity.roster) == 3
    signature = identity.sign(b"told")
    assert identity.vouches(identity.public, b"told", signature)
    assert not identity.vouches(identity.public, b"other", signature)
    assert not identity.vouches(b"unknown", b"told", signature)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, d: c.pop("secure-roster"), "no secure-roster"),
        (lambda c, d: c.pop("secure-key"), "no secure-key"),
        (lambda c, d: c.update({"secure-key": str(d / "none.key")}), "none.key: no private key"),
        (lambda c, d: c.update({"secure-key": c["secure-roster"]}), "no private key"),
        (lambda c, d: c.update({"secure-roster": str(d / "none.pub")}), "none.pub: no roster"),
        (lambda c, d: (d / "roster.pub").write_text("# one\nnonsense\n"), "line 2: no public key"),
        (lambda c, d: (d / "roster.pub").write_text("# nobody\n"), "is not in"),
    ],
)
def test_unfit_key_or_roster_is_named(node, tmp_path, change, message):
    change(node, tmp_path)
    with pytest.raises(OptionUnfit, match=message):
        identity_of(node)
