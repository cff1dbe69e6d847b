"""Promises of models from scratch: what can be built is a standard BERT; nonsense is refused with the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from core_model.architectures import Architecture, read_architecture
from core_model.errors import OptionUnfit
from core_model.tokenizer_training import train_tokenizer
from tests.core_model.training_world import planted_table


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "shape.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_example_in_the_docstring_is_read_and_has_the_size_it_claims(tmp_path: Path):
    import textwrap

    from transformers import BertForSequenceClassification

    import core_model.architectures as module

    assert module.__doc__ is not None
    block = module.__doc__.split("\n\n")[1]
    architecture = read_architecture(written(tmp_path, textwrap.dedent(block)))
    model = BertForSequenceClassification(architecture.config(vocabulary=architecture.vocabulary, labels=["a", "b"]))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(1.85e6, rel=0.01)


def test_the_shape_becomes_a_standard_configuration():
    config = Architecture(layers=3, hidden=48, heads=6, max_length=40, dropout=0.2).config(
        vocabulary=100, labels=["no", "yes", "maybe"]
    )
    assert config.model_type == "bert"
    assert (config.num_hidden_layers, config.num_attention_heads, config.intermediate_size) == (3, 6, 192)
    assert (config.vocab_size, config.max_position_embeddings, config.hidden_dropout_prob) == (100, 40, 0.2)
    assert config.id2label == {0: "no", 1: "yes", 2: "maybe"}


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("hidden = 100\nheads = 12", r"shape\.toml: hidden = 100 is not divisible by heads = 12(.|\n)*hidden = 96 or"),
        ("hiden = 128", r"no option 'hiden'(.|\n)*Try: hidden = \.\.\."),
        ("layers = 0", r"layers = 0 does not fit \(Transformer blocks(.|\n)*greater than or equal to 1"),
        ("layers = 'many'", r"layers = 'many' does not fit"),
        ('kind = "decodr"', r"kind = 'decodr'(.|\n)*'encoder', 'decoder' or 'encoder-decoder'"),
        (
            'kind = "decoder"\nfamily = "t5"',
            r"'t5' is no decoder(.|\n)*'llama' or 'gpt2'(.|\n)*'encoder-decoder'",
        ),
        ("decoder_layers = 2", r"decoder_layers is read by an encoder-decoder"),
        ('kind = "decoder"\nhidden = 60\nheads = 4', r"hidden / heads = 15 is odd(.|\n)*hidden = 56"),
        ('kind = "encoder-decoder"\nhidden = 33\nheads = 3', r"hidden = 33 is odd(.|\n)*hidden = 34"),
        ("layers = 2\nheads = = 3", r"is not TOML(.|\n)*line 2"),
        ("[encoder]\nlayers = 2", r"\[encoder\] is a table(.|\n)*top of the file"),
        ("dropout = 1.0", r"dropout = 1\.0(.|\n)*less than 1"),
        ("layers = 2.5", r"layers = 2\.5"),
    ],
)
def test_nonsense_is_refused_with_its_mend(tmp_path: Path, text: str, letter: str):
    with pytest.raises(OptionUnfit, match=letter):
        read_architecture(written(tmp_path, text))


def test_a_missing_file_names_its_flag(tmp_path: Path):
    with pytest.raises(OptionUnfit, match="--architecture"):
        read_architecture(tmp_path / "absent.toml")


def test_the_tokenizer_knows_the_words_of_the_data_and_is_the_same_each_time():
    table = planted_table()
    architecture = Architecture(vocabulary=300)
    first, *others = (train_tokenizer(table.texts, architecture) for _ in range(4))
    assert {other.backend_tokenizer.to_str() for other in others} == {first.backend_tokenizer.to_str()}
    assert len(first) <= 300
    assert "##a" not in first.all_special_tokens
    ids = first("The Good film")["input_ids"]
    assert first.convert_ids_to_tokens(ids) == ["[CLS]", "the", "good", "film", "[SEP]"]
    assert first.pad_token_id == 0
    assert first("good", "bad")["token_type_ids"] == [0, 0, 0, 1, 1]


def test_many_scripts_do_not_spend_the_whole_vocabulary_on_letters():
    texts = ["".join(chr(0x4E00 + i) for i in range(start, start + 40)) for start in range(0, 4000, 40)]
    tokenizer = train_tokenizer([*texts, *["good bad good"] * 50], Architecture(vocabulary=200))
    assert len(tokenizer) <= 200
    assert "good" in tokenizer.get_vocab()


@pytest.mark.parametrize("tokenizer", ["bpe", "unigram"])
def test_every_kind_of_tokenizer_is_the_same_each_time(tokenizer):
    architecture = Architecture(kind="encoder-decoder", tokenizer=tokenizer, vocabulary=400)
    texts = list(planted_table(400).texts)
    first, again = (train_tokenizer(texts, architecture).backend_tokenizer.to_str() for _ in range(2))
    assert first == again
