"""Promises of deduplication and split: no near duplicate stands in two parts, whoever looks at every pair."""

from __future__ import annotations

import random
from collections import Counter

import networkx
import numpy as np
import pytest

from core_model.preprocessing import prepare
from core_model.preprocessing.clusters import Clusters, combined
from core_model.preprocessing.near_duplicates import NearTexts
from core_model.preprocessing.signatures import Signatures, equal_groups
from tests.core_model.preprocessing.worlds import (
    WORDS,
    dropped,
    families,
    near_pairs,
    parts,
    sentence,
    similarity,
    step,
    write,
)

SHARES = {"validation": 0.2, "test": 0.2}


def where(prepared, column: str = "id") -> dict[int, str]:
    """The part in which each row stands, by its id."""
    return {row[column]: part for part, rows in parts(prepared).items() for row in rows}


def crossing(texts: list[str], part: dict[int, str], threshold: float) -> list[tuple[int, int]]:
    return [(a, b) for a, b in near_pairs(texts, threshold) if a in part and b in part and part[a] != part[b]]


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_near_duplicates_never_stand_on_both_sides(tmp_path, threshold):
    texts = families(1, 120)
    file = write(tmp_path, ({"id": i, "text": text} for i, text in enumerate(texts)))
    prepared = prepare(file, tmp_path / "out", near_duplicates="keep", similarity=threshold, **SHARES)
    part = where(prepared)
    chance = random.Random(0)
    naive = {i: chance.choices(["train", "validation", "test"], [6, 2, 2])[0] for i in part}
    assert len(crossing(texts, naive, threshold)) > 30  # the fault is planted
    assert crossing(texts, part, threshold) == []
    assert min(Counter(part.values()).values()) > 20


def test_clusters_are_the_connected_components_of_all_pairs(tmp_path):
    texts = families(2, 100)
    file = write(tmp_path, ({"id": i, "text": text} for i, text in enumerate(texts)))
    prepared = prepare(file, tmp_path / "out", near_duplicates="keep", exact_duplicates="keep", **SHARES)
    graph = networkx.Graph(near_pairs(texts, 0.8))
    graph.add_nodes_from(range(len(texts)))
    found = [len(c) for c in networkx.connected_components(graph)]
    assert prepared.card["clusters"] == {
        "clusters": len(found),
        "of_two_rows_and_more": sum(size > 1 for size in found),
        "rows_in_these": sum(size for size in found if size > 1),
        "largest": max(found),
    }
    assert max(found) > 2


def test_of_near_duplicates_the_first_of_each_cluster_stays(tmp_path):
    texts = families(3, 100)
    file = write(tmp_path, ({"id": i, "text": text} for i, text in enumerate(texts)))
    prepared = prepare(file, tmp_path / "out", **SHARES)
    graph = networkx.Graph(near_pairs(texts, 0.8))
    graph.add_nodes_from(range(len(texts)))
    firsts = {min(component) for component in networkx.connected_components(graph)}
    kept = set(where(prepared))
    assert kept <= firsts
    assert near_pairs([texts[i] for i in sorted(kept)], 0.8) == set()
    gone = step(prepared, "exact duplicates")["rows_in"] - len(kept)
    assert gone == len(texts) - len(firsts) > 50


def test_a_chain_is_counted_where_its_end_is_not_like_its_beginning(tmp_path):
    chance = random.Random(5)
    words = sentence(chance, 60)
    chain = [" ".join(words[shift : shift + 40]) for shift in (0, 4, 8, 12)]
    assert similarity(chain[0], chain[1]) >= 0.8 > similarity(chain[0], chain[2])
    others = [" ".join(sentence(chance, 30)) for _ in range(60)]
    file = write(tmp_path, ({"text": text} for text in [*chain, *others]))
    found = step(prepare(file, tmp_path / "out"), "near duplicates")["found"]
    assert found["rows of the largest cluster"] == 4
    assert found["texts that only a chain links to the row that stays"] == 2


def test_exact_duplicates_go_and_the_first_stays(tmp_path):
    chance = random.Random(6)
    texts = [" ".join(sentence(chance, 12)) for _ in range(80)]
    rows = [{"id": i, "text": text, "label": "a"} for i, text in enumerate(texts)]
    rows += [
        {"id": 100, "text": texts[3].upper(), "label": "a"},
        {"id": 101, "text": f" {texts[4]}\u200b ", "label": "b"},
    ]
    prepared = prepare(write(tmp_path, rows), tmp_path / "out")
    assert set(where(prepared)) == set(range(80))
    assert dropped(prepared, "exact duplicates") == {"the same row as an earlier one": [81, 82]}
    assert step(prepared, "exact duplicates")["found"] == {"removed rows with another label than the row that stays": 1}


def paired() -> list[dict[str, object]]:
    chance = random.Random(7)
    rows = [{"en": " ".join(sentence(chance, 20)), "de": " ".join(sentence(chance, 20))} for _ in range(80)]
    first, second, third = (dict(row) for row in rows[:3])
    rows += [
        first | {"en": str(first["en"]) + " kaxtra", "de": str(first["de"]) + "!"},  # 80: nearly the whole row
        second | {"de": " ".join(sentence(chance, 20))},  # 81: the source alone
        third | {"en": " ".join(sentence(chance, 20))},  # 82: the target alone
    ]
    return [row | {"id": i} for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("by", "gone"), [("row", {80}), ("source", {80, 81}), ("target", {80, 82}), ("either", {80, 81, 82})]
)
def test_duplicates_of_pairs_go_by_the_side_that_is_asked_for(tmp_path, by, gone):
    file = write(tmp_path, paired())
    prepared = prepare(
        file, tmp_path / "out", task="translation", source_column="en", target_column="de", duplicates_by=by
    )
    assert set(range(83)) - set(where(prepared)) == gone


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_share_one_side_stay_in_one_part(tmp_path, seed):
    chance = random.Random(seed)
    sides = {side: families(10 + place + seed, 60) for place, side in enumerate(("en", "de"))}
    count = min(map(len, sides.values()))
    rows = [{"id": i, "en": sides["en"][i], "de": chance.choice(sides["de"][:count])} for i in range(count)]
    file = write(tmp_path, rows)
    prepared = prepare(
        file, tmp_path / "out", task="translation", source_column="en", target_column="de", near_duplicates="keep",
        exact_duplicates="keep", similarity=0.95, **SHARES, seed=seed,
    )  # fmt: skip
    part = where(prepared)
    for side in ("en", "de"):
        assert crossing([str(row[side]) for row in rows], part, 0.95) == []


def test_a_split_column_keeps_pages_whole_and_leaks_out_of_the_smaller_parts(tmp_path):
    chance = random.Random(22)
    texts = families(21, 150) + [" ".join(sentence(chance, 30)) for _ in range(40)]  # these stay: each page has one
    rows = [{"id": i, "text": text, "page": f"page {(len(texts) - i) % 40}"} for i, text in enumerate(texts)]
    file = write(tmp_path, rows)
    prepared = prepare(
        file, tmp_path / "out", split_column="page", near_duplicates="keep", exact_duplicates="keep", **SHARES
    )
    part = where(prepared)
    pages: dict[str, set[str]] = {}
    for row in rows:
        if row["id"] in part:
            pages.setdefault(row["page"], set()).add(part[row["id"]])
    assert all(len(found) == 1 for found in pages.values())
    assert crossing(texts, part, 0.8) == []
    home = {page: next(iter(found)) for page, found in pages.items()}
    rank = {"train": 0, "test": 1, "validation": 2}
    near = near_pairs(texts, 0.8)
    expected = {
        i for pair in near for i, other in (pair, pair[::-1])
        if rank[home[rows[i]["page"]]] > rank[home[rows[other]["page"]]]
    }  # fmt: skip
    assert set(range(len(rows))) - set(part) == expected
    assert len(expected) > 10
    assert prepared.card["clusters"] is None


def test_rows_that_are_added_elsewhere_move_no_old_row(tmp_path):
    texts = families(31, 150)
    old = [{"id": i, "text": text} for i, text in enumerate(texts)]
    chance = random.Random(32)
    new = [{"id": 1_000 + i, "text": " ".join(sentence(chance, 30))} for i in range(200)]
    mixed = [*old, *new]
    chance.shuffle(mixed)
    keep = {"near_duplicates": "keep", "exact_duplicates": "keep"}
    before = where(prepare(write(tmp_path, old, "old.jsonl"), tmp_path / "a", **keep))
    after = where(prepare(write(tmp_path, mixed, "mixed.jsonl"), tmp_path / "b", **keep))
    assert {i: part for i, part in after.items() if i < 1_000} == before
    other = where(prepare(tmp_path / "old.jsonl", tmp_path / "c", **keep, seed=1))
    assert other != before


def test_shares_are_met_within_chance(tmp_path):
    chance = random.Random(41)
    rows = [{"text": " ".join(sentence(chance, 6))} for _ in range(4_000)]
    prepared = prepare(write(tmp_path, rows), tmp_path / "out", validation=0.1, test=0.3)
    sizes = {part["name"]: part["rows"] for part in prepared.card["parts"]}
    total = sum(sizes.values())
    assert abs(sizes["test"] - 0.3 * total) < 4 * (total * 0.3 * 0.7) ** 0.5
    assert abs(sizes["validation"] - 0.1 * total) < 4 * (total * 0.1 * 0.9) ** 0.5


def test_hundreds_of_variants_of_one_text_are_not_all_held_against_each_other(tmp_path, monkeypatch):
    chance = random.Random(51)
    words = sentence(chance, 40)
    variants = [" ".join([*words, f"number{i}"]) for i in range(400)]
    others = [" ".join(sentence(chance, 30)) for _ in range(200)]
    asked = []
    true = NearTexts.similarity
    monkeypatch.setattr(NearTexts, "similarity", lambda self, a, b: asked.append((a, b)) or true(self, a, b))
    prepared = prepare(write(tmp_path, ({"text": text} for text in [*variants, *others])), tmp_path / "out")
    assert step(prepared, "near duplicates")["rows_out"] == 201
    assert 399 <= len(asked) < 3_000  # of 79,800 pairs


def test_clusters_join_as_a_graph_does():
    chance = random.Random(61)
    edges = [(chance.randrange(200), chance.randrange(200)) for _ in range(150)]
    clusters = Clusters(200)
    for a, b in edges:
        assert bool(clusters.apart(a, np.array([b]))[0]) == (clusters.labels[a] != clusters.labels[b])
        clusters.join(a, b)
    graph = networkx.Graph(edges)
    graph.add_nodes_from(range(200))
    components = {frozenset(component) for component in networkx.connected_components(graph)}
    assert {frozenset(np.flatnonzero(clusters.labels == label)) for label in set(clusters.labels)} == components
    one, other = np.arange(200) // 2, np.append(np.arange(1, 200) // 2, 0)  # a ring
    assert len(set(combined([one, other]))) == 1
    assert len(set(combined([one]))) == 100


def test_groups_are_the_candidates_that_datasketch_finds(tmp_path):
    from datasketch import MinHashLSH

    from core_model.duplicates import PERMUTATIONS, Signer, shingles

    sets = [shingles(text) for text in families(71, 80)]
    signatures = Signatures(tmp_path)
    for some in sets:
        signatures.append(some)
    ours = {
        (int(a), int(b)) for _, group in signatures.groups(32, 4) for i, b in enumerate(group) for a in group[:i]
    }  # fmt: skip
    lsh, sign = MinHashLSH(num_perm=PERMUTATIONS, params=(32, 4)), Signer()
    theirs = set()
    for b, some in enumerate(sets):
        theirs |= {(a, b) for a in lsh.query(sign(some))}
        lsh.insert(b, sign(some))
    assert ours == theirs
    assert len(ours) > 50
    signatures.close()
    assert list(tmp_path.iterdir()) == []


def test_equal_groups_of_nothing_and_of_one():
    assert list(equal_groups(np.zeros(0, np.uint64))) == []
    assert list(equal_groups(np.array([3, 4, 5]))) == []
    assert [list(group) for group in equal_groups(np.array([3, 4, 3, 3]))] == [[0, 2, 3]]
    assert len(WORDS) == 100
