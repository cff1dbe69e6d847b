"""Promises of generation: what a plain loop writes, whatever shares the batch; paid once; no stranger's settings."""

from __future__ import annotations

import json
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core_model import generation, prediction_requests
from core_model.checkpoint import open_checkpoint
from core_model.errors import CheckpointDamaged, DataDamaged, OptionUnfit, TaskUnfit
from core_model.generation_settings import settings_of
from core_model.prediction import PredictionCache, Predictor
from core_model.prediction_cache import scope_of
from tests.core_model.prediction_models import (
    DECODERS,
    ENDS,
    WRITERS,
    made_up_texts,
    open_reader,
    open_writer,
    tiny_tokenizer,
)

TEXTS = made_up_texts(20, longest=20)
NEW = 12


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return cache(lambda family: open_writer(tmp_path_factory.mktemp(family), family))


def predictor_of(checkpoint, **options) -> Predictor:
    return Predictor(checkpoint, device="cpu", **{"threads": 2, **options})


def slow_greedy(checkpoint, text: str, new: int) -> list[int]:
    """The most probable token, again and again: one row, no padding, nothing remembered between steps."""
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    read = torch.tensor([tokenizer(text)["input_ids"]])
    both = model.config.is_encoder_decoder
    ids = torch.tensor([[model.config.decoder_start_token_id]]) if both else read
    written: list[int] = []
    with torch.no_grad():
        while len(written) < new and not (written and written[-1] in ENDS):
            given = {"input_ids": read, "decoder_input_ids": ids} if both else {"input_ids": ids}
            token = int(model(**given, use_cache=False).logits[0, -1].argmax())
            written.append(token)
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return written


@pytest.mark.parametrize("family", WRITERS)
def test_greedy_search_writes_what_a_plain_loop_writes(writer, family):
    checkpoint = writer(family)
    tokenizer = checkpoint.load_tokenizer()
    expected = [slow_greedy(checkpoint, text, NEW) for text in TEXTS]
    assert len({tuple(ids) for ids in expected}) > 5
    found = predictor_of(checkpoint).generate(TEXTS, max_new_tokens=NEW)
    assert found.texts == tuple(tokenizer.decode(ids, skip_special_tokens=True) for ids in expected)
    assert found.tokens.tolist() == [len(ids) for ids in expected]
    assert found.cut.tolist() == [ids[-1] not in ENDS for ids in expected]
    assert len(found) == len(TEXTS)


@pytest.mark.parametrize("family", WRITERS)
def test_beam_search_writes_what_transformers_writes_for_one_row(writer, family):
    checkpoint = writer(family)
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    expected = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        settings = {"num_beams": 3, "max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
        written = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)[0]
        written = written[1 if model.config.is_encoder_decoder else ids.shape[1] :]
        expected.append(tokenizer.decode(written, skip_special_tokens=True))
    found = predictor_of(checkpoint).generate(TEXTS, beams=3, max_new_tokens=NEW)
    assert list(found.texts) == expected
    assert found.texts != predictor_of(checkpoint).generate(TEXTS, max_new_tokens=NEW).texts


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_without_a_padding_token_writes_as_a_plain_loop_does(tmp_path, family):
    checkpoint = open_writer(tmp_path, family, pad=False)
    expected = [len(slow_greedy(checkpoint, text, NEW)) for text in TEXTS]
    assert predictor_of(checkpoint).generate(TEXTS, max_new_tokens=NEW).tokens.tolist() == expected


@pytest.mark.parametrize("family", WRITERS)
@pytest.mark.parametrize("beams", [1, 3])
def test_what_shares_the_batch_does_not_matter(writer, family, beams, monkeypatch):
    together = predictor_of(writer(family)).generate(TEXTS, beams=beams, max_new_tokens=NEW)
    monkeypatch.setattr(generation, "CACHED_TOKENS", 1)  # one row a batch
    alone = predictor_of(writer(family)).generate(TEXTS, beams=beams, max_new_tokens=NEW)
    assert alone.texts == together.texts and alone.tokens.tolist() == together.tokens.tolist()


@pytest.mark.parametrize("family", ["gpt2", "marian"])
def test_a_pass_is_a_row_that_goes_through_the_model_for_one_token(writer, family, monkeypatch):
    checkpoint = writer(family)
    monkeypatch.setattr(generation, "CACHED_TOKENS", 1)
    predictor = predictor_of(checkpoint)
    found = predictor.generate(TEXTS, max_new_tokens=NEW)
    own = dict(zip(TEXTS, found.tokens.tolist(), strict=True))
    assert predictor.forward_passes == sum(own.values())
    calls = 0

    def count(module, arguments, given):
        nonlocal calls
        calls += len(given["input_ids" if family == "gpt2" else "decoder_input_ids"])

    hook = checkpoint.load_model().register_forward_pre_hook(count, with_kwargs=True)
    try:
        beams = predictor_of(checkpoint)
        beams.generate(TEXTS[:1], beams=3, max_new_tokens=NEW)
    finally:
        hook.remove()
    assert beams.forward_passes == calls > NEW


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_what_was_written_is_paid_for_once_and_lies_on_disk_without_text(writer, family, tmp_path):
    checkpoint = writer(family)
    opened = PredictionCache.open(tmp_path, scope_of(checkpoint))
    first = predictor_of(checkpoint, cache=opened)
    found = first.generate(TEXTS, max_new_tokens=NEW)
    paid = first.forward_passes
    assert first.generate(TEXTS, max_new_tokens=NEW).texts == found.texts and first.forward_passes == paid > 0
    opened.close()
    second = predictor_of(checkpoint, cache=PredictionCache.open(tmp_path, scope_of(checkpoint)))
    again = second.generate(TEXTS[::-1], max_new_tokens=NEW)
    assert again.texts == found.texts[::-1] and again.cut.tolist() == found.cut.tolist()[::-1]
    assert second.forward_passes == 0
    content = opened.path.read_bytes()
    words = {word for text in (*TEXTS, *found.texts) for word in text.split() if len(word) > 3 and word.isalpha()}
    assert len(words) > 5 and not any(word.encode() in content for word in words)


def test_other_settings_are_another_question(writer):
    predictor = predictor_of(writer("gpt2"))
    for more in ({"max_new_tokens": 4}, {"max_new_tokens": 5}, {"max_new_tokens": 5, "beams": 2}):
        before = predictor.forward_passes
        found = predictor.generate(["a good"], **more)
        assert predictor.forward_passes > before
        assert f"beams:{more.get('beams', 1)}|" in found.signature
        assert f"max_new_tokens:{more['max_new_tokens']}|" in found.signature


@pytest.mark.parametrize("family", ["llama", "bart"])
def test_neither_threads_nor_the_order_of_rows_moves_a_token(writer, family, monkeypatch):
    monkeypatch.setattr(generation, "CACHED_TOKENS", 200)
    texts = made_up_texts(60)
    shuffle = np.random.default_rng(0).permutation(60)
    one = predictor_of(writer(family), threads=1).generate(texts, max_new_tokens=NEW)
    four = predictor_of(writer(family), threads=4).generate(texts, max_new_tokens=NEW)
    shuffled = predictor_of(writer(family)).generate([texts[i] for i in shuffle], max_new_tokens=NEW)
    assert one.texts == four.texts
    assert [one.texts[i] for i in shuffle] == list(shuffled.texts)


def test_an_interrupted_and_resumed_request_writes_the_same(writer, tmp_path, monkeypatch):
    """Also record by record: the flag and every token id as they lie in the cache."""
    monkeypatch.setattr(generation, "CACHED_TOKENS", 200)
    checkpoint, texts = writer("gpt2"), made_up_texts(60)
    whole = predictor_of(checkpoint)
    expected = whole.generate(texts, max_new_tokens=NEW)
    broken = predictor_of(checkpoint, cache=PredictionCache.open(tmp_path, scope_of(checkpoint)))

    def interrupt(done, total):
        if broken.forward_passes > 100:
            raise KeyboardInterrupt

    broken.progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        broken.generate(texts, max_new_tokens=NEW)
    resumed = predictor_of(checkpoint, cache=PredictionCache.open(tmp_path, scope_of(checkpoint)))
    assert resumed.generate(texts, max_new_tokens=NEW).texts == expected.texts
    assert 0 < resumed.forward_passes < whole.forward_passes
    assert [record[8:] for record in resumed.cache.lookup(list(whole.cache._memory)).values()] == [
        record[8:] for record in whole.cache._memory.values()
    ]


HOSTILE = {
    "do_sample": True, "temperature": 5.0, "top_k": 3, "num_beams": 9, "num_return_sequences": 9,
    "custom_generate": "custom_generate", "trust_remote_code": True,
    "prompt_lookup_num_tokens": 5, "cache_implementation": "quantized",
    "max_length": 10**9, "max_new_tokens": 10**9, "min_new_tokens": 10**9, "min_length": 10**9, "use_cache": False,
    "guidance_scale": 3.0, "watermarking_config": {"greenlist_ratio": 0.25}, "sequence_bias": [[[5], 90.0]],
    "stop_strings": ["a"], "penalty_alpha": 0.6, "forced_bos_token_id": 10**9, "suppress_tokens": [5, 6],
    "begin_suppress_tokens": [7], "bad_words_ids": [[10**9]], "repetition_penalty": -3.0, "length_penalty": "long",
    "no_repeat_ngram_size": -1, "early_stopping": "never", "output_attentions": True, "return_dict_in_generate": True,
    "output_scores": True, "token_healing": True, "max_time": 0.0, "eos_token_id": ENDS, "pad_token_id": 0,
    "forced_eos_token_id": 9, "auto_map": {"GenerationConfig": "evil.Evil"}, "transformers_version": "9.9",
}  # fmt: skip
EVIL = "import pathlib; pathlib.Path({!r}).touch()\ndef generate(*a, **k): raise SystemExit\n"


def written_folder(folder, checkpoint, settings):
    checkpoint.load_model().save_pretrained(folder)
    checkpoint.load_tokenizer().save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return open_checkpoint(folder)


@pytest.mark.parametrize("family", ["gpt2", "marian"])
@pytest.mark.parametrize("beams", [1, 3])
def test_a_hostile_generation_config_changes_nothing_and_runs_nothing(writer, family, beams, tmp_path):
    checkpoint = writer(family)
    (tmp_path / "custom_generate").mkdir()
    (tmp_path / "custom_generate" / "generate.py").write_text(EVIL.format(str(tmp_path / "ran")))
    (tmp_path / "evil.py").write_text(EVIL.format(str(tmp_path / "ran")))
    hostile = written_folder(tmp_path, checkpoint, HOSTILE)
    found = predictor_of(hostile).generate(TEXTS[:5], beams=beams, max_new_tokens=NEW)
    calm = predictor_of(checkpoint).generate(TEXTS[:5], beams=beams, max_new_tokens=NEW)
    assert found.texts == calm.texts and found.signature == calm.signature
    assert len(predictor_of(hostile).generate(TEXTS[:1], beams=beams)) == 1  # its own limit is not taken
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("refused", [{"compile_config": {"backend": "inductor"}}, {"assistant_model": "owner/name"}])
def test_a_generation_config_that_transformers_refuses_is_a_letter(writer, refused, tmp_path):
    broken = written_folder(tmp_path, writer("gpt2"), refused)
    with pytest.raises(CheckpointDamaged, match=f"cannot be built.*{next(iter(refused))}") as caught:
        predictor_of(broken).generate(["good"])
    assert "generation_config.json" in caught.value.mend


def test_the_models_own_settings_stay_as_they_were(writer):
    model = writer("gpt2").load_model()
    before = model.generation_config.to_dict()
    predictor = predictor_of(writer("gpt2"))
    predictor.generate(TEXTS[:2], max_new_tokens=3)
    assert predictor.forward.model.generation_config.to_dict() == before


def settings_with(family="marian", **said):
    model = SimpleNamespace(
        config=SimpleNamespace(
            is_encoder_decoder=family == "marian",
            get_text_config=lambda: SimpleNamespace(vocab_size=100),
            eos_token_id=3,
            decoder_start_token_id=2,
        ),
        generation_config=SimpleNamespace(to_dict=lambda: said),
    )
    return lambda **asked: settings_of(
        model, **{"beams": 1, "max_new_tokens": None, "end_token": 3, "max_length": 512, **asked}
    )


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({"length_penalty": 2.0}, {"length_penalty": 2.0}),
        ({"early_stopping": True, "no_repeat_ngram_size": 3}, {"early_stopping": True, "no_repeat_ngram_size": 3}),
        ({"bad_words_ids": [[99]]}, {"bad_words_ids": [[99]]}),  # Marian: its padding
        ({"forced_bos_token_id": 42}, {"forced_bos_token_id": 42}),  # NLLB, mBART: the target language
        ({"forced_bos_token_id": 100}, {}),
        ({"forced_eos_token_id": 3}, {}),  # it would hide that the limit was reached
        ({"bad_words_ids": [[99], [100]]}, {}),
        ({"bad_words_ids": [[]]}, {}),
        ({"no_repeat_ngram_size": True}, {}),
        ({"do_sample": True, "temperature": 0.1, "num_return_sequences": 10_000}, {}),
        ({"custom_generate": "x", "assistant_model": "y", "cache_implementation": "static"}, {}),
    ],
)
def test_of_a_checkpoints_settings_only_what_is_named_and_within_bounds_is_taken(said, taken):
    found = settings_with(**said)(beams=4)
    assert found.others == {"decoder_start_token_id": 2, "pad_token_id": 3, **taken}
    configuration = found.configuration()
    assert (configuration.do_sample, configuration.num_return_sequences, configuration.num_beams) == (False, 1, 4)


def test_a_decoder_counts_no_prompt_as_written():
    assert "min_length" not in settings_with("gpt2", min_length=20)().others
    assert settings_with("marian", min_length=20)().others["min_length"] == 20
    assert "min_length" not in settings_with("marian", min_length=20)(max_new_tokens=19).others


def test_a_model_that_does_not_know_how_to_begin_is_a_letter():
    with pytest.raises(CheckpointDamaged, match="decoder_start_token_id"):
        settings_with(decoder_start_token_id=-1)()


@pytest.mark.parametrize("beams", [1, 3])
def test_padding_is_not_taken_for_words_that_were_said(tmp_path, beams, monkeypatch):
    """A penalty of repetition, and a padding token that is written too, as GPT-2's is (its end mark)."""
    checkpoint = open_writer(tmp_path, "gpt2")
    said = checkpoint.load_model().generation_config
    said.repetition_penalty = 5
    said.pad_token_id = checkpoint.load_tokenizer().convert_tokens_to_ids("jewish")  # its favourite word
    together = predictor_of(checkpoint).generate(TEXTS, beams=beams, max_new_tokens=NEW)
    assert "repetition_penalty:5.0" in together.signature
    monkeypatch.setattr(generation, "CACHED_TOKENS", 1)
    alone = predictor_of(checkpoint).generate(TEXTS, beams=beams, max_new_tokens=NEW)
    assert alone.texts == together.texts


def test_greedy_search_knows_no_settings_of_beams():
    assert "length_penalty" not in settings_with(length_penalty=2.0)().others


@pytest.mark.parametrize(
    ("family", "said", "limit"),
    [
        ("marian", {}, 128),
        ("marian", {"max_length": 142}, 142),
        ("marian", {"max_length": 142, "max_new_tokens": 20}, 20),
        ("marian", {"max_length": 512}, 511),
        ("marian", {"max_length": 10**9}, 128),
        ("gpt2", {}, 64),
        ("gpt2", {"max_length": 20}, 64),  # of a decoder this counts the prompt, too
        ("gpt2", {"max_new_tokens": 500}, 256),
    ],
)
def test_the_limit_is_the_checkpoints_own_where_it_can_be_held(family, said, limit):
    assert settings_with(family, **said)().max_new_tokens == limit


@pytest.mark.parametrize("asked", [{"max_new_tokens": 0}, {"max_new_tokens": 512}, {"beams": 0}, {"beams": 1_000}])
def test_what_cannot_be_held_is_refused(asked):
    with pytest.raises(OptionUnfit, match=f"{next(iter(asked))} is {next(iter(asked.values()))}"):
        settings_with()(**asked)


def test_an_empty_text_begins_as_training_texts_do(writer):
    found = predictor_of(writer("gpt2")).generate(["", "[CLS]"], max_new_tokens=NEW)
    assert found.texts[0] == found.texts[1]
    checkpoint = writer("gpt2")
    ids = slow_greedy(checkpoint, "[CLS]", NEW)
    assert found.texts[0] == checkpoint.load_tokenizer().decode(ids, skip_special_tokens=True)


def test_an_end_mark_that_the_tokenizer_appends_is_not_continued(writer, tmp_path):
    checkpoint = open_writer(tmp_path, "gpt2")
    ending = tiny_tokenizer(tmp_path, "$A [SEP]")
    checkpoint.load_tokenizer = lambda: ending
    found = predictor_of(checkpoint).generate(TEXTS[:5], max_new_tokens=NEW)
    assert found.texts == predictor_of(writer("gpt2")).generate(TEXTS[:5], max_new_tokens=NEW).texts


def test_a_text_of_which_nothing_is_read_is_named(tmp_path):
    checkpoint = open_writer(tmp_path, "t5")
    bare = tiny_tokenizer(tmp_path, "$A")
    checkpoint.load_tokenizer = lambda: bare
    with pytest.raises(DataDamaged, match="row 2"):
        predictor_of(checkpoint).generate(["good", ""])
    bare.bos_token = bare.eos_token = None
    decoder = open_writer(tmp_path / "decoder", "gpt2")
    decoder.load_tokenizer = lambda: bare
    with pytest.raises(DataDamaged, match=r"row 1 .*no mark of a beginning"):
        predictor_of(decoder).generate([""])


@pytest.mark.parametrize("family", DECODERS)
def test_of_a_long_beginning_the_end_is_continued(writer, family):
    """64 positions, of which 12 are written: 52 are read, with the mark of the beginning where there is one."""
    checkpoint = writer(family)
    long = " ".join(made_up_texts(10))
    words = checkpoint.load_tokenizer().tokenize(long)
    kept = " ".join(words[-(52 if family == "gpt2" else 51) :])
    predictor = predictor_of(checkpoint)
    found = predictor.generate([long, kept], max_new_tokens=NEW)
    assert found.texts[0] == found.texts[1] and predictor.truncated == 1
    assert len(words) > 64


def test_long_sources_are_cut_and_counted(writer):
    predictor = predictor_of(writer("marian"))
    found = predictor.generate(["good " * 200, "good " * 63], max_new_tokens=NEW)
    assert found.texts[0] == found.texts[1] and predictor.truncated == 1


def test_many_rows_pass_in_windows(writer, monkeypatch):
    expected = predictor_of(writer("bart")).generate(TEXTS, max_new_tokens=NEW)
    monkeypatch.setattr(prediction_requests, "WINDOW", 7)
    predictor = predictor_of(writer("bart"))
    found = predictor.generate(TEXTS, max_new_tokens=NEW)
    assert found.texts == expected.texts and found.tokens.tolist() == expected.tokens.tolist()
    told = []
    predictor.progress = lambda done, total: told.append((done, total))
    predictor.generate(TEXTS, max_new_tokens=NEW)
    assert told[-1] == (20, 20)


def test_no_rows_are_no_generations(writer):
    found = predictor_of(writer("gpt2")).generate([])
    assert len(found) == 0 and found.tokens.shape == found.cut.shape == (0,)


def test_a_model_that_does_not_write_is_refused(tmp_path):
    with pytest.raises(TaskUnfit, match="BertForQuestionAnswering"):
        predictor_of(open_reader(tmp_path)).generate(["good"])
