"""Shareability: may and can this checkpoint be given to others, and would they know what they got?

What it measures  Every file of the checkpoint's folder: share of the weights in safetensors, what `aboveboard package`
                  would refuse or leave behind, what a stranger would miss; whether plain transformers opens it and a
                  round trip through save_pretrained keeps its logits. Licences in card and licence file, and conflicts
                  with the base's that a licence's own text states. Fields of the model card that say something.
                  Secrets, personal data and traces of people and machines in text files. Sums, hashes in records, and
                  what a signature covers. With --reference: whether the weights come from it, tensor by tensor,
                  against shuffled weights.
How to read it    Counts are over all files: they have no sampling error, and whatever has no pattern is not found.
                  Cosines near 1 are weights that moved little; of models trained apart they lie near 0, as the
                  shuffled ones show. Weights say which checkpoint they come from, not who had the right to use it.
                  Licences: only clear conflicts are told, every other pair is "not judged"; that is a hint and no
                  legal advice. A signature says that a key's holder vouches for bytes, not that they are good.
                  Severity: high for secrets, unsafe files, hashes that are wrong, a clear conflict of licences, weights
                  that contradict the card, an unnamed copy; medium for what keeps others from using it; low otherwise.
How to mend it    `aboveboard package` writes a folder of only what belongs, with a card of what was measured, and sums;
                  `aboveboard sign` signs it. Licence, intended use and lineage are for a person to write into
                  README.md.
Source            safetensors, https://github.com/huggingface/safetensors; SPDX License List, https://spdx.org/licenses;
                  Mitchell et al. 2019, doi:10.1145/3287560.3287596; OpenSSF Model Signing 1.0; Ainsworth et al. 2023,
                  arXiv:2209.04836 (weights up to permutation).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from audit.concerns.shareability.card import card_part
from audit.concerns.shareability.files import files_part
from audit.concerns.shareability.licence import licence_part
from audit.concerns.shareability.lineage import Compared, compare, lineage_part
from audit.concerns.shareability.opening import opening_part
from audit.concerns.shareability.part import with_own_licence
from audit.concerns.shareability.sums import sums_part
from audit.concerns.shareability.traces import traces_part
from audit.evidence import Limit
from audit.plugin import Concern, Evidence, Need, Options, Size, audit
from core_model.onnx_graph import graph_of
from core_model.sharing.folder import files_of
from core_model.sharing.licences import Named, spdx
from core_model.sharing.lineage import SHUFFLES, Lineage

if TYPE_CHECKING:
    from audit.subject import Subject


class ShareabilityOptions(Options):
    """How much is looked at, and how much is allowed."""

    max_refused_files: int = Field(
        0, ge=0, description="files allowed that `aboveboard package` would refuse, such as pickles"
    )
    max_secrets: int = Field(0, ge=0, description="secrets allowed in the text files; places")
    max_licence_conflicts: int = Field(
        0, ge=0, description="licences of its parts allowed whose own text forbids what its licence grants"
    )
    max_hashes_wrong: int = Field(0, ge=0, description="hashes allowed that the files do not have")
    round_trip_rows: int = Field(
        64, ge=0, description="rows asked before and after save_pretrained, twice each through the model; 0: none"
    )
    largest_opened: float = Field(
        4.0, gt=0, description="gigabytes of weights above which it is not opened a second time; memory needs as many"
    )
    personal_data: bool = Field(True, description="look for personal data in text files; without it a second is saved")
    signature: str | None = Field(
        None, description="file of the signature; unset: audit.sig or model.sig among the checkpoint's files"
    )
    public_key: str | None = Field(
        None, description="the signer's public key; unset: what a signature lists is held against the files, unverified"
    )


def planned_passes(size: Size, options: ShareabilityOptions) -> Mapping[str, int]:
    """Rows before and after the round trip; an exported graph makes none."""
    rows = min(options.round_trip_rows, size.rows) if size.gradients else 0
    return {"round trip through save_pretrained": 2 * rows}


@audit(
    concern=Concern.SHAREABILITY,
    uses={Need.REFERENCE_CHECKPOINT},
    forward_passes=planned_passes,
    profiles={"quick": {"round_trip_rows": 8, "personal_data": False}, "full": {"round_trip_rows": 256}},
)
def shareability(subject: Subject, options: ShareabilityOptions, random: np.random.Generator) -> Evidence:
    """The folder as it would be given away, part by part."""
    checkpoint = subject.checkpoint
    of_rows, of_chance = random.spawn(2)
    files = files_of(checkpoint.path)
    compared = _compared(subject, of_chance)
    parts = [
        files_part(checkpoint, files, _limit(options, "max_refused_files")),
        opening_part(subject, rows=options.round_trip_rows, largest=options.largest_opened, random=of_rows),
        licence_part(
            checkpoint, _limit(options, "max_licence_conflicts"), base=_base_licence(compared),
            changed=compared is None or compared.says is not Lineage.SAME,
        ),
        card_part(checkpoint.card),
        traces_part(files, _limit(options, "max_secrets"), personal_data=options.personal_data),
        lineage_part(checkpoint, compared),
        sums_part(
            checkpoint.path, files, _limit(options, "max_hashes_wrong"), signature=options.signature,
            public_key=options.public_key,
        ),
    ]  # fmt: skip
    return Evidence(
        metrics=[line for part in parts for line in part.metrics],
        findings=[with_own_licence(found, checkpoint.licence) for part in parts for found in part.findings],
        figures=[figure for part in parts for figure in part.figures],
        notes=[note for part in parts for note in part.notes],
        forward_passes=sum(part.forward_passes for part in parts),
        settings={"files": len(files), "shuffles": SHUFFLES},
    )


def _limit(options: ShareabilityOptions, name: str) -> Limit:
    return Limit(float(getattr(options, name)), f"shareability.{name}, {options.whose(name)}")


def _compared(subject: Subject, random: np.random.Generator) -> Compared | None:
    """The weights against the reference's; None where there is none, or one of the two is no safetensors."""
    both = [subject.checkpoint, subject.reference]
    if any(one is None or one.pickled or graph_of(one) is not None for one in both):
        return None
    assert subject.reference is not None  # noqa: S101 - just looked
    return compare(subject.checkpoint, subject.reference, random)


def _base_licence(compared: Compared | None) -> Named | None:
    """The reference's licence, where the weights come from it."""
    if compared is None or compared.reference.licence is None:
        return None
    if compared.says not in (Lineage.SAME, Lineage.DERIVED):
        return None
    word = compared.reference.licence
    return Named(f"the base ({compared.reference.name})", word, spdx(word))
