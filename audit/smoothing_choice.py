"""Whether the smoothed classifier is audited in the place of the checkpoint alone, and how the record says so."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from core_model.errors import OptionUnfit, TaskUnfit
from core_model.smoothing import Smoothing
from core_model.tasks import Task
from reports.record import SmoothingFacts

if TYPE_CHECKING:
    from audit.configuration import Configuration
    from core_model.checkpoint import Checkpoint

KEEP = "--smoothing-keep"


def smoothing_of(configuration: Configuration, checkpoint: Checkpoint) -> Smoothing | None:
    """How texts are looked at; None where the checkpoint itself is asked.

    Raises: OptionUnfit for settings without the share of words, or a mask that is no word; TaskUnfit for a checkpoint
        that is no classifier.
    """
    from core_model.smoothed_prediction import LOOKS

    keep, looks, mask = configuration.smoothing_keep, configuration.smoothing_looks, configuration.smoothing_mask
    if keep is None:
        flags = {"--smoothing-looks": looks, "--smoothing-mask": mask}
        given = [flag for flag, value in flags.items() if value is not None]
        if given:
            raise OptionUnfit(f"{given[0]} was given without {KEEP}: nothing is smoothed", mend=f"{KEEP} 0.3")
        return None
    if checkpoint.task is not Task.CLASSIFICATION:
        raise TaskUnfit(
            f"{checkpoint.name} does {checkpoint.task.value}; votes are counted for classes",
            mend=f"leave {KEEP} out, or a checkpoint with a classification head",
        )
    return Smoothing(keep=keep, looks=LOOKS if looks is None else looks, mask=mask)


def smoothing_facts(smoothing: Smoothing | None) -> SmoothingFacts | None:
    """The record's words on the wrapper."""
    if smoothing is None:
        return None
    return SmoothingFacts(keep=smoothing.keep, looks=smoothing.looks, mask=smoothing.mask)


def smoothing_flags(smoothing: Smoothing | SmoothingFacts | None) -> list[str]:
    """The flags that put the same wrapper on trial again; none where there is none."""
    if smoothing is None:
        return []
    mask = [] if smoothing.mask is None else [f"--smoothing-mask {shlex.quote(smoothing.mask)}"]
    return [f"{KEEP} {smoothing.keep}", f"--smoothing-looks {smoothing.looks}", *mask]
