"""Tokenizers learnt from the data: WordPiece, BPE of bytes, or Unigram. The same texts give the same tokenizer.

WordPiece as in BERT; BPE of bytes as in GPT-2, which gives back every text byte by byte; Unigram over words that begin
with "▁", as SentencePiece does. All by the library `tokenizers`, whose trainers count words in hash tables: words are
handed to it counted and sorted, so that its order does not enter.

Sources: Wu et al. 2016, arXiv:1609.08144, section 4.1 (WordPiece); Sennrich et al. 2016, arXiv:1508.07909 (BPE);
Kudo 2018, arXiv:1804.10959 (Unigram).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from core_model.errors import DataDamaged

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from core_model.architectures import Architecture

TokenizerKind = Literal["wordpiece", "bpe", "unigram"]
REPEATED = 10_000  # occurrences of a word that are handed to the trainer at once
LARGEST_COUNT = 1_000  # of a word, for Unigram, whose likelihoods are sums over occurrences


@dataclass(frozen=True)
class SpecialTokens:
    """Tokens that are no text, in the order of their ids, and what each is for (`pad`, `bos`, `eos`, `unk` ...)."""

    roles: Mapping[str, str]

    @property
    def tokens(self) -> list[str]:
        """In the order of their ids, each once."""
        return list(dict.fromkeys(self.roles.values()))

    def id(self, role: str) -> int | None:
        """The id of the token with this role; None where there is none."""
        return self.tokens.index(self.roles[role]) if role in self.roles else None


SPECIAL = {
    "encoder": SpecialTokens({"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}),
    "decoder": SpecialTokens({"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>"}),
    "encoder-decoder": SpecialTokens({"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}),
}


def special_tokens(kind: str) -> SpecialTokens:
    """Those of an encoder, a decoder or an encoder-decoder."""
    return SPECIAL[kind]


def train_tokenizer(texts: Iterable[str], architecture: Architecture) -> PreTrainedTokenizerFast:
    """The tokenizer of an architecture, learnt from texts.

    An encoder's puts [CLS] and [SEP] around a text, a decoder's <s> before it, an encoder-decoder's </s> behind it.

    Raises: DataDamaged when the texts hold too few different characters or words to learn from.
    """
    from transformers import PreTrainedTokenizerFast

    learn = {"wordpiece": _wordpiece, "bpe": _bpe, "unigram": _unigram}[architecture.chosen_tokenizer]
    special = architecture.special
    with _one_thread():
        inner = learn(texts, architecture, special)
    inner.post_processor = _frame(inner, special)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        **{f"{role}_token": token for role, token in special.roles.items()},
        model_max_length=architecture.max_length,
        model_input_names=["input_ids", *(["token_type_ids"] if "cls" in special.roles else []), "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def _frame(inner: Tokenizer, special: SpecialTokens) -> Any:
    """The special tokens around a text, and around a pair."""
    from tokenizers import processors

    used: tuple[str, ...]
    if "cls" in special.roles:
        used, single, pair = ("[CLS]", "[SEP]"), "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"
    elif "bos" in special.roles:
        used, single, pair = ("<s>",), "<s> $A", "<s> $A $B:1"
    else:
        used, single, pair = ("</s>",), "$A </s>", "$A </s> $B:1 </s>:1"
    ids = [(token, inner.token_to_id(token)) for token in used]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def _wordpiece(texts: Iterable[str], architecture: Architecture, special: SpecialTokens) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    normalizer = normalizers.BertNormalizer(lowercase=architecture.folds_capitals)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = _words(texts, normalizer, splitter)
    letters, continuing = _letters(words, limit=max(architecture.vocabulary // 4, 16))
    unknown = special.roles["unk"]
    # The trainer numbers letters inside words in the order of a hash table that differs from run to run, and breaks
    # ties between merges by these numbers. Given as special tokens they have their numbers beforehand.
    learner = Tokenizer(models.WordPiece(unk_token=unknown))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    learner.train_from_iterator(
        _repeated(words),
        trainers.WordPieceTrainer(
            vocab_size=architecture.vocabulary,
            special_tokens=[*special.tokens, *continuing],
            initial_alphabet=letters,
            limit_alphabet=len(letters),
            show_progress=False,
        ),
    )
    inner = Tokenizer(models.WordPiece(learner.get_vocab(), unk_token=unknown))
    inner.normalizer, inner.pre_tokenizer, inner.decoder = normalizer, splitter, decoders.WordPiece()
    return inner


def _bpe(texts: Iterable[str], architecture: Architecture, special: SpecialTokens) -> Tokenizer:
    """Of bytes: no text is unknown to it, so that the vocabulary holds the 256 bytes before anything is learnt."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    normalizer = normalizers.Sequence([normalizers.NFC(), *([normalizers.Lowercase()] * architecture.folds_capitals)])
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = _words(texts, normalizer, splitter)
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # words are split and in byte letters already
    inner.train_from_iterator(
        _repeated(words),
        trainers.BpeTrainer(
            vocab_size=max(architecture.vocabulary, 256 + len(special.tokens)),
            special_tokens=special.tokens,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    inner.normalizer, inner.pre_tokenizer, inner.decoder = normalizer, splitter, decoders.ByteLevel()
    return inner


def _unigram(texts: Iterable[str], architecture: Architecture, special: SpecialTokens) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            *([normalizers.Lowercase()] * architecture.folds_capitals),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    splitter = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    words = _words(texts, normalizer, splitter)
    if not words:
        raise DataDamaged("the training texts hold no words to learn tokens from", mend="--data with texts of words")
    letters, _ = _letters(words, limit=max(architecture.vocabulary // 4, 16))
    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    learner.train_from_iterator(
        _repeated({word: min(count, LARGEST_COUNT) for word, count in words.items()}),
        trainers.UnigramTrainer(
            vocab_size=architecture.vocabulary,
            special_tokens=special.tokens,
            unk_token=special.roles["unk"],
            initial_alphabet=letters,
            show_progress=False,
        ),
    )
    inner = Tokenizer(_canonical(learner, special))
    inner.normalizer, inner.pre_tokenizer = normalizer, splitter
    inner.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    return inner


def _canonical(learner: Tokenizer, special: SpecialTokens) -> Any:
    """The pieces in an order of their own: the trainer's sums run over a hash table and differ after 13 digits."""
    from tokenizers import models

    tokens = special.tokens
    pieces = [(piece, score) for piece, score in json.loads(learner.to_str())["model"]["vocab"] if piece not in tokens]
    ordered = sorted(((piece, round(score, 8)) for piece, score in pieces), key=lambda one: (-one[1], one[0]))
    return models.Unigram([*((token, 0.0) for token in tokens), *ordered], unk_id=tokens.index(special.roles["unk"]))


def _words(texts: Iterable[str], normalizer: Any, splitter: Any) -> Counter[str]:
    """How often each word occurs, as the tokenizer will split them."""
    words = Counter[str]()
    for text in texts:
        words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    return words


def _repeated(words: Mapping[str, int]) -> Iterator[str]:
    """Each word as often as it occurs, sorted, some thousand a line."""
    for word, count in sorted(words.items()):
        for done in range(0, count, REPEATED):
            yield " ".join([word] * min(REPEATED, count - done))


def _letters(words: Mapping[str, int], *, limit: int) -> tuple[list[str], list[str]]:
    """The most frequent letters, and those of them that stand inside words, as "##a"; both sorted.

    Every letter costs a token: a text of many scripts must not spend the whole vocabulary on letters.
    """
    counts, inside = Counter[str](), set[str]()
    for word, count in words.items():
        for letter in word:
            counts[letter] += count
        inside.update(word[1:])
    letters = sorted(sorted(counts, key=lambda letter: (-counts[letter], letter))[:limit])
    return letters, [f"##{letter}" for letter in letters if letter in inside]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums over several threads differ in their last bits, and a tokenizer with them."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
