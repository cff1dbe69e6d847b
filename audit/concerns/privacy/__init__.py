"""Privacy: can it be told from the model who was in its training data, and is its promise kept?

What it measures  Attacks on the finished model: membership inference by loss, by loss calibrated with a reference
                  checkpoint, by Min-K%++ (language models), by quantile regression, and with reference models by LiRA,
                  RMIA and BaVarIA; each as area under the curve (AUC) and as share of training rows found at 1% and
                  0.1% false accusations. A bag of words that never asks the model guards the rows. Of a checkpoint with
                  a privacy.json the sandwich: epsilon claimed above, epsilon betrayed by canaries below, the attack
                  between. Of a language model also what it writes on word for word, and personal data in it. Of a
                  federation that kept its updates the server's view: rows and words told from each client's updates,
                  and from their sum alone, as under secure aggregation; canary clients for the bound.
How to read it    AUC 0.5 is guessing. An average hides a few rows that are known by heart: read the share at 0.1%. A
                  lower bound above the claim has found a bug; one near 0 proves little. An attack that fails shows
                  that this attacker fails. Where the bag of words tells the two sides apart, no attack decides.
How to mend it    `aboveboard train --private` bounds what any attack can tell, `aboveboard federate --secure --private`
                  what a server can; `aboveboard prepare` takes repeated rows out; fewer epochs and more rows help
                  without a promise.
Source            Carlini et al. 2022, arXiv:2112.03570; Steinke, Nasr and Jagielski 2023, arXiv:2305.08846; Zarifzadeh
                  et al. 2024, arXiv:2312.03262; Brännvall 2026, arXiv:2603.11799; Zhang et al. 2024, arXiv:2404.02936;
                  Bertran et al. 2023, arXiv:2307.03694.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from audit.concerns.privacy import findings
from audit.concerns.privacy.attacks import LOSS, Attack, Attacked, attack
from audit.concerns.privacy.claim_findings import claim_findings
from audit.concerns.privacy.federation import attack_federation, planned_passes_of_federation
from audit.concerns.privacy.figures import figures_of
from audit.concerns.privacy.inference import Limits, group_metrics, inference_metrics
from audit.concerns.privacy.memorization import exposure_metric, memorization_metrics, memorized
from audit.concerns.privacy.rows import Trial, as_rows, draw_trial
from audit.concerns.privacy.sandwich import Canaried, audit_canaries, canaries_beside, read_promise
from audit.concerns.privacy.sandwich_lines import sandwich_metrics, sandwich_note, sandwich_row
from audit.concerns.privacy.server_view import Effort
from audit.concerns.privacy.shift import distribution_shift, distrust, shift_metric
from audit.evidence import Limit, metric
from audit.plugin import Concern, Evidence, Need, Options, Size, audit
from audit.statistics import proportion
from core_model.tasks import Task
from privacy.attacks.exposure import expected_exposure
from privacy.attacks.reference_models import FEWEST as FEWEST_MODELS
from privacy.attacks.signals import ATTACKABLE
from reports.record import Metric, Severity

if TYPE_CHECKING:
    from audit.subject import Subject

MOST_EXPOSED = 100  # rows in most_exposed_rows.csv


class PrivacyAuditOptions(Options):
    """What can be set."""

    max_auc: float = Field(
        0.55, ge=0.5, lt=1, description="largest area under the curve that an attack may reach; guessing gives 0.5"
    )
    max_tpr_at_1_percent: float = Field(
        0.03, gt=0.01, lt=1,
        description="largest share of training rows that an attack may find while it accuses 1% of the others",
    )  # fmt: skip
    max_tpr_at_01_percent: float | None = Field(
        None, gt=0.001, lt=1,
        description="the same while it accuses 0.1% of the others, such as 0.005; unset: told without a verdict, for "
        "thousands of rows are needed to hold it",
    )  # fmt: skip
    max_extraction_rate: float = Field(
        0.05, gt=0, lt=1, description="largest share of training texts that a language model may write on word for word"
    )
    max_shift_auc: float = Field(
        0.55, ge=0.5, lt=1,
        description="area that a bag of words, which does not ask the model, may surely exceed before the attacks are "
        "no longer trusted",
    )  # fmt: skip
    rows: int = Field(
        10_000, ge=20, description="rows of each side that are attacked, drawn at random; more narrow the intervals"
    )
    reference_models: int = Field(
        0, ge=0, le=64, multiple_of=2,
        description="models trained on halves of the rows for LiRA, RMIA and BaVarIA, at least 4; needs --reference "
        "with the base, and takes as long as so many trainings; 0: none",
    )  # fmt: skip
    extraction_rows: int = Field(
        100, ge=0, description="training texts that a language model is asked to go on with; each costs a generation"
    )
    extraction_tokens: int = Field(
        50, ge=5, description="tokens that are given, and as many that must come word for word"
    )
    server_view_clients: int = Field(
        4, ge=0, description="of a federation with kept updates: clients whose single updates are attacked; 0: none"
    )
    server_view_rows: int = Field(
        100, ge=20, description="rows of each of them, and held-out rows, that are held against its updates"
    )
    server_view_rounds: int = Field(
        2, ge=1, description="rounds whose updates are attacked, the first and the last among them; each costs a "
        "gradient a row, and a forward pass for each update",
    )  # fmt: skip


def planned_passes(size: Size, options: PrivacyAuditOptions) -> Mapping[str, int]:
    """Held-out rows, as many training rows, canaries, the same again by a reference, its models, continuations.

    A reference that turns out to be unfit (another task or other labels) is planned for, and then not asked.
    """
    others = min(size.rows, options.rows)
    members = min(others, size.training_rows)
    everybody = members == size.training_rows
    names = {
        Task.CLASSIFICATION: ("data", "training data" if everybody else "members"),
        Task.LANGUAGE_MODELING: ("tokens of data", "tokens of members"),
        Task.QUESTION_ANSWERING: ("true answers", "true answers of members"),
    }.get(size.task, ("references", "references of members"))
    passes = {names[0]: others, names[1]: members}
    canaries = canaries_beside(size.folder)
    if canaries:
        passes["canaries"] = canaries
    if size.reference:
        passes["reference checkpoint"] = members + others + canaries
    if options.reference_models:
        passes["reference models"] = options.reference_models * (members + others)
    if size.task is Task.LANGUAGE_MODELING and options.extraction_rows:
        passes["continuations"] = 2 * min(options.extraction_rows, size.training_rows) * options.extraction_tokens
    return passes | planned_passes_of_federation(size, _effort(options))


@audit(
    concern=Concern.PRIVACY,
    needs={Need.LABELS, Need.TRAINING_DATA},
    uses={Need.REFERENCE_CHECKPOINT, Need.GROUPS, Need.FEDERATED_RECORD},
    tasks=ATTACKABLE,
    forward_passes=planned_passes,
    profiles={
        "quick": {"rows": 1000, "extraction_rows": 20, "server_view_clients": 2, "server_view_rounds": 1},
        "full": {"reference_models": FEWEST_MODELS, "extraction_rows": 1000},
    },
)
def privacy(subject: Subject, options: PrivacyAuditOptions, random: np.random.Generator) -> Evidence:
    """Attack the training rows, hold the promise against what was found, and ask for what was remembered."""
    assert subject.training is not None  # noqa: S101 - training data is declared
    trial_random, shift_random, attack_random, canary_random, exposure_random, text_random = random.spawn(6)
    trial = draw_trial(subject.training, subject.data, most=options.rows, random=trial_random)
    overlapping = int(trial.overlapping.sum())
    shift = distribution_shift(trial, random=shift_random)
    distrusted = distrust(shift, largest=options.max_shift_auc)
    models = _models(options)
    attacked = _refused(trial) if overlapping else attack(subject, trial, models=models, random=attack_random)
    leading = None if overlapping else attacked.leading
    promise = read_promise(subject)
    federation = attack_federation(
        subject, trial, promise, effort=_effort(options), limits=_limits(options), distrusted=distrusted,
        random=random.spawn(1)[0],
    )  # fmt: skip
    canaried = audit_canaries(subject, promise, random=canary_random) if federation is None else federation.canaried

    inference = inference_metrics(attacked.attacks, _limits(options), distrusted=distrusted)
    metrics = [
        *inference,
        *(group_metrics(leading, trial, distrusted=distrusted) if leading is not None else []),
        shift_metric(shift),
        *_row_metrics(trial),
        *sandwich_metrics(promise, canaried),
        *(federation.metrics if federation is not None else ()),
    ]
    found, expected = None, 0.0
    if subject.task is Task.LANGUAGE_MODELING:
        metrics.append(exposure_metric(canaried, exposure_random))
        held_out = 0 if canaried.included is None else int((~canaried.included).sum())
        expected = expected_exposure(held_out)
        if options.extraction_rows:
            found = memorized(
                subject, rows=options.extraction_rows, tokens=options.extraction_tokens, random=text_random
            )
            metrics += memorization_metrics(found, _limit(options, "max_extraction_rate"))
    told = [
        *claim_findings(metrics, subject, promise, canaried),
        *(findings.leaks(metrics, subject, trial, leading, distrusted) if leading is not None else []),
        *findings.remembered(metrics, subject, found, expected),
        *findings.overlap(metrics, subject, trial),
        *findings.untrusted(metrics, subject, distrusted),
    ]
    row = sandwich_row(promise, canaried, leading, inference) if promise.claim is not None else None
    notes = [] if row is None else [sandwich_note(row)]
    if federation is not None:
        told = federation.findings(told, subject)
        row = None if row is None else row | federation.row(promise)
        notes += federation.notes(row)
    tables = {} if row is None else {"privacy_sandwich": [row]}
    if leading is not None:
        tables["most_exposed_rows"] = findings.most_exposed(trial, leading)[:MOST_EXPOSED]
    if overlapping and not trial.overlapping.all():
        tables["rows_not_trained_on"] = as_rows(subject.data, ~trial.overlapping)
    return Evidence(
        metrics=metrics,
        findings=sorted(told, key=lambda finding: list(Severity).index(finding.severity)),
        figures=figures_of(attacked.attacks, metrics),
        notes=[*_notes(subject, trial, attacked, canaried, distrusted), *notes],
        tables=tables,
        forward_passes=attacked.forward_passes
        + canaried.forward_passes
        + (federation.view.forward_passes if federation is not None else 0),
        settings={
            "members": trial.members.rows,
            "others": trial.others.rows,
            "leading_attack": "none" if leading is None else leading.name,
            "reference_checkpoint": subject.reference.sha256 if subject.reference is not None else "none",
        },
    )


def _effort(options: PrivacyAuditOptions) -> Effort:
    return Effort(options.server_view_clients, options.server_view_rows, options.server_view_rounds)


def _refused(trial: Trial) -> Attacked:
    """No attack at all: part of the rows that count as not trained on were trained on."""
    count, rows = int(trial.overlapping.sum()), len(trial.overlapping)
    because = (
        f"{count:,} of {rows:,} rows of the data stand in the training data, too; rows_not_trained_on.csv, beside the "
        "report, holds the others"
    )
    return Attacked((Attack.not_run(LOSS, because, owed=True),), 0, ())


def _models(options: PrivacyAuditOptions) -> int:
    return 0 if options.reference_models == 0 else max(FEWEST_MODELS, options.reference_models)


def _row_metrics(trial: Trial) -> list[Metric]:
    """How many rows stand on both sides, and how many stand in the training data twice."""
    return [
        metric(
            "members_overlap",
            proportion(int(trial.overlapping.sum()), len(trial.overlapping), method="clopper-pearson"),
            unit="share of held-out rows", better="lower",
            definition="Rows of the data whose text stands in the training data, but for case and blanks.",
        ),
        metric(
            "repeated_training_rows",
            proportion(int(trial.repeated.sum()), len(trial.repeated), method="clopper-pearson"),
            unit="share of training rows", better="lower", source="Kandpal et al. 2022, arXiv:2202.06539",
            definition="Training rows whose text stood in an earlier training row; they are remembered better.",
        ),
    ]  # fmt: skip


def _limits(options: PrivacyAuditOptions) -> Limits:
    tpr = {0.01: _limit(options, "max_tpr_at_1_percent")}
    if options.max_tpr_at_01_percent is not None:
        tpr[0.001] = _limit(options, "max_tpr_at_01_percent")
    return Limits(_limit(options, "max_auc"), tpr)


def _limit(options: PrivacyAuditOptions, name: str) -> Limit:
    return Limit(getattr(options, name), f"privacy.{name}, {options.whose(name)}")


def _notes(subject: Subject, trial: Trial, attacked: Attacked, canaried: Canaried, distrusted: str | None) -> list[str]:
    training = subject.training
    assert training is not None  # noqa: S101 - training data is declared
    notes = [
        f"Attacked: {trial.members.rows:,} of {training.rows:,} training rows and {trial.others.rows:,} of "
        f"{subject.data.rows:,} held-out rows."
    ]
    unscored = {int(np.isnan(side).sum()) for each in attacked.attacks for side in (each.members, each.others)}
    if max(unscored, default=0):
        notes.append(f"Up to {max(unscored)} rows of a side have no token that could be scored, and were left out.")
    if distrusted is not None:
        notes.append(f"No verdict rests on the attacks: {distrusted}.")
    recorded = (subject.checkpoint.training_record or {}).get("data")
    said = recorded.get("sha256") if isinstance(recorded, dict) else None
    if said is not None and training.sha256 not in (said, canaried.data_sha256):
        notes.append(
            "The file that was given as training data is not byte for byte the one that the training record names: "
            "attacks on rows that were not trained on find nothing."
        )
    return [*notes, *attacked.notes]
