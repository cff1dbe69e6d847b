"""How strongly each word of a text bears on the answer, by the size of the gradient at its tokens.

Source: the white-box ranking of TextAttack (Morris et al. 2020, arXiv:2005.05909): the mean gradient over a word's
tokens, by its L1 norm; the gradient as a guide to word changes is Ebrahimi et al. 2018, arXiv:1712.06751.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core_model.attacks.sentence import Sentence

if TYPE_CHECKING:
    from core_model.prediction import Predictor


def word_gradients(predictor: Predictor, sentences: Sequence[Sentence], labels: Sequence[int]) -> list[np.ndarray]:
    """Of each sentence (words,): the L1 norm of the mean gradient of the label's logit over the word's tokens.

    Words that the model does not see, because the text was cut, have 0.
    """
    pairs = [sentence.pair for sentence in sentences]
    found = predictor.embedding_gradients(
        [sentence.text for sentence in sentences],
        np.asarray(labels, dtype=np.int64),
        None if pairs and pairs[0] is None else [pair or "" for pair in pairs],
        of="probability",
    )
    sizes = []
    for sentence, one in zip(sentences, found, strict=True):
        if one.offsets is None or one.sequence is None:  # the tokenizer does not say where its tokens stand
            sizes.append(np.zeros(len(sentence)))
            continue
        starts = np.cumsum([0, *(len(g) + len(w) for g, w in zip(sentence.gaps, sentence.words, strict=False))])
        begins = starts[:-1] + [len(gap) for gap in sentence.gaps[:-1]]
        ends = starts[1:]
        size = np.zeros(len(sentence))
        first = (one.sequence == 0) & (one.offsets[:, 1] > one.offsets[:, 0])
        for place, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            inside = first & (one.offsets[:, 0] < end) & (one.offsets[:, 1] > begin)
            if inside.any():
                size[place] = np.abs(one.gradients[inside].mean(axis=0)).sum()
        sizes.append(size)
    return sizes
