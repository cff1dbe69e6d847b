"""The plan is the accounting's, its ratios are those of simulated noise, and its command prints one object."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from pytest import approx

from audit.commands.privacy import privacy
from core_model.errors import OptionUnfit
from privacy.accounting import Ledger, Phase
from privacy.budget import CAVEAT, REGIMES, plan_budget, regime

ARGUMENTS = ["budget", "--epsilon", "8", "--rows", "10000", "--epochs", "3", "--batch-size", "32"]


@pytest.fixture(scope="module")
def plan():
    return plan_budget(epsilon=8, rows=10_000, epochs=3, batch_size=32, parameters=22_713_986, clipping_norm=0.5)


def test_the_plan_keeps_the_promise_and_wastes_little(plan):
    assert (plan.delta, plan.sampling_rate, plan.steps) == (approx(1e-5), 0.0032, 938)
    spent = Ledger((Phase(plan.noise_multiplier, 0.0032, 938),)).epsilon(plan.delta)
    assert plan.epsilon_spent == spent and 7.9 < spent <= 8 < plan.epsilon_rdp


def test_the_ratios_are_those_of_noise_that_was_drawn():
    plan = plan_budget(epsilon=2, rows=1000, epochs=40, batch_size=1000, parameters=4_000, clipping_norm=0.5)
    random, direction = np.random.default_rng(0), np.zeros(4_000)
    direction[7] = 1
    signal = plan.batch_size * plan.clipping_norm * direction  # every gradient at full length, in one direction
    noise = plan.noise_multiplier * plan.clipping_norm * random.normal(size=(plan.steps, 4_000))
    assert noise.std() == approx(plan.noise_standard_deviation, rel=0.01)
    assert (noise / plan.batch_size).std() == approx(plan.noise_standard_deviation_of_mean, rel=0.01)
    assert np.linalg.norm(signal) / noise[:, 7].std() == approx(plan.signal_to_noise_along, rel=0.3)
    assert np.linalg.norm(signal) / np.linalg.norm(noise, axis=1).mean() == approx(plan.signal_to_noise, rel=0.02)
    overall = plan.steps * np.linalg.norm(signal) / np.linalg.norm(noise.sum(axis=0))
    assert overall == approx(plan.signal_to_noise_training, rel=0.05)


def test_a_larger_batch_is_louder_for_the_same_promise(plan):
    larger = plan_budget(epsilon=8, rows=10_000, epochs=3, batch_size=512, parameters=22_713_986)
    assert larger.noise_multiplier > plan.noise_multiplier  # it needs more noise,
    assert larger.signal_to_noise_training > 2 * plan.signal_to_noise_training  # and is louder all the same


def test_regimes_change_where_signal_and_noise_are_equal():
    assert [regime(1.0, 30.0), regime(0.99, 1.0), regime(0.1, 0.99)] == list(REGIMES)
    assert regime(None, None) is None


def test_without_parameters_the_ratio_is_absent_and_says_why():
    shown = CliRunner().invoke(privacy, [*ARGUMENTS, "--accountant", "rdp"], catch_exceptions=False).output
    assert "not measured: --parameters is missing" in shown and CAVEAT in shown


def test_what_is_doubtful_is_noted():
    loose = plan_budget(epsilon=20, rows=10_000, epochs=1, batch_size=10_000, delta=1e-3)
    assert len(loose.notes) == 2 and "above 1/10,000" in loose.notes[0] and "proves little" in loose.notes[1]


def test_a_whole_batch_of_everything_is_planned_too():
    assert plan_budget(epsilon=8, rows=100, epochs=5, batch_size=100).sampling_rate == 1


@pytest.mark.parametrize(
    "wrong",
    [{"epsilon": 0}, {"epsilon": -8}, {"rows": 0}, {"epochs": 0}, {"batch_size": 0}, {"batch_size": 10_001},
     {"delta": 0.0}, {"delta": 1.0}, {"parameters": 0}, {"clipping_norm": 0.0}, {"epsilon": 1e-9}],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused_with_their_mend(wrong):
    with pytest.raises(OptionUnfit) as refused:
        plan_budget(**{"epsilon": 8, "rows": 10_000, "epochs": 3, "batch_size": 32, **wrong})
    assert "--" in refused.value.mend


def test_the_command_prints_what_people_need():
    shown = CliRunner().invoke(privacy, [*ARGUMENTS, "--parameters", "22713986"], catch_exceptions=False).output
    for words in ("epsilon 8 at delta 1e-05", "938 steps of 32 rows", "noise multiplier: 0.4", "by PRV", "by RDP",
                  "expect: noise leads"):  # fmt: skip
        assert words in shown
    assert max(len(line) for line in shown.splitlines()[:6]) < 160


def test_the_command_prints_one_object_as_json(plan):
    asked = [*ARGUMENTS, "--parameters", "22713986", "--clip", "0.5", "--json"]
    answer = json.loads(CliRunner().invoke(privacy, asked, catch_exceptions=False).output)
    assert answer["noise_multiplier"] == plan.noise_multiplier and answer["regime"] == "noise leads"
    assert answer["expected"] == REGIMES["noise leads"]


def test_a_delta_that_is_no_number_is_refused():
    with pytest.raises(OptionUnfit, match="--delta is 'tiny'"):
        CliRunner().invoke(privacy, [*ARGUMENTS, "--delta", "tiny"], catch_exceptions=False)


def test_the_commands_help_imports_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys; from audit.commands.privacy import privacy; "
        "privacy.main(['budget', '--help'], standalone_mode=False); "
        "print([name for name in ('torch', 'opacus', 'scipy', 'numpy') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"
