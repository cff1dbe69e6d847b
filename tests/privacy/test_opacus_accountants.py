"""Promises of the light import: Opacus' own numbers, no torch, and no trace that a later import could meet."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ASK = """
import json, sys
from privacy.opacus_accountants import accountants
{before}
answers = []
for kind in accountants():
    asked = kind()
    asked.history = [(1.1, 0.01, 1000)]
    answers.append(asked.get_epsilon(1e-5))
light = sorted(name for name in sys.modules if name == "torch" or name.split(".")[0] == "opacus")
{after}
print(json.dumps([answers, light]))
"""
WHOLE = "from opacus import PrivacyEngine; from opacus.optimizers import DPOptimizer; assert DPOptimizer is not object"


def asked(before: str = "", after: str = "") -> tuple[list[float], list[str]]:
    """Epsilons by PRV and RDP in a process of their own, and what it had imported when it knew them."""
    program = ASK.format(before=before, after=after)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, check=True, text=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def test_the_numbers_are_those_of_the_whole_opacus_and_torch_is_not_waited_for():
    (whole, imported), (light, left) = asked(before=WHOLE), asked()
    assert light == whole and left == []
    assert "torch" in imported and "opacus" in imported


def test_the_whole_opacus_is_imported_as_ever_afterwards():
    answers, left = asked(after=WHOLE)
    assert left == [] and answers[0] == pytest.approx(answers[1], rel=0.2)
