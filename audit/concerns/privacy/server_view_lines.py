"""The server's view as lines of the record: single updates, their sum, and what secure aggregation took away."""

from __future__ import annotations

from collections.abc import Mapping
from math import hypot
from typing import Any

import numpy as np

from audit.concerns.privacy.inference import AUC, TPR, Limits, distrusted_estimate, true_positives
from audit.concerns.privacy.server_view import (
    ALIGNMENT,
    ATTACKS,
    ATTRIBUTION,
    HELD_OUT,
    LOSS_DROP,
    STEP,
    SUM,
    UPDATE,
    ServerView,
    Sight,
)
from audit.evidence import metric
from audit.statistics import Estimate, auroc, proportion
from reports.record import Metric

OWNERSHIP, GAIN = "client_attribution_auc", "secure_aggregation_gain"
PRECISION, RECALL = "token_recovery_precision", "token_recovery_recall"
NO_UPDATE = "no update"
LEADING = ATTRIBUTION  # fixed beforehand: a gain or a row of the sandwich is never that of the luckiest attack
FPR = 0.01
ORDER = "chance of a right order"
NONE_LIKE = Estimate.absent("no held-out row is of this client's kind: it would be told apart by what it is about")
NOTHING_SINGLE = "under secure aggregation the server saw no single update: only what it saw can be attacked"
SOURCES = {
    ALIGNMENT: "Li, Li and Ribeiro, ICLR 2023; Nasr, Shokri and Houmansadr 2019, arXiv:1812.00910",
    ATTRIBUTION: "Li, Li and Ribeiro, ICLR 2023: gradients of rows are nearly independent; least squares here",
    LOSS_DROP: "Nasr, Shokri and Houmansadr 2019, arXiv:1812.00910",
}
WORD_SOURCE = "Melis et al. 2019, arXiv:1805.04049; Gupta et al. 2022, arXiv:2205.08514"
HOW = {
    ALIGNMENT: "cosine of the update, turned round, with the row's gradient",
    ATTRIBUTION: "the row's coefficient where the update is written as a sum of the candidates' gradients",
    LOSS_DROP: "how far the row's loss falls by the update",
}
WHAT = {
    UPDATE: "a client's updates as they reached the server",
    SUM: "the mean of all clients' updates, which is all that a server sees under secure aggregation",
    STEP: "the model's steps with the server's noise, which everybody sees",
}


def attack_name(attack: str) -> str:
    """As it stands in the record: these are attacks on updates, not on the finished model."""
    return f"updates: {attack}"


def server_view_metrics(view: ServerView, limits: Limits, *, distrusted: str | None) -> list[Metric]:
    """All lines of a federation.

    Args:
        distrusted: why no interval of the attacks on rows may decide anything; None where they may.
    """
    if view.trouble is not None or view.secure:
        because = view.trouble or NOTHING_SINGLE
        lines = [
            _line(AUC, Estimate.absent(because), LEADING, UPDATE),
            _words_line(PRECISION, Estimate.absent(because), {"seen": UPDATE}),
        ]
    else:
        lines = [line for client in view.single for line in _client_lines(view, client, limits, distrusted)]
    for what, sight in view.together.items():
        lines += _row_lines(sight, view.owner != HELD_OUT, view.owner == HELD_OUT, what, {}, limits, distrusted)
    if view.secure and view.words is not None:
        everybody = view.words.everybody()
        lines += _told(view, view.together[SUM], everybody, SUM, {}, max(view.words.expected.values()))
    if view.trouble is None and view.words is not None and not _words_travel(view):
        lines.append(_words_line(PRECISION, Estimate.absent("the embedding of words is not trained"), {"seen": UPDATE}))
    return lines


def _client_lines(view: ServerView, client: int, limits: Limits, distrusted: str | None) -> list[Metric]:
    """One client: its rows by its own updates and by the sum; whose they are; its words."""
    name, whose = str(view.names[client]), {"client": str(view.names[client])}
    own, nobody = view.owner == client, view.others[client]
    of_others = ~own & (view.owner != HELD_OUT)
    sight, together = view.single[client], view.together[SUM]
    lines = _row_lines(sight, own, nobody, UPDATE, whose, limits, distrusted)
    there, hidden = _area(sight, own, nobody), _area(together, own, nobody)
    lines.append(_line(AUC, distrusted_estimate(hidden, distrusted), LEADING, SUM, whose))
    lines.append(_gain(there, hidden, AUC, whose))
    if of_others.any():
        owned, blurred = _area(sight, own, of_others), _area(together, own, of_others)
        lines += [
            _line(OWNERSHIP, estimate, LEADING, what, whose) for estimate, what in ((owned, UPDATE), (blurred, SUM))
        ]
        lines.append(_gain(owned, blurred, OWNERSHIP, whose))
    if view.words is not None:
        wrote, expected = view.words.wrote[client], view.words.expected[client]
        lines += _told(view, sight, wrote, UPDATE, {"client": name}, expected)
        lines += _told(view, together, wrote, SUM, {"client": name}, expected, alone=False)
    return lines


def _row_lines(
    sight: Sight, members: np.ndarray, others: np.ndarray, what: str, whose: Mapping[str, str], limits: Limits,
    distrusted: str | None,
) -> list[Metric]:  # fmt: skip
    """AUC of every attack, and what the leading one finds at few false accusations."""
    lines = [
        _line(
            AUC, distrusted_estimate(_area(sight, members, others, attack), distrusted), attack, what, whose,
            limit=limits.auc,
        )
        for attack in ATTACKS
    ]  # fmt: skip
    scores = sight.scores[LEADING]
    found = true_positives(scores[members], scores[others], FPR) if others.any() else NONE_LIKE
    limit = limits.tpr.get(FPR)
    lines.append(_line(TPR, distrusted_estimate(found, distrusted), LEADING, what, whose, limit=limit))
    return lines


def _line(
    name: str, estimate: Estimate, attack: str, what: str, whose: Mapping[str, str] | None = None, *, limit: Any = None
) -> Metric:
    about = {
        AUC: "Chance that a row that was trained on outscores a held-out one",
        TPR: f"Rows that were trained on and are found while {FPR:.0%} of the held-out rows are accused",
        OWNERSHIP: "Chance that a row of this client outscores a row of another one, both trained on",
    }[name]
    fpr = {"fpr": f"{FPR:g}"} if name == TPR else {}
    guessing = f"{FPR:g}" if name == TPR else "0.5"
    return metric(
        name, estimate, unit="share of training rows" if name == TPR else ORDER, better="lower", limit=limit,
        slice={"attack": attack_name(attack), "seen": what, **(whose or {}), **fpr}, source=SOURCES[attack],
        definition=f"{about}, by {HOW[attack]}; seen: {WHAT[what]}. Guessing gives {guessing}.",
    )  # fmt: skip


def _area(sight: Sight, members: np.ndarray, others: np.ndarray, attack: str = LEADING) -> Estimate:
    if not others.any() or not members.any():
        return NONE_LIKE
    scores = sight.scores[attack]
    return auroc(np.r_[scores[members], scores[others]], np.repeat([True, False], [members.sum(), others.sum()]))


def _gain(single: Estimate, together: Estimate, of: str, whose: Mapping[str, str]) -> Metric:
    """What secure aggregation takes from an attack.

    The interval squares and adds the arms of both (MOVER, Zou and Donner 2008) as if other rows were behind them. They
    are the same rows, whose scores go together: it is too wide rather than too narrow.
    """
    estimate = Estimate.absent("one of the two areas is not known", n=single.n)
    if single.value is not None and together.value is not None and single.interval and together.interval:
        difference = single.value - together.value
        low = difference - hypot(single.value - single.interval[0], together.interval[1] - together.value)
        high = difference + hypot(single.interval[1] - single.value, together.value - together.interval[0])
        method = "MOVER without correlation, conservative (Zou and Donner 2008, Stat. Med. 27:1693)"
        estimate = Estimate(difference, max(low, -1.0), min(high, 1.0), single.n, method)
    return metric(
        GAIN, estimate, unit="difference of two areas", better="higher",
        slice={"of": of, "attack": attack_name(LEADING), **whose},
        definition=f"{of} by the client's own updates less the same by the sum of all clients, on the same rows: what "
        "secure aggregation takes from the attack. 0: nothing.",
    )  # fmt: skip


def _told(
    view: ServerView, sight: Sight, wrote: np.ndarray, what: str, whose: Mapping[str, str], expected: int, *,
    alone: bool = True,
) -> list[Metric]:  # fmt: skip
    """Words guessed from what was seen; and, beside it, by who saw nothing.

    Args:
        alone: whether to tell of the attacker who sees no update, too.
    """
    words = view.words
    if words is None or sight.tokens is None:
        return []
    guessed = words.guessed(sight.tokens, expected=expected)
    attackers = {what: guessed}
    if alone:
        attackers[NO_UPDATE] = words.without_updates(int(guessed.sum()))
    lines = []
    for seen, named in attackers.items():
        right = int((named & wrote).sum())
        for name, of in ((PRECISION, named), (RECALL, wrote)):
            count = int(of.sum())
            estimate = (
                proportion(right, count, method="clopper-pearson")
                if count
                else Estimate.absent("no token was guessed" if name == PRECISION else "no token was written")
            )
            lines.append(_words_line(name, estimate, {"seen": seen, **whose}))
    return lines


def _words_line(name: str, estimate: Estimate, slice: Mapping[str, str]) -> Metric:
    seen = slice["seen"]
    how = (
        "as many of the most frequent tokens of held-out rows, by an attacker who sees no update"
        if seen == NO_UPDATE
        else f"tokens whose embedding moved beyond weight decay in {WHAT[seen]}; where noise moves all, those that "
        "moved farthest"
    )
    about = (
        "Share of the guessed tokens that were written" if name == PRECISION else "Share of the written tokens guessed"
    )
    unit = "share of guessed tokens" if name == PRECISION else "share of written tokens"
    whose = "by this client" if "client" in slice else "by any client"
    return metric(
        name, estimate, unit=unit, better="lower", slice=slice, source=WORD_SOURCE,
        definition=f"{about}, {whose}. Guessed: {how}. Special tokens do not count.",
    )  # fmt: skip


def _words_travel(view: ServerView) -> bool:
    return any(sight.tokens is not None for sight in (*view.single.values(), *view.together.values()))
