"""A smaller checkpoint in a folder of its own, by a method that needs no training: int8 numbers, or fewer heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.compression.options import PruneHeads, Quantize
from core_model.compression.pruning import prune_heads
from core_model.compression.quantization import quantize
from core_model.compression.scheme import SCHEME, refuse_quantized
from core_model.compression.writing import write_folder

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint


@dataclass(frozen=True)
class Made:
    """What was done, for the record: settings by name, and what a reader must know, one plain sentence each."""

    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def compress(original: Checkpoint, settings: Quantize | PruneHeads, folder: Path) -> Made:
    """Write a smaller checkpoint into an empty folder.

    Raises: TaskUnfit where the architecture has nothing that the method knows; OptionUnfit; OutputUnwritable.
    """
    refuse_quantized(original)
    model = original.load_model()
    if isinstance(settings, Quantize):
        quantize(model, float_words=settings.float_words)
        write_folder(model, original, folder, what="rounded to int8")
        return Made(
            {
                **settings.model_dump(),
                "scheme": SCHEME,
            },
            [
                "Activations are rounded: where floating point moves a last bit (another batch, another machine), a "
                "rounding may fall to the other side, and logits move by more than that bit.",
                "Other tools open the folder with the package compressed-tensors (transformers: with --float-words).",
            ],
        )
    pruned = prune_heads(model, settings.share)
    write_folder(model, original, folder, what=f"left with {pruned.heads_left} of {pruned.heads} attention heads")
    how = (
        "The heads were cut out of the matrices."
        if pruned.cut
        else f"The heads were silenced, not cut out: the configuration of a {original.facts['model_type']} cannot hold "
        "fewer heads of the same size. The answers are those of the pruned model; bytes and time do not shrink."
    )
    lost = {name: ", ".join(map(str, groups)) for name, groups in pruned.lost.items()}
    return Made(
        {**settings.model_dump(), "heads": pruned.heads, "heads_left": pruned.heads_left, "cut_out": pruned.cut,
         "lost": lost},
        [how],
    )  # fmt: skip
