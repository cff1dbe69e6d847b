"""Promise of dropout: one flag does what setting each name of the config by hand does, in every architecture."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core_model.dropout import set_dropout
from core_model.errors import OptionUnfit

# Names as transformers documents them for each architecture.
SIZES: dict[str, Any] = {"vocab_size": 40, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
ENCODER = {**SIZES, "intermediate_size": 16}
TWO_SIDED = {
    "vocab_size": 40, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "pad_token_id": 0,
}  # fmt: skip
MODELS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "BertForSequenceClassification": ("BertConfig", ENCODER, ["hidden_dropout_prob", "attention_probs_dropout_prob"]),
    "RobertaForSequenceClassification": (
        "RobertaConfig", ENCODER, ["hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"],
    ),
    "DistilBertForSequenceClassification": (
        "DistilBertConfig", {"vocab_size": 40, "dim": 16, "n_heads": 2, "n_layers": 1, "hidden_dim": 16},
        ["dropout", "attention_dropout", "seq_classif_dropout", "qa_dropout"],
    ),
    "GPT2LMHeadModel": (
        "GPT2Config", {"vocab_size": 40, "n_embd": 16, "n_head": 2, "n_layer": 1},
        ["resid_pdrop", "embd_pdrop", "attn_pdrop", "summary_first_dropout"],
    ),
    "LlamaForCausalLM": ("LlamaConfig", ENCODER, ["attention_dropout"]),
    "T5ForConditionalGeneration": (
        "T5Config", {"vocab_size": 40, "d_model": 16, "num_heads": 2, "num_layers": 1, "d_kv": 8, "d_ff": 16},
        ["dropout_rate", "classifier_dropout"],
    ),
    "MarianMTModel": ("MarianConfig", TWO_SIDED, ["dropout", "attention_dropout", "activation_dropout"]),
    "BartForConditionalGeneration": (
        "BartConfig", TWO_SIDED, ["dropout", "attention_dropout", "activation_dropout", "classifier_dropout"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("architecture", MODELS)
def test_one_share_for_all_is_each_name_set_by_hand(architecture):
    import transformers

    config_name, sizes, names = MODELS[architecture]

    def build(**shares: float) -> Any:
        torch.manual_seed(0)
        config = getattr(transformers, config_name)(**sizes, **shares)
        return getattr(transformers, architecture)(config).train()

    def output(model: Any) -> torch.Tensor:
        ids = torch.arange(3, 27).reshape(3, 8)
        inputs = {"input_ids": ids, **({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})}
        torch.manual_seed(1)
        return model(**inputs).logits

    ours, plain, oracle = build(), build(), build(**dict.fromkeys(names, 0.45))
    set_dropout(ours, 0.45)
    assert torch.equal(output(ours), output(oracle))
    assert not torch.equal(output(ours), output(plain))
    assert all(getattr(ours.config, name) in (0.45, None) for name in names)  # None: "as hidden_dropout_prob"
    set_dropout(ours, 0.0)
    assert torch.equal(output(ours), output(ours.eval()))
    assert getattr(ours.config, "encoder_layerdrop", 0.0) == 0.0


def test_a_model_without_dropout_is_refused():
    from types import SimpleNamespace

    model = torch.nn.Linear(2, 2)
    model.config = SimpleNamespace(layerdrop=0.1)  # type: ignore[assignment]
    with pytest.raises(OptionUnfit, match="leave --dropout out"):
        set_dropout(model, 0.1)  # type: ignore[arg-type]
