"""Masking for masked language modeling: which tokens are hidden, and behind what.

Of a row's tokens 15% are chosen, at least one, special ones never. Of the chosen ones 80% become the mask token, 10% a
random token, 10% stay; all of them must be told. Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1 and appendix
A.1; drawn anew in every epoch, as by Liu et al. 2019, arXiv:1907.11692, section 4.1.

What is hidden in a row follows from (seed, epoch, row) alone, for resumed runs and for several processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from core_model.errors import TokenizerUnfit

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

SHARE = 0.15
MASKED, RANDOM = 0.8, 0.1
IGNORED = -100  # a target that adds nothing to the loss, as in transformers


class Masking:
    """Hides tokens of a batch; see the module.

    Attributes:
        special: (vocabulary,) bool, tokens that are never chosen and never put in.

    Raises: TokenizerUnfit when there is no mask token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> None:
        if tokenizer.mask_token_id is None:
            raise TokenizerUnfit(
                "the base's tokenizer has no mask token: it was not made for masked language modeling",
                mend="--pretrain causal or --task language-modeling with a decoder, or --base with an encoder",
            )
        self.mask, self.seed = int(tokenizer.mask_token_id), seed
        self.special = np.zeros(len(tokenizer), dtype=bool)
        self.special[[i for i in tokenizer.all_special_ids if i != tokenizer.unk_token_id]] = True
        self.ordinary = np.flatnonzero(~self.special)

    def __call__(self, batch: Mapping[str, torch.Tensor], rows: np.ndarray, *, epoch: int) -> dict[str, torch.Tensor]:
        """The batch with tokens hidden in input_ids, and targets, (rows, tokens): what stood there, else IGNORED."""
        import torch

        ids, lengths = batch["input_ids"].numpy().copy(), batch["attention_mask"].numpy().sum(axis=1)
        targets = np.full_like(ids, IGNORED)
        for line, (length, row) in enumerate(zip(lengths, rows, strict=True)):
            places, shown = self.hidden(ids[line, :length], np.random.default_rng([self.seed, epoch, int(row)]))
            targets[line, places] = ids[line, places]
            ids[line, places] = shown
        return {**batch, "input_ids": torch.from_numpy(ids), "targets": torch.from_numpy(targets)}

    def hidden(self, ids: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Places of a row that must be told, and what is shown there instead, both (chosen,) int64."""
        places = np.flatnonzero(~self.special[ids])
        chosen = np.sort(random.choice(places, chosen_count(len(places)), replace=False))
        fate = random.random(len(chosen))
        other = random.choice(self.ordinary, len(chosen))
        shown = np.where(fate < MASKED, self.mask, np.where(fate < MASKED + RANDOM, other, ids[chosen]))
        return chosen, shown


def chosen_count(tokens: int) -> int:
    """How many of so many ordinary tokens are chosen: 15%, at least one."""
    return max(1, round(SHARE * tokens)) if tokens else 0
