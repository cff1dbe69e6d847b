"""Does it open for somebody who has transformers and nothing of ours, and does it stay the same when saved again?

The way is everybody's: an Auto class, `from_pretrained` on the folder, no network, no code of the checkpoint's, no
pickle. One model is held at a time; the second copy lies on the disk, in a folder that goes.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.checkpoint_loading import LOADERS, build, quiet
from core_model.errors import BadInput

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

ROWS_AT_ONCE = 16
START = 8  # tokens of the text that a decoder is given to begin with: any do, for both models get the same


@dataclass(frozen=True)
class Opened:
    """What came of opening it with transformers alone.

    Attributes:
        reason: why it did not open; None when it did. lacks_package: whether only a package that is not installed
            here is why.
        missing: names of weights that transformers would draw at random.
        difference: (rows,) largest absolute difference of a row's logits after saving and opening again; None where no
            round trip was made.
        changed: (rows,) whether the class with the largest logit is another; None where the answer is no class.
        why_not: why no round trip was made.
    """

    reason: str | None = None
    lacks_package: bool = False
    missing: tuple[str, ...] = ()
    difference: np.ndarray | None = None
    changed: np.ndarray | None = None
    why_not: str | None = None


def open_plainly(checkpoint: Checkpoint, texts: Sequence[str], pairs: Sequence[str] | None) -> Opened:
    """Open a checkpoint with an Auto class, save it, open that, and hold the logits of the rows against each other.

    Args:
        texts, pairs: rows; none of them, and it is only opened.
    """
    with quiet():
        try:
            model, tokenizer, missing = load_plainly(checkpoint, checkpoint.path)
        except Exception as error:  # transformers and its parts raise whatever they meet
            return Opened(reason=_short(error, checkpoint.path), lacks_package=isinstance(error, ImportError))
        if missing or not texts:
            why = f"transformers would draw {len(missing)} of its weights at random" if missing else "no row was asked"
            return Opened(missing=missing, why_not=why)
        with tempfile.TemporaryDirectory(prefix="aboveboard-round-trip-") as folder:
            try:
                before = _logits(model, tokenizer, texts, pairs, checkpoint.max_length)
                model.save_pretrained(folder)
                tokenizer.save_pretrained(folder)
                del model
                model, tokenizer, missing = load_plainly(checkpoint, Path(folder))
                after = _logits(model, tokenizer, texts, pairs, checkpoint.max_length)
            except Exception as error:
                return Opened(why_not=f"saving it and opening it again failed: {_short(error, folder)}")
    if missing:
        return Opened(why_not=f"saved again, it lacks {len(missing)} of its weights")
    if any(a.shape != b.shape for a, b in zip(before, after, strict=True)):
        return Opened(why_not="saved again, its answers have another shape: another tokenizer or head")
    difference = np.array([float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True)])
    is_class = all(row.ndim == 1 for row in before)
    changed = np.array([a.argmax() != b.argmax() for a, b in zip(before, after, strict=True)]) if is_class else None
    return Opened(difference=difference, changed=changed)


def load_plainly(checkpoint: Checkpoint, folder: Path) -> tuple[Any, Any, tuple[str, ...]]:
    """(model, tokenizer, names of missing weights), with what any user of transformers types.

    Raises: whatever transformers and its parts raise.
    """
    import transformers

    settings = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    loader = getattr(transformers, LOADERS[checkpoint.task])
    model, report = build(loader, folder, {**settings, "output_loading_info": True})
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return model.eval(), tokenizer, tuple(sorted(report["missing_keys"]))


def _logits(
    model: Any, tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, longest: int
) -> list[np.ndarray]:
    """Each row's logits, float32: (classes,), or (tokens, outputs) where there is one for each token."""
    import torch

    known = inspect.signature(model.forward).parameters
    padding = tokenizer.pad_token is not None
    step = ROWS_AT_ONCE if padding else 1
    found: list[np.ndarray] = []
    with torch.inference_mode():
        for start in range(0, len(texts), step):
            part = slice(start, start + step)
            asked = tokenizer(
                list(texts[part]), None if pairs is None else list(pairs[part]), padding=padding, truncation=True,
                max_length=longest, return_tensors="pt",
            )  # fmt: skip
            inputs = {name: value for name, value in asked.items() if name in known}
            if model.config.is_encoder_decoder:
                inputs["decoder_input_ids"] = asked["input_ids"][:, :START]
            answer = model(**inputs)
            parts = [answer[name] for name in ("logits", "start_logits", "end_logits") if name in answer]
            logits = torch.stack(parts, dim=-1) if len(parts) > 1 else parts[0]
            found += list(logits.float().numpy())
    return found


def _short(error: Exception, folder: str | Path) -> str:
    """The first line of an error, without where the folder lies."""
    text = error.found if isinstance(error, BadInput) else str(error)
    return (text.replace(str(folder), "the folder").strip().splitlines() or [type(error).__name__])[0][:200]
