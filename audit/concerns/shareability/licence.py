"""Which licence it is shared under, whether its files agree, and whether its base's licence lets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit.concerns.shareability.part import AGAIN, PACKAGE, Part, counted, finding
from audit.evidence import Limit, metric
from audit.statistics import Estimate
from core_model.sharing.licences import Named, Pair, judge, licences_of_parts, own_licences
from reports.record import Finding, Severity

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

PLACES = 2  # a card's front matter, and a licence file
NO_PARTS = "neither card nor record says under which licence its base or its training rows are"
NO_OWN = "the checkpoint itself names no licence"
NO_RULE = "no clear rule for these licences is kept here"
SOURCE = "https://spdx.org/licenses; section numbers of the licences' own texts stand in the finding"


def licence_part(checkpoint: Checkpoint, limit: Limit, *, base: Named | None, changed: bool) -> Part:
    """Names, their agreement, and conflicts that a licence's own text states.

    Args:
        base: of the reference, where one was given and the record does not say the licence of the base.
        changed: whether the weights differ from the base's.
    """
    named, parts = own_licences(checkpoint), licences_of_parts(checkpoint)
    if base is not None and not any(part.where.startswith("the base") for part in parts):
        parts = [base, *parts]
    names = list(dict.fromkeys((one.spdx or one.word).lower() for one in named if not one.word.startswith("see ")))
    own = next((one for one in named if one.spdx), named[0] if named else None)
    pairs = [judge(part, own, changed=changed) for part in parts]
    judged = [pair for pair in pairs if pair.judgement != "not judged"]
    conflicts = [pair for pair in pairs if pair.judgement == "in conflict"]
    places = len({one.where == "README.md" for one in named})
    none = Estimate.absent(NO_PARTS)
    return Part(
        metrics=[
            metric(
                "licence_places", counted(places, PLACES), unit="places", better="higher",
                definition="Of the card's front matter and a licence file, how many name a licence.",
            ),
            metric(
                "licences_that_disagree",
                counted(len(names) - 1, len(named)) if names else Estimate.absent("no licence is named"),
                unit="licences", better="lower",
                definition="Different licences that the checkpoint's own files name beside the first, as SPDX "
                "identifiers where they have one.",
            ),
            metric(
                "licence_conflicts",
                counted(len(conflicts), len(judged)) if judged
                else none if not pairs else Estimate.absent(NO_OWN if own is None else NO_RULE),
                unit="licences", better="lower", limit=limit if judged else None, source=SOURCE,
                definition="Licences of what it was made of whose own text forbids what its licence grants; only "
                "clear rules are kept, and n counts the licences that one was kept for.",
            ),
            metric(
                "licences_not_judged", counted(len(pairs) - len(judged), len(pairs)) if pairs else none,
                unit="licences",
                definition="Licences of what it was made of that a person has to read: of rows, of names that SPDX "
                "does not list, and of pairs without a clear rule.",
            ),
        ],
        findings=[*_unnamed(named), *_disagree(named, names), *_conflicts(conflicts)],
        notes=[f"Licence of {p.part}: {p.licence}, {p.judgement} with {p.own} ({p.why})." for p in pairs],
    )  # fmt: skip


def _unnamed(named: list[Named]) -> list[Finding]:
    if any(not one.word.startswith("see ") for one in named):
        return []
    return [
        finding(
            "no-licence", Severity.MEDIUM, "No file names a licence: without one nobody else may use it.",
            metrics=["licence_places"], command=PACKAGE,
            why="it writes the licence that you name into the card; choose one that its base and rows allow",
        )
    ]  # fmt: skip


def _disagree(named: list[Named], names: list[str]) -> list[Finding]:
    if len(names) < 2:
        return []
    return [
        finding(
            "licences-disagree", Severity.MEDIUM,
            f"The checkpoint's own files name {len(names)} licences: "
            f"{', '.join(f'{one.spdx or one.word} ({one.where})' for one in named)}.",
            metrics=["licences_that_disagree"], command=AGAIN,
            why="correct the file that is wrong, then look again; which one that is, only its owner can say",
            examples=[{"file": one.where, "licence": one.word, "spdx": one.spdx} for one in named],
        )
    ]  # fmt: skip


def _conflicts(conflicts: list[Pair]) -> list[Finding]:
    if not conflicts:
        return []
    first = conflicts[0]
    return [
        finding(
            "licence-conflict", Severity.HIGH,
            f"The licence of {first.part}, {first.licence}, does not let it be shared under {first.own} "
            f"({first.why}). A hint for a person, no legal advice.",
            metrics=["licence_conflicts"], command=AGAIN,
            why="name a licence in README.md that the base's allows, or do not share it, or train from another base; "
            "then look again",
            examples=[{"of": p.part, "licence": p.licence, "own": p.own, "clause": p.why} for p in conflicts],
        )
    ]  # fmt: skip
