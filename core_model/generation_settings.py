"""What decides how a model writes, and what of it a checkpoint may say.

A checkpoint's generation_config.json is text from a stranger: it can turn sampling on, ask for a thousand sequences a
row, an assistant model, a compiled cache or a function of its own. None of that is taken. Taken are special tokens
(they belong to the tokenizer) and a few numbers of the search, each only where it has the right type and lies within
bounds; the rest is ignored. Beams and the limit of new tokens come from whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core_model.errors import CheckpointDamaged, OptionUnfit

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

NEW_TOKENS = {"decoder": 64, "encoder-decoder": 128}  # where neither the caller nor the checkpoint says


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _real(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and low <= value <= high


def _flag(value: Any) -> bool:
    return type(value) is bool


SEARCH: Mapping[str, Callable[[Any], bool]] = {
    "length_penalty": _real(-10, 10),
    "early_stopping": _flag,
    "no_repeat_ngram_size": _whole(1, 100),
    "min_length": _whole(1, 10_000),
    "repetition_penalty": _real(0.1, 10),
    "renormalize_logits": _flag,
}
FLOATS = {"length_penalty", "repetition_penalty"}  # transformers refuses a penalty of 2, and takes one of 2.0
ONE_TOKEN = ("bos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id")
BEAMS_ONLY = ("length_penalty", "early_stopping")
ENCODER_DECODER_ONLY = ("min_length",)  # of a decoder it would count what is continued, padding included


@dataclass(frozen=True)
class GenerationSettings:
    """Everything that the written tokens depend on, beside the model and what it reads.

    Attributes:
        beams: hypotheses kept; max_new_tokens: tokens written at most.
        end: ids that end a text.
        others: what the checkpoint says and may say, by transformers' own names.
    """

    beams: int
    max_new_tokens: int
    end: tuple[int, ...]
    others: Mapping[str, Any]

    @property
    def signature(self) -> str:
        """All of it on one line, in the manner of sacrebleu."""
        named = {"beams": self.beams, "max_new_tokens": self.max_new_tokens, "end": list(self.end), **self.others}
        return "|".join(f"{name}:{value}" for name, value in sorted(named.items()))

    def configuration(self) -> GenerationConfig:
        """As transformers takes it."""
        from transformers import GenerationConfig

        return GenerationConfig(
            do_sample=False,
            num_beams=self.beams,
            num_return_sequences=1,
            max_new_tokens=self.max_new_tokens,
            use_cache=True,
            eos_token_id=list(self.end) or None,
            **self.others,
        )


def settings_of(
    model: PreTrainedModel, *, beams: int, max_new_tokens: int | None, end_token: int | None, max_length: int
) -> GenerationSettings:
    """The settings of a request.

    Args:
        max_new_tokens: None: the checkpoint's own limit where it has one, else NEW_TOKENS; never beyond the positions.
        end_token: the tokenizer's, for a checkpoint that names none.
        max_length: tokens that the model takes at once.
    Raises: OptionUnfit when beams or the limit cannot be held; CheckpointDamaged when an encoder-decoder names no token
        to begin with.
    """
    said = _said_by(model)
    both = bool(model.config.is_encoder_decoder)
    room = max_length - 1  # the mark of the beginning, or the last token of a prompt
    if beams < 1 or beams > 64:
        raise OptionUnfit(f"beams is {beams}; it runs from 1 (greedy) to 64", mend="beams of 4 or 5 are usual")
    limit = max_new_tokens if max_new_tokens is not None else _usual_limit(said, both, max_length)
    if not 1 <= limit <= room:
        raise OptionUnfit(f"max_new_tokens is {limit}; the model has room for 1 to {room}", mend=f"at most {room}")
    vocabulary = int(model.config.get_text_config().vocab_size)
    ids = {name: said[name] for name in ONE_TOKEN if _whole(0, vocabulary - 1)(said.get(name))}
    if both and not {"decoder_start_token_id", "bos_token_id"} & set(ids):
        raise CheckpointDamaged(
            f"{type(model).__name__}: neither generation_config.json nor config.json names the token that a text "
            "begins with (decoder_start_token_id)",
            mend="put back the configuration that was saved with the weights",
        )
    end = _ids(said.get("eos_token_id"), vocabulary) or _ids(end_token, vocabulary)
    if "pad_token_id" not in ids:
        ids["pad_token_id"] = end[0] if end else 0
    search = {name: said[name] for name, fits in SEARCH.items() if fits(said.get(name))}
    search |= {name: float(search[name]) for name in FLOATS & set(search)}
    unfit = (*(BEAMS_ONLY if beams == 1 else ()), *(() if both else ENCODER_DECODER_ONLY))
    search = {name: value for name, value in search.items() if name not in unfit}
    if search.get("min_length", 0) > limit:  # the limit is the caller's, and holds
        del search["min_length"]
    if (forbidden := _lists(said.get("bad_words_ids"), vocabulary)) is not None:
        search["bad_words_ids"] = forbidden
    return GenerationSettings(beams, limit, end, {**ids, **search})


def _usual_limit(said: Mapping[str, Any], encoder_decoder: bool, max_length: int) -> int:
    """The checkpoint's own limit where it has one; half of a decoder's positions stay for what it continues."""
    own = said.get("max_new_tokens", said.get("max_length") if encoder_decoder else None)
    usual = NEW_TOKENS["encoder-decoder" if encoder_decoder else "decoder"]
    limit = int(own) if own is not None and _whole(1, max_length)(own) else usual
    return max(1, min(limit, max_length - 1 if encoder_decoder else max_length // 2))


def _said_by(model: PreTrainedModel) -> dict[str, Any]:
    """What config.json and generation_config.json say; the second one wins."""
    said = {name: getattr(model.config, name, None) for name in ("eos_token_id", *ONE_TOKEN)}
    own = getattr(model, "generation_config", None)
    said |= {name: value for name, value in (own.to_dict() if own is not None else {}).items() if value is not None}
    return said


def _ids(value: Any, vocabulary: int) -> tuple[int, ...]:
    fits = _whole(0, vocabulary - 1)
    return tuple(sorted({i for i in (value if isinstance(value, list) else [value]) if fits(i)}))


def _lists(value: Any, vocabulary: int) -> list[list[int]] | None:
    """Sequences of tokens that may not be written (Marian forbids its padding so); None where there are none."""
    if not isinstance(value, list) or not 1 <= len(value) <= 1_000:
        return None
    fits = _whole(0, vocabulary - 1)
    good = all(isinstance(ids, list) and 1 <= len(ids) <= 16 and all(fits(i) for i in ids) for ids in value)
    return value if good else None
