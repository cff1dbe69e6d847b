"""What a model writes, asked about points in embedding space: how probable is its answer, when the text fades?

    answers = written_answers(predictor, texts, max_new_tokens=20)
    path = WritingPath(predictor, texts, answers)
    path.ask(rows, shares, targets, gradients=True)      # as of a classifier; the score is a log-probability

The answer stands fixed and is read as it was written (teacher forcing), token by token; only the words of the prompt,
or of the source, come and go. A target is the number of a written token, or WHOLE: the log-probability of all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.attribution_path import EmbeddingPath, encodings_of, sequence_of
from core_model.attribution_words import word_text
from core_model.batching import Ragged
from core_model.errors import DataDamaged, OptionUnfit
from core_model.generation import written_ids
from core_model.length_buckets import plan_batches
from core_model.prediction_inputs import tokenize
from core_model.prediction_scores import GPU_LOGITS, LOGITS, NO_TARGET, shifted

if TYPE_CHECKING:
    import torch

    from core_model.prediction import Predictor

WHOLE = -1


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model wrote, or was given to have written.

    Attributes:
        text: without special tokens.
        ids: (tokens,) int64, an end mark included where there is one.
        reads: (tokens,) int64, what the decoder of an encoder-decoder reads as it writes them; empty for a decoder.
        room: tokens of a prompt that the model has places for beside it.
        tokens: (tokens,) as text.
    """

    text: str
    ids: np.ndarray
    reads: np.ndarray
    room: int
    tokens: tuple[str, ...]


def written_answers(predictor: Predictor, texts: Sequence[str], *, max_new_tokens: int | None = None) -> list[Answer]:
    """What the model writes for each text, greedily; an answer may be empty.

    Raises: as `Predictor.generate`.
    """
    settings, written = written_ids(predictor, texts, beams=1, max_new_tokens=max_new_tokens)
    longest, start = predictor.checkpoint.max_length, settings.others.get("decoder_start_token_id")
    begin = settings.others.get("bos_token_id") if start is None else start
    room = longest - (0 if _two_stacks(predictor) else settings.max_new_tokens)
    return [_answer(predictor, one.ids.astype(np.int64), room, begin=begin) for one in written]


def given_answers(predictor: Predictor, texts: Sequence[str], targets: Sequence[str]) -> list[Answer]:
    """Other answers than the model's own, one for each text; a decoder's begin behind a space where none stands.

    Raises: OptionUnfit when an answer has no token, or more than the model has positions.
    """
    import torch

    tokenizer, longest = predictor.forward.tokenizer, predictor.checkpoint.max_length
    answers = []
    for text, target in zip(texts, targets, strict=True):
        if _two_stacks(predictor):
            ids = tokenize(tokenizer, [target], None, None, as_targets=True)["input_ids"][0]
        else:
            ids = _continued(tokenizer, text, target)
        if not ids or len(ids) >= longest:
            raise OptionUnfit(
                f"the target {target[:80]!r} has {len(ids)} tokens; the model can be asked of 1 to {longest - 1}",
                mend="another --target",
            )
        found = np.array(ids, dtype=np.int64)
        reads = None
        if _two_stacks(predictor):
            reads = shifted(predictor.forward.model, torch.from_numpy(found)[None])[0].numpy()
        room = longest if reads is not None else longest - len(ids)
        answers.append(_answer(predictor, found, room, reads=reads))
    return answers


class WritingPath(EmbeddingPath):
    """Prompts, or sources, each with its answer; see `EmbeddingPath`.

    Args:
        answers: (rows,) each with a token at least.
    """

    reads_twice = False  # the decoder reads the answer

    def __init__(self, predictor: Predictor, texts: Sequence[str], answers: Sequence[Answer]) -> None:
        self.predictor = predictor
        self.of = "logit"
        self.types = None
        self.answers = list(answers)
        self.worded = []
        self.of_token = []
        self.truncated = 0
        tokenizer = predictor.forward.tokenizer
        ids: list[list[int]] = []
        special: list[list[int]] = []
        begins: list[int] = []
        found = tokenize(tokenizer, list(texts), None, None)
        for row, encoding in enumerate(encodings_of(found, len(texts))):
            kept = self._kept_tokens(np.array(encoding.ids), self.answers[row].room)
            self.truncated += len(encoding.ids) - self._ends(encoding.ids) > len(kept)
            offsets, sequence = np.array(encoding.offsets).reshape(-1, 2)[kept], sequence_of(encoding)[kept]
            own = np.array(encoding.ids, dtype=np.int64)[kept].tolist()
            text, start = self._seen(texts[row], offsets, sequence, whole=len(kept) == len(encoding.ids))
            worded, of_token = word_text(text, None, offsets - start, sequence, cut=False)
            if not own:
                own, of_token, sequence = [self._beginning(row)], np.array([-1]), np.array([-1])
            begins.append(len(own))
            read = [] if _two_stacks(predictor) else self.answers[row].ids[:-1].tolist()
            ids.append(own + read)
            self.worded.append(worded)
            self.of_token.append(np.concatenate([of_token, np.full(len(read), -1)]).astype(np.int64))
            special.append([*(sequence < 0).astype(int).tolist(), *[1] * len(read)])
        self.ids, self._special = Ragged.of(ids), Ragged.of(special)
        self._begins = np.array(begins, dtype=np.int64)

    @property
    def costs(self) -> np.ndarray:
        """Tokens that both sides read, (rows,)."""
        more = [len(answer.reads) for answer in self.answers]
        return np.asarray(self.lengths + np.array(more, dtype=np.int64))

    @property
    def token_budget(self) -> int:
        """As of every predictor, but no more logits at once than `prediction_scores` holds."""
        most = LOGITS if self.predictor.forward.device.type == "cpu" else GPU_LOGITS
        vocabulary = int(self.predictor.forward.model.config.get_text_config().vocab_size)
        return max(1, min(self.predictor.token_budget, most // vocabulary))

    def select(self, rows: np.ndarray) -> WritingPath:
        """Some of the texts, or some of them several times."""
        twin = super().select(rows)
        assert isinstance(twin, WritingPath)  # noqa: S101  a copy of self
        twin.answers = [self.answers[row] for row in np.asarray(rows, dtype=np.int64).tolist()]
        twin._begins = self._begins[rows]
        return twin

    def scores_of(self, rows: np.ndarray, targets: np.ndarray) -> torch.Tensor:
        """log p of a written token, or of the whole answer, (rows,)."""
        import torch

        found, inside = self._log_p(rows)
        whole = (found * inside).sum(dim=1)
        chosen = torch.from_numpy(targets).to(found.device)
        one = found.gather(1, chosen.clamp(min=0)[:, None]).squeeze(1)
        return torch.where(chosen < 0, whole, one)

    def log_probabilities(self) -> list[np.ndarray]:
        """log p of each token of each answer, (rows,) of (answer tokens,) float64, in nats; equal rows cost once."""
        import torch

        first: dict[tuple[bytes, bytes, int], int] = {}
        names = [
            (self.ids.row(row).tobytes(), answer.ids.tobytes(), int(self._begins[row]))
            for row, answer in enumerate(self.answers)
        ]
        for row, name in enumerate(names):
            first.setdefault(name, row)
        asked = np.array(list(first.values()), dtype=np.int64)
        forward = self.predictor.forward
        found: dict[int, np.ndarray] = {}

        def run(batch: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return np.asarray(self._log_p(asked[batch])[0].double().cpu().numpy())

        plan = plan_batches(self.costs[asked], self.token_budget, padding=forward.can_pad)
        for batch, values in forward.each(plan, run, self.predictor.threads):
            self.predictor.forward_passes += len(batch)
            for place, row in enumerate(asked[batch].tolist()):
                found[row] = values[place, : len(self.answers[row].ids)]
        return [found[first[name]] for name in names]

    def _log_p(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """log p of each answer's tokens, and which are its own, both (rows, longest answer)."""
        import torch

        forward, answers = self.predictor.forward, [self.answers[row] for row in rows]
        arguments: dict[str, Any] = forward.batch(self.ids, None, rows)
        lengths = np.array([len(answer.ids) for answer in answers])
        place = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1)
        wanted = np.stack([answer.ids[at] for answer, at in zip(answers, place, strict=True)])
        if forward.model.config.is_encoder_decoder:
            reads = np.stack([answer.reads[at] for answer, at in zip(answers, place, strict=True)])
            arguments["decoder_input_ids"] = torch.from_numpy(reads).to(forward.device)
            logits = forward.model(**arguments, use_cache=False).logits
        else:
            place = place + self._begins[rows][:, None] - 1  # the token before one foretells it
            if "logits_to_keep" in inspect.signature(forward.model.forward).parameters:
                least = int(place.min())
                arguments["logits_to_keep"] = torch.arange(least, int(place.max()) + 1, device=forward.device)
                place = place - least
            logits = forward.model(**arguments, use_cache=False).logits
        at = torch.from_numpy(place).to(forward.device)
        logits = logits.float().gather(1, at[:, :, None].expand(-1, -1, logits.shape[-1]))
        chosen = logits.gather(-1, torch.from_numpy(wanted).to(forward.device)[:, :, None]).squeeze(-1)
        inside = torch.from_numpy(np.arange(lengths.max()) < lengths[:, None]).to(forward.device)
        return chosen - logits.logsumexp(dim=-1), inside

    def _ends(self, ids: Sequence[int]) -> int:
        """1 where a prompt carries an end mark that the tokenizer put there: a text that has ended is not continued."""
        tokenizer = self.predictor.forward.tokenizer
        if _two_stacks(self.predictor) or not len(ids) or ids[-1] != tokenizer.eos_token_id:
            return 0
        return int(tokenize(tokenizer, ["a"], None, None)["input_ids"][0][-1:] == [tokenizer.eos_token_id])

    def _kept_tokens(self, ids: np.ndarray, room: int) -> np.ndarray:
        """Places of the tokens that the model reads: a source loses its end, a prompt its beginning, as in writing."""
        tokenizer = self.predictor.forward.tokenizer
        every = np.arange(len(ids) - self._ends(ids.tolist()))
        if len(every) <= room:
            return every
        if _two_stacks(self.predictor):
            end = int(ids[-1] == tokenizer.eos_token_id)
            return np.concatenate([every[: room - end], every[len(every) - end :]])
        begin = int(ids[0] == tokenizer.bos_token_id and room > 1)
        return np.concatenate([every[:begin], every[len(every) - room + begin :]])

    def _seen(self, text: str, offsets: np.ndarray, sequence: np.ndarray, *, whole: bool) -> tuple[str, int]:
        """The part of the text that the model reads, and where it begins in the text, in characters."""
        inside = offsets[sequence == 0]
        if whole or not len(inside):
            return text, 0
        if _two_stacks(self.predictor):
            return text[: int(inside[:, 1].max())], 0
        return text[int(inside[0, 0]) :], int(inside[0, 0])

    def _beginning(self, row: int) -> int:
        """What stands for a text without a token: the mark of a beginning, or of the end before it."""
        tokenizer = self.predictor.forward.tokenizer
        found = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if found is None or _two_stacks(self.predictor):
            raise DataDamaged(f"the text of row {row + 1} (counted from 1) has no token", mend="leave it out")
        return int(found)


def _two_stacks(predictor: Predictor) -> bool:
    return bool(predictor.forward.model.config.is_encoder_decoder)


def _continued(tokenizer: Any, text: str, target: str) -> list[int]:
    """Tokens of a continuation: those that the two together have beyond the text, where its own stay the same."""
    space = "" if text[-1:].isspace() or target[:1].isspace() or not text else " "
    own, both = (tokenize(tokenizer, [some], None, None)["input_ids"][0] for some in (text, f"{text}{space}{target}"))
    end = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    own, both = (ids[:-1] if end and ids[-1:] == end else ids for ids in (own, both))
    if both[: len(own)] == own:
        return list(both[len(own) :])
    return list(tokenizer(space + target, add_special_tokens=False, verbose=False)["input_ids"])


def _answer(
    predictor: Predictor, ids: np.ndarray, room: int, *, begin: int | None = None, reads: np.ndarray | None = None
) -> Answer:
    """An answer of these ids; an encoder-decoder reads `begin` before its own words where `reads` says nothing else."""
    tokenizer = predictor.forward.tokenizer
    if reads is None:
        reads = np.zeros(0, dtype=np.int64)
        if _two_stacks(predictor):
            reads = np.concatenate([np.array([begin], dtype=np.int64), ids[:-1]]) if len(ids) else reads
    reads = np.where(reads == NO_TARGET, 0, reads)
    return Answer(
        text=str(tokenizer.decode(ids.tolist(), skip_special_tokens=True)),
        ids=ids,
        reads=reads,
        room=room,
        tokens=tuple(str(tokenizer.decode([token])) for token in ids.tolist()),
    )
