"""Promises of the shorter way: taken where it gives the same numbers, left where it would not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core_model.prediction_forward import Forward
from core_model.prediction_speed import shortened
from tests.core_model.prediction_models import open_tiny


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_an_encoder_of_berts_kind_is_shortened_and_shares_its_weights(tmp_path, family):
    model = open_tiny(tmp_path, family).load_model()
    short = shortened(model)
    assert short is not model
    assert {p.data_ptr() for p in short.parameters()} == {p.data_ptr() for p in model.parameters()}
    ids = torch.randint(5, 90, (6, 11), generator=torch.Generator().manual_seed(3))
    mask = (torch.arange(11) < torch.tensor([11, 3, 1, 7, 11, 2])[:, None]).long()
    with torch.inference_mode():
        for given in (None, mask):
            whole = model(input_ids=ids, attention_mask=given)
            np.testing.assert_allclose(short(input_ids=ids, attention_mask=given).logits, whole.logits, atol=1e-5)


@pytest.mark.parametrize("family", ["distilbert", "gpt2"])
def test_another_architecture_is_left_alone(tmp_path, family):
    model = open_tiny(tmp_path, family).load_model()
    assert shortened(model) is model


def test_a_head_that_reads_every_token_is_left_alone(tmp_path):
    model = open_tiny(tmp_path).load_model()

    class MeanPooler(torch.nn.Module):
        def forward(self, hidden):
            return hidden.mean(dim=1)

    model.bert.pooler = MeanPooler()
    assert shortened(model) is model


def test_the_whole_model_still_computes_every_token(tmp_path):
    forward = Forward(open_tiny(tmp_path), "cpu")
    assert forward.short is not forward.model
    hidden = forward.model.bert(input_ids=torch.full((2, 7), 9)).last_hidden_state
    assert hidden.shape == (2, 7, 32)
