"""The folder as it lies there: formats, what a package would refuse or leave behind, what a stranger would miss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit.concerns.shareability.part import AGAIN, PACKAGE, Part, counted, finding, plural, some
from audit.evidence import Limit, metric
from audit.statistics import Estimate
from core_model.packaging import Contents, sort_files
from core_model.sharing.folder import WEIGHTS, Needed, needed_by_others, weight_bytes
from core_model.sharing.traces import leftovers_in
from core_model.supply_chain.folder import Entry
from core_model.supply_chain.issues import shown
from reports.record import Finding, Metric, Severity

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint


def files_part(checkpoint: Checkpoint, files: list[Entry], limit: Limit) -> Part:
    """Counts over every file of the folder.

    Args:
        limit: for files that a package would refuse.
    """
    contents, needed, leftovers = sort_files(checkpoint), needed_by_others(checkpoint), leftovers_in(files)
    missing = [one for one in needed if not one.there]
    return Part(
        metrics=[
            _safetensors(files),
            metric(
                "folder_bytes", counted(sum(entry.size for entry in files), len(files)), unit="bytes", better="lower",
                definition="Size of all files of the checkpoint's folder; who fetches it fetches them all.",
            ),
            metric(
                "files_refused", counted(len(contents.refused), len(files)), unit="files", better="lower", limit=limit,
                definition="Files that `aboveboard package` would refuse: pickles, links out of the folder, files "
                "that belong to no checkpoint.",
            ),
            metric(
                "files_left_behind", counted(len(contents.left_out), len(files)), unit="files",
                definition="Files that a package would leave behind: adapters that are in the weights already, pages "
                "of this suite, sums and signatures of other files.",
            ),
            metric(
                "training_leftovers", counted(len(leftovers), len(files)), unit="files or folders", better="lower",
                definition="Files and folders that a training leaves and nobody needs: states, logs, repositories.",
            ),
            metric(
                "files_missing", counted(len(missing), len(needed)), unit="files", better="lower",
                definition="Files that whoever gets the folder needs and does not find: configuration, weights, "
                "tokenizer, special tokens, generation settings where text is written, card, licence.",
            ),
        ],
        findings=[*_refused(contents), *_leftovers(leftovers), *_missing(missing)],
    )  # fmt: skip


def _safetensors(files: list[Entry]) -> Metric:
    safe, whole = weight_bytes(files)
    holding = sum(entry.name.lower().endswith(WEIGHTS) for entry in files)
    return metric(
        "safetensors_share",
        counted(safe / whole, holding) if whole else Estimate.absent("no file holds weights"),
        unit="share of bytes of weights", better="higher",
        definition="Bytes of weights in safetensors, which run nothing when they are opened, among all files that "
        "hold weights; n counts these files.",
    )  # fmt: skip


def _refused(contents: Contents) -> list[Finding]:
    if not contents.refused:
        return []
    names = [shown(name) for name in contents.refused]
    unsafe = any(type(letter).__name__ == "CheckpointUnsafe" for letter in contents.refused.values())
    return [
        finding(
            "refused", Severity.HIGH if unsafe else Severity.MEDIUM,
            f"A package of this folder would be refused for {plural(len(names), 'file')}: {some(names)}.",
            metrics=["files_refused"], command=PACKAGE,
            why="it names the file that stands in the way and what to do with it; nothing is written until none does",
            examples=[{"file": shown(name), "why": _short(letter.found), "mend": _short(letter.mend)}
                      for name, letter in contents.refused.items()],
        )
    ]  # fmt: skip


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"


def _leftovers(leftovers: list[tuple[str, str]]) -> list[Finding]:
    if not leftovers:
        return []
    names = [name for name, _ in leftovers]
    return [
        finding(
            "leftovers", Severity.LOW,
            f"{plural(len(names), 'leftover')} of the training would be given away: {some(names)}.",
            metrics=["training_leftovers"], command=PACKAGE,
            why="move them away first: such files name hosts, folders and people; a package holds none of them",
            examples=[{"file": name, "what": what} for name, what in leftovers],
        )
    ]  # fmt: skip


def _missing(missing: list[Needed]) -> list[Finding]:
    if not missing:
        return []
    grave = [one.file for one in missing if one.file not in ("README.md", "LICENSE", "generation_config.json")]
    names = [one.file for one in missing]
    return [
        finding(
            "missing", Severity.MEDIUM if grave else Severity.LOW,
            f"Whoever gets this folder misses {plural(len(names), 'file')}: {some(names, most=8)}.",
            metrics=["files_missing"],
            command=AGAIN if grave else PACKAGE,
            why="save model and tokenizer together with save_pretrained, then look again"
            if grave else "put the licence's text into LICENSE; package carries it along, and writes a card with what "
            "was measured",
            examples=[{"file": one.file, "for": one.purpose} for one in missing],
        )
    ]  # fmt: skip
