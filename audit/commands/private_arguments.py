"""The flags of `aboveboard train --private`; what each does: docs/privacy.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from core_model.training import TrainingResult
    from privacy.options import PrivacyOptions

Command = Callable[..., Any]
NAMES = ("epsilon", "delta", "clipping", "clipping_norm", "grad_sample", "user_column", "rows_per_unit", "canaries")


def private_options(command: Command) -> Command:
    """The promise, and how it is kept."""
    for option in reversed(
        [
            click.option("--private", is_flag=True, help="Train under a promise of differential privacy (DP-SGD)."),
            click.option("--epsilon", type=float, metavar="E", help="The most that may be spent: smaller is safer."),
            click.option("--delta", metavar="D", help="Chance that the promise fails. Default: auto, 1 / (10 units)."),
            click.option("--clipping", metavar="flat|per-layer|adaptive",
                         help="What a row's gradient is clipped by. Default: flat."),
            click.option("--clipping-norm", type=float, metavar="C",
                         help="Longest contribution of a unit to a step. Default: 1."),
            click.option("--grad-sample", metavar="book-keeping|ghost|hooks",
                         help="How single rows are clipped. Default: book-keeping, the fast one."),
            click.option("--user-column", metavar="C", help="Protect all rows of a user together."),
            click.option("--rows-per-unit", type=int, metavar="N",
                         help="Rows of one user, or blocks of one text, that may enter a step. Default: 1."),
            click.option("--canaries", type=int, metavar="N",
                         help="Put about half of N made-up rows in, so that the privacy audit can bound epsilon."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


def read_private(flags: dict[str, Any], *, from_scratch: bool) -> PrivacyOptions | None:
    """Take the flags of a private training out of `flags`; None where it is not private.

    Raises: OptionUnfit for --private without --epsilon, flags of it without --private, or values that do not fit.
    """
    from core_model.errors import OptionUnfit
    from core_model.settings import checked

    is_private = flags.pop("private")
    given = {name: value for name in NAMES if (value := flags.pop(name)) is not None}
    if not is_private:
        if given:
            flag = "--" + next(iter(given)).replace("_", "-")
            raise OptionUnfit(f"{flag} is read by private training alone", mend=f"--private, or leave {flag} out")
        return None
    if "epsilon" not in given:
        raise OptionUnfit("--private needs to know what may be spent", mend="--private --epsilon 8")
    if given.get("delta") == "auto":
        del given["delta"]

    from privacy.options import PrivacyOptions, refuse_from_scratch

    if from_scratch:
        refuse_from_scratch()
    return checked(PrivacyOptions, given, where="the command line", write="--{key} ...")


def tell_claim(result: TrainingResult) -> list[str]:
    """The claim in plain sentences; none where nothing was promised."""
    if not result.record.privacy:
        return []
    from privacy.training import PrivateResult

    assert isinstance(result, PrivateResult)  # noqa: S101  # no other training writes this part of the record
    claim = result.claim
    unit = f"user (column {claim.unit_column})" if claim.unit == "user" else claim.unit
    lines = [
        f"privacy: epsilon {claim.epsilon:.4g} at delta {claim.delta:.3g} for each {unit}, by PRV; "
        f"{claim.epsilon_rdp or 0.0:.4g} by RDP, the second opinion",
        f"mechanism: {claim.mechanism}; {claim.steps:,} noisy steps",
    ]
    return lines + [f"note: {fault.statement} ({fault.id})" for fault in result.warnings]
