"""What a language model gives away word for word: canaries, continuations of training texts, personal data in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.privacy.sandwich import Canaried
from audit.evidence import Limit, metric
from audit.plugin import Need
from audit.statistics import Estimate, bootstrap_mean, proportion
from privacy.attacks.exposure import expected_exposure, exposures
from privacy.attacks.extraction import Cut, cut_in_two, extracted
from privacy.attacks.personal_data import KINDS, find
from reports.record import Metric

if TYPE_CHECKING:
    from audit.subject import Subject

EXPOSURE, EXTRACTION, LEAKED = "canary_exposure", "extraction_rate", "personal_data_leaked"
LOOKED_AT = 20  # texts are read for each one that is wanted: most may be too short
CARLINI = "Carlini et al. 2023, arXiv:2202.07646"


@dataclass(frozen=True)
class Memorized:
    """What was written behind the beginnings of texts.

    Attributes:
        tokens: of each prefix, and of each suffix.
        training, held_out: how the texts were cut. found, foreseen: (texts,) bool, suffixes that came word for word.
        leaked: for each kind, how many continuations of training texts held personal data that stands in the training
            data and not in what was asked.
        missing: why nothing was asked; None where it was.
    """

    tokens: int
    training: Cut
    held_out: Cut
    found: np.ndarray
    foreseen: np.ndarray
    leaked: Counter[str]
    missing: str | None = None


def exposure_metric(canaried: Canaried, random: np.random.Generator) -> Metric:
    """Mean exposure of the included canaries among those that were held back."""
    losses, included = canaried.losses, canaried.included
    if losses is None or included is None:
        estimate, guessing = Estimate.absent(canaried.trouble), ""
    elif included.all() or not included.any():
        estimate, guessing = Estimate.absent("all coins fell alike: exposure needs canaries of both kinds"), ""
    else:
        estimate = bootstrap_mean(exposures(np.nan_to_num(losses, nan=np.inf), included), random)
        held_out = int((~included).sum())
        guessing = (
            f" A model that never saw them gives {expected_exposure(held_out):.2f}; {held_out:,} held-out canaries "
            f"show {np.log2(held_out + 1):.1f} at most."
        )
    return metric(
        EXPOSURE, estimate, unit="bits", better="lower", source="Carlini et al. 2019, arXiv:1802.08232",
        definition="By how many bits training lowers a canary's rank among held-out canaries, mean of the included "
        f"ones.{guessing}",
    )  # fmt: skip


def memorized(subject: Subject, *, rows: int, tokens: int, random: np.random.Generator) -> Memorized:
    """Ask the model to go on with texts that it was trained on, and with others.

    Args:
        rows: texts of each side, at most. tokens: of the prefix, and of the suffix; fewer where the model is short.
    """
    assert subject.training is not None  # noqa: S101 - training data is declared
    tokenizer = subject.checkpoint.load_tokenizer()
    tokens = min(tokens, (subject.checkpoint.max_length - 2) // 2)

    def cut(texts: Sequence[str]) -> Cut:
        order = random.permutation(len(texts))[: LOOKED_AT * rows]
        return cut_in_two(texts, order, tokenizer, tokens=tokens, most=rows)

    writes = subject.has(Need.GENERATOR)
    training, held_out = (cut(table.texts if writes else ()) for table in (subject.training, subject.data))
    written = [
        subject.predictor.generate(part.prefixes, max_new_tokens=tokens) if len(part) else None
        for part in (training, held_out)
    ]
    found, foreseen = (
        np.zeros(0, bool) if said is None else extracted(part, said)
        for part, said in zip((training, held_out), written, strict=True)
    )
    texts = written[0].texts if written[0] is not None else ()
    return Memorized(
        tokens,
        training,
        held_out,
        found,
        foreseen,
        _leaked(texts, training.prefixes, subject.training.texts),
        missing=None if writes else f"an exported graph writes no text; {Need.GRADIENTS.supply} does",
    )


def memorization_metrics(found: Memorized, limit: Limit) -> list[Metric]:
    """Rates with Clopper-Pearson intervals; absent where no text is long enough."""
    short = found.missing or f"no text of these has {2 * found.tokens} tokens that its tokenizer reads back"

    def share(hits: int, of: int) -> Estimate:
        return proportion(hits, of, method="clopper-pearson") if of else Estimate.absent(short)

    how = f"greedily, {found.tokens} tokens behind the first {found.tokens}"
    lines = [
        metric(
            EXTRACTION, share(int(found.found.sum()), len(found.training)), unit="share of training texts",
            better="lower", limit=limit if len(found.training) else None, slice={"rows": "training"}, source=CARLINI,
            definition=f"Training texts that the model writes on word for word ({how}).",
        ),
        metric(
            EXTRACTION, share(int(found.foreseen.sum()), len(found.held_out)), unit="share of held-out texts",
            better="lower", slice={"rows": "held-out"}, source=CARLINI,
            definition=f"Held-out texts that the model writes on word for word ({how}): foreseen, not remembered.",
        ),
    ]  # fmt: skip
    return lines + [
        metric(
            LEAKED, share(found.leaked[kind], len(found.training)), unit="share of continuations", better="lower",
            slice={"kind": kind},
            definition=f"Continuations of training texts that hold a valid {kind} which stands in the training data "
            "and not in the beginning that was asked.",
        )
        for kind in KINDS
    ]  # fmt: skip


def _leaked(written: Sequence[str], prefixes: Sequence[str], training: Sequence[str]) -> Counter[str]:
    """How many continuations leak each kind. Values are compared as they are found, blanks and dashes aside."""
    own = [set(find(text)) - set(find(prefix)) for text, prefix in zip(written, prefixes, strict=True)]
    asked = set().union(*own) if own else set()
    known = {piece for text in training for piece in find(text) if piece in asked} if asked else set()
    return Counter(kind for pieces in own for kind in {kind for kind, _ in pieces & known})
