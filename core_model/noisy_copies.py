"""Noisy copies of training rows: each row a second time, as somebody's fingers or programs might have left it.

`--augment typos` copies with slips of typing, `--augment noise` with every kind of noise in turn, each under the label
of its row. Missing ends and heavy noise are left out: there the label may no longer be right.

Source: Belinkov and Bisk 2018, "Synthetic and Natural Noise Both Break Neural Machine Translation", arXiv:1711.02173,
section 5: training on a mix of noises made models robust to all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, overload

from core_model.noise import NOISES, Noise, keeps_meaning, noisy

if TYPE_CHECKING:
    from core_model.data import Table

Form = tuple[Noise, float]
SOURCE = "Belinkov and Bisk 2018, arXiv:1711.02173"


def forms_of(kind: str) -> list[Form]:
    """The noises, with their rates, of an augmentation: "typos" or "noise"."""
    return [
        (noise, rate)
        for noise in NOISES.values()
        for rate in noise.rates
        if keeps_meaning(noise, rate) and kind in ("noise", noise.name)
    ]


def noisy_copies(data: Table, kind: str, *, seed: int) -> Table:
    """A copy of every row with a noise of this kind; rows take the kind's noises and rates in turn.

    Texts are changed when they are read; of a pair, the first text.

    Args:
        kind: "typos" or "noise". seed: draws what is changed.
    """
    return replace(data, texts=_Noisy(data.texts, forms_of(kind), seed), taken_from=None)


class _Noisy(Sequence[str]):
    """Texts with noise, made when they are read: they need no memory."""

    def __init__(self, texts: Sequence[str], forms: Sequence[Form], seed: int) -> None:
        self.texts, self.forms, self.seed = texts, forms, seed

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._changed(index % len(self), self.texts[index])

    def __iter__(self) -> Iterator[str]:
        return (self._changed(row, text) for row, text in enumerate(self.texts))

    def _changed(self, row: int, text: str) -> str:
        """The first noise, from the row's own turn on, that has anything to change in it."""
        for step in range(len(self.forms)):
            noise, rate = self.forms[(row + step) % len(self.forms)]
            changed = noisy(text, noise, rate, seed=self.seed)
            if changed != text:
                return changed
        return text
