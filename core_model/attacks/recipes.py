"""Attacks under the names that the field knows, each put together from the same small parts.

    deepwordbug      letters, in the words that matter most        Gao et al. 2018, arXiv:1801.04354
    pwws             synonyms of WordNet, by weighted saliency     Ren et al. 2019, ACL P19-1103
    textfooler-like  neighbours in embedding space                 after Jin et al. 2019, arXiv:1907.11932
    bae-like         words of a masked language model, by deletion after Garg and Ramakrishnan 2020, arXiv:2004.01970
    look-alikes      letters of other scripts that look the same   Boucher et al. 2022, arXiv:2106.09898
    invisible-marks  zero-width spaces between letters             Boucher et al. 2022, arXiv:2106.09898
    misspellings     slips of a finger on a keyboard               after Pruthi et al. 2019, arXiv:1905.11268

`deepwordbug` and `pwws` have exactly the constraints of TextAttack 0.3.11: stop words stay, no word twice, and at most
30 letters differ in the first. Named entities are no part of `pwws`, there as here. The "-like" recipes have this
suite's sentence encoder in the place of the Universal Sentence Encoder, and `textfooler-like` its own neighbours (the
embedding matrix of that encoder) in the place of counter-fitted vectors: their numbers are not those of the papers.
`bae-like` needs a masked language model of yours.

With `quick` a search by gradient goes first, and the recipe's own follows where that fails: fewer queries, and nothing
that the recipe finds is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core_model.attacks.constraints import (
    Constraint,
    LongestEdit,
    OnlyOnce,
    SamePartOfSpeech,
    ShareOfWords,
    StopWords,
    english_stop_words,
)
from core_model.attacks.goal import Goal, Untargeted
from core_model.attacks.requests import WordsInPlace
from core_model.attacks.search import GreedyByImportance, InTurn, Search
from core_model.attacks.transformations import (
    Listed,
    Several,
    Transformation,
    delete,
    insert,
    invisible,
    keyboard,
    look_alike,
    substitute,
    swap,
)
from core_model.attacks.wordnet import find_wordnet, wordnet_or_none
from core_model.errors import OptionUnfit

RECIPES = ("deepwordbug", "pwws", "textfooler-like", "bae-like", "look-alikes", "invisible-marks", "misspellings")
NEIGHBOURS = 15  # of a word; TextFooler has 50 of 65,713 counter-fitted vectors, which hold no word pieces
LEAST_COSINE = 0.5  # between two words, as in TextFooler's released code
MOST_WORDS = 0.3  # share replaced at most by the "-like" recipes, so that they do not write another text
LEAST_SIMILARITY = {"textfooler-like": 0.8, "bae-like": 0.85}  # cosine of sentences, this suite's choice


@dataclass(frozen=True)
class Recipe:
    """An attack without its text.

    Attributes:
        name: one of RECIPES, or any.
        transformation, constraints, search: its parts; goal: what is wanted of a row, from its target.
        in_place: who tells the words for a place in a text, where there is no transformation of the word alone.
        least_similarity: cosine to the original below which a text is not tried; None: not asked.
        source: its paper.
    """

    name: str
    transformation: Transformation | None
    constraints: tuple[Constraint, ...]
    search: Search
    least_similarity: float | None = None
    source: str = ""
    goal: Callable[[int], Goal] = Untargeted
    in_place: WordsInPlace | None = None

    def quick(self) -> Recipe:
        """The same, with a search by gradient before its own."""
        return replace(self, search=InTurn(GreedyByImportance("gradient"), self.search))


def recipe(name: str, *, stop_words: frozenset[str] | None = None, masked_model: str | Path | None = None) -> Recipe:
    """A recipe by its name.

    Args:
        stop_words: words that stay; None: the English ones.
        masked_model: folder of a masked language model in safetensors, which `bae-like` asks for words.
    Raises: OptionUnfit for an unknown name, and for `bae-like` without a masked language model; DataMissing or
        CheckpointMissing when WordNet or the embedded encoder that it needs is not installed; what `open_checkpoint`
        and `MaskedWords` raise of that model.
    """
    if name not in MAKERS:
        raise OptionUnfit(f"there is no attack {name!r}", mend=f"one of {', '.join(RECIPES)}")
    stay = StopWords(english_stop_words() if stop_words is None else stop_words)
    made = MAKERS[name]((OnlyOnce(), stay))
    return replace(made, in_place=_masked_words(masked_model)) if name == "bae-like" else made


def _deepwordbug(usual: tuple[Constraint, ...]) -> Recipe:
    return Recipe(
        "deepwordbug",
        Several((swap, substitute, delete, insert)),
        (*usual, LongestEdit(30)),
        GreedyByImportance("unknown"),
        source="Gao et al. 2018, arXiv:1801.04354",
    )


def _pwws(usual: tuple[Constraint, ...]) -> Recipe:
    return Recipe(
        "pwws",
        Listed(find_wordnet().synonyms),
        usual,
        GreedyByImportance("weighted-saliency"),
        source="Ren et al. 2019, https://aclanthology.org/P19-1103",
    )


def _look_alikes(usual: tuple[Constraint, ...]) -> Recipe:
    return Recipe(
        "look-alikes",
        look_alike,
        usual,
        GreedyByImportance("unknown"),
        source="Boucher et al. 2022, arXiv:2106.09898",
    )


def _invisible_marks(usual: tuple[Constraint, ...]) -> Recipe:
    return Recipe(
        "invisible-marks",
        invisible,
        usual,
        GreedyByImportance("unknown"),
        source="Boucher et al. 2022, arXiv:2106.09898",
    )


def _misspellings(usual: tuple[Constraint, ...]) -> Recipe:
    return Recipe(
        "misspellings",
        Several((swap, delete, keyboard)),
        usual,
        GreedyByImportance("unknown"),
        source="after Pruthi et al. 2019, arXiv:1905.11268",
    )


def _textfooler_like(usual: tuple[Constraint, ...]) -> Recipe:
    return Recipe(
        "textfooler-like",
        Listed(_neighbours()),
        (*usual, ShareOfWords(MOST_WORDS), *_part_of_speech()),
        GreedyByImportance("unknown"),
        LEAST_SIMILARITY["textfooler-like"],
        source="after Jin et al. 2019, arXiv:1907.11932",
    )


def _bae_like(usual: tuple[Constraint, ...]) -> Recipe:
    return Recipe(
        "bae-like",
        None,
        (*usual, ShareOfWords(MOST_WORDS), *_part_of_speech()),
        GreedyByImportance("deletion"),
        LEAST_SIMILARITY["bae-like"],
        source="after Garg and Ramakrishnan 2020, arXiv:2004.01970",
    )


MAKERS: dict[str, Callable[[tuple[Constraint, ...]], Recipe]] = {
    "deepwordbug": _deepwordbug,
    "pwws": _pwws,
    "textfooler-like": _textfooler_like,
    "bae-like": _bae_like,
    "look-alikes": _look_alikes,
    "invisible-marks": _invisible_marks,
    "misspellings": _misspellings,
}


def _neighbours() -> Callable[[str], Sequence[str]]:
    from core_model.attacks.sentence_encoder import embedded_encoder

    return embedded_encoder().neighbours(most=NEIGHBOURS, least_cosine=LEAST_COSINE)


def _masked_words(folder: str | Path | None) -> WordsInPlace:
    from core_model.attacks.masked_words import MaskedWords
    from core_model.checkpoint import open_checkpoint

    if folder is None:
        raise OptionUnfit(
            "there is no masked language model to ask for words",
            mend="--set security.masked_model=FOLDER, with safetensors",
        )
    return MaskedWords(open_checkpoint(folder))


def _part_of_speech() -> tuple[Constraint, ...]:
    """Only where WordNet is installed."""
    wordnet = wordnet_or_none()
    return () if wordnet is None else (SamePartOfSpeech(wordnet.parts_of_speech),)
