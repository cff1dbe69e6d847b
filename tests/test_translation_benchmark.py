"""Promises of the translation benchmark: marks that disturb no run, scores with intervals, recipes that open."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.translation_recipe import Data, Recipe, read_recipe
from benchmarks.translation_run import MarkedRun, steps_of
from benchmarks.translation_scores import ScoreBook
from core_model.architectures import Architecture
from core_model.checkpoint import open_checkpoint
from core_model.errors import OptionUnfit
from core_model.tasks import Task

WMT16 = Path(__file__).parents[1] / "examples" / "wmt16.toml"
WORDS = {
    "open": "öffne",
    "close": "schließe",
    "the": "die",
    "red": "rote",
    "green": "grüne",
    "door": "Tür",
    "now": "nun",
}


def pairs(file: Path, rows: int, seed: int) -> str:
    draw = random.Random(seed)
    lines = []
    for _ in range(rows):
        words = draw.choices(list(WORDS), k=draw.randint(3, 6))
        lines.append({"en": " ".join(words), "de": " ".join(WORDS[word] for word in words)})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run of six seconds with a mark after two; its folder and what it said."""
    folder = tmp_path_factory.mktemp("run")
    data = Data(
        train=pairs(folder / "train.jsonl", 200, 0), validation=pairs(folder / "validation.jsonl", 20, 1),
        test={"help": pairs(folder / "test.jsonl", 24, 2)}, source_column="en", target_column="de",
    )  # fmt: skip
    shape = Architecture(
        kind="encoder-decoder", layers=1, hidden=16, heads=2, vocabulary=64, max_length=64, dropout=0.0
    )
    training = {
        "batch_tokens": 256, "schedule": "inverse-sqrt", "warmup_steps": 10, "learning_rate": 5e-3, "ema": 0.9,
        "precision": "float32",
    }  # fmt: skip
    recipe = Recipe(data=data, architecture=shape, training=training)
    said: list[str] = []

    def run() -> MarkedRun:
        return MarkedRun(folder / "out", recipe, minutes=0.1, seed=0, say=said.append)

    first = run()
    mark = first.train_until(0.03)
    end = first.train_to_the_end()
    return folder / "out", mark, end, run, said


def test_a_mark_is_a_checkpoint_and_the_run_goes_on(done):
    _, mark, end, _, _ = done
    assert open_checkpoint(mark).task is Task.TRANSLATION
    assert 0 < steps_of(mark) < steps_of(end)
    record = json.loads((end / "training_record.json").read_text(encoding="utf-8"))
    assert record["chosen"]["ended"] == "the time limit" and record["sessions"] == 2
    assert record["seconds"] >= 6  # both sessions together, and nothing of what lay between


def test_weights_of_a_mark_are_the_moving_average_of_then(done):
    from safetensors.torch import load_file

    _, mark, end, _, _ = done
    then, later = (load_file(folder / "model.safetensors") for folder in (mark, end))
    assert then.keys() == later.keys() and any((then[name] != later[name]).any() for name in then)


def test_a_second_start_trains_nothing_again(done):
    out, mark, end, run, said = done
    before = steps_of(end)
    again = run()
    assert again.train_until(0.03) == mark and again.train_to_the_end() == end and steps_of(end) == before
    assert again.train_until(0.05) is None and "passed unseen" in said[-1]  # a mark that nobody had asked for
    assert not (out / "mark-0.05").exists()


def test_scores_have_n_signature_and_an_interval_or_its_reason(done):
    out, mark, _, run, said = done
    book = ScoreBook(out / "scores.jsonl", run().tests, threads=1, say=said.append)
    book.score(mark, 0.03, rows=12, beams=1)
    assert [(s.corpus, s.metric, s.n) for s in book.scores] == [("help", "bleu", 12), ("help", "chrf", 12)]
    for scored in book.scores:
        assert "nrefs:1" in scored.signature and scored.value is not None
        assert (scored.low is not None and scored.low <= scored.value <= scored.high) or scored.because
    again = ScoreBook(out / "scores.jsonl", run().tests, threads=1, say=said.append)
    assert again.scores == book.scores and again.has(0.03) and not again.has(0.03, beams=4)


def test_the_recipe_of_wmt16_opens_rows_as_the_hub_has_them(monkeypatch):
    import datasets

    recipe = read_recipe(WMT16)
    options = recipe.options(minutes=60, seed=1)
    assert options.max_minutes == 60 and options.schedule == "inverse-sqrt" and options.task is Task.TRANSLATION
    assert recipe.architecture.config(vocabulary=16_000).model_type == "marian"
    rows = [{"translation": {"de": "Wiederaufnahme der Sitzung", "en": "Resumption of the session"}}] * 2
    asked = []

    def load(name, part, *, split, cache_dir):  # stands for the hub, which a test must not reach
        asked.append((name, part, split))
        return datasets.Dataset.from_list(rows)

    monkeypatch.setattr(datasets, "load_dataset", load)
    table = recipe.data.open(recipe.data.test["newstest2016"])
    assert asked == [("wmt/wmt16", "de-en", "test")]
    assert list(table.texts) == ["Resumption of the session"] * 2
    assert list(table.references or ()) == ["Wiederaufnahme der Sitzung"] * 2


def test_a_recipe_with_an_unknown_key_is_refused(tmp_path):
    text = WMT16.read_text(encoding="utf-8")
    file = tmp_path / "r.toml"
    file.write_text(text.replace("batch_tokens", "batch_token"), encoding="utf-8")
    with pytest.raises(OptionUnfit, match="no option 'batch_token'"):
        read_recipe(file).options(minutes=1, seed=0)
    file.write_text(f"{text}\n[learning]\n", encoding="utf-8")
    with pytest.raises(OptionUnfit, match=r"r\.toml: there is no option 'learning'"):
        read_recipe(file)
