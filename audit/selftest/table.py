"""The selftest as lines for a terminal: one for each control, then which of them do not hold their limits, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.selftest.results import ControlResult, Selftest
from reports.selftest import TrialShare

HEADINGS = ("audit", "control", "power", "false alarms", "n", "seconds", "")


def table(selftest: Selftest) -> list[str]:
    """All lines; text of plug-ins stands in them."""
    rows = [_row(control) for control in selftest.controls]
    rows += [(audit, "no control", "", "", "", "", "") for audit in selftest.without_controls]
    rows += [(audit, "does not load", "", "", "", "", "fail") for audit in selftest.broken]
    return [*_aligned([HEADINGS, *rows]), "", *_legend(selftest), *troubles(selftest)]


def _row(control: ControlResult) -> tuple[str, ...]:
    n = max(len(control.sick), len(control.healthy))
    verdict = control.verdict or ("not run" if control.reason else "")
    return (
        control.audit, control.control, share_words(control.power), share_words(control.false_alarms),
        str(n) if n else "", f"{control.seconds:.1f}" if n else "", verdict,
    )  # fmt: skip


def share_words(share: TrialShare | None) -> str:
    """A share in a few characters: "100% (83 to 100)"."""
    if share is None or share.value is None or share.interval is None:
        return "-"
    low, high = share.interval
    return f"{share.value:.0%} ({100 * low:.0f} to {100 * high:.0f})"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    right = {HEADINGS.index(name) for name in ("n", "seconds")}
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _legend(selftest: Selftest) -> Iterator[str]:
    limits, of = selftest.limits, selftest.environment
    yield (
        f"Power: share of sick checkpoints that were found. False alarms: share of their healthy twins that were "
        f"accused. Intervals: {selftest.interval_method}. Limits: power at least {limits.min_power:.0%}, false alarms "
        f"at most {limits.max_false_alarms:.0%}, by the whole interval."
    )
    how = "" if selftest.complete else "; it was interrupted, and the same command goes on from here"
    yield f"{of.profile} profile, seed {of.seed}, version {selftest.tool.version}, {selftest.seconds:.0f} s{how}"


def troubles(selftest: Selftest) -> Iterator[str]:
    """What keeps the selftest from passing, one line each; nothing where it passes."""
    for audit, why in selftest.broken.items():
        yield f"fail: {audit}: {why}"
    for control in selftest.controls:
        if control.verdict is None:
            if control.reason:
                yield f"{control.audit}, {control.control}: {control.reason}"
        elif control.verdict != "pass":
            yield f"{control.verdict}: {control.audit}, {control.control}: {_why(control, selftest)}"
    if not any(control.verdict for control in selftest.controls):
        yield "nothing was put on trial"


def _why(control: ControlResult, selftest: Selftest) -> str:
    said = []
    if control.errors:
        said.append(f"{control.errors} of {2 * len(control.sick)} audits ended in an error ({control.reason})")
    if control.power is not None and control.power.verdict != "pass":
        found = control.sick.count("yes")
        said.append(f"{found} of {control.power.n} sick checkpoints were found ({control.defect}; {control.sign})")
    if control.false_alarms is not None and control.false_alarms.verdict != "pass":
        said.append(f"{control.healthy.count('yes')} of {control.false_alarms.n} healthy twins were accused")
    enough = fewest_repetitions(selftest.limits.min_power, selftest.limits.max_false_alarms)
    if control.verdict == "inconclusive" and len(control.sick) < enough:
        said.append(f"{enough} repetitions at least can hold these limits")
    return "; ".join(said)


def fewest_repetitions(min_power: float, max_false_alarms: float) -> int:
    """The smallest number whose interval holds both limits when every one is right."""
    from math import ceil, log

    each = (ceil(log(0.025) / log(bound)) for bound in (min_power, 1 - max_false_alarms))
    return max(each)
