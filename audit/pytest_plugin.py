"""Audits in the user's own tests: fixtures that fail a test when a checkpoint breaks its policy, or misbehaves.

    def test_the_classifier_can_be_released(assert_audit):
        assert_audit("checkpoint", data="test.jsonl", group_columns=["sex"], policy="screening")

    def test_the_next_version_behaves(assert_behaviour):
        assert_behaviour("next", suite="behavioural_suite.csv", against="checkpoint")

    pytest --aboveboard-out audits        # keeps audit.json and report.html of each

Found by pytest through its entry point; it imports nothing before a test asks for the fixture.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from audit.behaviour_run import SuiteRun
    from reports.record import Record

MOST_LINES = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `pytest`."""
    group = parser.getgroup("aboveboard", "audits of Transformer checkpoints")
    group.addoption(
        "--aboveboard-out", metavar="DIR", help="Folder that keeps each audit's record and report. Default: temporary."
    )
    group.addoption(
        "--aboveboard-strict", action="store_true", help="Fail also on what is inconclusive or not measured."
    )


@pytest.fixture
def assert_audit(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Record]:
    """`assert_audit(checkpoint, data=..., policy=..., strict=False, **options)`: the record, or a failed test.

    Options are those of `audit.run`. Bad input (a missing file, an unknown metric) fails the test with its letter.
    """
    kept = request.config.getoption("--aboveboard-out")
    always_strict = bool(request.config.getoption("--aboveboard-strict"))
    count = 0

    def check(checkpoint: str | Path, *, data: str | Path, strict: bool = False, **options: Any) -> Record:
        nonlocal count
        count += 1
        name = re.sub(r"[^\w.-]+", "-", request.node.name)[:80]
        out = (Path(kept) if kept else tmp_path) / f"{name}-{count}"
        import audit

        record = audit.run(checkpoint, data=data, out=out, **options)
        if reasons := why_it_fails(record, strict=strict or always_strict):
            shown = "\n".join(f"  {line}" for line in reasons[:MOST_LINES])
            more = f"\n  and {len(reasons) - MOST_LINES} more" if len(reasons) > MOST_LINES else ""
            pytest.fail(f"{record.subject.name} breaks its policy:\n{shown}{more}\n  report: {out / 'report.html'}",
                        pytrace=False)  # fmt: skip
        return record

    return check


@pytest.fixture
def assert_behaviour() -> Callable[..., SuiteRun]:
    """`assert_behaviour(checkpoint, suite=..., against=None, max_failures=0.1)`: what came of it, or a failed test.

    The suite is a file of behavioural tests, as an audit of testability writes it. The test fails where a kind's
    failure rate surely lies above `max_failures`, or where the checkpoint is surely worse than `against`.
    """

    def check(
        checkpoint: str | Path, *, suite: str | Path, against: str | Path | None = None, max_failures: float = 0.1
    ) -> SuiteRun:
        from audit.behaviour_run import run_suite
        from reports.text import terminal_text

        ran = run_suite(checkpoint, suite, against=against)
        if reasons := ran.reasons(max_failures):
            shown = "\n".join(f"  {terminal_text(line)}" for line in reasons)
            pytest.fail(f"{ran.name} does not behave:\n{shown}", pytrace=False)
        return ran

    return check


def why_it_fails(record: Record, *, strict: bool) -> list[str]:
    """The reasons that shut the gate, each as one line; empty where it is open."""
    from reports.policy_outcome import outcome
    from reports.text import terminal_text

    return [terminal_text(line) for line in outcome(record).shuts(strict=strict)]
