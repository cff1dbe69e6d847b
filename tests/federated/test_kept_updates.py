"""Promises of --keep-updates: what is kept is what the server saw, and a killed run leaves the same bytes."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import numpy as np
import pytest

from core_model.errors import DataDamaged, DataMissing, OptionUnfit
from federated.arrays import add, norm
from federated.exchange import as_reply
from federated.kept_updates import FOLDER, FromClient, kept_rounds, read_round, write_round
from federated.options import PrivacyPromise
from federated.strategies import aggregate, build_strategy
from tests.federated.test_resume import cut
from tests.federated.world import folder, run, settings


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    out = tmp_path_factory.mktemp("kept") / "m"
    return out, run(out, partition="column:site", keep_updates=True).record


def bytes_of(out: Path) -> dict[str, str]:
    files = (file for file in (out / FOLDER).rglob("*") if file.is_file())
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_kept_updates_add_up_to_the_next_model_bit_for_bit(kept):
    """Flower's own mean of what was kept, on top of the model that the round began with."""
    out, record = kept
    assert kept_rounds(out) == (1, 2)
    first, second = (read_round(out, n, expected=record.rounds[n - 1]["kept"]) for n in (1, 2))
    replies = [as_reply(first.update(client), first.examples[client]) for client in first.clients]
    step = aggregate(build_strategy(settings().federation), 1, replies)
    rebuilt = add(first.start(), step)
    assert rebuilt.keys() == second.start().keys()
    assert all(np.array_equal(rebuilt[name], array) for name, array in second.start().items())
    assert all(array.dtype == np.float32 for array in second.start().values())


def test_the_last_round_leads_to_the_checkpoint(kept):
    from safetensors.numpy import load_file

    out, _ = kept
    last = read_round(out, 2)
    replies = [as_reply(last.update(client), last.examples[client]) for client in last.clients]
    model = add(last.start(), aggregate(build_strategy(settings().federation), 2, replies))
    published = load_file(out / "model.safetensors")
    assert all(np.array_equal(array, published[name]) for name, array in model.items())


def test_rows_are_kept_as_they_were_told_and_nobody_else_may_look(kept):
    out, record = kept
    told = {client["client"]: client["rows"] for client in record.partition["clients"]}
    assert read_round(out, 1).examples == told
    assert stat.S_IMODE((out / FOLDER).stat().st_mode) == 0o700


def test_nothing_is_kept_unless_it_was_asked_for_and_an_earlier_runs_updates_go(kept, tmp_path):
    run(tmp_path / "m", keep_updates=True)
    result = run(tmp_path / "m")
    assert kept_rounds(tmp_path / "m") == () and "kept" not in result.record.rounds[0]
    assert "keep_updates" not in result.record.identity
    with pytest.raises(DataMissing, match="no updates of round 1"):
        read_round(tmp_path / "m", 1)
    assert result.record.model_sha256 != "" and result.record.options["keep_updates"] is False


@pytest.mark.parametrize("before", ["_set_down", "_round"])
def test_a_run_that_was_cut_off_keeps_the_same_bytes(tmp_path, monkeypatch, kept, before):
    out, record = kept
    options = {"partition": "column:site", "keep_updates": True}
    cut(monkeypatch, tmp_path / "m", before=before, number=2, **options)
    (tmp_path / "m" / FOLDER / ".round-0002.safetensors.1-a.new").mkdir()  # half of a round, as a kill leaves it
    resumed = run(tmp_path / "m", resume=True, **options)
    assert bytes_of(tmp_path / "m") == bytes_of(out)
    assert [r["kept"] for r in resumed.record.rounds] == [r["kept"] for r in record.rounds]


def test_a_run_is_not_resumed_with_updates_that_its_first_rounds_did_not_keep(tmp_path, monkeypatch):
    cut(monkeypatch, tmp_path / "m", before="_round", number=2)
    with pytest.raises(OptionUnfit, match="keep_updates") as letter:
        run(tmp_path / "m", resume=True, keep_updates=True)
    assert "--keep-updates" in letter.value.mend


def test_under_secure_aggregation_the_sum_is_all_there_is(tmp_path):
    from safetensors.numpy import load_file

    record = run(tmp_path / "m", secure=True, keep_updates=True, rounds=1).record
    assert {file.name for file in (tmp_path / "m" / FOLDER / "round-0001").iterdir()} == {
        "global.safetensors", "sum.safetensors",
    }  # fmt: skip
    kept = read_round(tmp_path / "m", 1, expected=record.rounds[0]["kept"])
    assert kept.is_secure and kept.clients == () and kept.survivors == (0, 1, 2, 3) and kept.weight
    step = {name: (array / kept.weight).astype(np.float32) for name, array in kept.total().items()}
    published = load_file(tmp_path / "m" / "model.safetensors")
    assert all(np.allclose(array, published[n], atol=1e-7) for n, array in add(kept.start(), step).items())


def test_under_a_promise_to_clients_they_are_kept_as_they_arrived_clipped(tmp_path):
    promise = PrivacyPromise(epsilon=50, clipping_norm=0.01, noise_seed=5)
    run(tmp_path / "m", private=promise, keep_updates=True, rounds=1)
    kept = read_round(tmp_path / "m", 1)
    assert len(kept.clients) == 4
    assert all(norm(kept.update(client)) <= 0.01 for client in kept.clients)


def test_who_came_by_a_secret_coin_is_not_kept(tmp_path):
    with pytest.raises(OptionUnfit, match="who took part") as letter:
        run(tmp_path / "m", private=PrivacyPromise(epsilon=50), participation=0.5, keep_updates=True)
    assert "--participation 1" in letter.value.mend


@pytest.mark.parametrize("harm", ["cut", "other", "gone"])
def test_a_file_that_is_not_what_was_kept_is_refused_by_name(tmp_path, harm):
    update = {"weight": np.ones((2, 3), np.float32)}
    hashes = write_round(tmp_path, 1, start=update, seen=[FromClient(0, update, 5)])
    file = tmp_path / FOLDER / "round-0001" / "client-000.safetensors"
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-4])
    elif harm == "other":
        write_round(tmp_path, 1, start=update, seen=[FromClient(0, {"weight": np.zeros((2, 3), np.float32)}, 5)])
    else:
        file.unlink()
    with pytest.raises(DataDamaged, match=r"client-000\.safetensors") as letter:
        read_round(tmp_path, 1, expected=hashes)
    assert "--keep-updates" in letter.value.mend


def test_the_same_content_gives_the_same_bytes_in_every_process(tmp_path):
    """safetensors writes metadata in the order of a hash map, which differs by process; ours is fixed."""
    update = {"b": np.arange(3, dtype=np.float32), "a": np.ones((1, 2), np.float32)}
    write_round(tmp_path, 1, start=update, seen=[FromClient(7, update, 12)])
    written = (tmp_path / FOLDER / "round-0001" / "client-007.safetensors").read_bytes()
    assert written[8:].startswith(
        b'{"__metadata__":{"client":"7","num_examples":"12"},"a":{"dtype":"F32","shape":[1,2],'
    )
    assert int.from_bytes(written[:8], "little") % 8 == 0  # where the arrays begin is aligned, as the format asks
    kept = read_round(tmp_path, 1)
    assert kept.examples == {7: 12} and np.array_equal(kept.update(7)["b"], update["b"])


def test_the_base_of_the_first_round_is_the_base(kept):
    out, _ = kept
    from safetensors.numpy import load_file

    base, start = load_file(folder() / "base" / "model.safetensors"), read_round(out, 1).start()
    shared = [name for name in start if name in base and "classifier" not in name]
    assert shared and all(np.array_equal(start[name], base[name]) for name in shared)


def test_they_are_not_packed_up_with_the_checkpoint(kept):
    from core_model.checkpoint import open_checkpoint
    from core_model.packaging import choose_files

    with pytest.raises(OptionUnfit, match=r"updates/round-0001/.* would be shared"):
        choose_files(open_checkpoint(kept[0]))
