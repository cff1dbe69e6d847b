"""Security: could the checkpoint's own files hurt whoever opens them?

What it measures  Issues in the files of the checkpoint's folder, by how much they matter. Every file is told by its
                  content and looked at without being loaded or run: pickles (also inside archives) are disassembled and
                  judged by picklescan and fickling; configuration that names code; chat templates that reach out of
                  their sandbox; archives with paths, links or sizes that are traps; links out of the folder, pipes and
                  devices; safetensors headers that are not true; programs; secrets in text.
How to read it    All files are looked at, so the counts have no sampling error; that nothing was found is evidence that
                  these known tricks are absent, and no proof that nothing is hidden. Two scanners are asked about each
                  pickle, for each misses what the other finds; fickling calls torch's own tensors unsafe, too, so its
                  lowest alarms are not taken alone. What a chat template says in plain words is not judged.
How to mend it    Each example says what to type. Convert pickles to safetensors, remove what a checkpoint does not
                  need, copy linked files in, and look again: `aboveboard scan FOLDER --gate`. `aboveboard package`
                  writes a folder with nothing else in it.
Source            picklescan; fickling; the safetensors format; CVE-2024-34359 (chat templates); CVE-2007-4559 (tar);
                  Fifield, "A better zip bomb", WOOT 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from audit.concerns.security.supply_chain import examine_files
from audit.plugin import Concern, Evidence, Options, audit

if TYPE_CHECKING:
    from audit.subject import Subject


class SecurityOptions(Options):
    """What can be set."""

    max_high_issues: int = Field(
        0, ge=0, description="limit for issues of high severity in the checkpoint's files; more fail the audit"
    )
    examples: int = Field(20, ge=1, le=1000, description="issues shown of each kind; all are counted")


@audit(concern=Concern.SECURITY)
def security(subject: Subject, options: SecurityOptions, random: np.random.Generator) -> Evidence:
    """Every part of the audit, joined."""
    return examine_files(subject.checkpoint.path, max_high=options.max_high_issues, examples=options.examples)
