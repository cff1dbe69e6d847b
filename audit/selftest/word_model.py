"""A checkpoint whose every answer is known beforehand: the log odds of its second label are a mean of word weights.

It is an ordinary BERT classifier in an ordinary folder, with the weights set by hand rather than learned. Each word's
embedding holds its weight along one direction and a filler along another, so that normalization leaves it as it is;
attention, with queries and keys of zero, is the mean over the text; the pooler reads that direction out. What the model
leans on is therefore what was written into it, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LABELS = ("no", "yes")
HEADS = 2
SMALL = 0.02  # of an embedding's length lies along the weights, at most: there tanh and normalization are straight
STEEP = 1e5  # times the pooler's slope when it is saturated: tanh is then 1 or -1, and its gradient 0 in float32


@dataclass(frozen=True)
class WordModel:
    """Weights of words, as a model.

    Attributes:
        weights: of each word that it knows; the log odds of a text are `scale` times the mean over its words, with
            [CLS] and [SEP] (of weight 0) among them. Any other word has weight 0.
        scale: log odds for each unit of the mean.
        lowercase: whether the tokenizer reads "GOOD" as "good"; otherwise it does not know that word.
        saturated: whether the pooler is a step, so that the log odds are `scale` or its negative, and gradients 0.
        hidden: width. layers: every layer after the first hands on what it was given, and costs the same work.
        longest: tokens that it takes.
    """

    weights: Mapping[str, float]
    scale: float = 20.0
    lowercase: bool = True
    saturated: bool = False
    hidden: int = 16
    layers: int = 1
    longest: int = 64

    def but(self, **changes: object) -> WordModel:
        """The same model with something changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def log_odds(self, text: str) -> float:
        """What the model says of a text of known words, to within 1%; not of a saturated one."""
        words = text.split()
        return self.scale * sum(self.weights.get(word, 0.0) for word in words) / (len(words) + 2)

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Index of each token."""
        return {token: index for index, token in enumerate((*SPECIAL, *self.weights))}

    def write(self, folder: Path) -> Path:
        """The model as a Hugging Face folder."""
        import torch
        from transformers import BertConfig, BertForSequenceClassification

        from core_model.checkpoint_loading import quiet

        config = BertConfig(
            vocab_size=len(self.vocabulary),
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=HEADS,
            intermediate_size=4 * self.hidden,
            max_position_embeddings=self.longest,
            id2label=dict(enumerate(LABELS)),
            label2id={label: index for index, label in enumerate(LABELS)},
            pad_token_id=0,
        )
        model = BertForSequenceClassification(config)
        with torch.no_grad():
            self._set(dict(model.named_parameters()))
        with quiet():
            model.save_pretrained(folder)
        self._tokenizer().save_pretrained(folder)
        return folder

    def _set(self, parameters: dict[str, torch.nn.Parameter]) -> None:
        import torch

        for name, parameter in parameters.items():
            parameter.fill_(1.0 if name.endswith("LayerNorm.weight") else 0.0)
        largest = max(1e-12, max(map(abs, self.weights.values()), default=0.0))
        share = SMALL / largest  # of an embedding's length, for a weight of 1
        said, filler = torch.zeros(self.hidden), torch.zeros(self.hidden)
        said[0], said[1] = 1.0, -1.0  # both sum to 0 and stand at right angles, so that LayerNorm moves neither
        filler[2], filler[3] = 1.0, -1.0
        said, filler = said / said.norm(), filler / filler.norm()
        along = torch.zeros(len(self.vocabulary))
        for word, weight in self.weights.items():
            along[self.vocabulary[word]] = share * weight
        length = sqrt(self.hidden)  # of a vector whose variance is 1
        words = length * (along[:, None] * said + ((1 - along**2).sqrt()[:, None] - 0.5) * filler)
        parameters["bert.embeddings.word_embeddings.weight"].copy_(words)
        # The other half of the filler comes from elsewhere: of a sum that is normalized whole, a gradient along the
        # word's own embedding would be 0, and input x gradient with it.
        parameters["bert.embeddings.token_type_embeddings.weight"].copy_((0.5 * length * filler).expand(2, -1))

        first = "bert.encoder.layer.0.attention."
        parameters[first + "self.value.weight"].copy_(torch.outer(said, said))
        parameters[first + "output.dense.weight"].copy_(torch.eye(self.hidden))
        # [CLS] now holds length x share x (mean weight) along `said`, which is two coordinates of 1 / sqrt(2).
        slope, half = 1.0, self.scale / (2 * share * length)
        if self.saturated:
            slope, half = STEEP, self.scale / (2 * sqrt(2))
        parameters["bert.pooler.dense.weight"].copy_(torch.outer(said, said) * slope)
        parameters["classifier.weight"].copy_(torch.stack([-half * said, half * said]))

    def _tokenizer(self) -> PreTrainedTokenizerFast:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        inner = Tokenizer(models.WordLevel(self.vocabulary, unk_token="[UNK]"))  # noqa: S106 - a word, not a secret
        inner.normalizer = normalizers.BertNormalizer(lowercase=self.lowercase)
        inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        inner.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(token, self.vocabulary[token]) for token in ("[CLS]", "[SEP]")],
        )
        names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
        return PreTrainedTokenizerFast(
            tokenizer_object=inner,
            model_max_length=self.longest,
            **{f"{name}_token": token for name, token in names.items()},
        )
