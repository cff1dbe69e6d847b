"""How well a language model foresees texts: -log p of each token given those before it.

Perplexity, bits per byte, and attacks that ask whether a text was in training all begin here. The convention (which
tokens are scored) stands at `Predictor.score`.

The logits of a batch are its tokens times the vocabulary, far more than everything else. They are never held for more
than `LOGITS` numbers at once: batches are planned so small, and a single row that is longer goes through the model in
pieces, each reading the keys and values of those before it, which gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.batching import Ragged
from core_model.prediction_inputs import CHUNK, rows_cut, tokenize
from core_model.prediction_requests import Work, distinct, name_of
from core_model.predictions import Scores, TokenScores

if TYPE_CHECKING:
    import torch
    from transformers import BatchEncoding, PreTrainedTokenizerBase

    from core_model.prediction import Predictor
    from core_model.prediction_forward import Forward

LOGITS = 2**24  # numbers held at once: 64 MB as float32
GPU_LOGITS = 2**28


@dataclass(frozen=True)
class Scorable:
    """Some texts as token ids.

    Attributes:
        sources: what an encoder reads; None for a decoder.
        targets: what is scored; of a decoder, the first token is given and not scored.
        bytes: (rows,) int64 UTF-8 bytes of the scored part.
        truncated: rows of which something was cut.
    """

    sources: list[list[int]] | None
    targets: list[list[int]]
    bytes: np.ndarray
    truncated: int

    @property
    def tokens(self) -> np.ndarray:
        """Scored tokens, (rows,) int64."""
        given = 1 if self.sources is None else 0
        return np.array([max(0, len(ids) - given) for ids in self.targets], dtype=np.int64)


def scores(predictor: Predictor, texts: Sequence[str], targets: Sequence[str] | None) -> Scores:
    """See `Predictor.score`."""
    parts = [
        Scores(
            nll=np.array([np.frombuffer(record, dtype=np.float64)[0] if record else 0.0 for record in records]),
            tokens=scorable.tokens,
            bytes=scorable.bytes,
        )
        for scorable, records in _scored(predictor, texts, targets, token_by_token=False)
    ]
    return Scores(
        nll=np.concatenate([np.zeros(0), *(part.nll for part in parts)]),
        tokens=np.concatenate([np.zeros(0, dtype=np.int64), *(part.tokens for part in parts)]),
        bytes=np.concatenate([np.zeros(0, dtype=np.int64), *(part.bytes for part in parts)]),
    )


def token_scores(predictor: Predictor, texts: Sequence[str], targets: Sequence[str] | None) -> TokenScores:
    """See `Predictor.token_scores`. Source of the two moments: Zhang et al. 2024 (Min-K%++), arXiv:2404.02936."""
    lengths = [np.zeros(0, dtype=np.int64)]
    values = [np.zeros((0, 3), dtype=np.float32)]
    for scorable, records in _scored(predictor, texts, targets, token_by_token=True):
        lengths.append(scorable.tokens)
        values += [np.frombuffer(record, dtype=np.float32).reshape(-1, 3) for record in records if record]
    found = np.concatenate(values)
    return TokenScores(
        starts=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64),
        log_probabilities=found[:, 0].copy(),
        means=found[:, 1].copy(),
        deviations=found[:, 2].copy(),
    )


def _scored(
    predictor: Predictor, texts: Sequence[str], targets: Sequence[str] | None, *, token_by_token: bool
) -> list[tuple[Scorable, list[bytes | None]]]:
    """Each window of rows with the record of each row; None where nothing can be scored."""
    from core_model.prediction import windows

    forward = predictor.forward
    forward.require("text")
    _check_targets(forward, texts, targets)
    found: list[tuple[Scorable, list[bytes | None]]] = []
    done = 0
    for some, wanted in windows(texts, targets):
        scorable = _scorable(forward.tokenizer, some, wanted, predictor.checkpoint.max_length)
        predictor.truncated += scorable.truncated
        rows = np.flatnonzero(scorable.tokens)
        records = _records(predictor, scorable, rows, (done, len(some), len(texts)), token_by_token)
        found.append((scorable, records))
        done += len(some)
    return found


def _check_targets(forward: Forward, texts: Sequence[str], targets: Sequence[str] | None) -> None:
    writes_another_text = bool(forward.model.config.is_encoder_decoder)
    if writes_another_text and targets is None:
        raise ValueError("an encoder-decoder scores targets given texts: targets are lacking")
    if not writes_another_text and targets is not None:
        raise ValueError("a decoder scores the texts themselves: it takes no targets")
    if targets is not None and len(targets) != len(texts):
        raise ValueError(f"{len(texts)} texts, but {len(targets)} targets")


def _records(
    predictor: Predictor, scorable: Scorable, rows: np.ndarray, places: tuple[int, int, int], token_by_token: bool
) -> list[bytes | None]:
    records: list[bytes | None] = [None] * len(scorable.targets)
    if not len(rows):
        return records
    forward = predictor.forward
    device = forward.device.type
    kind = "token scores" if token_by_token else "score"
    sources = scorable.sources
    keys = [
        name_of(kind, *([sources[row]] if sources is not None else []), scorable.targets[row], device=device)
        for row in rows
    ]
    names, first, of_row = distinct(keys)
    source_ids = Ragged.of([sources[rows[i]] for i in first]) if sources is not None else None
    target_ids = Ragged.of([scorable.targets[rows[i]] for i in first])
    held = (LOGITS if device == "cpu" else GPU_LOGITS) // int(forward.model.config.get_text_config().vocab_size)
    piece = max(1, held)

    def run(batch: np.ndarray) -> tuple[list[bytes], int]:
        found = _log_probabilities(forward, source_ids, target_ids, batch, piece, moments=token_by_token)
        lengths = target_ids.lengths[batch] - (1 if source_ids is None else 0)
        if token_by_token:
            return [row[:length].tobytes() for row, length in zip(found, lengths, strict=True)], len(batch)
        return [
            (-row[:length, 0].sum(dtype=np.float64)).tobytes() for row, length in zip(found, lengths, strict=True)
        ], len(batch)

    lengths = target_ids.lengths + (0 if source_ids is None else source_ids.lengths)
    work = Work(names, lengths, run, budget=min(predictor.token_budget, piece))
    before, in_window, in_all = places
    answers = predictor.paid_once(work, rows_before=before, rows=in_window, rows_in_all=in_all)
    for row, place in zip(rows, of_row, strict=True):
        records[row] = answers[place]
    return records


def _log_probabilities(
    forward: Forward, sources: Ragged | None, targets: Ragged, batch: np.ndarray, piece: int, *, moments: bool
) -> np.ndarray:
    """log p of each token, and with `moments` what was to be expected of it.

    Returns: (rows, longest, 3 with `moments`, else 1) float32; behind a row's own length it holds nothing of meaning.
    """
    import torch

    model = forward.model
    with torch.inference_mode():
        given = forward.batch(sources if sources is not None else targets, None, batch)
        if sources is None:
            wanted = given["input_ids"][:, 1:]
            fed = {"input_ids": given["input_ids"][:, :-1]}
            mask = given.get("attention_mask")
            fixed = {} if mask is None else {"attention_mask": mask[:, :-1]}
        else:
            wanted = torch.from_numpy(targets.padded(batch, -100)).to(forward.device)
            fed = {"decoder_input_ids": model.prepare_decoder_input_ids_from_labels(labels=wanted)}
            encoder_outputs = model.get_encoder()(**given)
            fixed = {**given, "encoder_outputs": encoder_outputs}
            fixed.pop("input_ids")
            wanted = wanted.clamp(min=0)
        [(name, ids)] = fed.items()
        past = None
        found = []
        for start in range(0, ids.shape[1], piece):
            last = start + piece >= ids.shape[1]
            output = model(
                **{name: ids[:, start : start + piece]}, **fixed, past_key_values=past,
                use_cache=past is not None or not last,
            )  # fmt: skip
            past = output.past_key_values if not last else None
            found.append(_read(output.logits, wanted[:, start : start + piece], moments))
        return torch.cat(found, dim=1).cpu().numpy()


def _read(logits: torch.Tensor, wanted: torch.Tensor, moments: bool) -> torch.Tensor:
    """(rows, tokens, vocabulary) -> (rows, tokens, 1 or 3) float32."""
    import torch

    logits = logits.float()
    total = logits.logsumexp(dim=-1)
    chosen = logits.gather(-1, wanted[..., None]).squeeze(-1) - total
    if not moments:
        return chosen[..., None]
    log_p = logits - total[..., None]
    p = log_p.exp()
    log_p = torch.where(p > 0, log_p, 0.0)  # a forbidden token, -inf, adds nothing
    mean = (p * log_p).sum(dim=-1)
    variance = (p * (log_p - mean[..., None]) ** 2).sum(dim=-1)
    return torch.stack([chosen, mean, variance.sqrt()], dim=-1)


def _scorable(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], targets: list[str] | None, max_length: int
) -> Scorable:
    as_targets = targets is not None
    sources: list[list[int]] = []
    ids: list[list[int]] = []
    sizes: list[int] = []
    truncated = 0
    for start in range(0, len(texts), CHUNK):
        some = texts[start : start + CHUNK]
        cut: set[int] = set()
        if targets is not None:
            read = tokenize(tokenizer, some, None, max_length)["input_ids"]
            cut |= set(rows_cut(tokenizer, some, None, read, max_length))
            sources += read
            some = targets[start : start + CHUNK]
        found = tokenize(tokenizer, some, None, max_length, as_targets=as_targets)
        too_long = set(rows_cut(tokenizer, some, None, found["input_ids"], max_length, as_targets=as_targets))
        truncated += len(cut | too_long)
        ids += found["input_ids"]
        sizes += [
            _bytes_scored(tokenizer, text, found, row, first_is_given=not as_targets, cut=row in too_long)
            for row, text in enumerate(some)
        ]
    return Scorable(sources if as_targets else None, ids, np.array(sizes, dtype=np.int64), truncated)


def _bytes_scored(
    tokenizer: PreTrainedTokenizerBase, text: str, found: BatchEncoding, row: int, *, first_is_given: bool, cut: bool
) -> int:
    """UTF-8 bytes of the part of `text` that the scored tokens stand for."""
    ids = found["input_ids"][row]
    if first_is_given and len(ids) < 2:
        return 0
    encoding: Any = found.encodings[row] if found.encodings else None
    if encoding is None:  # a tokenizer written in Python does not say where a token stands
        from_first = first_is_given and ids[0] not in tokenizer.all_special_ids
        scored = ids[1:] if from_first else ids
        return len(text.encode()) if not (from_first or cut) else len(_decoded(tokenizer, scored).encode())
    begins = encoding.offsets[0][1] if first_is_given and not encoding.special_tokens_mask[0] else 0
    ends = max(end for _, end in encoding.offsets) if cut else len(text)
    return len(text[begins:ends].encode())


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True))
