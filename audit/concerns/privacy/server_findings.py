"""What a reader should act on about the updates of a federation, and every mend in the words of `federate`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.concerns.privacy.findings import BASE
from audit.concerns.privacy.inference import AUC, TPR
from audit.concerns.privacy.server_view import SUM, UPDATE, ServerView
from audit.concerns.privacy.server_view_lines import NO_UPDATE, PRECISION
from audit.mending import column_flags
from reports.record import Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject
    from federated.options import FederationOptions

STEPS = 10  # of a client in a round, where the federation counted epochs
FEWEST_FOR_SECRECY = 3  # clients: of two, each could subtract its own update from the sum


def server_findings(metrics: Sequence[Metric], subject: Subject, view: ServerView) -> list[Finding]:
    """That updates tell which rows, or which words, a client has."""
    return [
        *_rows(metrics, subject, view, alone=True),
        *_rows(metrics, subject, view, alone=False),
        *_words(metrics, subject, view),
    ]


def private_federation(subject: Subject, options: FederationOptions, *more: str) -> str:
    """`aboveboard federate --private`, and masked where there are clients enough, as this federation was run."""
    flags = [f"--clients {options.clients}", f"--rounds {options.rounds}", f"--learning-rate {options.learning_rate:g}"]
    if options.partition != "iid":
        flags.append(f"--partition {shlex.quote(options.partition)}")
    if options.clients >= FEWEST_FOR_SECRECY:
        flags.append("--secure")
    return " ".join(
        [
            f"aboveboard federate --task {subject.task} --base BASE --data TRAIN_FILE {column_flags(subject)}", *flags,
            "--private", *(more or ("--epsilon 8",)), "--keep-updates --out private",
        ]
    )  # fmt: skip


def in_words_of_a_federation(told: Sequence[Finding], subject: Subject, options: FederationOptions) -> list[Finding]:
    """Findings whose mend is to train in private: a federation's rows are not in one place to be trained on."""
    asked = f"--epsilon {options.private.epsilon:g}" if options.private is not None else "--epsilon 8"
    canaries = options.private is None or options.private.unit == "client"
    more = [asked, *(["--delta 1e-5 --canary-clients 200"] if canaries else ["--privacy-unit example"])]
    if not canaries:  # under masks the account must not tell how many steps an epoch of a client has
        more.append(f"--local-steps {options.local_steps or STEPS}")
    why = f"trains again across clients, under a promise that an audit can test. {BASE}"
    other = Mitigation(command=private_federation(subject, options, *more), why=why)

    def trains(finding: Finding) -> bool:
        return finding.mitigation is not None and finding.mitigation.command.startswith("aboveboard train ")

    return [one.model_copy(update={"mitigation": other}) if trains(one) else one for one in told]


def _rows(metrics: Sequence[Metric], subject: Subject, view: ServerView, *, alone: bool) -> list[Finding]:
    """That an attack on what was seen tells rows that were trained on; of single updates, or of what all see."""
    broken = [
        m for m in metrics
        if m.name in (AUC, TPR) and m.verdict is Verdict.FAIL and "seen" in m.slice
        and (m.slice["seen"] == UPDATE) == alone
    ]  # fmt: skip
    if not broken:
        return []
    strongest = max((m for m in broken if m.name == AUC), default=broken[0], key=lambda m: m.value or 0.0)
    clients = {m.slice["client"] for m in broken if "client" in m.slice}
    how = (
        f"ranks a row that was trained on above a held-out one in {strongest.value:.1%} of pairs"
        if strongest.name == AUC
        else f"finds {strongest.value:.1%} of the rows at {float(strongest.slice['fpr']):.0%} false accusations"
    )
    if alone:
        statement = (
            f"From the updates that {len(clients)} of {len(view.single)} clients sent, their server can tell "
            f"which rows they were trained on: the attack by {strongest.slice['attack']} on "
            f"{strongest.slice['client']} {how}."
        )
        why = (
            "masks hide each update in the sum of all, and noise bounds what the sum tells of a client (Bonawitz et "
            "al. 2017; McMahan et al. 2018, arXiv:1710.06963)"
        )
    else:
        seen = "The sum of all updates" if strongest.slice["seen"] == SUM else "The steps of the model"
        statement = f"{seen} tells which rows were trained on: the attack by {strongest.slice['attack']} {how}."
        why = (
            "secure aggregation alone hides whose row it was, and not that it was there: noise does (McMahan et al. "
            "2018, arXiv:1710.06963)"
        )
    return [
        Finding(
            id=f"privacy-server-sees-rows-in-{'updates' if alone else 'sums'}", severity=Severity.HIGH,
            statement=statement, metrics=[m.key for m in broken],
            mitigation=Mitigation(command=private_federation(subject, view.options), why=f"{why}. {BASE}"),
        )
    ]  # fmt: skip


def _words(metrics: Sequence[Metric], subject: Subject, view: ServerView) -> list[Finding]:
    """That single updates tell a client's words better than common words do."""
    found = {(m.slice["seen"], m.slice["client"]): m for m in metrics if m.name == PRECISION and "client" in m.slice}
    read = []
    for (seen, client), of_updates in found.items():
        common = found.get((NO_UPDATE, client))
        if seen != UPDATE or common is None or of_updates.interval is None or common.interval is None:
            continue
        if of_updates.interval[0] > common.interval[1]:
            read += [of_updates, common]
    if not read:
        return []
    clearest = max(read[::2], key=lambda m: m.value or 0.0)
    common = read[read.index(clearest) + 1]
    return [
        Finding(
            id="privacy-server-reads-words", severity=Severity.MEDIUM,
            statement=f"From the updates that {len(read) // 2} of {len(view.single)} clients sent, their server can "
            f"read which words they wrote: of the tokens guessed for {clearest.slice['client']} {clearest.value:.1%} "
            f"are right, and {common.value:.1%} of as many common ones.",
            metrics=[m.key for m in read],
            mitigation=Mitigation(
                command=private_federation(subject, view.options),
                why="in a sum of masked updates nobody's words stand alone, and noise moves every embedding. Adapters "
                f"(--adapters 8) leave the embedding at home. {BASE}",
            ),
        )
    ]  # fmt: skip
