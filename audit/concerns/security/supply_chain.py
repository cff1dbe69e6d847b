"""The files of a checkpoint as metrics and findings: how many issues, of which severity, and what mends them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from audit.evidence import Limit, metric
from audit.plugin import Evidence
from audit.statistics.estimate import Estimate
from core_model.supply_chain import Issue, Level, Scan, scan_folder
from core_model.supply_chain.issues import Kind
from reports.record import Finding, Metric, Mitigation, Severity

CENSUS = "complete count of the files; no sampling error"
STATEMENTS = {
    Kind.PICKLE: ("{n} pickle among the files", "{n} pickles among the files", "opening a pickle runs it"),
    Kind.REMOTE_CODE: ("{n} place brings or names code", "{n} places bring or name code", "it runs when it is trusted"),
    Kind.TEMPLATE: (
        "{n} place in a chat template does what no template needs",
        "{n} places in chat templates do what no template needs",
        "a server that renders it outside of a sandbox can be taken over",
    ),
    Kind.GRAPH: (
        "{n} place in a graph needs code or cannot be told",
        "{n} places in graphs need code or cannot be told",
        "whoever runs the graph runs more than a model",
    ),
    Kind.ARCHIVE: ("{n} trap in an archive", "{n} traps in archives", "unpacking it writes where it should not"),
    Kind.LINK: ("{n} link is not sound", "{n} links are not sound", "what it opens is not the checkpoint's"),
    Kind.SPECIAL_FILE: ("{n} entry is no file", "{n} entries are no files", "opening it may wait for ever"),
    Kind.EMPTY_FILE: ("{n} file is empty", "{n} files are empty", "it may have been cut off"),
    Kind.WEIGHTS: (
        "{n} file or tensor is not what its header says",
        "{n} files or tensors are not what their headers say",
        "careless readers go beyond what is there",
    ),
    Kind.EXECUTABLE: ("{n} file can run", "{n} files can run", "a checkpoint needs no program"),
    Kind.SECRET: ("{n} secret in the files", "{n} secrets in the files", "whoever has the files has it"),
    Kind.ADDRESS: (
        "{n} address stands among the weights",
        "{n} addresses stand among the weights",
        "weights need none",
    ),
    Kind.NOT_LOOKED_INTO: (
        "{n} place could not be looked into",
        "{n} places could not be looked into",
        "what is in it is not known",
    ),
}
CONVERTED = "`save_pretrained` of transformers writes safetensors; remove the pickles, then look at the folder again"
EACH = "each example says what to type; then look at the folder again"


def examine_files(folder: Path, *, max_high: int, examples: int) -> Evidence:
    """Evidence about the files of a folder.

    Args:
        max_high: limit for issues of high severity.
        examples: issues shown of each kind.
    """
    scan = scan_folder(folder)
    return Evidence(
        metrics=_metrics(scan, max_high),
        findings=_findings(scan, examples),
        notes=[
            *(f"Not measured: {sentence}." for sentence in scan.not_measured),
            "The files were looked at, not loaded; that nothing is found is no proof that nothing is hidden.",
        ],
        settings={"pickle_scanners": _scanners(scan)},
    )


def _scanners(scan: Scan) -> str:
    from importlib.metadata import version

    if scan.unjudged:
        return "not installed"
    return ", ".join(f"{name} {version(name)}" for name in ("picklescan", "fickling"))


def _metrics(scan: Scan, max_high: int) -> list[Metric]:
    unknown = scan.pickles > 0 and scan.unjudged is not None
    limit = Limit(max_high, "options.max_high_issues")
    lines = [
        metric(
            "supply_chain_findings",
            _count(scan.count(level), scan.files, scan.unjudged if unknown and level is Level.HIGH else None),
            unit="findings",
            better="lower",
            slice={"severity": str(level)},
            limit=limit if level is Level.HIGH else None,
            definition=f"Issues of {level} severity in the checkpoint's files, told without loading them.",
        )
        for level in Level
    ]
    lines.append(
        metric(
            "files_scanned",
            _count(scan.files, scan.files),
            unit="files",
            definition="Regular files below the checkpoint's folder; members of archives are not counted.",
        )
    )
    lines.append(
        metric(
            "pickles_found",
            _count(scan.pickles, scan.files),
            unit="pickles",
            better="lower",
            definition="Pickles by content, whatever they are called and wherever they stand.",
        )
    )
    searched = None if scan.secrets_searched else "secrets were not looked for: detect-secrets is not installed"
    lines.append(
        metric(
            "secrets_found",
            _count(sum(issue.kind is Kind.SECRET for issue in scan.issues), scan.texts, searched),
            unit="secrets",
            better="lower",
            definition="Keys, tokens and passwords in text files, by their shapes and the words before them.",
        )
    )
    return lines


def _count(value: int, n: int, unknown: str | None = None) -> Estimate:
    """A count over all files, or why it is not known."""
    return Estimate.counted(value, n, CENSUS) if unknown is None else Estimate.absent(unknown, n=n)


def _findings(scan: Scan, examples: int) -> list[Finding]:
    """One finding for each kind and severity, worst first."""
    groups: dict[tuple[Level, Kind], list[Issue]] = defaultdict(list)
    for issue in scan.issues:
        groups[issue.level, issue.kind].append(issue)
    return [_finding(level, kind, issues, examples) for (level, kind), issues in groups.items()]


def _finding(level: Level, kind: Kind, issues: Sequence[Issue], examples: int) -> Finding:
    one, many, why = STATEMENTS[kind]
    files = list(dict.fromkeys(issue.file.partition("!")[0] for issue in issues))
    named = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    return Finding(
        id=f"security-supply-chain-{kind}-{level}",
        severity=Severity(str(level)),
        statement=f"{(one if len(issues) == 1 else many).format(n=len(issues))} ({named}): {why}.",
        metrics=[f"supply_chain_findings[severity={level}]"],
        mitigation=Mitigation(
            command="aboveboard scan CHECKPOINT --gate", why=CONVERTED if kind is Kind.PICKLE else EACH
        ),
        examples=[
            {"file": i.file, "offset": i.offset, "what": i.what, "why": i.why, "mend": i.mend}
            for i in issues[:examples]
        ],
        examples_total=len(issues),
    )
