"""A record in which every string that a stranger can write is hostile. Synthetic, like everything in tests."""

from __future__ import annotations

from typing import Any

from reports.record import Record
from tests.reports import factories

ATTACKS = (
    "<script>window.PWNED=1</script>",
    "</script><script>window.PWNED=2</script>",
    "]]><img src=x onerror=window.PWNED=3>",
    "</style></title></svg><svg onload=window.PWNED=4>",
    "javascript:window.PWNED=5",
    "\u202elive\u202c\u2066\u200b\ufeff\U000e0041",
    "\x00\x07\x1b[31m\x9b2J\x7f",
    "=cmd|'/c calc'!A1()",
    "{{ 7 * 7 }}{% raw %}",
    '" autofocus onfocus="window.PWNED=6',
    "url(https://example.invalid/x) @import 'https://example.invalid/y'",
    "\u05d0\u05d1\u05d2 \u0627\u0628\u062a",
)
LONG = "w" * 100_000

# What the schema fixes; a stranger cannot write anything else there.
FIXED = frozenset(["schema_version", "status", "verdict", "severity", "kind", "scale", "better"])
DRAWN = frozenset(["label", "value", "low", "high", "limit", "series", "n", "confidence", "accuracy", "x", "y"])


def hostile_record() -> Record:
    """Each attack in turn, before each string of a full record; a line of 100,000 letters in three places."""
    turn = iter(range(1_000_000))

    def poison(text: str) -> str:
        return f"{ATTACKS[next(turn) % len(ATTACKS)]} {text}"

    def walk(thing: Any, key: str = "") -> Any:
        if isinstance(thing, str):
            return thing if key in FIXED else poison(thing)
        if isinstance(thing, list):
            return [walk(item, key) for item in thing]
        if isinstance(thing, dict):
            return {k: walk(v, k) for k, v in thing.items()}
        return thing

    document = factories.record().model_dump(mode="json")
    audits = document.pop("audits")
    document = walk(document)
    document["environment"]["packages"] = {poison(k): poison(v) for k, v in {"torch": "2", "numpy": "2"}.items()}
    document["subject"]["files"] = {poison("f"): poison("0" * 64)}
    document["subject"]["name"] = "".join(ATTACKS) + " name"
    document["data"]["sensitive"] = ATTACKS[5] + LONG
    for audit in audits:
        old = [_key(metric) for metric in audit["metrics"]]
        audit["metrics"] = [walk(metric) for metric in audit["metrics"]]
        for metric in audit["metrics"]:
            metric["slice"] = {poison(k): v for k, v in metric["slice"].items()}
        keys = dict(zip(old, (_key(metric) for metric in audit["metrics"]), strict=True))
        for finding in audit["findings"]:
            named = [keys[key] for key in finding.pop("metrics")]
            finding["examples"] = [{poison(k): v for k, v in row.items()} for row in finding["examples"][:6]]
            finding.update(walk(finding), metrics=named)
        for figure in audit["figures"]:
            figure["rows"] = [{**walk(row), poison("extra"): ATTACKS[0]} for row in figure["rows"][:12]]
        for part in ("id", "concern", "reason", "supply", "title", "about", "signature"):
            audit[part] = walk(audit[part])
        audit["figures"] = [
            {**walk({k: v for k, v in f.items() if k != "rows"}), "rows": f["rows"]} for f in audit["figures"]
        ]
        audit["notes"] = [poison(note) for note in audit["notes"]] + [LONG]
        audit["options"] = {poison("option"): ATTACKS[1]}
    document["audits"] = audits
    document["audits"][2]["findings"][0]["statement"] = ATTACKS[5] + LONG
    return Record.model_validate(document)


def _key(metric: dict[str, Any]) -> str:
    inside = ", ".join(f"{k}={v}" for k, v in metric["slice"].items())
    return f"{metric['name']}[{inside}]" if inside else str(metric["name"])
