"""Records that were written before a key was added keep their hash: nobody's old evidence turns into "edited".

The record here and its hash were written by the code of 25 November 2026, before `scale` of a figure and
`examples_worst` of a finding; a key that is added without being left out of the hash where it says nothing fails here.
"""

from __future__ import annotations

import json

from reports.reading import hash_matches, parse_record

HASH = "21391e055d1b6a8c1ae216f9afdd442b247e25ff819dd7170fe77880e3830b84"
OLD = {
    "schema_version": "1.0",
    "tool": {"version": "0.9"},
    "subject": {
        "name": "m", "sha256": "ab" * 32, "task": "classification", "architecture": "A", "parameters": 3,
        "labels": ["no", "yes"],
    },
    "data": {"name": "d.csv", "sha256": "cd" * 32, "rows": 9, "text_column": "text"},
    "environment": {"python": "3.11", "platform": "p"},
    "audits": [
        {
            "id": "fairness", "concern": "fairness", "status": "measured",
            "metrics": [{"name": "accuracy", "value": 0.5, "interval": [0.2, 0.8], "n": 9, "unit": "share of rows"}],
            "findings": [
                {
                    "id": "f", "severity": "low", "statement": "s", "metrics": ["accuracy"],
                    "examples": [{"row": 1, "text": "t"}], "examples_total": 3,
                }
            ],
            "figures": [
                {"id": "g", "kind": "bars", "title": "t", "caption": "c", "rows": [{"label": "a", "value": 1}]}
            ],
        }
    ],
    "content_sha256": HASH,
    "run": {"started": "2026-11-20T10:00:00+00:00"},
}  # fmt: skip


def test_an_old_record_still_fits_its_own_hash():
    assert hash_matches(parse_record(json.dumps(OLD), where="old"))


def test_what_a_later_key_says_counts():
    said = json.loads(json.dumps(OLD))
    said["audits"][0]["figures"][0]["scale"] = "log"
    assert not hash_matches(parse_record(json.dumps(said), where="old"))
    said = json.loads(json.dumps(OLD))
    said["audits"][0]["findings"][0]["examples_worst"] = 1
    assert not hash_matches(parse_record(json.dumps(said), where="old"))
