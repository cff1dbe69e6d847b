"""How well a language model foresees texts: -log p of each token given those before it.

Perplexity, bits per byte, and attacks that ask whether a text was in training all begin here. The convention (which
tokens are scored) stands at `Predictor.score`.

The logits of a batch are its tokens times the vocabulary, far more than everything else. No more than `LOGITS` of them
are held at once: batches are planned so small, and a single row that is longer goes through the model in pieces, each
reading the keys and values of those before it, which gives the same numbers.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.batching import Ragged
from core_model.prediction_requests import Place, Work, distinct, name_of, windows
from core_model.prediction_score_inputs import Scorable, scorable
from core_model.predictions import Scores, TokenScores

if TYPE_CHECKING:
    import torch

    from core_model.prediction import Predictor
    from core_model.prediction_forward import Forward

LOGITS = 2**24  # numbers held at once: 64 MB as float32
GPU_LOGITS = 2**28
NO_TARGET = -100  # what transformers fills up the targets of an encoder-decoder with


def scores(predictor: Predictor, texts: Sequence[str], targets: Sequence[str] | None) -> Scores:
    """See `Predictor.score`."""
    nll: list[float] = []
    tokens, sizes = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for rows, records in _scored(predictor, texts, targets, token_by_token=False):
        nll += [float(np.frombuffer(record, dtype=np.float64)[0]) if record else 0.0 for record in records]
        tokens.append(rows.tokens)
        sizes.append(rows.bytes)
    return Scores(np.array(nll, dtype=np.float64), np.concatenate(tokens), np.concatenate(sizes))


def token_scores(predictor: Predictor, texts: Sequence[str], targets: Sequence[str] | None) -> TokenScores:
    """See `Predictor.token_scores`."""
    lengths = [np.zeros(1, dtype=np.int64)]
    values = [np.zeros((0, 3), dtype=np.float32)]
    for rows, records in _scored(predictor, texts, targets, token_by_token=True):
        lengths.append(rows.tokens)
        values += [np.frombuffer(record, dtype=np.float32).reshape(-1, 3) for record in records]
    log_probabilities, means, deviations = np.concatenate(values).T.copy()
    return TokenScores(np.cumsum(np.concatenate(lengths)), log_probabilities, means, deviations)


def _scored(
    predictor: Predictor, texts: Sequence[str], targets: Sequence[str] | None, *, token_by_token: bool
) -> Iterator[tuple[Scorable, list[bytes]]]:
    """Some rows at a time, with the record of each; an empty one where nothing can be scored."""
    forward = predictor.forward
    forward.require("text")
    if forward.reads_sources != (targets is not None):
        raise ValueError("an encoder-decoder scores targets given texts, a decoder the texts themselves")
    for place, some, wanted in windows(texts, targets):
        rows = scorable(forward.tokenizer, some, wanted, predictor.checkpoint.max_length, first_row=place.before)
        predictor.truncated += rows.truncated
        yield rows, _records(predictor, rows, place, token_by_token)


def _records(predictor: Predictor, rows: Scorable, place: Place, token_by_token: bool) -> list[bytes]:
    """For each row its -log p as one float64, or `token_by_token` (tokens, 3) float32."""
    forward = predictor.forward
    records = [b""] * len(rows.targets)
    asked = np.flatnonzero(rows.tokens)
    if not len(asked):
        return records
    kind = "token scores" if token_by_token else "score"
    parts = (rows.targets,) if rows.sources is None else (rows.sources, rows.targets)
    keys = [name_of(kind, *(part.row(int(row)) for part in parts), device=forward.device.type) for row in asked]
    names, first, of_asked = distinct(keys)
    sources = None if rows.sources is None else rows.sources.taken(asked[first])
    targets = rows.targets.taken(asked[first])
    piece = max(1, (LOGITS if forward.device.type == "cpu" else GPU_LOGITS) // forward.vocabulary)

    def run(batch: np.ndarray) -> tuple[list[bytes], int]:
        found = _log_probabilities(forward, sources, targets, batch, piece, moments=token_by_token)
        own = [row[:length] for row, length in zip(found, targets.lengths[batch] - rows.given, strict=True)]
        if token_by_token:
            return [row.tobytes() for row in own], len(batch)
        return [(-row.sum(dtype=np.float64)).tobytes() for row in own], len(batch)

    lengths = targets.lengths if sources is None else sources.lengths + targets.lengths
    answers = predictor.paid_once(Work(names, lengths, run, budget=min(predictor.token_budget, piece)), place)
    for row, number in zip(asked, of_asked, strict=True):
        records[row] = answers[number]
    return records


def _log_probabilities(
    forward: Forward, sources: Ragged | None, targets: Ragged, batch: np.ndarray, piece: int, *, moments: bool
) -> np.ndarray:
    """log p of each scored token, and with `moments` what was to be expected of it.

    Args:
        piece: tokens that go through the model at once; only a batch of one row has more.
    Returns: (rows, longest, 3 with `moments`, else 1) float32; behind a row's own length stands nothing of meaning.
    """
    import torch

    from core_model.onnx_forward import GraphForward

    if isinstance(forward, GraphForward):  # it keeps no keys and values, and reads a row as a whole
        ids = torch.from_numpy(targets.padded(batch, forward.pad))
        logits = torch.from_numpy(forward.token_logits(targets, batch))
        return _read(logits[:, :-1], ids[:, 1:], moments).numpy()
    with torch.inference_mode():
        name, given, fixed, wanted = _arguments(forward, sources, targets, batch)
        if "past_key_values" not in inspect.signature(forward.model.forward).parameters:
            piece = given.shape[1]  # a model that keeps no keys and values reads a row as a whole
        past = None
        found = []
        for start in range(0, given.shape[1], piece):
            more = start + piece < given.shape[1]
            kept = {"past_key_values": past, "use_cache": True} if more or past is not None else {"use_cache": False}
            output = forward.model(**{name: given[:, start : start + piece]}, **fixed, **kept)
            past = output.past_key_values if more else None
            found.append(_read(output.logits, wanted[:, start : start + piece], moments))
        return torch.cat(found, dim=1).cpu().numpy()


def _arguments(
    forward: Forward, sources: Ragged | None, targets: Ragged, batch: np.ndarray
) -> tuple[str, torch.Tensor, dict[str, Any], torch.Tensor]:
    """What a batch gives to the model and wants from it.

    Returns: the argument's name, and the tokens that the decoder reads under it, (rows, longest) int64; the other
        arguments; the tokens that should come out, of the same shape.
    """
    import torch

    if sources is None:
        arguments: dict[str, Any] = forward.batch(targets, None, batch)
        ids = arguments.pop("input_ids")
        return "input_ids", ids[:, :-1], {key: mask[:, :-1] for key, mask in arguments.items()}, ids[:, 1:]
    arguments = forward.batch(sources, None, batch)
    wanted = torch.from_numpy(targets.padded(batch, NO_TARGET)).to(forward.device)
    given = shifted(forward.model, wanted)
    arguments["encoder_outputs"] = forward.model.get_encoder()(**arguments)
    del arguments["input_ids"]
    return "decoder_input_ids", given, arguments, wanted.clamp(min=0)


def shifted(model: Any, wanted: torch.Tensor) -> torch.Tensor:
    """What a decoder reads while it writes `wanted`: the mark of the beginning, then all but the last token."""
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):  # mBART begins with the language, which stands last
        given: torch.Tensor = model.prepare_decoder_input_ids_from_labels(labels=wanted)
        return given
    given = wanted.roll(1, dims=1)  # M2M-100 and NLLB, in their `shift_tokens_right`
    given[:, 0] = model.config.decoder_start_token_id
    return given.masked_fill(given == NO_TARGET, model.config.pad_token_id)


def _read(logits: torch.Tensor, wanted: torch.Tensor, moments: bool) -> torch.Tensor:
    """log p of the wanted tokens; with `moments` also the mean and standard deviation of log p under p.

    Args:
        logits: (rows, tokens, vocabulary); wanted: (rows, tokens) int64.
    Returns: (rows, tokens, 3 with `moments`, else 1) float32.
    Source of the moments: Zhang et al. 2024 (Min-K%++), arXiv:2404.02936, section 3.2.
    """
    import torch

    logits = logits.float()
    total = logits.logsumexp(dim=-1, keepdim=True)
    chosen = logits.gather(-1, wanted[..., None]) - total
    if not moments:
        return chosen
    log_p = logits - total
    p = log_p.exp()
    log_p = torch.where(p > 0, log_p, 0.0)  # what cannot come, -inf, adds nothing
    mean = (p * log_p).sum(dim=-1, keepdim=True)
    variance = (p * (log_p - mean) ** 2).sum(dim=-1, keepdim=True)
    return torch.cat([chosen, mean, variance.sqrt()], dim=-1)
