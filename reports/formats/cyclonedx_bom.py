"""CycloneDX 1.6 ML-BOM: the checkpoint as a component, with its model card, its data and what it ran on.

The standard's metric has a value, a slice and an interval, and no place for n, limit or verdict; those stand beside it
as properties named `aboveboard:...`. What was not measured has a property and no metric. The library's object model has
no model card and drops it (CycloneDX/cyclonedx-python-lib#912), so the document is a plain dict, and the library's
strict validator reads it before anybody else does.

Source: CycloneDX 1.6 (ECMA-424), component type `machine-learning-model`.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from reports.errors import LibraryMissing
from reports.formats.checks import SEAL_WORDS, checks, number_object, run_state, seal
from reports.formats.names import Names, said
from reports.formats.times import moment
from reports.record import AuditResult, DataFacts, Finding, Record, Status

INSTALL = "pip install 'aboveboard[formats]'"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:aboveboard:record")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9.!+_-]+")

Part = dict[str, Any]


def cyclonedx_json(record: Record) -> str:
    """The record as a CycloneDX document that the standard's own schema accepts.

    Raises: LibraryMissing when cyclonedx-python-lib, or what its validator needs, is not installed.
    """
    try:
        from cyclonedx.exception import MissingOptionalDependencyException
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ImportError as error:
        raise _library_missing() from error
    text = json.dumps(_document(record), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    try:
        wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    except MissingOptionalDependencyException as error:
        raise _library_missing() from error
    if wrong is not None:
        raise ValueError(f"the CycloneDX document does not fit its schema: {wrong}")
    return text


def _library_missing() -> LibraryMissing:
    return LibraryMissing(
        "the format cyclonedx is checked by the package cyclonedx-python-lib, and it or its validator is not installed",
        mend=INSTALL,
    )


def _document(record: Record) -> Part:
    libraries = [_library(name, version) for name, version in sorted(record.environment.packages.items())]
    data = [_data("data", record.data)]
    if record.training_data:
        data.append(_data("training-data", record.training_data))
    tool = {
        "type": "application",
        "name": said(record.tool.name, longest=200),
        "version": said(record.tool.version, longest=200),
    }
    metadata: Part = {"tools": {"components": [tool]}, "component": _model(record)}
    if started := moment(record):
        metadata = {"timestamp": started, **metadata}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, record.to_json())}",
        "version": 1,
        "metadata": metadata,
        "components": [*data, *_numbered(libraries)],
        "dependencies": [{"ref": "model", "dependsOn": [part["bom-ref"] for part in data]}],
    }


def _model(record: Record) -> Part:
    subject = record.subject
    model: Part = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": said(subject.called) or "unnamed",
        **_hashes(subject.sha256),
    }
    if subject.licence:
        model["licenses"] = [{"license": _licence(subject.licence)}]
    model["modelCard"] = {
        "modelParameters": {
            "task": said(subject.task),
            "modelArchitecture": said(subject.architecture),
            "datasets": [{"ref": "data"}, *([{"ref": "training-data"}] if record.training_data else [])],
        },
        "quantitativeAnalysis": {"performanceMetrics": _metrics(record)},
        "considerations": _considerations(record),
        "properties": _numbers(record),
    }
    model["properties"] = _properties(record)
    return model


def _licence(licence: str) -> Part:
    """As an SPDX id where it is one (in any case), else by the name that the checkpoint gives."""
    from cyclonedx.spdx import fixup_id

    known = fixup_id(licence)
    return {"id": known} if known else {"name": said(licence)}


def _metrics(record: Record) -> list[Part]:
    """Numbers with a value. The standard keeps them as text."""
    found = []
    for check in checks(record):
        metric = check.metric
        if metric is None or metric.value is None:
            continue
        part: Part = {"type": said(metric.name), "value": repr(metric.value)}
        if metric.slice:
            part["slice"] = said(", ".join(f"{key}={value}" for key, value in metric.slice.items()))
        if metric.interval:
            part["confidenceInterval"] = {
                "lowerBound": repr(metric.interval[0]),
                "upperBound": repr(metric.interval[1]),
            }
        found.append(part)
    return found


def _numbers(record: Record) -> list[Part]:
    """Each number with its n, interval, limit and verdict, and each audit without one with its reason."""
    names = Names()
    found = []
    for check in checks(record):
        scope = names.of(check.audit.id)
        if check.metric is None:
            found.append(_property(f"not-measured:{scope}", check.sentence))
        else:
            key = names.of(check.metric.key, scope)
            number = json.dumps(number_object(check.metric), ensure_ascii=False)
            found.append(_property(f"number:{scope}:{key}", number))
    return found


def _considerations(record: Record) -> Part:
    findings = [(audit, finding) for audit in record.audits for finding in audit.findings]
    unmeasured = [a for a in record.audits if a.status is not Status.MEASURED]
    limitations = [
        *(f"{finding.severity.value}: {said(finding.statement)}" for _, finding in findings),
        *(f"not measured: {said(a.id, longest=200)}: {said(a.reason or '')}" for a in unmeasured),
    ]
    fairness = [_fairness(audit, finding) for audit, finding in findings if audit.concern == "fairness"]
    found: Part = {"technicalLimitations": limitations} if limitations else {}
    return found | ({"fairnessAssessments": fairness} if fairness else {})


def _fairness(audit: AuditResult, finding: Finding) -> Part:
    slices = {key: metric.slice for metric in audit.metrics for key in [metric.key] if metric.slice}
    groups = [said(f"{k}={v}", longest=200) for key in finding.metrics for k, v in slices.get(key, {}).items()]
    part = {"harms": said(finding.statement)}
    if groups:
        part["groupAtRisk"] = ", ".join(dict.fromkeys(groups))
    if finding.mitigation:
        part["mitigationStrategy"] = f"not applied yet: {said(finding.mitigation.why)}"
    return part


def _properties(record: Record) -> list[Part]:
    sealed = seal(record)
    policy = record.policy
    return [
        _property("verdict", run_state(record).word),
        _property("verdict-reason", said(record.verdict_reason)),
        _property("parameters", str(record.subject.parameters)),
        _property("policy", f"{said(policy.name)} {said(policy.sha256 or '')}".strip() if policy else "none"),
        _property("record-sha256", said(record.content_sha256 or "none")),
        _property("record", SEAL_WORDS[sealed]),
    ]


def _property(name: str, value: str) -> Part:
    return {"name": f"aboveboard:{name}", "value": value}


def _data(ref: str, data: DataFacts) -> Part:
    kind: Part = {"type": "dataset", "name": said(data.name)}
    if data.sensitive:
        kind["sensitiveData"] = [said(data.sensitive)]
    properties = [_property("rows", str(data.rows)), _property("synthetic", "yes" if data.synthetic else "no")]
    return {
        "type": "data",
        "bom-ref": ref,
        "name": said(data.name) or "unnamed",
        **_hashes(data.sha256),
        **({"licenses": [{"license": _licence(data.licence)}]} if data.licence else {}),
        "data": [kind],
        "properties": properties,
    }


def _library(name: str, version: str) -> Part:
    part = {"type": "library", "name": said(name, longest=200) or "unnamed", "version": said(version, longest=200)}
    if _PACKAGE.fullmatch(name) and _VERSION.fullmatch(version):
        normal = re.sub(r"[-_.]+", "-", name).lower()
        part["purl"] = f"pkg:pypi/{normal}@{version.replace('+', '%2B').replace('!', '%21')}"
    return part


def _numbered(parts: list[Part]) -> list[Part]:
    return [{"bom-ref": f"library-{place}", **part} for place, part in enumerate(parts, start=1)]


def _hashes(sha256: str) -> Part:
    """The hash, where it is one: the standard takes nothing else."""
    return {"hashes": [{"alg": "SHA-256", "content": sha256}]} if _SHA256.fullmatch(sha256) else {}
