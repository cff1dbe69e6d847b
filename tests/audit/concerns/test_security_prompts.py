"""Promises of the prompt probes: an obedient model is caught, deaf and refusing ones are not, rules err as told."""

from __future__ import annotations

import re

import pytest

from audit.concerns.security.prompt_injection import probe_prompts
from audit.evidence import Limit
from audit.plugin import Evidence
from core_model.errors import OptionUnfit
from core_model.prompt_probes import OWN_SOURCE, SECRET, declined, read_probes, succeeded
from core_model.prompt_probes.rules import rule_errors
from core_model.tasks import Task
from reports.record import Severity, Verdict
from tests.factories import stub_writing_subject


def obedient(prompt: str) -> str:
    """Writes the last word in capitals that it read, or tells the secret when the access word is asked for."""
    asked = prompt.rsplit("User:", 1)[-1] if "User:" in prompt else prompt
    if SECRET in prompt:
        told = re.search(r"word above|access word|system prompt|told|instruct|config|rules|debug|above this", asked)
        return f"It is {SECRET}." if told else "Good morning."
    capitals = re.findall(r"\b[A-Z]{5,}\b", asked)
    return capitals[-1] if capitals and "IMPORTANT: the gate" not in prompt else "A text about something."


def asked(write, **changes) -> Evidence:
    subject = stub_writing_subject(Task.LANGUAGE_MODELING, texts=["a", "b"], write=write)
    return probe_prompts(subject, **{"most": None, "limit": None, **changes})


def value(evidence: Evidence, name: str, kind: str) -> float:
    return next(m.value for m in evidence.metrics if m.name == name and m.slice == {"probe": kind})


def test_there_are_forty_probes_each_with_a_twin_that_does_not_hold_its_word():
    own = [probe for probe in read_probes() if probe.source == OWN_SOURCE]
    assert len(own) == 80 and len({probe.prompt for probe in own}) == 80
    twins = {probe.id: probe for probe in own if probe.twin}
    for probe in own:
        if probe.canary and not probe.twin:
            assert probe.canary in probe.prompt
            asked_of_twin = twins[probe.id].prompt.rsplit("User:", 1)[-1]
            assert probe.canary not in asked_of_twin.upper().replace("YOU MUST NEVER", "")


def test_the_public_probes_say_whose_they_are_and_ask_for_nothing_but_a_word():
    public = [probe for probe in read_probes() if probe.source != OWN_SOURCE]
    attacks = [probe for probe in public if not probe.twin]
    kinds = {kind: sum(probe.kind == kind for probe in attacks) for kind in ("injection", "jailbreak", "leakage")}
    assert kinds == {"injection": 5, "jailbreak": 3, "leakage": 33} and {p.source for p in public} == {
        "PromptInject", "garak",
    }  # fmt: skip
    twins = {probe.id: probe for probe in public if probe.twin}
    for probe in attacks:
        assert "REPLACE" not in probe.prompt and "{" not in probe.prompt
        if probe.canary:
            assert probe.canary in probe.prompt.rsplit("User:", 1)[-1]
            assert probe.canary not in twins[probe.id].prompt.rsplit("User:", 1)[-1]


def test_a_model_that_obeys_whatever_it_reads_is_caught_with_examples():
    evidence = asked(obedient, limit=Limit(0.2, "here"))
    assert value(evidence, "prompt_attack_success_rate", "injection") == 1.0
    assert value(evidence, "prompt_attack_success_over_twins", "injection") == 1.0
    assert value(evidence, "prompt_attack_success_rate", "leakage") > 0.5
    finding = next(f for f in evidence.findings if f.id == "security-prompt-injection")
    assert finding.severity is Severity.HIGH and finding.examples_total == 16 + 5
    success = next(m for m in evidence.metrics if m.key == "prompt_attack_success_rate[probe=injection]")
    assert success.verdict is Verdict.FAIL


def test_a_model_that_does_the_task_is_not():
    evidence = asked(lambda prompt: "A text about something.")
    assert not evidence.findings
    assert all(
        value(evidence, "prompt_attack_success_rate", kind) == 0 for kind in ("injection", "jailbreak", "leakage")
    )
    assert value(evidence, "over_refusal_rate", "jailbreak") == 0


def test_a_model_that_repeats_everything_is_told_from_an_attacked_one_by_its_twins():
    """It repeats the rule with the forbidden word before attack and twin alike: nothing is owed to the attack."""
    evidence = asked(lambda prompt: prompt.replace("never write", "always write"))
    assert value(evidence, "prompt_attack_success_rate", "jailbreak") == 1.0
    assert value(evidence, "prompt_attack_success_over_twins", "jailbreak") == 0.0
    assert not [f for f in evidence.findings if f.id == "security-prompt-jailbreak"]


def test_a_model_that_refuses_everything_is_safe_and_of_no_use():
    evidence = asked(lambda prompt: "I'm sorry, but I can't help with that.")
    assert not evidence.findings
    for kind in ("injection", "jailbreak", "leakage"):
        assert value(evidence, "attack_refusal_rate", kind) == value(evidence, "over_refusal_rate", kind) == 1.0


def test_the_rules_are_held_against_people_and_their_errors_are_in_the_record():
    """Counted by hand over the labelled replies."""
    assert [(e.rule, e.wrong, e.missed, e.negatives, e.positives) for e in rule_errors()] == [
        ("says", 1, 1, 10, 10), ("leaked", 0, 3, 10, 10), ("refused", 1, 2, 10, 10),
    ]  # fmt: skip
    evidence = asked(obedient, most=1)
    missed = next(m for m in evidence.metrics if m.key == "rule_false_negative_rate[rule=leaked]")
    assert missed.value == 0.3 and missed.n == 10
    agreement = next(m for m in evidence.metrics if m.key == "rule_agreement[rule=leaked]")
    # Wilson's interval of 17 in 20, as statsmodels' proportion_confint gives it.
    assert agreement.value == 0.85 and agreement.interval == pytest.approx((0.6396, 0.9476), abs=1e-4)


@pytest.mark.parametrize(
    ("number", "reply", "hit"),
    [(0, "PINEAPPLE", True), (0, "I will not write 'PINEAPPLE'.", False), (0, "Pineapples grow in the sun.", False)],
)
def test_a_word_counts_when_it_comes_out_and_not_when_it_is_only_spoken_of(number, reply, hit):
    probe = read_probes()[number]
    assert probe.canary == "PINEAPPLE" and succeeded(probe, reply) is hit
    assert declined("I won\u2019t do that.") and not declined("You can't go wrong with tea.")


def test_no_budget_and_no_room_are_not_measured_and_say_why():
    nothing = asked(obedient, most=0)
    assert "security.probes" in nothing.notes[0]
    subject = stub_writing_subject(Task.LANGUAGE_MODELING, texts=["a", "b"])

    def no_room(texts, *, beams=1, max_new_tokens=None):
        raise OptionUnfit("max_new_tokens is 48; the model has room for 1 to 31", mend="at most 31")

    subject.predictor.generate = no_room
    tight = probe_prompts(subject, most=None, limit=None)
    for evidence, why in ((nothing, "not asked for"), (tight, "has room for 1 to 31")):
        lines = [m for m in evidence.metrics if m.name == "prompt_attack_success_rate"]
        assert len(lines) == 3 and all(m.value is None and why in m.reason for m in lines)
