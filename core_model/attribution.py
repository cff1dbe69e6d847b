"""Which words made the model say so? Attributions, by methods that are right on Transformers.

    [found] = attribute(predictor, ["a good film"], [1])
    dict(zip(found.words, found.scores))        # what each word adds to the probability of class 1

    integrated-gradients   the gradient along the way from padding to the text (Sundararajan et al. 2017,
                           arXiv:1703.01365); the scores sum to what the text changes, up to the completeness error
    input-x-gradient       one gradient at the text (Shrikumar et al. 2016, arXiv:1605.01713): quick, often no truer
                           than chance
    occlusion              what is lost without the word (Zeiler and Fergus 2014, arXiv:1311.2901)
    shapley-sampling       what the word adds to random sets of the others (Strumbelj and Kononenko 2010, JMLR 11:1)
    attention-rollout      how much of the word could have reached the head through the attention of all layers (Abnar
                           and Zuidema 2020, arXiv:2005.00928); it knows no class and no sign, and proves no reason

Some methods run on a Transformer and give wrong numbers without an error; they are refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core_model.attribution_bisection import MOST_STEPS, halved_where_in_doubt
from core_model.attribution_path import EmbeddingPath
from core_model.attribution_words import Worded, merged
from core_model.errors import OptionUnfit
from core_model.onnx_graph import refuse_graph

if TYPE_CHECKING:
    from core_model.prediction import Predictor

METHODS = ("integrated-gradients", "input-x-gradient", "occlusion", "shapley-sampling", "attention-rollout")
REFUSED = {
    "deeplift": "it has no rule for the softmax and the layer normalization of a Transformer: it runs without an error "
    "and its scores miss what they must sum to by more than the whole sum",
    "layer-gradcam": "it sums over the tokens instead of over the embedding, so that no token has a score of its own",
    "lrp": "it has no rule for embeddings and for attention: it stops with an error, or goes through them wrongly",
}
BY_ANSWERS = ("occlusion", "shapley-sampling")  # they ask what the model says, and look at nothing within it
WITHOUT_SIGN = ("attention-rollout",)  # scores say how much, not for or against what
EVEN_STEPS = 8  # Gauss-Legendre nodes where only the order of the words counts
TOLERANCE = 0.02  # completeness error allowed, in units of the score
PERMUTATIONS = 5


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each word of one text adds to the score of one class.

    Attributes:
        worded: the words.
        scores: (words,) float64, in units of the score; sub-words are summed. Of WITHOUT_SIGN: shares of 1.
        method: one of METHODS.
        target: index of the class.
        score: the class's score for the text (its probability).
        rest: what was given to tokens that belong to no word.
        completeness_error: |sum of scores - (score of the text - score of the baseline)|; None where the method does
            not promise completeness.
        steps: gradients along the way; None where there is no way.
    """

    worded: Worded
    scores: np.ndarray
    method: str
    target: int
    score: float
    rest: float = 0.0
    completeness_error: float | None = None
    steps: int | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The words as they are written."""
        return self.worded.words

    @property
    def ranking(self) -> np.ndarray:
        """Places of the words from the most to the least supporting, (words,); the first one wins a tie."""
        return np.argsort(-self.scores, kind="stable")


def attribute(
    predictor: Predictor,
    texts: Sequence[str],
    targets: Sequence[int] | np.ndarray,
    pairs: Sequence[str] | None = None,
    *,
    method: str = "integrated-gradients",
    tolerance: float = TOLERANCE,
    permutations: int = PERMUTATIONS,
    random: np.random.Generator | None = None,
) -> list[Attribution]:
    """What each word adds to the probability of a class, for many texts at once.

    Args:
        predictor: whose model is explained.
        texts, pairs: (rows,); longer ones are cut to what the model takes.
        targets: (rows,) index of the class that is explained.
        method: one of METHODS.
        tolerance: completeness error of integrated gradients above which a text gets more steps, in probability.
        permutations: of Shapley sampling; each costs as many forward passes as the text has words.
        random: draws the permutations; Shapley sampling needs it.
    Raises: OptionUnfit for a method that is unknown, or wrong on Transformers (with the reason); TaskUnfit for one that
        looks into the model where there is an exported graph.
    """
    refuse(method)
    targets = np.asarray(targets, dtype=np.int64)
    if len(targets) != len(texts):
        raise ValueError(f"{len(texts)} texts, but {len(targets)} targets")
    if not len(texts):
        return []
    if method not in BY_ANSWERS:
        refuse_graph(predictor.checkpoint, mend="--method occlusion, or the checkpoint that it was exported from")
    path = EmbeddingPath(predictor, texts, pairs)
    if method == "integrated-gradients":
        return integrated_gradients(path, targets, tolerance=tolerance)
    if method == "input-x-gradient":
        return input_x_gradient(path, targets)
    if method == "occlusion":
        return occlusion(predictor, path.worded, targets)
    if method == "attention-rollout":
        return attention_rollout(path, targets)
    if random is None:
        raise ValueError("shapley-sampling draws permutations: it needs random=")
    return shapley_sampling(predictor, path.worded, targets, permutations=permutations, random=random)


def refuse(method: str) -> None:
    """Raise OptionUnfit, with the reason, unless the method is one of METHODS."""
    if method in METHODS:
        return
    name = method.lower().replace("_", "-").replace("deep-lift", "deeplift").replace("grad-cam", "gradcam")
    mend = f"one of {', '.join(METHODS)}"
    known = next((key for key in REFUSED if name in (key, key.removeprefix("layer-"), key.replace("-", ""))), None)
    if known is not None:
        raise OptionUnfit(f"method {method!r} is not offered for Transformers: {REFUSED[known]}", mend=mend)
    raise OptionUnfit(f"there is no attribution method {method!r}", mend=mend)


def integrated_gradients(
    path: EmbeddingPath,
    targets: np.ndarray,
    *,
    tolerance: float | np.ndarray = TOLERANCE,
    even_steps: int | None = None,
    most_steps: int = MOST_STEPS,
    noise: Sequence[np.ndarray] | None = None,
) -> list[Attribution]:
    """The gradient, integrated along the straight way from the baseline to each text.

    Args:
        tolerance: what a text's completeness error and doubt about single words may be, in units of the score; one
            number, or (rows,). Where it is more, the way is halved where it turns (`core_model.attribution_bisection`).
        even_steps: so many Gauss-Legendre nodes for every text instead, whatever the error.
        most_steps: gradients of a text at most; what still misses then is told as its completeness error.
        noise: (rows,) of (tokens, hidden), added to the texts' embeddings.
    Source: Sundararajan, Taly and Yan 2017, arXiv:1703.01365.
    """
    if even_steps is not None:
        added, changes, scores = _by_even_steps(path, targets, even_steps, noise)
        steps = [even_steps] * len(path)
    else:
        every = np.broadcast_to(np.asarray(tolerance, dtype=np.float64), len(path))
        ways = halved_where_in_doubt(path, targets, tolerance=every, noise=noise, most=most_steps)
        added, changes = [way.parts.sum(axis=0) for way in ways], [way.change for way in ways]
        scores, steps = [float(way.scores[-1]) for way in ways], [len(way.shares) for way in ways]
    return [
        _attribution(
            path, row, added[row], targets, scores[row], "integrated-gradients",
            completeness_error=abs(float(added[row].sum()) - changes[row]), steps=steps[row],
        )
        for row in range(len(path))
    ]  # fmt: skip


def _by_even_steps(
    path: EmbeddingPath, targets: np.ndarray, count: int, noise: Sequence[np.ndarray] | None
) -> tuple[list[np.ndarray], list[float], list[float]]:
    """Of each text: what each token adds, what the score changes along the way, and the score at its end."""
    rows = np.arange(len(path))
    both, flat = np.concatenate([rows, rows]), np.repeat(rows, count)
    nodes, weights = np.polynomial.legendre.leggauss(count)

    def around(some: np.ndarray) -> list[np.ndarray] | None:
        return None if noise is None else [noise[row] for row in some]

    ends, _ = path.ask(both, np.repeat([1.0, 0.0], len(rows)), targets[both], gradients=False, noise=around(both))
    shares = np.tile((nodes + 1) / 2, len(rows))
    _, slopes = path.ask(flat, shares, targets[flat], gradients=True, noise=around(flat))
    # Summed in the order of the nodes, whichever thread was done first.
    added = [np.stack(slopes[row * count : (row + 1) * count]).T @ (weights / 2) for row in rows]
    return added, (ends[: len(rows)] - ends[len(rows) :]).tolist(), ends[: len(rows)].tolist()


def input_x_gradient(path: EmbeddingPath, targets: np.ndarray) -> list[Attribution]:
    """Each token's embedding times the gradient there.

    Source: Shrikumar, Greenside and Kundaje 2016, arXiv:1605.01713.
    """
    found = path.predictor.embedding_gradients(
        [worded.text for worded in path.worded],
        targets,
        None if path.worded[0].pair is None else [worded.pair or "" for worded in path.worded],
        of=path.of,
    )
    attributions = []
    for row, one in enumerate(found):
        by_token = (one.gradients.astype(np.float64) * one.embeddings).sum(axis=1)
        attributions.append(_attribution(path, row, by_token, targets, one.score, "input-x-gradient"))
    return attributions


def occlusion(predictor: Predictor, worded: Sequence[Worded], targets: np.ndarray) -> list[Attribution]:
    """The probability of the text minus that of the text without the word, all deletions in one request.

    Source: Zeiler and Fergus 2014, arXiv:1311.2901, on words: feature ablation by deletion.
    """
    asked = [(row, text.without([place])) for row, text in enumerate(worded) for place in range(len(text))]
    whole = [(row, text.without([])) for row, text in enumerate(worded)]
    scores = _answers(predictor, [*whole, *asked], targets)
    before, after = scores[: len(whole)], scores[len(whole) :]
    starts = np.concatenate([[0], np.cumsum([len(text) for text in worded])]).astype(np.int64)
    return [
        Attribution(text, before[row] - after[starts[row] : starts[row + 1]], "occlusion", int(targets[row]),
                    float(before[row]))
        for row, text in enumerate(worded)
    ]  # fmt: skip


def shapley_sampling(
    predictor: Predictor,
    worded: Sequence[Worded],
    targets: np.ndarray,
    *,
    permutations: int = PERMUTATIONS,
    random: np.random.Generator,
) -> list[Attribution]:
    """What a word adds when it joins those before it in a random order; the mean over orders.

    The scores of a text sum exactly to what it changes against the empty text, whatever the number of permutations.

    Source: Strumbelj and Kononenko 2010, JMLR 11:1; Castro, Gomez and Tejada 2009, Computers & OR 36:1726.
    """
    orders = [[child.permutation(len(text)) for _ in range(permutations)]
              for text, child in zip(worded, random.spawn(len(worded)), strict=True)]  # fmt: skip
    asked = [
        (row, text.only(order[:size]))
        for row, text in enumerate(worded)
        for order in orders[row]
        for size in range(len(text) + 1)
    ]
    scores = _answers(predictor, asked, targets)
    found, at = [], 0
    for row, text in enumerate(worded):
        values = np.zeros(len(text))
        for order in orders[row]:
            along = scores[at : at + len(text) + 1]
            at += len(text) + 1
            values[order] += np.diff(along) / permutations
        whole = float(along[-1]) if permutations else 0.0
        found.append(Attribution(text, values, "shapley-sampling", int(targets[row]), whole, completeness_error=0.0))
    return found


def attention_rollout(path: EmbeddingPath, targets: np.ndarray) -> list[Attribution]:
    """The share of each word in what the model's head reads, by the attention of all layers; the same for every class.

    Raises: TaskUnfit for models of two stacks, and for those that keep no attention weights.
    Source: Abnar and Zuidema 2020, arXiv:2005.00928, section 3.
    """
    from core_model.attention_maps import attention_of, rollout

    scores, _ = path.ask(np.arange(len(path)), np.ones(len(path)), targets, gradients=False)
    return [
        _attribution(path, row, found.reads @ rollout(found.weights), targets, scores[row], "attention-rollout")
        for row, found in enumerate(attention_of(path))
    ]


def _answers(
    predictor: Predictor, asked: Sequence[tuple[int, tuple[str, str | None]]], targets: np.ndarray
) -> np.ndarray:
    """Probability of each row's target for variants of its text, (variants,); one request."""
    if not asked:
        return np.zeros(0)
    rows = np.array([row for row, _ in asked])
    texts, pairs = variants_as_texts(predictor, [variant for _, variant in asked])
    return np.asarray(predictor.predict(texts, pairs).probabilities[np.arange(len(rows)), targets[rows]])


def variants_as_texts(
    predictor: Predictor, variants: Sequence[tuple[str, str | None]]
) -> tuple[list[str], list[str] | None]:
    """Texts and pairs as `predict` takes them; where an empty text would have no token, it becomes a padding token."""
    texts = [text for text, _ in variants]
    pairs = None if not variants or variants[0][1] is None else [pair or "" for _, pair in variants]
    if pairs is None and "" in texts:
        tokenizer = predictor.forward.tokenizer
        if not tokenizer("")["input_ids"]:
            blank = tokenizer.pad_token or tokenizer.eos_token or " "
            texts = [text or blank for text in texts]
    return texts, pairs


def _attribution(
    path: EmbeddingPath,
    row: int,
    by_token: np.ndarray,
    targets: np.ndarray,
    score: float,
    method: str,
    *,
    completeness_error: float | None = None,
    steps: int | None = None,
) -> Attribution:
    worded = path.worded[row]
    scores = merged(by_token, path.of_token[row], len(worded))
    return Attribution(
        worded, scores, method, int(targets[row]), float(score),
        rest=float(by_token.sum() - scores.sum()), completeness_error=completeness_error, steps=steps,
    )  # fmt: skip
