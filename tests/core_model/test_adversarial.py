"""Promises of adversarial training: FreeLB's gradient, in the ball, and answers that withstand shifted embeddings."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from core_model.adversarial import FreeLB, ascend, first_shift, row_norms, shifted
from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.errors import TaskUnfit
from core_model.tasks import Task
from core_model.training import TrainingResult, train
from core_model.training_options import TrainingOptions
from tests.core_model.task_worlds import SHAPES, world
from tests.core_model.training_world import planted_table, tiny_base

TINY = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def classifier() -> BertForSequenceClassification:
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**TINY, initializer_range=0.5))
    return model.eval()


def batch_of() -> dict[str, torch.Tensor]:
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 11, 3, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids > 0).long(), "targets": torch.tensor([0, 1])}


class Plain:
    """The loss of a classifier, summed over the rows."""

    def backward(self, model, batch, *, rows, weight, backward):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = cross_entropy(logits, batch["targets"], reduction="sum")
        backward(loss * weight)
        return loss.detach()


def freelb(model, *, steps: int, radius: float = 0.3, step_size: float = 0.2) -> torch.Tensor:
    """The loss that FreeLB returns; gradients stay with the model."""
    objective = FreeLB(
        Plain(), embeddings=model.get_input_embeddings(), steps=steps, radius=radius, step_size=step_size
    )
    torch.manual_seed(7)
    return objective.backward(
        model, batch_of(), rows=np.arange(2), weight=0.5, backward=lambda loss: loss.backward()
    )  # fmt: skip


def slow_freelb(model, *, steps: int, radius: float, step_size: float) -> tuple[float, dict[str, torch.Tensor]]:
    """Algorithm 1 of Zhu et al. 2020, a row at a time, through inputs_embeds."""
    batch = batch_of()
    torch.manual_seed(7)
    drawn = torch.rand(2, 5, 16) * 2 - 1
    total, gradients = 0.0, {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for row, length in ((0, 5), (1, 3)):
        ids, target = batch["input_ids"][row : row + 1, :length], batch["targets"][row : row + 1]
        size = float(model.get_input_embeddings()(ids).detach().norm())
        shift = drawn[row : row + 1, :length] * radius * size / np.sqrt(length * 16)
        for _ in range(steps):
            shift = shift.detach().requires_grad_()
            vectors = model.get_input_embeddings()(ids) + shift
            loss = cross_entropy(model(inputs_embeds=vectors).logits, target)
            total += float(loss.detach()) / steps
            own = torch.autograd.grad(loss, [shift, *model.parameters()], allow_unused=True)
            for (name, _p), gradient in zip(model.named_parameters(), own[1:], strict=True):
                gradients[name] += 0 if gradient is None else gradient * 0.5 / steps
            shift = shift.detach() + step_size * size * own[0] / own[0].norm()
            if shift.norm() > radius * size:
                shift = shift * radius * size / shift.norm()
    return total, gradients


@pytest.mark.parametrize("steps", [1, 3])
def test_the_gradient_is_that_of_the_papers_algorithm_row_by_row(steps):
    model = classifier()
    loss = freelb(model, steps=steps)
    expected, gradients = slow_freelb(model, steps=steps, radius=0.3, step_size=0.2)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(parameter.grad, gradients[name], atol=1e-5), name


def test_with_no_room_to_move_the_gradient_is_the_plain_one():
    model = classifier()
    freelb(model, steps=2, radius=1e-9, step_size=1e-9)
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    Plain().backward(model, batch_of(), rows=np.arange(2), weight=0.5, backward=lambda loss: loss.backward())
    assert all(torch.allclose(found[n], p.grad, atol=1e-6) for n, p in model.named_parameters() if p.grad is not None)


def test_dropout_is_the_same_in_every_step():
    """With no room to move, all steps see the same input: they have the same loss only if dropout is the same."""
    model = classifier().train()
    losses: list[float] = []

    class Noting(Plain):
        def backward(self, *arguments, **named):
            losses.append(float(super().backward(*arguments, **named)))
            return torch.tensor(losses[-1])

    objective = FreeLB(Noting(), embeddings=model.get_input_embeddings(), steps=3, radius=1e-9, step_size=1e-9)
    objective.backward(model, batch_of(), rows=np.arange(2), weight=1.0, backward=lambda loss: loss.backward())
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_a_shift_stays_in_the_ball_spares_padding_and_climbs():
    scale, attended = torch.tensor([[[4.0]], [[2.0]]]), torch.tensor([[1, 1, 1], [1, 1, 0]]).unsqueeze(-1)
    shift = first_shift(scale * 0.5, attended, width=8)
    assert (row_norms(shift) <= scale * 0.5).all() and (shift[1, 2] == 0).all() and shift.any()
    gradient = torch.randn(2, 3, 8) * attended
    moved = ascend(shift, gradient, scale, step_size=0.25, radius=0.5)
    assert (row_norms(moved) <= scale * 0.5 + 1e-6).all()
    assert ((moved - shift) * gradient).sum() > 0
    assert torch.equal(ascend(shift, torch.zeros_like(gradient), scale, step_size=0.25, radius=0.5), shift)


def test_a_decoder_takes_the_shift_as_through_inputs_embeds():
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**TINY)).eval()
    ids, shift = torch.tensor([[5, 6, 7]]), torch.randn(1, 3, 16)
    with torch.no_grad():
        with shifted(model.get_input_embeddings(), ids, shift):
            found = model(input_ids=ids).logits
        assert torch.allclose(found, model(inputs_embeds=model.get_input_embeddings()(ids) + shift).logits, atol=1e-5)


def test_of_an_encoder_decoder_the_source_alone_is_shifted():
    """T5 embeds source and target by one layer; here they have the same length, so that both would fit."""
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0)
    ).eval()
    ids, labels, shift = torch.tensor([[5, 6, 7]]), torch.tensor([[8, 9, 1]]), torch.randn(1, 3, 16)
    embeddings = model.get_encoder().get_input_embeddings()
    with torch.no_grad():
        with shifted(embeddings, ids, shift):
            found = model(input_ids=ids, labels=labels).logits
        assert torch.allclose(found, model(inputs_embeds=embeddings(ids) + shift, labels=labels).logits, atol=1e-5)


def test_a_model_that_embeds_in_another_way_is_refused():
    other = torch.nn.Embedding(50, 16)
    with (
        pytest.raises(TaskUnfit, match=r"0 times(.|\n)*leave --adversarial out"),
        shifted(other, torch.tensor([[1]]), torch.zeros(1, 1, 16)),
    ):
        classifier()(input_ids=torch.tensor([[1]]))


# Whole trainings


def run(base: Checkpoint, *, epochs: int, learning_rate: float, **changes) -> TrainingResult:
    options = TrainingOptions(epochs=epochs, batch_size=16, learning_rate=learning_rate, **changes)
    out = Path(mkdtemp(prefix="aboveboard-robust-")) / "m"
    return train(options, base=base, data=planted_table(160), out=out)


@lru_cache
def trained(adversarial: bool) -> TrainingResult:
    """Six more epochs for a model that knows the task, plain or adversarial."""
    knowing = open_checkpoint(run(tiny_base(), epochs=4, learning_rate=3e-3).path)
    changes = {"adversarial": "freelb", "adversarial_radius": 0.3} if adversarial else {}
    return run(knowing, epochs=6, learning_rate=2e-3, **changes)


def accuracy_under_attack(path: Path, radius: float) -> float:
    """After ten steps of projected gradient ascent on the embeddings, which knows the weights and the answers."""
    checkpoint, rows = open_checkpoint(path), planted_table(200, 5)
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    batch = tokenizer(list(rows.texts), return_tensors="pt", padding=True)
    attended, targets = batch["attention_mask"].unsqueeze(-1), torch.tensor(np.array(rows.targets))
    vectors = model.get_input_embeddings()(batch["input_ids"]).detach()
    limit = radius * (vectors * attended).flatten(1).norm(dim=1)[:, None, None]
    shift = torch.zeros_like(vectors)
    for _ in range(10 if radius else 0):
        shift.requires_grad_()
        logits = model(inputs_embeds=vectors + shift, attention_mask=batch["attention_mask"]).logits
        [gradient] = torch.autograd.grad(cross_entropy(logits, targets, reduction="sum"), shift)
        shift = shift.detach() + limit / 4 * gradient / gradient.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]
        shift = shift * (limit / shift.flatten(1).norm(dim=1)[:, None, None]).clamp_max(1)
    with torch.no_grad():
        logits = model(inputs_embeds=vectors + shift, attention_mask=batch["attention_mask"]).logits
    return float((logits.argmax(1) == targets).float().mean())


def test_answers_withstand_an_attack_that_breaks_the_plain_model():
    plain, robust = trained(False).path, trained(True).path
    assert accuracy_under_attack(plain, 0.0) == accuracy_under_attack(robust, 0.0) == 1.0
    assert accuracy_under_attack(plain, 0.5) < 0.85
    assert accuracy_under_attack(robust, 0.5) > accuracy_under_attack(plain, 0.5) + 0.15


def test_the_record_says_how_far_and_in_which_unit():
    done = trained(True).record.mitigation["adversarial_training"]
    assert (done["steps"], done["radius"], done["step_size"]) == (3, 0.3, pytest.approx(0.25))
    assert done["unit"] == "the norm of a row's embeddings"
    assert "adversarial_training" not in trained(False).record.mitigation


@pytest.mark.parametrize(
    "task", [Task.LANGUAGE_MODELING, Task.TRANSLATION, Task.SUMMARIZATION, Task.QUESTION_ANSWERING]
)
def test_every_task_can_be_trained_adversarially(tmp_path: Path, task):
    def run_with(out: str, **changes) -> str:
        options = TrainingOptions(task=task, epochs=1, batch_size=32, **changes)
        result = train(options, architecture=SHAPES[task], data=world(task), out=tmp_path / out)
        return result.record.model_sha256

    plain, once = run_with("p"), run_with("a", adversarial="freelb", adversarial_steps=2)
    assert plain != once == run_with("b", adversarial="freelb", adversarial_steps=2)
