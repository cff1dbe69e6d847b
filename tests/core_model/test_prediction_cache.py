"""Promises of the cache of predictions: the first write wins, damage is survived, processes share."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from core_model import prediction_cache
from core_model.prediction_cache import PredictionCache, cache_folder, scope_of

SCOPE = {"checkpoint": "a" * 64, "max_length": 64}
US, THEM = b"request1", b"request2"


def keys(*numbers: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in numbers]


def logits(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def values(cache: PredictionCache, *numbers: int) -> list[list[float]]:
    found = cache.lookup(keys(*numbers))
    return [np.frombuffer(found[key][8:], dtype=np.float32).tolist() for key in keys(*numbers) if key in found]


@pytest.fixture(autouse=True)
def _no_silent_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def test_the_next_process_finds_what_was_stored(tmp_path):
    cache = PredictionCache.open(tmp_path, SCOPE)
    cache.store(keys(1, 2), logits((0.5, -1), (2, 3)), US)
    cache.close()
    assert values(PredictionCache.open(tmp_path, SCOPE), 2, 1, 7) == [[2, 3], [0.5, -1]]


def test_the_first_answer_stays_in_memory_and_on_disk(tmp_path):
    for cache in (PredictionCache(), PredictionCache.open(tmp_path, SCOPE)):
        cache.store(keys(1), logits((1, 1)), US)
        cache.flush()
        cache.store(keys(1), logits((2, 2)), THEM)
        cache.flush()
        assert values(cache, 1) == [[1, 1]]


def test_what_another_process_wrote_first_holds_for_both(tmp_path):
    ours, theirs = PredictionCache.open(tmp_path, SCOPE), PredictionCache.open(tmp_path, SCOPE)
    theirs.store(keys(1), logits((1, 1)), THEM)
    ours.store(keys(1, 2), logits((9, 9), (2, 2)), US)
    theirs.flush()
    assert list(ours.flush()) == keys(1)
    assert values(ours, 1, 2) == [[1, 1], [2, 2]]


def test_scopes_do_not_see_each_other(tmp_path):
    cache = PredictionCache.open(tmp_path, SCOPE)
    cache.store(keys(1), logits((1, 1)), US)
    cache.flush()
    assert values(PredictionCache.open(tmp_path, {**SCOPE, "max_length": 32}), 1) == []


def test_two_models_cannot_share_one_cache():
    cache = PredictionCache()
    cache.bind(SCOPE)
    cache.bind(dict(reversed(SCOPE.items())))
    with pytest.raises(ValueError, match="another scope"):
        cache.bind({**SCOPE, "checkpoint": "b" * 64})


def test_the_scope_names_checkpoint_length_and_versions():
    scope = scope_of(SimpleNamespace(sha256="c" * 64, max_length=128))
    assert scope["checkpoint"] == "c" * 64 and scope["max_length"] == 128
    assert {"dtype", "torch", "transformers", "tokenizers"} <= set(scope)
    assert scope["torch"] == version("torch")


@pytest.mark.parametrize("damage", ["garbage", "a page", "a record", "a foreign log"])
def test_a_damaged_file_is_begun_anew(tmp_path, damage):
    cache = PredictionCache.open(tmp_path, SCOPE)
    cache.store(keys(*range(2_000)), np.ones((2_000, 2), dtype=np.float32), US)
    cache.close()
    path = cache.path
    if damage == "garbage":
        path.write_bytes(b"not a database" * 1_000)
    elif damage == "a page":
        content = bytearray(path.read_bytes())
        for page in range(1, len(content) // 4_096):
            content[page * 4_096 : page * 4_096 + 200] = b"\xff" * 200
        path.write_bytes(content)
    elif damage == "a record":
        with sqlite3.connect(path) as disk:
            disk.execute("UPDATE predictions SET record = zeroblob(20) WHERE key = ?", keys(5))
    else:
        path.with_name(path.name + "-wal").write_bytes(b"\x00" * 10_000)  # SQLite itself discards such a log
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        again = PredictionCache.open(tmp_path, SCOPE)
        found = values(again, 5)
        again.store(keys(5), logits((3, 3)), US)
        again.close()
    if damage == "a foreign log":
        assert found == [[1, 1]] and not said
        return
    assert found == []
    assert "damaged" in str(said[0].message) and str(path) in str(said[0].message)
    assert values(PredictionCache.open(tmp_path, SCOPE), 5) == [[3, 3]]


def test_where_nothing_can_be_written_it_says_so_and_stays_in_memory(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="ABOVEBOARD_CACHE_DIR"):
        cache = PredictionCache.open(tmp_path / "file", SCOPE)
    cache.store(keys(1), logits((1, 2)), US)
    assert cache.flush() == {} and values(cache, 1) == [[1, 2]]


def test_a_full_file_takes_no_more_but_still_answers(tmp_path):
    cache = PredictionCache.open(tmp_path, SCOPE, max_bytes=200_000)
    cache.store(keys(1), logits((1, 2)), US)
    cache.flush()
    with pytest.warns(UserWarning, match="takes no more"):
        cache.store(keys(*range(2, 20_000)), np.ones((19_998, 2), dtype=np.float32), US)
        cache.flush()
    assert values(cache, 1, 19_999) == [[1, 2], [1, 1]]
    assert values(PredictionCache.open(tmp_path, SCOPE), 1) == [[1, 2]]
    assert cache.path.stat().st_size <= 200_000


def test_the_scopes_used_longest_ago_make_room_and_the_one_in_use_stays(tmp_path):
    paths = []
    for number in range(4):
        cache = PredictionCache.open(tmp_path, {**SCOPE, "max_length": number})
        cache.store(keys(*range(1_000)), np.ones((1_000, 2), dtype=np.float32), US)
        cache.close()
        os.utime(cache.path, (number, number))
        paths.append(cache.path)
    size = paths[0].stat().st_size
    again = PredictionCache.open(tmp_path, {**SCOPE, "max_length": 0}, max_bytes=2 * size)
    assert [path.exists() for path in paths] == [True, False, False, True]
    assert values(again, 3) == [[1, 1]]


def test_memory_keeps_the_newest_and_the_disk_all(tmp_path):
    cache = PredictionCache.open(tmp_path, SCOPE, max_rows=10)
    cache.store(keys(*range(100)), np.ones((100, 2), dtype=np.float32), US)
    cache.flush()
    assert len(cache._memory) == 10
    assert len(values(cache, *range(100))) == 100
    bounded = PredictionCache(max_rows=10)
    bounded.store(keys(*range(100)), np.ones((100, 2), dtype=np.float32), US)
    assert len(values(bounded, *range(100))) == 10


def test_memory_holds_fewer_answers_where_these_are_long(monkeypatch):
    monkeypatch.setattr(prediction_cache, "MEMORY_BYTES", 10_000)
    cache = PredictionCache()
    for number in range(100):
        cache.store(keys(number), [bytes(1_000)], US)
        cache.store(keys(number), [bytes(1_000)], THEM)  # known: not counted again
    assert list(cache._memory) == keys(*range(92, 100))  # 8 times 1,158 bytes
    cache.store(keys(100), [bytes(9_000)], US)
    assert list(cache._memory) == keys(100)
    cache.store(keys(*range(101, 200)), [bytes(4)] * 99, US)
    assert 50 < len(cache._memory) < 62  # 162 bytes each


def test_records_of_any_length_come_back_as_they_were(tmp_path):
    records = [b"four", bytes(range(256)) * 40, b"fives"]
    cache = PredictionCache.open(tmp_path, SCOPE)
    cache.store(keys(1, 2, 3), records, US)
    cache.close()
    found = PredictionCache.open(tmp_path, SCOPE).lookup(keys(1, 2, 3))
    assert [found[key] for key in keys(1, 2, 3)] == [US + record for record in records]


def test_the_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path / "predictions"
    monkeypatch.delenv("ABOVEBOARD_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert cache_folder() == tmp_path / "xdg" / "aboveboard" / "predictions"


WRITER = """
import sys, time
import numpy as np
from core_model import prediction_cache
from core_model.prediction_cache import PredictionCache
folder, who, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cache = PredictionCache.open(folder, {"checkpoint": "a" * 64, "max_length": 64})
for number in range(count):
    row = np.array([[who, number]], dtype=np.float32)
    cache.store([number.to_bytes(16, "big")], row, b"request%d" % who)
    cache.flush()
    print(number, flush=True)
"""


def writer(folder: Path, who: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", WRITER, str(folder), str(who), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_write_at_once_agree_afterwards(tmp_path):
    writers = [writer(tmp_path, who, 200) for who in range(3)]
    for process in writers:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    found = values(PredictionCache.open(tmp_path, SCOPE), *range(200))
    assert [number for _, number in found] == list(range(200))


def test_a_killed_process_leaves_what_it_had_written(tmp_path):
    process = writer(tmp_path, 1, 100_000)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 50:
        time.sleep(0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(values(PredictionCache.open(tmp_path, SCOPE), *range(50))) == 50
