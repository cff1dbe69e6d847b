"""Promises of partitions: every row has one client, iid is random, Dirichlet is as skewed as its law says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from core_model.data import Table
from core_model.errors import ColumnMissing, LabelsUnfit, OptionUnfit
from federated.options import FederationOptions
from federated.partition import dirichlet, partition, shuffled, split_held_out


def table(rows: int = 40, *, labels: bool = True, sites: int = 4) -> Table:
    return Table.from_rows(
        name="rows.jsonl",
        texts=["a text"] * rows,
        targets=[row * 2 // rows for row in range(rows)] if labels else None,  # sorted by label
        groups={"site": [f"site {row % sites}" for row in range(rows)], "one": ["same"] * rows},
        synthetic=True,
    )


@given(
    rows=st.integers(1, 200),
    clients=st.integers(1, 12),
    alpha=st.floats(0.05, 50),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_row_has_one_client_whatever_the_scheme(rows, clients, alpha, seed):
    labels = np.arange(rows) % 3
    for parts in (shuffled(rows, clients, seed=seed), dirichlet(labels, clients, alpha=alpha, seed=seed)):
        assert len(parts) == clients
        assert sorted(np.concatenate(parts)) == list(range(rows))


def test_iid_parts_of_sorted_rows_hold_every_label_in_its_share():
    labels = np.repeat([0, 1, 2, 3], 1000)
    for rows in shuffled(4000, 4, seed=0):
        assert len(rows) == 1000
        assert chisquare(np.bincount(labels[rows])).pvalue > 1e-4  # blocks would have p = 0


@pytest.mark.parametrize("alpha", [0.3, 1.0, 10.0])
def test_shares_of_a_label_have_the_variance_of_the_dirichlet_law(alpha):
    clients, rows = 5, 4000
    shares = [
        len(part) / rows
        for seed in range(120)
        for part in dirichlet(np.zeros(rows, dtype=int), clients, alpha=alpha, seed=seed)
    ]
    mean = 1 / clients
    expected = mean * (1 - mean) / (clients * alpha + 1)  # of a symmetric Dirichlet's component
    assert np.mean(shares) == pytest.approx(mean)
    assert np.var(shares) == pytest.approx(expected, rel=0.25)


def test_a_column_makes_one_client_of_each_value():
    parts = partition(table(), FederationOptions(clients=4, partition="column:site"))
    assert parts.names == ("site 0", "site 1", "site 2", "site 3")
    assert [list(rows[:2]) for rows in parts.rows] == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_the_same_seed_cuts_the_same_parts():
    for scheme in ("iid", "dirichlet:0.5"):
        one, two, other = (
            partition(table(), FederationOptions(clients=3, partition=scheme, seed=seed)).rows for seed in (1, 1, 2)
        )
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
        assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_client_never_learns_from_the_rows_that_it_holds_out():
    rows = np.arange(100, 140)
    training, held = split_held_out(rows, 0.25, seed=0, client=2)
    assert len(held) == 10
    assert sorted(np.concatenate([training, held])) == list(rows)
    assert split_held_out(np.array([7]), 0.9, seed=0, client=0)[0].tolist() == [7]


BAD = {
    "more clients than rows": (OptionUnfit, {"clients": 41}, r"--clients 41, but rows.jsonl has 40 rows"),
    "a column that is not there": (ColumnMissing, {"partition": "column:sex"}, "sex"),
    "a column of one value": (OptionUnfit, {"partition": "column:one"}, "one value, 'same'"),
    "another number of clients than values": (
        OptionUnfit, {"clients": 3, "partition": "column:site"}, "--clients 4, one for each value",
    ),
    "a skew that leaves clients poor": (
        OptionUnfit, {"clients": 8, "partition": "dirichlet:0.01", "min_rows": 3}, r"client \d \(0 rows\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_divided_is_refused_by_name(case):
    kind, options, said = BAD[case]
    with pytest.raises(kind, match=said):
        partition(table(), FederationOptions(**{"clients": 4, **options}))


def test_a_skew_needs_labels():
    with pytest.raises(LabelsUnfit, match="no labels"):
        partition(table(labels=False), FederationOptions(clients=4, partition="dirichlet:1"))


@pytest.mark.parametrize("scheme", ["dirichlet", "dirichlet:0", "dirichlet:-1", "dirichlet:nan", "column:", "random"])
def test_a_scheme_that_is_none_is_refused(scheme):
    with pytest.raises(ValueError, match="iid"):
        FederationOptions(clients=2, partition=scheme)
