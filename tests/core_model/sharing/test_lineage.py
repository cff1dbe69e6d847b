"""Promises of lineage: distances are those of a slow loop, copies are found, and strangers are strangers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core_model.checkpoint_weights import read_safetensors
from core_model.sharing import weight_pairs
from core_model.sharing.lineage import NOTHING, Lineage, against_chance, distance, lineage, matrices_of
from core_model.sharing.vocabulary import overlap, vocabulary
from core_model.sharing.weight_pairs import layer_of, pair_up

SHAPES = {f"encoder.layer.{i}.{part}.weight": (48, 48) for i in range(3) for part in ("query", "key", "out")}
SHAPES |= {"embeddings.word.weight": (96, 48), "embeddings.position_embeddings.weight": (16, 48)}
SHAPES |= {f"encoder.layer.{i}.LayerNorm.weight": (48,) for i in range(3)}


def weights(seed: int, *, first: str = "") -> dict[str, torch.Tensor]:
    """A model as it is initialized: heavy columns, norms near 1, positions by a formula that all share."""
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in SHAPES.items():
        values = 0.05 * torch.randn(shape, generator=random) + 0.01
        if len(shape) == 2:
            values[:, int(torch.randint(48, (1,), generator=random))] *= 20
        if "Norm" in name:
            values = values + 1
        if "position" in name:
            values = torch.sin(torch.arange(16 * 48).reshape(16, 48) / 7.0)
        tensors[first + name] = values
    return tensors


def moved(tensors: dict[str, torch.Tensor], by: float, seed: int = 9) -> dict[str, torch.Tensor]:
    """As training moves them: each by `by` of its own size."""
    random = torch.Generator().manual_seed(seed)
    return {
        n: t + by * t.norm() / t.numel() ** 0.5 * torch.randn(t.shape, generator=random) for n, t in tensors.items()
    }


@pytest.fixture
def say(tmp_path):
    """What the weights say of two dictionaries of tensors."""

    def say(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], seed: int = 0) -> Lineage:
        sides = []
        for place, tensors in enumerate((ours, theirs)):
            file = tmp_path / f"{place}.safetensors"
            save_file({n: t.contiguous() for n, t in tensors.items()}, file)
            sides.append(read_safetensors(file))
        pairs = pair_up(*sides)
        whole = NOTHING
        for pair in pairs:
            whole += distance(pair)
        trial = against_chance(matrices_of(pairs), np.random.default_rng(seed))
        return lineage(whole, trial, parameters=sum(tensor.size for tensor in sides[0].values()))

    return say


@cache
def base() -> dict[str, torch.Tensor]:
    return weights(0)


@pytest.mark.parametrize("by", [1e-4, 0.02, 0.5, 3.0])
def test_weights_that_were_trained_on_are_derived_however_far_they_moved(say, by):
    assert say(moved(base(), by), base()) is Lineage.DERIVED


def test_models_trained_apart_are_unrelated_although_norms_and_positions_are_alike(say):
    """The rule's error by simulation: 40 pairs of models initialized apart, none of which is called derived."""
    said = [say(weights(2 * seed + 1), weights(2 * seed + 2), seed) for seed in range(40)]
    assert Lineage.DERIVED not in said and Lineage.SAME not in said
    assert said.count(Lineage.UNRELATED) >= 38  # a matrix of ten is near by chance in one of ten pairs


def test_a_copy_is_the_same_weights_whatever_its_tensors_are_called(say):
    assert say(base(), base()) is Lineage.SAME
    assert say({f"model.{name}": t for name, t in base().items()}, base()) is Lineage.SAME
    renamed = {f"blocks.{i}.w": t for i, t in enumerate(base().values()) if t.numel() >= weight_pairs.FEWEST}
    assert say(renamed, base()) is Lineage.SAME


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_copy_in_fewer_digits_is_the_same_weights(say, kind):
    assert say({name: t.to(kind) for name, t in base().items()}, base()) is Lineage.SAME


def test_int8_weights_are_derived_and_without_their_scales_have_no_distance(say, tmp_path):
    int8 = {n: (t / t.abs().max() * 127).round().to(torch.int8) if t.ndim == 2 else t for n, t in base().items()}
    assert say(int8, base()) is Lineage.DERIVED
    save_file(int8, tmp_path / "a.safetensors")
    save_file(base(), tmp_path / "b.safetensors")
    pairs = pair_up(read_safetensors(tmp_path / "a.safetensors"), read_safetensors(tmp_path / "b.safetensors"))
    whole = sum(map(distance, pairs), NOTHING)
    assert whole.relative is None and whole.cosine is not None


def test_one_changed_number_is_no_longer_the_same(say):
    ours = {name: t.clone() for name, t in base().items()}
    ours["encoder.layer.0.key.weight"][3, 4] += 1e-3
    assert say(ours, base()) is Lineage.DERIVED


def test_a_few_matrices_of_another_model_are_told_apart_from_the_whole(say):
    stranger = weights(5)
    taken = {name: base()[name] if "layer.0" in name else t for name, t in stranger.items()}
    assert say(taken, base()) is Lineage.PARTLY


def test_other_shapes_are_not_comparable_rather_than_unrelated(say):
    assert say({name: t[: len(t) // 2] for name, t in base().items()}, base()) is Lineage.NOT_COMPARABLE


def test_permuted_hidden_units_are_what_the_null_says_they_are(say):
    random = torch.Generator().manual_seed(1)
    shuffled = {
        name: t[torch.randperm(len(t), generator=random)][:, torch.randperm(t.shape[1], generator=random)]
        if t.ndim == 2 else t
        for name, t in base().items()
    }  # fmt: skip
    assert say(shuffled, base()) in (Lineage.UNRELATED, Lineage.PARTLY)


def test_distances_are_torchs_block_by_block(tmp_path, monkeypatch):
    """Oracle: torch on whole tensors; blocks of 100 numbers must give the same."""
    monkeypatch.setattr(weight_pairs, "BLOCK", 100)
    ours, theirs = moved(base(), 0.3), base()
    ours["encoder.layer.0.key.weight"][:5] = theirs["encoder.layer.0.key.weight"][:5]
    save_file(ours, tmp_path / "a.safetensors")
    save_file(theirs, tmp_path / "b.safetensors")
    pairs = pair_up(read_safetensors(tmp_path / "a.safetensors"), read_safetensors(tmp_path / "b.safetensors"))
    assert {pair.name for pair in pairs} == set(base())
    for pair in pairs:
        a, b = ours[pair.name].flatten().double(), theirs[pair.name].flatten().double()
        found = distance(pair)
        assert found.cosine == pytest.approx(torch.cosine_similarity(a, b, dim=0).item(), abs=1e-9)
        assert found.relative == pytest.approx(((a - b).norm() / b.norm()).item(), rel=1e-9)
        assert found.unchanged == int((a == b).sum())


def test_a_base_without_the_models_first_name_and_with_names_of_2018_is_paired(checkpoint, tmp_path):
    tensors = load_file(checkpoint / "model.safetensors")
    old = {
        name.removeprefix("bert.").replace("LayerNorm.weight", "LayerNorm.gamma"): t
        for name, t in tensors.items() if not name.startswith("classifier")
    }  # fmt: skip
    save_file(old, tmp_path / "old.safetensors")
    ours = read_safetensors(checkpoint / "model.safetensors")
    pairs = pair_up(ours, read_safetensors(tmp_path / "old.safetensors"))
    assert len(pairs) == len(old) == len(ours) - 2
    assert all(distance(pair).same for pair in pairs)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("encoder.layer.11.attention.self.query.weight", "layer 12"), ("h.0.attn.c_attn.weight", "layer 1"),
        ("model.decoder.layers.2.fc1.weight", "decoder layer 3"),
        ("encoder.block.0.layer.1.wi.weight", "encoder layer 1"),
        ("embeddings.word_embeddings.weight", "embeddings"), ("wte.weight", "embeddings"),
        ("classifier.weight", "above the layers"),
    ],
)  # fmt: skip
def test_tensors_are_told_by_layer(name, layer):
    assert layer_of(name) == layer


def test_hostile_names_of_tensors_take_no_time(say):
    """Each with a first part and a layer of its own: nothing is tried for all pairs of them."""
    odd = {f"a{i}.{'9' * 50}.{i}.weight": torch.zeros(1) for i in range(3_000)}
    assert say({**base(), **odd}, {**base(), **odd}) is Lineage.SAME


def test_vocabularies_are_transformers_own(checkpoint, tmp_path):
    from transformers import AutoTokenizer

    known = AutoTokenizer.from_pretrained(checkpoint).get_vocab()
    assert vocabulary(checkpoint) == known
    assert overlap(known, known) == (1.0, len(known), len(known))
    assert overlap({"a": 0, "b": 1}, {"b": 1, "c": 0})[0] == pytest.approx(1 / 3)
    assert vocabulary(Path(tmp_path)) is None


def trained(seed: int, *, steps: int, base: Path | None = None, out: Path) -> Path:
    """A tiny BERT that learns to tell two kinds of made-up rows, from scratch or from a base; a plain loop of torch."""
    from transformers import BertForSequenceClassification

    from tests.factories import write_checkpoint

    folder = write_checkpoint(out, hidden=32, layers=2, seed=seed)
    model = BertForSequenceClassification.from_pretrained(base or folder)
    random = torch.Generator().manual_seed(7)
    tokens = torch.randint(5, 100, (64, 12), generator=random)
    labels = (tokens % 2).sum(dim=1).gt(6).long() if base is None else tokens[:, 3].gt(50).long()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    first = last = 0.0
    for step in range(steps):
        loss = model(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        last = loss.item()
        first = last if step == 0 else first
    assert last < 0.5 * first, "it learned nothing, and would prove nothing"
    model.save_pretrained(folder)
    return folder


def test_models_that_really_learned_the_same_rows_are_unrelated_and_a_fine_tune_is_derived(say, tmp_path):
    one = trained(0, steps=120, out=tmp_path / "one")
    two = trained(1, steps=120, out=tmp_path / "two")
    tuned = trained(2, steps=120, base=one, out=tmp_path / "tuned")
    weights_of = {path.name: load_file(path / "model.safetensors") for path in (one, two, tuned)}
    assert say(weights_of["two"], weights_of["one"]) in (Lineage.UNRELATED, Lineage.PARTLY)
    assert say(weights_of["tuned"], weights_of["one"]) is Lineage.DERIVED
    assert say(weights_of["tuned"], weights_of["two"]) in (Lineage.UNRELATED, Lineage.PARTLY)
