"""Universal triggers: a few words that, put before a text of one class, make the model say something else.

Found on some rows, held against others: what counts is the transfer. The search is HotFlip's: the gradient at the
trigger's tokens, averaged over rows, ranks every word of the vocabulary to first order; the best few are tried, and the
best of these is kept; word by word, several times over.

Source: Wallace et al. 2019, arXiv:1908.07125, algorithm of section 2; Ebrahimi et al. 2018, arXiv:1712.06751.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.attacks.whole_words import whole_words
from core_model.errors import TokenizerUnfit

if TYPE_CHECKING:
    from core_model.prediction import Predictor

START = "the"


@dataclass(frozen=True)
class Trigger:
    """Words found for one class.

    Attributes:
        words: what is put before the text.
        label: index of the class whose rows it turns.
        loss: mean -log probability of that class on the rows of the search, in nats; before: without the trigger.
    """

    words: tuple[str, ...]
    label: int
    loss: float
    before: float

    def put_before(self, text: str) -> str:
        """The text with the trigger."""
        return " ".join((*self.words, text))


@dataclass(frozen=True)
class Vocabulary:
    """Words that are one token of the model, with their embeddings.

    Attributes:
        words: (words,); vectors: (words, hidden) float32, as the model reads them.
    """

    words: tuple[str, ...]
    vectors: np.ndarray


def vocabulary_of(predictor: Predictor, *, forbidden: frozenset[str] = frozenset()) -> Vocabulary:
    """Every word of letters alone that the tokenizer keeps in one piece after a space.

    Args:
        forbidden: words left out, such as the names of the classes.
    Raises: TokenizerUnfit when there is none.
    """
    from core_model.input_embeddings import input_embeddings

    found = whole_words(predictor.forward.tokenizer)
    words = {row: word for row, word in found.items() if word.casefold() not in forbidden}
    if not words:
        raise TokenizerUnfit(
            "the tokenizer keeps no word in one piece, so that no trigger of words can be searched",
            mend="leave the triggers out: --set security.trigger_rows=0",
        )
    layer: Any = input_embeddings(predictor.forward.model)
    weight = layer.weight.detach().float().cpu().numpy()
    return Vocabulary(tuple(words.values()), weight[list(words)])


def find_trigger(
    predictor: Predictor,
    texts: Sequence[str],
    label: int,
    vocabulary: Vocabulary,
    *,
    length: int = 3,
    candidates: int = 8,
    sweeps: int = 1,
) -> Trigger:
    """Search a trigger that turns rows of one class.

    Args:
        texts: (rows,) of the class, all of them said rightly before; at least one.
        label: the class.
        length: words of the trigger.
        candidates: words tried at each place, of those that the gradient ranks first; each costs one pass a row.
        sweeps: how often every place is gone through; it ends earlier when nothing changes.
    """
    trigger = [START] * length

    def loss(words: Sequence[str]) -> float:
        said = predictor.predict([" ".join((*words, text)) for text in texts]).probabilities[:, label]
        return float(-np.log(np.clip(said, 1e-12, 1)).mean())

    before, best = loss([]), loss(trigger)
    for _ in range(sweeps):
        changed = False
        for place in range(length):
            slope = _slope(predictor, texts, trigger, place, label)
            # The word whose embedding lies farthest against the class's probability raises the loss most.
            ranked = np.argsort(vocabulary.vectors @ slope, kind="stable")[:candidates]
            for other in ranked:
                words = [*trigger[:place], vocabulary.words[other], *trigger[place + 1 :]]
                found = loss(words)
                if found > best:
                    best, trigger, changed = found, words, True
        if not changed:
            break
    return Trigger(tuple(trigger), label, best, before)


def random_trigger(vocabulary: Vocabulary, length: int, random: np.random.Generator) -> tuple[str, ...]:
    """As many words, drawn: what any words there would do."""
    return tuple(vocabulary.words[at] for at in random.integers(len(vocabulary.words), size=length))


def _slope(predictor: Predictor, texts: Sequence[str], trigger: Sequence[str], place: int, label: int) -> np.ndarray:
    """Mean gradient of the class's log-probability at the tokens of one word of the trigger, (hidden,)."""
    begin = sum(len(word) + 1 for word in trigger[:place])
    end = begin + len(trigger[place])
    found = predictor.embedding_gradients(
        [" ".join((*trigger, text)) for text in texts], np.full(len(texts), label, dtype=np.int64), of="probability"
    )
    rows = []
    for one in found:
        if one.offsets is None or one.sequence is None:
            raise TokenizerUnfit(
                "this tokenizer does not say where its tokens stand in a text, so that no trigger can be searched",
                mend="save the checkpoint with a fast tokenizer (tokenizer.json)",
            )
        inside = (one.sequence == 0) & (one.offsets[:, 0] < end) & (one.offsets[:, 1] > begin)
        # The gradient of log p is that of p over p: saturated rows count as much as open ones.
        rows.append(one.gradients[inside].sum(axis=0) / max(one.score, 1e-6))
    return np.mean(rows, axis=0)
