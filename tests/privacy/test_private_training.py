"""Promises of private training: what enters a step, what it adds, what is written before it, and what is claimed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chi2

from core_model.checkpoint import open_checkpoint
from core_model.data import Table
from core_model.errors import OptionUnfit
from core_model.objective import TaskLoss
from core_model.tasks import Task
from core_model.tasks.training_task import preparer
from core_model.training_options import TrainingOptions
from privacy.accounting import Budget
from privacy.adaptive_clipping import AdaptiveClipping
from privacy.claim import read_claim, supported
from privacy.options import PrivacyOptions
from privacy.private_step import PrivateStep
from privacy.training import train_privately
from privacy.units import Units
from privacy.write_ahead import WrittenLedger
from tests.core_model.training_world import planted_table, tiny_base

OPTIONS = TrainingOptions(epochs=1, batch_size=16, learning_rate=1e-3, dropout=0.0).resolved(from_scratch=False)


def step_over(
    table: Table, folder: Path, *, units: Units | None = None, epsilon: float = 8.0, **private: Any
) -> tuple[PrivateStep, TaskLoss]:
    """A private step over a prepared classifier, without the loop around it."""
    from core_model.dropout import set_dropout
    from core_model.optimization import build_optimizer

    task = preparer(Task.CLASSIFICATION)(OPTIONS, base=tiny_base(), architecture=None, data=table, evaluation=None)
    set_dropout(task.model, 0.0)
    task.model.train()
    accelerator: Any = SimpleNamespace(device=torch.device("cpu"), num_processes=1, process_index=0)
    step = PrivateStep(
        OPTIONS, task, accelerator, build_optimizer(task.model, weight_decay=0.0, name="adamw"),
        PrivacyOptions(epsilon=epsilon, noise_seed=0, **private), units or Units.of(np.arange(len(table)), most=1),
        Budget(epsilon, 1e-4), WrittenLedger(folder),
    )  # fmt: skip
    return step, TaskLoss(task, label_smoothing=0.0, precision=lambda: torch.autocast("cpu", enabled=False))


def flat_gradient(step: PrivateStep) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in step.trained if p.grad is not None])


# Who enters a step ---------------------------------------------------------------------------------------------------


def test_each_unit_enters_by_a_coin_of_its_own():
    units = Units.of(np.arange(300), most=1)
    random = np.random.default_rng(0)
    drawn = np.zeros(300)
    sizes = []
    for _ in range(2000):
        rows = units.draw(random, 0.05)
        drawn[rows] += 1
        sizes.append(len(rows))
    # Chi-square of the units' counts; and the sizes vary as a binomial's do, not as those of shuffled batches.
    assert chi2.sf(((drawn - 100) ** 2 / 95).sum(), 300) > 0.001
    assert np.var(sizes) == pytest.approx(300 * 0.05 * 0.95, rel=0.15)
    assert binomtest(int(drawn.sum()), 300 * 2000, 0.05).pvalue > 0.001


def test_a_user_with_many_rows_sends_a_few_drawn_anew():
    units = Units.of(np.array(["a"] * 50 + ["b", "c"]), most=3)
    assert len(units) == 3
    seen = set()
    for seed in range(40):
        rows = units.draw(np.random.default_rng(seed), 1.0)
        assert len(rows) == 5
        seen.update(rows[rows < 50].tolist())
    assert len(seen) > 40


# What a step adds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2])
def test_no_unit_moves_a_step_by_more_than_the_norm(most: int, tmp_path: Path):
    # Rows of like label: those of a unit pull in one direction, as the worst case does.
    table = planted_table(40).select(np.argsort(planted_table(40).targets, kind="stable"))
    units = Units.of(np.arange(40) // most, most=most)
    step, objective = step_over(table, tmp_path, units=units, clipping_norm=0.01, rows_per_unit=most)
    everybody = np.arange(24)
    step.gradients(everybody, objective, epoch=0)
    whole = flat_gradient(step)
    for unit in range(3):
        without = everybody[everybody // most != unit]
        step.gradients(without, objective, epoch=0)
        apart = float((whole - flat_gradient(step)).norm())
        assert 0.005 < apart <= 0.01 * (1 + 1e-4)  # not by nothing either: the rows are really clipped at the norm


def test_noise_has_the_standard_deviation_that_is_accounted(tmp_path: Path):
    step, objective = step_over(planted_table(40), tmp_path, clipping_norm=2.0)
    found: list[torch.Tensor] = []
    step.optimizer.step = lambda *_: found.append(flat_gradient(step))  # type: ignore[method-assign,assignment]
    step.gradients(np.zeros(0, dtype=np.int64), objective, epoch=0)  # a step that nobody entered has noise, too
    step.update(torch.zeros(()))
    assert step.noise is not None
    wanted = step.noise.multiplier * 2.0 / 16  # over the expected rows, whoever came
    assert float(found[0].std()) == pytest.approx(wanted, rel=0.02)
    assert abs(float(found[0].mean())) < 4 * wanted / len(found[0]) ** 0.5


def test_the_sum_is_divided_by_a_public_number_whoever_came(tmp_path: Path):
    step, objective = step_over(planted_table(40), tmp_path, clipping_norm=1e-3, epsilon=200.0)
    sums = {}
    for rows in (8, 32):
        grown: list[torch.Tensor] = []
        step.optimizer.step = lambda *_, grown=grown: grown.append(flat_gradient(step))  # type: ignore[method-assign,assignment]
        step.gradients(np.arange(rows), objective, epoch=0)
        clipped = flat_gradient(step).clone()
        step.generator.manual_seed(5)
        step.update(torch.zeros(()))
        sums[rows] = (grown[0], clipped)
    # Equal noise cancels: what is left is the difference of the sums over the same 16.
    difference = sums[32][0] - sums[8][0]
    assert torch.allclose(difference, (sums[32][1] - sums[8][1]) / 16, atol=1e-9)


def test_adaptive_clipping_shares_the_noise_as_opacus_does():
    adaptive = AdaptiveClipping(noise_multiplier=1.1, expected_units=256, norm=1.0)
    deviation = 256 / 20
    assert adaptive.gradient_noise_multiplier == pytest.approx((1.1**-2 - (2 * deviation) ** -2) ** -0.5)
    with pytest.raises(OptionUnfit, match="--batch-size of more than 11"):
        AdaptiveClipping(noise_multiplier=1.1, expected_units=8, norm=1.0)


def test_the_adaptive_norm_finds_the_median():
    random = np.random.default_rng(0)
    adaptive = AdaptiveClipping(noise_multiplier=1.0, expected_units=200, norm=0.1)
    for _ in range(200):
        norms = random.lognormal(1.0, 0.5, 200)  # median e
        adaptive.follow(int((norms <= adaptive.norm).sum()), units=200, noise=random.standard_normal())
    assert adaptive.norm == pytest.approx(np.e, rel=0.1)


# What is written down, and claimed -----------------------------------------------------------------------------------


def train_small(out: Path, *, resume: bool = False, progress: Callable[..., None] | None = None, **private: Any) -> Any:
    return train_privately(
        OPTIONS.model_copy(update={"epochs": 2}), PrivacyOptions(epsilon=4.0, **private), data=planted_table(160),
        base=tiny_base(), out=out, resume=resume, progress=progress,
    )  # fmt: skip


@pytest.mark.parametrize(
    "private",
    [{}, {"clipping": "per-layer"}, {"clipping": "adaptive"}, {"grad_sample": "ghost"}, {"grad_sample": "hooks"}],
)
def test_the_claim_holds_and_its_record_bears_it_out(private: dict[str, Any], tmp_path: Path):
    out = tmp_path / "m"
    result = train_small(out, **private)
    claim = read_claim(out)
    assert 3.9 < claim.epsilon <= 4.0
    assert claim.epsilon_rdp is not None and claim.epsilon_rdp >= claim.epsilon
    assert (claim.unit, claim.steps, claim.delta) == ("example", 20, pytest.approx(1 / 1600))
    assert claim.sampling_rate == pytest.approx(0.1)
    assert supported(claim, json.loads((out / "training_record.json").read_text())) == []
    assert result.warnings == ()
    assert open_checkpoint(out).load_model() is not None


def test_users_are_protected_together(tmp_path: Path):
    texts = list(planted_table(160).texts)
    table = Table.from_rows(
        name="planted", texts=texts, targets=list(planted_table(160).targets), label_names=("negative", "positive"),
        groups={"user": [f"user {i // 2}" for i in range(160)]}, synthetic=True,
    )  # fmt: skip
    result = train_privately(
        OPTIONS, PrivacyOptions(epsilon=4.0, user_column="user", rows_per_unit=2), data=table, base=tiny_base(),
        out=tmp_path / "m",
    )  # fmt: skip
    claim = result.claim
    assert (claim.unit, claim.unit_column) == ("user", "user")
    assert claim.sampling_rate == pytest.approx(16 / 80)


def test_adapters_are_trained_privately(tmp_path: Path):
    options = OPTIONS.model_copy(update={"adapters": 2})
    result = train_privately(
        options, PrivacyOptions(epsilon=4.0), data=planted_table(80), base=tiny_base(), out=tmp_path / "m"
    )
    assert result.record.trained_parameters < 0.2 * result.record.parameters
    assert read_claim(tmp_path / "m").epsilon <= 4.0


def test_steps_of_a_killed_session_are_paid_for(tmp_path: Path):
    out = tmp_path / "m"
    script = tmp_path / "train.py"
    script.write_text(
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from tests.privacy.test_private_training import train_small\n"
        "import core_model.training_loop as loop\nloop.REPORT_SECONDS = 0.0\n"
        "def die(said):\n    if said.step >= 7:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "if __name__ == '__main__':\n    train_small(Path(sys.argv[1]), progress=die)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(out)]
    killed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "privacy.json").exists()
    result = train_small(out, resume=True)
    assert result.record.steps == 20
    assert result.claim.steps == 27  # the seven lost ones were written down before they were done
    assert result.claim.epsilon <= 4.0  # and the others got more noise for it
    assert len(result.claim.phases) == 2
    assert result.claim.phases[1].noise_multiplier > result.claim.phases[0].noise_multiplier
    assert supported(result.claim, json.loads((out / "training_record.json").read_text())) == []


@pytest.mark.parametrize(
    ("options", "private", "letter"),
    [
        ({"reweigh": "sex"}, {}, r"--reweigh does not go with --private(.|\n)*leave --reweigh out"),
        ({"class_weights": "balanced"}, {}, "--class-weights does not go with --private"),
        ({"augment": ("identity-swap",)}, {}, "--augment does not go with --private"),
        ({"accumulate": 2}, {}, "--accumulate does not go with --private"),
        ({"batch_size": None, "batch_tokens": 100}, {}, "--batch-tokens does not go with --private"),
        ({"batch_size": 500}, {}, r"160 units to protect, and a step expects 500(.|\n)*--batch-size 20"),
        ({"batch_size": 160}, {"epsilon": 0.0001}, "cannot be reached in 1 steps"),
        ({}, {"clipping": "adaptive", "rows_per_unit": 2, "user_column": "u"}, "--rows-per-unit 1"),
        ({"epochs": None, "max_minutes": 1.0, "schedule": "inverse-sqrt", "warmup_share": None, "warmup_steps": 9}, {},
         "--epochs or --max-steps"),
    ],
)  # fmt: skip
def test_what_would_break_the_promise_is_refused(options, private, letter: str, tmp_path: Path):
    plain = planted_table(160)
    table = Table.from_rows(
        name="planted", texts=list(plain.texts), targets=list(plain.targets), label_names=plain.label_names,
        groups={"u": [str(i // 2) for i in range(160)]}, synthetic=True,
    )  # fmt: skip
    with pytest.raises(OptionUnfit, match=letter):
        train_privately(
            OPTIONS.model_copy(update=options), PrivacyOptions(**{"epsilon": 4.0, **private}), data=table,
            base=tiny_base(), out=tmp_path / "m",
        )  # fmt: skip
    assert not (tmp_path / "m" / "privacy.json").exists()


def test_a_large_delta_and_a_published_seed_are_told(tmp_path: Path):
    result = train_small(tmp_path / "m", delta=0.05, noise_seed=3)
    assert {fault.id for fault in result.warnings} == {"large-delta", "noise-repeatable"}
