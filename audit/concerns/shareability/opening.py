"""Opened with transformers alone, saved, opened again: the same answers?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.shareability.part import AGAIN, YES_OR_NO, Part, counted, finding
from audit.evidence import metric
from audit.statistics import Estimate, proportion
from core_model.onnx_graph import graph_of
from core_model.sharing.opening import Opened, open_plainly
from reports.record import Finding, Severity

if TYPE_CHECKING:
    from audit.subject import Subject

SAVE_AGAIN = "save the model again with save_pretrained of the transformers that others have, and look again"
WORTH_TELLING = 1e-3  # of a logit: what another order of the same additions never does


def opening_part(subject: Subject, *, rows: int, largest: float, random: np.random.Generator) -> Part:
    """Whether plain transformers opens it, and what a round trip through `save_pretrained` changes.

    Args:
        rows: how many are asked twice; 0: it is only opened. largest: gigabytes of weights that are opened here.
    """
    checkpoint = subject.checkpoint
    size = sum((checkpoint.path / name).stat().st_size for name in checkpoint.files) / 1e9
    why = None
    if graph_of(checkpoint) is not None:
        why = "an exported graph (ONNX): transformers does not open it, ONNX Runtime does"
    elif checkpoint.pickled:
        why = "its weights are a pickle: nobody should open it"
    elif size > largest:
        why = f"the weights have {size:.1f} GB; --set shareability.largest_opened={size + 1:.0f} opens them"
    if why is not None:
        return _part(Opened(why_not=why), 0, opened=Estimate.absent(why))
    chosen = np.sort(random.choice(len(subject.texts), size=min(rows, len(subject.texts)), replace=False))
    pairs = subject.data.pairs
    found = open_plainly(
        checkpoint, [subject.texts[row] for row in chosen], None if pairs is None else [pairs[row] for row in chosen]
    )
    return _part(found, len(chosen), opened=counted(float(found.reason is None and not found.missing), 1))


def _part(found: Opened, rows: int, *, opened: Estimate) -> Part:
    absent = Estimate.absent(found.why_not or found.reason or "no round trip was made")
    largest, changed = absent, absent
    if found.difference is not None:
        largest = Estimate(
            float(found.difference.max()),
            None,
            None,
            rows,
            "none",
            reason="a largest value of a sample has no interval",
        )
        changed = Estimate.absent("the answer is no class: logits are compared", n=rows)
    if found.changed is not None:
        changed = proportion(int(found.changed.sum()), rows)
    return Part(
        metrics=[
            metric(
                "opens_with_transformers", opened, unit=YES_OR_NO, better="higher",
                definition="Whether an Auto class of plain transformers opens the folder without a network, without "
                "code of the checkpoint, every weight from its files.",
            ),
            metric(
                "round_trip_largest_difference", largest, unit="logits", better="lower",
                definition="Largest absolute difference of a logit of the same rows, before the model was saved with "
                "save_pretrained and after it was opened again.",
            ),
            metric(
                "round_trip_answers_changed", changed, unit="share of rows", better="lower",
                definition="Rows whose class with the largest logit is another after saving and opening again.",
            ),
        ],
        findings=_findings(found),
        forward_passes=2 * rows if found.difference is not None else 0,
    )  # fmt: skip


def _findings(found: Opened) -> list[Finding]:
    if found.reason is not None or found.missing:
        why = found.reason or f"{len(found.missing)} weights are not in its files ({found.missing[0]})"
        return [
            finding(
                "does-not-open", Severity.MEDIUM if found.lacks_package else Severity.HIGH,
                f"Plain transformers does not open this folder: {why.rstrip('.')}.",
                metrics=["opens_with_transformers"], command=AGAIN, why=SAVE_AGAIN,
            )
        ]  # fmt: skip
    if found.difference is None or found.difference.max() <= WORTH_TELLING:
        return []
    return [
        finding(
            "round-trip", Severity.MEDIUM,
            f"Saved and opened again it is another model: a logit differs by up to {found.difference.max():.3g}.",
            metrics=["round_trip_largest_difference"], command=AGAIN, why=SAVE_AGAIN,
        )
    ]  # fmt: skip
