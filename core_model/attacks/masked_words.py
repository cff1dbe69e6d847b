"""Words that a masked language model would write in a word's place, given the rest of its text.

    words = MaskedWords(open_checkpoint("./masked-language-model"))
    words([(Sentence.of("a good film"), 1)])          # [("great", "fine", ...)]

They fit the sentence; whether they mean the same is not asked ("bad" fits where "good" stood): a sentence encoder and
the part of speech hold back some of these, and a person has to look at the rest.

Source: Garg and Ramakrishnan 2020 (BAE), arXiv:2004.01970, the replacement of section 3, its 50 candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.attacks.sentence import Sentence
from core_model.attacks.transformations import in_case_of
from core_model.attacks.whole_words import whole_words
from core_model.batching import Ragged
from core_model.errors import TaskUnfit, TokenizerUnfit
from core_model.length_buckets import plan_batches
from core_model.prediction_inputs import tokenize
from core_model.tasks import Task

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

MOST = 50  # words for a place, before any constraint
TOKEN_BUDGET = 512  # tokens in a batch: each has a logit for the whole vocabulary
LOADER = "AutoModelForMaskedLM"


class MaskedWords:
    """A masked language model of the user's, asked for the words of many places at once.

    Args:
        checkpoint: safetensors, with a head that tells words; its weights are read when it is first asked.
        most: words for a place.
    Attributes:
        forward_passes: texts that went through it so far; those asked again are not counted.
    Raises: TaskUnfit for a checkpoint without such a head, by its configuration.
    """

    def __init__(self, checkpoint: Checkpoint, *, most: int = MOST) -> None:
        if not checkpoint.architecture.endswith("ForMaskedLM"):
            raise TaskUnfit(
                f"{checkpoint.path} is a {checkpoint.architecture}: it has no head that tells hidden words",
                mend="a masked language model, such as `aboveboard train --task masked-language-modeling` makes",
            )
        self.checkpoint, self.most = checkpoint, most
        self.forward_passes = 0
        self._model: Any = None
        self._known: dict[tuple[str, int, str | None], tuple[str, ...]] = {}

    def __call__(self, places: Sequence[tuple[Sentence, int]]) -> list[tuple[str, ...]]:
        """For each word of a text, those that could stand there, the most probable first; the word itself left out.

        None where the model would not see the place, because the text is too long for it, or holds a mask of its own.
        """
        keys = [(sentence.text, place, sentence.pair) for sentence, place in places]
        new = {key: where for key, where in zip(keys, places, strict=True) if key not in self._known}
        if new:
            self._known.update(zip(new, self._asked(list(new.values())), strict=True))
        return [self._known[key] for key in keys]

    def _asked(self, places: Sequence[tuple[Sentence, int]]) -> list[tuple[str, ...]]:
        import torch

        self._load()
        hidden = [sentence.with_word(place, self._tokenizer.mask_token) for sentence, place in places]
        pairs = None if hidden[0].pair is None else [sentence.pair or "" for sentence in hidden]
        found = tokenize(self._tokenizer, [s.text for s in hidden], pairs, self.checkpoint.max_length)
        ids = Ragged.of(found["input_ids"])
        types = Ragged.of(found["token_type_ids"]) if "token_type_ids" in found else None
        at = [np.flatnonzero(ids.row(row) == self._tokenizer.mask_token_id) for row in range(len(ids))]
        seen = np.array([row for row, where in enumerate(at) if len(where) == 1], dtype=np.int64)
        words: list[tuple[str, ...]] = [()] * len(places)
        with torch.inference_mode():
            for batch in plan_batches(ids.lengths[seen], TOKEN_BUDGET):
                rows = seen[batch]
                tokens = torch.from_numpy(ids.padded(rows, self._tokenizer.pad_token_id or 0))
                mask = torch.from_numpy(np.arange(tokens.shape[1]) < ids.lengths[rows][:, None]).long()
                more = {} if types is None else {"token_type_ids": torch.from_numpy(types.padded(rows, 0))}
                logits = self._model(input_ids=tokens, attention_mask=mask, **more).logits
                place = torch.tensor([int(at[row][0]) for row in rows])
                best = logits[torch.arange(len(rows)), place][:, self._rows].topk(min(self.most + 1, len(self._words)))
                for row, columns in zip(rows, best.indices.numpy(), strict=True):
                    sentence, here = places[row]
                    words[row] = self._told(sentence.words[here], columns)
        self.forward_passes += len(seen)
        return words

    def _told(self, word: str, columns: np.ndarray) -> tuple[str, ...]:
        others = [self._words[column] for column in columns if self._words[column].casefold() != word.casefold()]
        return tuple(in_case_of(word, others[: self.most]))

    def _load(self) -> None:
        """Raises: TaskUnfit where the head's weights are missing, TokenizerUnfit without a mask token or words."""
        if self._model is not None:
            return
        import torch

        from core_model.tasks.heads import from_base

        tokenizer = self.checkpoint.load_tokenizer()
        words = whole_words(tokenizer)
        if tokenizer.mask_token_id is None or not words:
            raise TokenizerUnfit(
                f"{self.checkpoint.path}: its tokenizer has no {'whole words' if words == {} else 'mask token'}",
                mend="the masked language model's own tokenizer files",
            )
        headed = from_base(self.checkpoint, LOADER, task=Task.MASKED_LANGUAGE_MODELING, seed=0)
        if headed.drawn:
            raise TaskUnfit(
                f"{self.checkpoint.path}: the weights of the head that tells words are missing "
                f"({sorted(headed.drawn)[0]})",
                mend="save the whole model with save_pretrained",
            )
        self._tokenizer, self._words = tokenizer, list(words.values())
        self._rows = torch.tensor(list(words), dtype=torch.int64)
        self._model = headed.model.eval().requires_grad_(False)
