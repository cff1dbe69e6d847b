"""How fast the Predictor writes, beside transformers' own `generate` called row by row, on the same rows in one run.

    python -m benchmarks.generation [--rows 256] [--beams 1] [--threads 2] [--repeats 3] [--json]

Models: random weights in the sizes that are trained here, an encoder-decoder of Marian's layout (3 + 3 layers of 256)
and a decoder of GPT-2's (4 layers of 256), each over 8,000 words. Rows: synthetic sentences of 3 to 45 words. A random
model has no reason to stop; every 24th word counts as an end, and none writes more than 48 tokens. The decoder's rows
then end at different steps, as real ones do, which costs a batch its finished rows; those of the encoder-decoder run to
the limit. Both ways use the cache of keys and values, the same settings and the same threads, and pay for tokenizing;
each repeat runs both in an order of its own. Figures are medians over repeats.

The aim is for greedy search. With beams, transformers' own sorting of rows x beams x words takes much of a small
model's time on a CPU, and a batch does not shorten it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.figures import Figure, print_figures
from core_model.prediction import Predictor

VOCABULARY = 8_000
PAD, UNKNOWN, BEGIN = "<pad>", "<unk>", "<s>"
MAX_LENGTH, NEW_TOKENS = 128, 48
END_EVERY = 24  # words
SIZES: dict[str, dict[str, Any]] = {
    "marian": {
        "d_model": 256, "encoder_layers": 3, "decoder_layers": 3, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 1_024, "decoder_ffn_dim": 1_024,
        "max_position_embeddings": MAX_LENGTH,
    },
    "gpt2": {"n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": MAX_LENGTH},
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    figures = [
        figure
        for family in SIZES
        for figure in measure(
            family, rows_of(given.rows), beams=given.beams, threads=given.threads, repeats=given.repeats
        )
    ]
    print_figures("generation", figures, given.json)


def rows_of(rows: int) -> list[str]:
    """Distinct synthetic sentences; a word is a token."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.normal(21, 9, rows).round(), 3, 45).astype(int)
    return [" ".join(f"w{n}" for n in random.integers(3, VOCABULARY, length)) for length in lengths]


def measure(family: str, texts: list[str], *, beams: int, threads: int, repeats: int) -> list[Figure]:
    """Rows per second of both ways, their ratio, and how many rows they write alike."""
    import torch

    torch.set_num_threads(threads)
    checkpoint = open_random(family)
    base = Predictor(checkpoint, threads=threads, device="cpu", cache=None)
    written: dict[str, Sequence[str]] = {}
    tokens: list[float] = []

    def predictor() -> None:
        found = Predictor.like(base).generate(texts, beams=beams, max_new_tokens=NEW_TOKENS)
        written["predictor"] = found.texts
        tokens.append(float(found.tokens.mean()))

    def row_by_row() -> None:
        written["row_by_row"] = one_by_one(checkpoint, texts, beams)

    ways: dict[str, Callable[[], None]] = {"predictor": predictor, "row_by_row": row_by_row}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    order = np.random.default_rng(1)
    base.generate(texts[:2], beams=beams, max_new_tokens=2)  # loaded and warm
    for _ in range(repeats):
        for name in order.permutation(list(ways)):
            started = time.perf_counter()
            ways[str(name)]()
            seconds[str(name)].append(time.perf_counter() - started)
    speed = {name: len(texts) / np.array(taken) for name, taken in seconds.items()}
    same = np.mean([a == b for a, b in zip(written["predictor"], written["row_by_row"], strict=True)])
    unit = f"examples/s ({len(texts)} synthetic sentences, {beams} beams, {threads} threads, median of {repeats})"
    return [
        *(Figure(f"{family}_{name}", round(float(np.median(each)), 1), unit) for name, each in speed.items()),
        Figure(
            f"{family}_predictor_to_row_by_row",
            round(float(np.median(speed["predictor"] / speed["row_by_row"])), 2),
            "times",
            ">= 3" if beams == 1 else None,
        ),
        Figure(f"{family}_tokens_written", round(tokens[-1], 1), "tokens a row"),
        Figure(f"{family}_rows_written_alike", round(float(same), 4), "share of rows", ">= 0.99"),
    ]


def one_by_one(checkpoint: Any, texts: list[str], beams: int) -> list[str]:
    """transformers' `generate`, called once a row."""
    import torch

    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    found = []
    with torch.inference_mode():
        for text in texts:
            inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
            ids = model.generate(**inputs, num_beams=beams, max_new_tokens=NEW_TOKENS, do_sample=False)[0]
            begun = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
            found.append(tokenizer.decode(ids[begun:], skip_special_tokens=True))
    return found


def open_random(family: str) -> Any:
    """As much of a checkpoint as the Predictor needs, with random weights of a fixed seed."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

    words = {
        word: number for number, word in enumerate([PAD, UNKNOWN, BEGIN, *(f"w{n}" for n in range(3, VOCABULARY))])
    }
    inner = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=PAD, unk_token=UNKNOWN, bos_token=BEGIN, model_max_length=MAX_LENGTH
    )
    config = AutoConfig.for_model(
        family, vocab_size=VOCABULARY, pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=2,
        **SIZES[family],
    )  # fmt: skip
    torch.manual_seed(0)
    loader = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = loader.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and "position" not in name:
                parameter.mul_(4)  # at birth every next token is about as probable as every other
    model.generation_config.eos_token_id = list(range(3, VOCABULARY, END_EVERY))
    model.generation_config.forced_eos_token_id = None
    return SimpleNamespace(
        sha256=f"random {family}",
        max_length=MAX_LENGTH,
        load_model=lambda: model,
        load_tokenizer=lambda: tokenizer,
    )


if __name__ == "__main__":
    main()
