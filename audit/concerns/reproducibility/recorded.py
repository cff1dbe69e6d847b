"""What the training record says: can these weights be made again from it, and is it a record of these weights?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from audit.evidence import Limit, metric
from audit.statistics import Estimate
from core_model.retraining import FACTS, missing_facts, other_versions
from reports.record import Metric

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

NO_RECORD = "the checkpoint has no training_record.json; `aboveboard train` leaves one"
SOURCE = "Pineau et al. 2021, J. Mach. Learn. Res. 22:164 (reproducibility checklist)"


def changed_files(checkpoint: Checkpoint) -> list[str] | None:
    """Files of the checkpoint whose hash is not the recorded one; None where no record holds hashes."""
    recorded = (checkpoint.training_record or {}).get("files")
    if not isinstance(recorded, Mapping) or not recorded:
        return None
    return [name for name, sha256 in checkpoint.files.items() if recorded.get(name) != sha256]


def record_lines(checkpoint: Checkpoint, *, max_changed_files: int) -> list[Metric]:
    """Metrics of the record itself."""
    record: Mapping[str, Any] | None = checkpoint.training_record
    absent = Estimate.absent(NO_RECORD)
    changed = changed_files(checkpoint)
    no_hashes = absent if record is None else Estimate.absent("the training record holds no hashes of files")
    recorded = {} if record is None else record.get("versions") or {}
    return [
        metric(
            "training_facts_recorded",
            absent if record is None
            else Estimate.counted((len(FACTS) - len(missing_facts(record))) / len(FACTS), len(FACTS)),
            unit="share of facts", better="higher", source=SOURCE,
            definition="Of the facts that a training run follows from (rows, base, options, seed, threads, versions "
            "and the like), those that the training record says.",
        ),
        metric(
            "files_other_than_recorded",
            no_hashes if changed is None else Estimate.counted(len(changed), len(checkpoint.files)),
            unit="files", better="lower", limit=Limit(max_changed_files, "options.max_changed_files"),
            definition="Files of the checkpoint whose hash is not the one that its training record holds.",
        ),
        metric(
            "packages_other_than_recorded",
            absent if record is None
            else Estimate.counted(len(other_versions(record)), len(recorded)) if recorded
            else Estimate.absent("the training record names no versions"),
            unit="packages", better="lower", volatile=True,
            definition="Packages that are here in another version than when the model was trained, Python among them.",
        ),
    ]  # fmt: skip
