"""The accounting linter: the known ways to print an epsilon that is not true.

Each rule is one function: what it looks for, and the public thread in which it was met. `refuse`: the promise does not
hold, and a trainer must not make it. `warn`: it holds with a reservation, which belongs into the record. What is not
known about a training (None) is not judged; `unchecked` names those rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from math import inf
from typing import Any, Literal

from core_model.errors import OptionUnfit
from privacy.accounting import Ledger
from privacy.claim import TOLERANCE, PrivacyClaim, supported

Severity = Literal["refuse", "warn"]


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """What is known about a training. None is not known.

    Attributes:
        ledger: what was accounted.
        sampler: how rows came into batches.
        gradient_divisor: what the noisy sum was divided by: a "public" constant, the size of the drawn "batch", or a
            number derived from how many private "rows" there are.
        clipping_norm: longest gradient of one example; infinite: not clipped.
        rows: rows of training data.
        batch_size: expected rows in a step.
        delta: of the promise.
        steps_done: optimizer steps in the weights, by the training record.
        search_trials: trainings on this data among which this one was chosen; 1: no search.
        search_counted: whether the promise covers them all.
        round_epsilons: epsilon of each round or phase by itself, where such were computed.
        epsilon_reported: the epsilon that is told to people.
        noise_seed_published: whether the noise comes from a seed that stands in the record.
        claim, record: `privacy.json`, and the content of `training_record.json`.
    """

    ledger: Ledger
    clipping_norm: float | None = None
    sampler: Literal["poisson", "shuffled", "fixed", "weighted"] | None = None
    gradient_divisor: Literal["public", "batch", "rows"] | None = None
    rows: int | None = None
    batch_size: float | None = None
    delta: float | None = None
    steps_done: int | None = None
    search_trials: int | None = None
    search_counted: bool = False
    round_epsilons: Sequence[float] | None = None
    epsilon_reported: float | None = None
    noise_seed_published: bool | None = None
    claim: PrivacyClaim | None = None
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Fault:
    """One way in which a promise is false, or holds only with a reservation."""

    id: str
    severity: Severity
    statement: str
    source: str
    mend: str


Found = Iterator[str]
Look = Callable[..., Found]


@dataclass(frozen=True)
class Rule:
    """One known fault, and who met it first. `look` takes facts as arguments of their names, and only those."""

    id: str
    severity: Severity
    source: str
    mend: str
    look: Look

    def unknown(self, facts: TrainingFacts) -> list[str]:
        """The facts that this rule asks for and that are not known."""
        return [name for name in signature(self.look).parameters if getattr(facts, name) is None]

    def found(self, facts: TrainingFacts) -> Found:
        """What is wrong, in sentences; nothing where something is not known."""
        if self.unknown(facts):
            return iter(())
        return self.look(**{name: getattr(facts, name) for name in signature(self.look).parameters})


RULES: list[Rule] = []


def lint(facts: TrainingFacts) -> list[Fault]:
    """The faults of a training's privacy accounting; none found is an empty list."""
    return [
        Fault(rule.id, rule.severity, statement, rule.source, rule.mend)
        for rule in RULES
        for statement in rule.found(facts)
    ]


def unchecked(facts: TrainingFacts) -> dict[str, list[str]]:
    """The rules that could not look, with the facts that they miss."""
    return {rule.id: rule.unknown(facts) for rule in RULES if rule.unknown(facts)}


def refuse(faults: Sequence[Fault]) -> None:
    """Stop at the first fault that makes the promise false.

    Raises: OptionUnfit.
    """
    for fault in faults:
        if fault.severity == "refuse":
            raise OptionUnfit(f"{fault.statement} ({fault.id}; {fault.source})", mend=fault.mend)


def _rule(name: str, severity: Severity, *, source: str, mend: str) -> Callable[[Look], Look]:
    def register(look: Look) -> Look:
        RULES.append(Rule(name, severity, source, mend, look))
        return look

    return register


@_rule("poisson-assumed", "refuse", source="opacus#830, opacus#80, jax_privacy#272",
       mend="sample by Poisson, or account with sampling 'none' (no amplification)")  # fmt: skip
def _poisson_assumed(ledger: Ledger, sampler: str) -> Found:
    accounted = any(phase.sampling == "poisson" and phase.sampling_rate < 1 for phase in ledger.phases)
    if accounted and sampler in ("shuffled", "fixed"):
        yield f"batches are {sampler}, and epsilon was computed as if they were Poisson samples"


@_rule("weighted-sampler", "refuse", source="opacus#813, opacus#600",
       mend="sample every row with the same probability; weigh classes in the loss, by public weights")  # fmt: skip
def _weighted_sampler(sampler: str) -> Found:
    if sampler == "weighted":
        yield "rows are drawn with unequal weights, and no single sampling rate holds for all of them"


@_rule("rate-too-small", "refuse", source="opacus#813, FL-bench#200",
       mend="account with batch size / rows")  # fmt: skip
def _rate_too_small(ledger: Ledger, rows: int, batch_size: float) -> Found:
    true = batch_size / rows
    for phase in ledger.phases:
        if phase.sampling == "poisson" and phase.sampling_rate < true * (1 - 1e-6):
            yield (
                f"a row enters a step with probability {true:.3g} ({batch_size:g} of {rows:,}), "
                f"and {phase.sampling_rate:.3g} was accounted"
            )


@_rule("private-divisor", "refuse", source="opacus#819, opacus#571",
       mend="divide the noisy sum by a fixed public number, such as the --batch-size that was asked for")  # fmt: skip
def _private_divisor(gradient_divisor: str) -> Found:
    if gradient_divisor == "batch":
        yield "the noisy gradient is divided by the size of the drawn batch, which depends on who is in the data"
    if gradient_divisor == "rows":
        yield "the noisy gradient is divided by a number that follows from how many private rows there are"


@_rule("noise-without-clipping", "refuse", source="Abadi et al. 2016, arXiv:1607.00133, section 3.1",
       mend="--clip-norm with the longest gradient that one example may have")  # fmt: skip
def _noise_without_clipping(ledger: Ledger, clipping_norm: float) -> Found:
    if ledger.steps and not 0 < clipping_norm < inf:
        yield "noise was added to gradients that nothing bounds, and so hides nobody"


@_rule("no-noise", "refuse", source="MediSwarm#530, FLIP#1145",
       mend="a noise multiplier above 0; clipping, sparsity or percentiles alone give no epsilon")  # fmt: skip
def _no_noise(ledger: Ledger) -> Found:
    silent = sum(phase.steps for phase in ledger.phases if phase.noise_multiplier == 0)
    if silent:
        yield f"{silent:,} of {ledger.steps:,} steps had no noise: there is no epsilon"


@_rule("steps-forgotten", "refuse", source="opacus#688, opacus#117",
       mend="resume with the ledger that was saved beside the weights, or train from the start")  # fmt: skip
def _steps_forgotten(ledger: Ledger, steps_done: int) -> Found:
    if ledger.steps < steps_done:
        yield f"the weights have seen {steps_done:,} steps, and {ledger.steps:,} were accounted"


@_rule("epsilons-added", "warn", source="flower#605",
       mend="compose the rounds in one ledger, at one delta")  # fmt: skip
def _epsilons_added(ledger: Ledger, delta: float, round_epsilons: Sequence[float], epsilon_reported: float) -> Found:
    added, reported = sum(round_epsilons), epsilon_reported
    if len(round_epsilons) < 2 or abs(added - reported) > TOLERANCE * added:
        return
    composed = ledger.epsilon(delta, accountant="rdp")
    if composed < reported * (1 - TOLERANCE):
        yield (
            f"epsilon {reported:.4g} is the sum of {len(round_epsilons)} rounds' epsilons (at a delta that adds "
            f"up, too); composed it is {composed:.4g} or less"
        )


@_rule("epsilon-understated", "refuse", source="flower#605, opacus#688",
       mend="report the epsilon of the whole ledger, not of its last round")  # fmt: skip
def _epsilon_understated(ledger: Ledger, delta: float, epsilon_reported: float) -> Found:
    try:
        epsilon = ledger.epsilon(delta)
    except OptionUnfit:
        epsilon = ledger.epsilon(delta, accountant="rdp")
    if epsilon > epsilon_reported * (1 + TOLERANCE):
        yield f"epsilon {epsilon_reported:.4g} is reported, and all that was accounted composes to {epsilon:.4g}"


@_rule("search-not-counted", "warn",
       source="tensorflow/privacy#76, LeakPro#438; Liu and Talwar 2019, arXiv:1811.07971; Papernot and Steinke 2022, "
       "arXiv:2110.03620",
       mend="choose hyperparameters on public data, or account for every training on this data")  # fmt: skip
def _search_not_counted(search_trials: int, search_counted: bool) -> Found:
    if search_trials > 1 and not search_counted:
        yield (
            f"this training was chosen among {search_trials} on the same data, and epsilon is that of one: the "
            "choice tells about the data, too"
        )


@_rule("large-delta", "warn", source="Dwork and Roth 2014, section 2.3",
       mend="--delta auto, which takes 1 / (10 rows)")  # fmt: skip
def _large_delta(delta: float, rows: int) -> Found:
    if delta > 1 / rows:
        yield (
            f"delta is {delta:.3g}, above 1/{rows:,}: publishing one row in full, chosen by lot, would "
            "keep this promise"
        )


@_rule("noise-repeatable", "warn", source="opacus#46, opacus#223, diffprivlib#31",
       mend="draw the noise from the operating system's entropy, and keep its seed out of the record")  # fmt: skip
def _noise_repeatable(noise_seed_published: bool) -> Found:
    if noise_seed_published:
        yield "the seed of the noise is published: whoever has it can take the noise away again"


@_rule("claim-contradicted", "refuse", source="privacy.json against training_record.json",
       mend="the privacy.json that was written with these weights")  # fmt: skip
def _claim_contradicted(claim: PrivacyClaim, record: Mapping[str, Any]) -> Found:
    for contradiction in supported(claim, record):
        yield contradiction.statement
